//! Every constant of `lsmer.h`, in the order of the header.
//!
//! The type suffix of a literal is what makes cbindgen print the `u` of an unsigned constant.
//! Numbers are part of the ABI: none is ever given another meaning.

/// The number of this ABI; lsm_abi_version answers that of the library.
pub const LSM_ABI: u32 = 1u32;

/// Done.
pub const LSM_OK: i32 = 0;
/// The key is absent: normal news, not an error.
pub const LSM_NOT_FOUND: i32 = 1;
/// The scan has passed its last entry.
pub const LSM_END: i32 = 2;
/// The caller's buffer is too small; the size that is needed was written.
pub const LSM_BUFFER_SMALL: i32 = 3;
/// A budget (deadline, tombstones, bytes) ran out; the call can be continued.
pub const LSM_PARTIAL: i32 = 4;
/// An argument, an option or the order of calls is wrong; nothing was done.
pub const LSM_E_INVALID: i32 = -1;
/// The handle or its database was closed: an error, never a crash.
pub const LSM_E_CLOSED: i32 = -2;
/// The call would stall (LSM_W_NOSTALL), or waits for room that this program holds itself;
/// retryable.
pub const LSM_E_BUSY: i32 = -3;
/// A conditional write lost; retryable.
pub const LSM_E_CONFLICT: i32 = -4;
/// The time given ran out.
pub const LSM_E_TIMEOUT: i32 = -5;
/// The database is open elsewhere: detail0 of the error is the process id.
pub const LSM_E_LOCKED: i32 = -6;
/// The database was opened read-only.
pub const LSM_E_READONLY: i32 = -7;
/// The disk or the quota is full.
pub const LSM_E_NO_SPACE: i32 = -8;
/// A call of the operating system failed: os_errno of the error says which way.
pub const LSM_E_IO: i32 = -9;
/// Stored bytes are not what was written: file_id and offset of the error say where.
pub const LSM_E_CORRUPT: i32 = -10;
/// Written by a newer format: detail0 of the error is its version.
pub const LSM_E_FORMAT: i32 = -11;
/// Memory could not be had.
pub const LSM_E_NOMEM: i32 = -12;
/// A feature that this build does not have; the message names the field.
pub const LSM_E_UNSUPPORTED: i32 = -13;
/// The library was used before a fork, and is called in the child.
pub const LSM_E_FORKED: i32 = -14;
/// A bug in lsmer: a caught panic. The database takes no more writes; reads go on.
pub const LSM_E_INTERNAL: i32 = -15;

/// Durability: no log. Lost with the process unless flushed.
pub const LSM_D_NONE: u32 = 1u32;
/// Durability: survives the death of the process. The default.
pub const LSM_D_BUFFER: u32 = 2u32;
/// Durability: survives power loss.
pub const LSM_D_SYNC: u32 = 3u32;

/// Packed operation: the key gets this value.
pub const LSM_OP_PUT: u32 = 1u32;
/// Packed operation: the key loses its value. The value is empty.
pub const LSM_OP_DELETE: u32 = 2u32;

/// Position at the first entry within bounds.
pub const LSM_SEEK_FIRST: u32 = 1u32;
/// Position at the last entry within bounds.
pub const LSM_SEEK_LAST: u32 = 2u32;
/// Position at the first entry at or after the key.
pub const LSM_SEEK_GE: u32 = 3u32;
/// Position at the first entry after the key.
pub const LSM_SEEK_GT: u32 = 4u32;
/// Position at the last entry at or before the key.
pub const LSM_SEEK_LE: u32 = 5u32;
/// Position at the last entry before the key.
pub const LSM_SEEK_LT: u32 = 6u32;

/// Start no new background work.
pub const LSM_BG_PAUSE: u32 = 1u32;
/// Undo LSM_BG_PAUSE.
pub const LSM_BG_RESUME: u32 = 2u32;
/// Wait until no flush or compaction is running or due, files that nobody reads any more are
/// removed, log space that is kept ready for writers is down to half a MiB, memory that is kept for
/// them is given back, and new tables are in the cache as far as that has room.
pub const LSM_BG_WAIT_IDLE: u32 = 3u32;

/// Blocks are stored as they are.
pub const LSM_C_NONE: u32 = 1u32;
/// Blocks are compressed by LZ4. The default.
pub const LSM_C_LZ4: u32 = 2u32;

/// Keys are ordered by their bytes, as memcmp does. The default.
pub const LSM_K_BYTES: u32 = 1u32;

/// lsm_open_opts.flags: shared lock, nothing is written.
pub const LSM_O_READ_ONLY: u32 = 1u32;
/// lsm_open_opts.flags: an absent database is an error.
pub const LSM_O_MUST_EXIST: u32 = 2u32;
/// lsm_open_opts.flags: a present database is an error.
pub const LSM_O_MUST_NOT_EXIST: u32 = 4u32;
/// lsm_open_opts.flags: the log is written by calls, never through a mapping.
pub const LSM_O_WRITTEN_LOG: u32 = 8u32;
/// lsm_open_opts.flags: table files are mapped, and blocks that are not compressed are read where
/// they lie in the page cache. They are no part of memory_budget, are not copied for
/// lsm_get_pinned, and each is checked once, when it is first read. An I/O error then, or a table
/// file that somebody cuts off, is no code: it raises SIGBUS in the reading thread.
pub const LSM_O_MAPPED_READS: u32 = 16u32;

/// lsm_ks_opts.filter_bits_x10: no filter.
pub const LSM_FILTER_NONE: u32 = 4_294_967_295u32;

/// lsm_read_opts.flags of scans: lo is a prefix, hi must be NULL.
pub const LSM_R_PREFIX: u32 = 1u32;
/// lsm_read_opts.flags of scans: values are not wanted and come out empty.
pub const LSM_R_KEYS_ONLY: u32 = 2u32;

/// lsm_iter_read: ascending.
pub const LSM_DIR_FORWARD: i32 = 1;
/// lsm_iter_read: descending.
pub const LSM_DIR_REVERSE: i32 = -1;

/// lsm_stats_dump: one JSON object.
pub const LSM_STATS_JSON: u32 = 1u32;
/// lsm_stats_dump: Prometheus text exposition.
pub const LSM_STATS_PROMETHEUS: u32 = 2u32;
/// lsm_stats_dump: lines for a person.
pub const LSM_STATS_TEXT: u32 = 3u32;

/// lsm_close: LSM_E_BUSY while children are open, their number in detail0.
pub const LSM_CLOSE_STRICT: u32 = 1u32;

/// lsm_health.state: reads and writes work.
pub const LSM_H_OK: u32 = 0u32;
/// lsm_health.state: opened read-only.
pub const LSM_H_READONLY: u32 = 1u32;
/// lsm_health.state: a failure stopped all writes until the database is opened again.
pub const LSM_H_POISONED: u32 = 2u32;
/// lsm_health.state: reads work; writes or background work fail at present, for the cause that
/// lsm_health_get tells (a full disk, say), and go on by themselves when it has passed.
pub const LSM_H_DEGRADED: u32 = 3u32;

/// lsm_error.flags: the same call may succeed later without a change.
pub const LSM_ERR_RETRYABLE: u32 = 1u32;
/// lsm_error.flags: this is the first cause of a standing failure.
pub const LSM_ERR_LATCHED: u32 = 2u32;

/// Log level: something failed.
pub const LSM_LOG_ERROR: i32 = 1;
/// Log level: something needs attention.
pub const LSM_LOG_WARN: i32 = 2;
/// Log level: a milestone.
pub const LSM_LOG_INFO: i32 = 3;
/// Log level: a detail.
pub const LSM_LOG_DEBUG: i32 = 4;

/// Longest key in bytes.
pub const LSM_KEY_BYTES_MAX: u32 = 65_535u32;
/// Longest value in bytes.
pub const LSM_VALUE_BYTES_MAX: u32 = 1_073_741_824u32;
/// Longest packed batch in bytes.
pub const LSM_BATCH_BYTES_MAX: u32 = 1_073_741_824u32;

/// lsm_write_opts.flags: LSM_E_BUSY instead of waiting for back-pressure.
pub const LSM_W_NOSTALL: u32 = 1u32;
