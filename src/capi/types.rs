//! The types of `lsmer.h`: opaque handles and the structs that cross the boundary.
//!
//! No pointer to a handle type is ever followed: its value is a number (see `handle`).
//! Structs are read and written as a whole, at any alignment. Sizes are part of the ABI and are
//! asserted at the end of this file and, from the other side, in `ctests/open.c`.

use std::ffi::{c_char, c_void};

/// What a call answers: below 0 an error, 0 done, above 0 normal news.
pub type lsm_rc = i32;

/// Threads, memory budget and I/O budget that databases share. Any thread, at once.
pub struct lsm_env(());
/// An open database. Any thread, at once.
pub struct lsm_db(());
/// A keyspace of an open database. Any thread, at once.
pub struct lsm_ks(());
/// A transaction; not built yet, always NULL.
pub struct lsm_txn(());
/// A cursor over one keyspace at one moment. One thread at a time.
pub struct lsm_iter(());
/// A growing batch of packed operations. One thread at a time.
pub struct lsm_batch(());
/// A value held in place. One thread at a time.
pub struct lsm_pin(());
/// One moment of a database. Any thread, at once.
pub struct lsm_snapshot(());
/// A virtual file system; not built yet, always NULL.
pub struct lsm_vfs(());

/// What went wrong, in 256 bytes that the caller owns. Need not be initialised: it is never read,
/// is wholly written when a call answers less than 0, and is untouched otherwise.
#[repr(C)]
pub struct lsm_error {
    /// 256.
    pub struct_size: u32,
    /// The code that the call answered.
    pub code: i32,
    /// errno of the failed system call, or 0.
    pub os_errno: i32,
    /// LSM_ERR_* bits.
    pub flags: u32,
    /// The number in the name of the file that is meant, or 0.
    pub file_id: u64,
    /// The place in that file, in bytes.
    pub offset: u64,
    /// What the code carries: a process id, a version, a count; else 0.
    pub detail0: u64,
    /// What happened, where, and what to do; ends with a NUL.
    pub message: [c_char; 216],
}

/// Borrowed bytes; only ever an output.
#[repr(C)]
pub struct lsm_slice {
    /// The first byte; NULL for an empty slice that lies nowhere.
    pub data: *const u8,
    /// How many.
    pub len: usize,
}

/// How lsm_env_create makes an environment. All zero but struct_size is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_env_opts {
    /// sizeof(lsm_env_opts).
    pub struct_size: u32,
    /// Background threads, 1 to 64; 0: 2.
    pub threads: u32,
    /// Bytes for write buffers, cache, filters and indexes together, at least 65536; 0: 512 MiB. A
    /// write buffer may take half of it at most, one write all of it.
    pub memory_budget: u64,
    /// Bytes a second that background work may write, on average; 0: no limit. lsm_flush and
    /// lsm_close do not wait for it, but what they write counts.
    pub io_bytes_per_sec: u64,
    /// Must be 0.
    pub max_open_files: u64,
    /// Must be 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// How lsm_open opens a database. All zero but struct_size is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_open_opts {
    /// sizeof(lsm_open_opts).
    pub struct_size: u32,
    /// LSM_O_* bits.
    pub flags: u32,
    /// The environment; NULL: one of its own, with default options.
    pub env: *mut lsm_env,
    /// LSM_D_* for writes that name none; 0: LSM_D_BUFFER.
    pub durability: u32,
    /// Must be 0.
    pub format: u32,
    /// Bytes of one write buffer: 4096 to 1 GiB, and at most half of the environment's memory budget;
    /// 0: 64 MiB, or half of that budget if it is less. From 16 MiB on it is filled, logged and flushed in four parts. Values of 4 KiB and
    /// more that are put one by one (lsm_put) wait for their flush in a mapped log instead, in the page
    /// cache: up to eight buffers of them, and a quarter of the memory that the process may use; a
    /// crash leaves so much more to replay.
    pub write_buffer_bytes: u64,
    /// Must be 0.
    pub feed_retain_bytes: u64,
    /// Must be 0.
    pub feed_retain_secs: u64,
    /// While fewer bytes are free on the file system no new log or table is begun, so writes are
    /// refused with LSM_E_NO_SPACE when the write buffer in use is full; 0: no such limit.
    pub low_space_bytes: u64,
    /// Callbacks; NULL: none.
    pub hooks: *const lsm_hooks,
}

/// How tables of a keyspace are written from now on. All zero but struct_size is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_ks_opts {
    /// sizeof(lsm_ks_opts).
    pub struct_size: u32,
    /// Must be 0.
    pub flags: u32,
    /// LSM_K_*; 0: LSM_K_BYTES.
    pub comparator: u32,
    /// Must be 0.
    pub merge: u32,
    /// LSM_C_*; 0: LSM_C_LZ4.
    pub compression: u32,
    /// Must be 0.
    pub compaction: u32,
    /// Tenths of filter bits for each key, up to 640, or LSM_FILTER_NONE; 0: 100.
    pub filter_bits_x10: u32,
    /// Bytes of one data block before compression, 64 to 1048576; 0: 4096.
    pub block_bytes: u32,
    /// Must be 0.
    pub blob_threshold: u64,
    /// Must be 0.
    pub default_ttl_secs: u64,
}

/// How a read is done. All zero but struct_size is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_read_opts {
    /// sizeof(lsm_read_opts).
    pub struct_size: u32,
    /// LSM_R_* bits; scans only.
    pub flags: u32,
    /// The moment to read at; NULL: now.
    pub snap: *const lsm_snapshot,
    /// Must be NULL.
    pub txn: *mut lsm_txn,
    /// Must be 0.
    pub deadline_ns: u64,
    /// Must be 0.
    pub max_tombstones: u64,
    /// Must be 0.
    pub max_bytes: u64,
}

/// How a write is done. All zero but struct_size is the default.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_write_opts {
    /// sizeof(lsm_write_opts).
    pub struct_size: u32,
    /// LSM_W_* bits.
    pub flags: u32,
    /// Must be NULL.
    pub txn: *mut lsm_txn,
    /// Nanoseconds that the call may wait for room; 0: no limit.
    pub deadline_ns: u64,
    /// Must be 0.
    pub ttl_secs: u64,
    /// LSM_D_*; 0: as the database was opened.
    pub durability: u32,
    /// Must be 0.
    pub reserved: u32,
}

/// How a database is doing. The caller sets struct_size, the library the rest.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_health {
    /// sizeof(lsm_health), set by the caller.
    pub struct_size: u32,
    /// LSM_H_*.
    pub state: u32,
    /// Every acknowledged write ends at or below this position.
    pub last_seq: u64,
    /// Writes that end at or below this position survive power loss.
    pub durable_seq: u64,
    /// Bytes that flush and compaction have still to work on.
    pub debt_bytes: u64,
    /// Nanoseconds that writes have waited for room since the open.
    pub stall_ns_total: u64,
    /// Bytes in use under the environment's budget.
    pub memory_used: u64,
    /// That budget.
    pub memory_budget: u64,
    /// Bytes of the database's files.
    pub disk_bytes: u64,
    /// Age of the oldest snapshot in seconds; 0 without one.
    pub oldest_snapshot_secs: u64,
}

/// The only callbacks. Each may be called from any library thread, must not call the library on
/// the same database, and must not unwind or longjmp. `drop` is called exactly once, after the
/// last use of `ctx`: by lsm_close before it returns, or by an lsm_open that failed after it
/// accepted struct_size of both structs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct lsm_hooks {
    /// sizeof(lsm_hooks).
    pub struct_size: u32,
    /// Must be 0.
    pub flags: u32,
    /// The first argument of each callback.
    pub ctx: *mut c_void,
    /// Frees ctx; may be NULL.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Takes one line of the log, without NUL or newline; may be NULL.
    pub log:
        Option<unsafe extern "C" fn(ctx: *mut c_void, level: i32, msg: *const c_char, len: usize)>,
    /// Must be NULL.
    pub compare: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            a: *const u8,
            alen: usize,
            b: *const u8,
            blen: usize,
        ) -> i32,
    >,
    /// Must be NULL.
    pub merge: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            kv: *const lsm_slice,
            n: usize,
            out: *mut u8,
            cap: usize,
            need: *mut usize,
        ) -> i32,
    >,
    /// Must be NULL.
    pub filter: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            level: u32,
            key: *const lsm_slice,
            val: *const lsm_slice,
        ) -> i32,
    >,
    /// Must be NULL.
    pub get_key: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key_id: *const u8,
            id_len: usize,
            out_key: *mut u8,
        ) -> i32,
    >,
    /// Must be NULL.
    pub vfs: *const lsm_vfs,
    /// Must be NULL.
    pub compare_name: *const c_char,
    /// Must be NULL.
    pub merge_name: *const c_char,
}

// Handles carry 64 bits in a pointer; a 32-bit build would need another encoding.
const _: () = assert!(size_of::<*const u8>() == 8, "lsmer needs a 64-bit target");
const _: () = assert!(size_of::<lsm_error>() == 256);
const _: () = assert!(size_of::<lsm_slice>() == 16);
const _: () = assert!(size_of::<lsm_env_opts>() == 40);
const _: () = assert!(size_of::<lsm_open_opts>() == 64);
const _: () = assert!(size_of::<lsm_ks_opts>() == 48);
const _: () = assert!(size_of::<lsm_read_opts>() == 48);
const _: () = assert!(size_of::<lsm_write_opts>() == 40);
const _: () = assert!(size_of::<lsm_health>() == 72);
const _: () = assert!(size_of::<lsm_hooks>() == 88);
