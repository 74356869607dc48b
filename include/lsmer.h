/** @file lsmer.h
 * lsmer: an embedded, ordered, durable key-value engine.
 *
 * Generated from src/capi by build.rs; do not edit. C99 and C++98.
 *
 * Rules that hold for every function; exceptions are written at the function:
 *
 * R1. A call answers less than 0 for an error, 0 for done, more than 0 for normal news: LSM_NOT_FOUND,
 *     LSM_END, LSM_BUFFER_SMALL, LSM_PARTIAL. Nothing throws, aborts or unwinds. errno is preserved.
 * R2. `err` may be NULL; else it is a caller-owned lsm_error of 256 bytes that need not be
 *     initialised: it is never read, wholly written when the call answers less than 0, else
 *     untouched. Nothing about it is freed or thread-local.
 * R3. Keys and values are (pointer, length). Length 0 is legal, and only then may the pointer be
 *     NULL. Every input is copied before the call returns.
 * R4. The library returns no memory to be freed: bytes go to caller buffers, or are borrowed from a
 *     handle until it moves or closes. lsm_close(NULL) is LSM_OK, closing twice is LSM_E_CLOSED; a
 *     void release of NULL or of a closed handle does nothing. When a call answers less than 0, its
 *     out-handle is NULL and its other outputs are untouched.
 * R5. Database, keyspace, environment and snapshot handles: any thread, at once. Cursors, batches
 *     and pins: one thread at a time; they may migrate. A child keeps its database's memory alive.
 *     A handle is a number, never an address: NULL, a closed, stale or random one gives
 *     LSM_E_INVALID or LSM_E_CLOSED. In a child of fork() every call answers LSM_E_FORKED.
 * R6. Option structs: all bytes 0 and struct_size = sizeof is a valid default, and so is NULL; 0
 *     means default; bytes beyond what this version knows must be 0. A field whose feature is not
 *     built must be 0, else LSM_E_UNSUPPORTED names it.
 * R7. The log hook is the only callback that is built.
 * R8. A NULL bound is none; a non-NULL one of length 0 is the empty key. After LSM_END going
 *     forward, next stays and prev gives the last entry; mirrored backward. After an error only a
 *     seek helps a cursor. Durations are relative nanoseconds; 0 in options is none; a timeout_ns
 *     of 0 does not wait, UINT64_MAX waits for ever. Paths are any bytes without NUL.
 *
 * A `seq` is a position in the log, the end of a record: increasing, not consecutive; a read at seq
 * sees everything below it. After the first failed sync of log or manifest every write answers that
 * cause with LSM_ERR_LATCHED; LSM_E_READONLY is only for a database opened read-only. Writes at
 * LSM_D_NONE are outside the promises of durability.
 *
 * Packed layouts, little-endian, unaligned, versioned with the ABI:
 * operations (lsm_write): u8 op, u8 flags (0), u16 0, u32 keyspace id, u32 klen, u32 vlen, key, value;
 * records (lsm_scan, lsm_iter_read): u32 klen, u32 vlen, key, value.
 */

#ifndef LSMER_H
#define LSMER_H

#include <stddef.h>
#include <stdint.h>

#define LSMER_VERSION_MAJOR 0
#define LSMER_VERSION_MINOR 1
#define LSMER_VERSION_PATCH 0
#define LSMER_VERSION "0.1.0"

/* Marks every function of the library. */
#ifndef LSM_API
#define LSM_API
#endif

/**
 * The number of this ABI; lsm_abi_version answers that of the library.
 */
#define LSM_ABI 1u

/**
 * Done.
 */
#define LSM_OK 0

/**
 * The key is absent: normal news, not an error.
 */
#define LSM_NOT_FOUND 1

/**
 * The scan has passed its last entry.
 */
#define LSM_END 2

/**
 * The caller's buffer is too small; the size that is needed was written.
 */
#define LSM_BUFFER_SMALL 3

/**
 * A budget (deadline, tombstones, bytes) ran out; the call can be continued.
 */
#define LSM_PARTIAL 4

/**
 * An argument, an option or the order of calls is wrong; nothing was done.
 */
#define LSM_E_INVALID (-1)

/**
 * The handle or its database was closed: an error, never a crash.
 */
#define LSM_E_CLOSED (-2)

/**
 * The call would stall (LSM_W_NOSTALL), or waits for room that this program holds itself;
 * retryable.
 */
#define LSM_E_BUSY (-3)

/**
 * A conditional write lost; retryable.
 */
#define LSM_E_CONFLICT (-4)

/**
 * The time given ran out.
 */
#define LSM_E_TIMEOUT (-5)

/**
 * The database is open elsewhere: detail0 of the error is the process id.
 */
#define LSM_E_LOCKED (-6)

/**
 * The database was opened read-only.
 */
#define LSM_E_READONLY (-7)

/**
 * The disk or the quota is full.
 */
#define LSM_E_NO_SPACE (-8)

/**
 * A call of the operating system failed: os_errno of the error says which way.
 */
#define LSM_E_IO (-9)

/**
 * Stored bytes are not what was written: file_id and offset of the error say where.
 */
#define LSM_E_CORRUPT (-10)

/**
 * Written by a newer format: detail0 of the error is its version.
 */
#define LSM_E_FORMAT (-11)

/**
 * Memory could not be had.
 */
#define LSM_E_NOMEM (-12)

/**
 * A feature that this build does not have; the message names the field.
 */
#define LSM_E_UNSUPPORTED (-13)

/**
 * The library was used before a fork, and is called in the child.
 */
#define LSM_E_FORKED (-14)

/**
 * A bug in lsmer: a caught panic. The database takes no more writes; reads go on.
 */
#define LSM_E_INTERNAL (-15)

/**
 * Durability: no log. Lost with the process unless flushed.
 */
#define LSM_D_NONE 1u

/**
 * Durability: survives the death of the process. The default.
 */
#define LSM_D_BUFFER 2u

/**
 * Durability: survives power loss.
 */
#define LSM_D_SYNC 3u

/**
 * Packed operation: the key gets this value.
 */
#define LSM_OP_PUT 1u

/**
 * Packed operation: the key loses its value. The value is empty.
 */
#define LSM_OP_DELETE 2u

/**
 * Position at the first entry within bounds.
 */
#define LSM_SEEK_FIRST 1u

/**
 * Position at the last entry within bounds.
 */
#define LSM_SEEK_LAST 2u

/**
 * Position at the first entry at or after the key.
 */
#define LSM_SEEK_GE 3u

/**
 * Position at the first entry after the key.
 */
#define LSM_SEEK_GT 4u

/**
 * Position at the last entry at or before the key.
 */
#define LSM_SEEK_LE 5u

/**
 * Position at the last entry before the key.
 */
#define LSM_SEEK_LT 6u

/**
 * Start no new background work.
 */
#define LSM_BG_PAUSE 1u

/**
 * Undo LSM_BG_PAUSE.
 */
#define LSM_BG_RESUME 2u

/**
 * Wait until no flush or compaction is running or due, files that nobody reads any more are
 * removed, log space that is kept ready for writers is down to half a MiB, memory that is kept for
 * them is given back, and new tables are in the cache as far as that has room.
 */
#define LSM_BG_WAIT_IDLE 3u

/**
 * Blocks are stored as they are.
 */
#define LSM_C_NONE 1u

/**
 * Blocks are compressed by LZ4. The default.
 */
#define LSM_C_LZ4 2u

/**
 * Keys are ordered by their bytes, as memcmp does. The default.
 */
#define LSM_K_BYTES 1u

/**
 * lsm_open_opts.flags: shared lock, nothing is written.
 */
#define LSM_O_READ_ONLY 1u

/**
 * lsm_open_opts.flags: an absent database is an error.
 */
#define LSM_O_MUST_EXIST 2u

/**
 * lsm_open_opts.flags: a present database is an error.
 */
#define LSM_O_MUST_NOT_EXIST 4u

/**
 * lsm_open_opts.flags: the log is written by calls, never through a mapping.
 */
#define LSM_O_WRITTEN_LOG 8u

/**
 * lsm_open_opts.flags: table files are mapped, and blocks that are not compressed are read where
 * they lie in the page cache. They are no part of memory_budget, are not copied for
 * lsm_get_pinned, and each is checked once, when it is first read. An I/O error then, or a table
 * file that somebody cuts off, is no code: it raises SIGBUS in the reading thread.
 */
#define LSM_O_MAPPED_READS 16u

/**
 * lsm_ks_opts.filter_bits_x10: no filter.
 */
#define LSM_FILTER_NONE 4294967295u

/**
 * lsm_read_opts.flags of scans: lo is a prefix, hi must be NULL.
 */
#define LSM_R_PREFIX 1u

/**
 * lsm_read_opts.flags of scans: values are not wanted and come out empty.
 */
#define LSM_R_KEYS_ONLY 2u

/**
 * lsm_iter_read: ascending.
 */
#define LSM_DIR_FORWARD 1

/**
 * lsm_iter_read: descending.
 */
#define LSM_DIR_REVERSE (-1)

/**
 * lsm_stats_dump: one JSON object.
 */
#define LSM_STATS_JSON 1u

/**
 * lsm_stats_dump: Prometheus text exposition.
 */
#define LSM_STATS_PROMETHEUS 2u

/**
 * lsm_stats_dump: lines for a person.
 */
#define LSM_STATS_TEXT 3u

/**
 * lsm_close: LSM_E_BUSY while children are open, their number in detail0.
 */
#define LSM_CLOSE_STRICT 1u

/**
 * lsm_health.state: reads and writes work.
 */
#define LSM_H_OK 0u

/**
 * lsm_health.state: opened read-only.
 */
#define LSM_H_READONLY 1u

/**
 * lsm_health.state: a failure stopped all writes until the database is opened again.
 */
#define LSM_H_POISONED 2u

/**
 * lsm_health.state: reads work; writes or background work fail at present, for the cause that
 * lsm_health_get tells (a full disk, say), and go on by themselves when it has passed.
 */
#define LSM_H_DEGRADED 3u

/**
 * lsm_error.flags: the same call may succeed later without a change.
 */
#define LSM_ERR_RETRYABLE 1u

/**
 * lsm_error.flags: this is the first cause of a standing failure.
 */
#define LSM_ERR_LATCHED 2u

/**
 * Log level: something failed.
 */
#define LSM_LOG_ERROR 1

/**
 * Log level: something needs attention.
 */
#define LSM_LOG_WARN 2

/**
 * Log level: a milestone.
 */
#define LSM_LOG_INFO 3

/**
 * Log level: a detail.
 */
#define LSM_LOG_DEBUG 4

/**
 * Longest key in bytes.
 */
#define LSM_KEY_BYTES_MAX 65535u

/**
 * Longest value in bytes.
 */
#define LSM_VALUE_BYTES_MAX 1073741824u

/**
 * Longest packed batch in bytes.
 */
#define LSM_BATCH_BYTES_MAX 1073741824u

/**
 * lsm_write_opts.flags: LSM_E_BUSY instead of waiting for back-pressure.
 */
#define LSM_W_NOSTALL 1u

/**
 * A growing batch of packed operations. One thread at a time.
 */
typedef struct lsm_batch lsm_batch;

/**
 * An open database. Any thread, at once.
 */
typedef struct lsm_db lsm_db;

/**
 * Threads, memory budget and I/O budget that databases share. Any thread, at once.
 */
typedef struct lsm_env lsm_env;

/**
 * A cursor over one keyspace at one moment. One thread at a time.
 */
typedef struct lsm_iter lsm_iter;

/**
 * A keyspace of an open database. Any thread, at once.
 */
typedef struct lsm_ks lsm_ks;

/**
 * A value held in place. One thread at a time.
 */
typedef struct lsm_pin lsm_pin;

/**
 * One moment of a database. Any thread, at once.
 */
typedef struct lsm_snapshot lsm_snapshot;

/**
 * A transaction; not built yet, always NULL.
 */
typedef struct lsm_txn lsm_txn;

/**
 * A virtual file system; not built yet, always NULL.
 */
typedef struct lsm_vfs lsm_vfs;

/**
 * What a call answers: below 0 an error, 0 done, above 0 normal news.
 */
typedef int32_t lsm_rc;

/**
 * How lsm_env_create makes an environment. All zero but struct_size is the default.
 */
typedef struct lsm_env_opts {
    /**
     * sizeof(lsm_env_opts).
     */
    uint32_t struct_size;
    /**
     * Background threads, 1 to 64; 0: 2.
     */
    uint32_t threads;
    /**
     * Bytes for write buffers, cache, filters and indexes together, at least 65536; 0: 512 MiB. A
     * write buffer may take half of it at most, one write all of it.
     */
    uint64_t memory_budget;
    /**
     * Bytes a second that background work may write, on average; 0: no limit. lsm_flush and
     * lsm_close do not wait for it, but what they write counts.
     */
    uint64_t io_bytes_per_sec;
    /**
     * Must be 0.
     */
    uint64_t max_open_files;
    /**
     * Must be 0.
     */
    uint32_t flags;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} lsm_env_opts;

/**
 * What went wrong, in 256 bytes that the caller owns. Need not be initialised: it is never read,
 * is wholly written when a call answers less than 0, and is untouched otherwise.
 */
typedef struct lsm_error {
    /**
     * 256.
     */
    uint32_t struct_size;
    /**
     * The code that the call answered.
     */
    int32_t code;
    /**
     * errno of the failed system call, or 0.
     */
    int32_t os_errno;
    /**
     * LSM_ERR_* bits.
     */
    uint32_t flags;
    /**
     * The number in the name of the file that is meant, or 0.
     */
    uint64_t file_id;
    /**
     * The place in that file, in bytes.
     */
    uint64_t offset;
    /**
     * What the code carries: a process id, a version, a count; else 0.
     */
    uint64_t detail0;
    /**
     * What happened, where, and what to do; ends with a NUL.
     */
    char message[216];
} lsm_error;

/**
 * Borrowed bytes; only ever an output.
 */
typedef struct lsm_slice {
    /**
     * The first byte; NULL for an empty slice that lies nowhere.
     */
    const uint8_t *data;
    /**
     * How many.
     */
    size_t len;
} lsm_slice;

/**
 * The only callbacks. Each may be called from any library thread, must not call the library on
 * the same database, and must not unwind or longjmp. `drop` is called exactly once, after the
 * last use of `ctx`: by lsm_close before it returns, or by an lsm_open that failed after it
 * accepted struct_size of both structs.
 */
typedef struct lsm_hooks {
    /**
     * sizeof(lsm_hooks).
     */
    uint32_t struct_size;
    /**
     * Must be 0.
     */
    uint32_t flags;
    /**
     * The first argument of each callback.
     */
    void *ctx;
    /**
     * Frees ctx; may be NULL.
     */
    void (*drop)(void *ctx);
    /**
     * Takes one line of the log, without NUL or newline; may be NULL.
     */
    void (*log)(void *ctx, int32_t level, const char *msg, size_t len);
    /**
     * Must be NULL.
     */
    int32_t (*compare)(void *ctx, const uint8_t *a, size_t alen, const uint8_t *b, size_t blen);
    /**
     * Must be NULL.
     */
    int32_t (*merge)(void *ctx,
                     const struct lsm_slice *kv,
                     size_t n,
                     uint8_t *out,
                     size_t cap,
                     size_t *need);
    /**
     * Must be NULL.
     */
    int32_t (*filter)(void *ctx,
                      uint32_t level,
                      const struct lsm_slice *key,
                      const struct lsm_slice *val);
    /**
     * Must be NULL.
     */
    int32_t (*get_key)(void *ctx, const uint8_t *key_id, size_t id_len, uint8_t *out_key);
    /**
     * Must be NULL.
     */
    const struct lsm_vfs *vfs;
    /**
     * Must be NULL.
     */
    const char *compare_name;
    /**
     * Must be NULL.
     */
    const char *merge_name;
} lsm_hooks;

/**
 * How lsm_open opens a database. All zero but struct_size is the default.
 */
typedef struct lsm_open_opts {
    /**
     * sizeof(lsm_open_opts).
     */
    uint32_t struct_size;
    /**
     * LSM_O_* bits.
     */
    uint32_t flags;
    /**
     * The environment; NULL: one of its own, with default options.
     */
    struct lsm_env *env;
    /**
     * LSM_D_* for writes that name none; 0: LSM_D_BUFFER.
     */
    uint32_t durability;
    /**
     * Must be 0.
     */
    uint32_t format;
    /**
     * Bytes of one write buffer: 4096 to 1 GiB, and at most half of the environment's memory budget;
     * 0: 64 MiB, or half of that budget if it is less. From 16 MiB on it is filled, logged and flushed in four parts. Values of 4 KiB and
     * more that are put one by one (lsm_put) wait for their flush in a mapped log instead, in the page
     * cache: up to eight buffers of them, and a quarter of the memory that the process may use; a
     * crash leaves so much more to replay.
     */
    uint64_t write_buffer_bytes;
    /**
     * Must be 0.
     */
    uint64_t feed_retain_bytes;
    /**
     * Must be 0.
     */
    uint64_t feed_retain_secs;
    /**
     * While fewer bytes are free on the file system no new log or table is begun, so writes are
     * refused with LSM_E_NO_SPACE when the write buffer in use is full; 0: no such limit.
     */
    uint64_t low_space_bytes;
    /**
     * Callbacks; NULL: none.
     */
    const struct lsm_hooks *hooks;
} lsm_open_opts;

/**
 * How tables of a keyspace are written from now on. All zero but struct_size is the default.
 */
typedef struct lsm_ks_opts {
    /**
     * sizeof(lsm_ks_opts).
     */
    uint32_t struct_size;
    /**
     * Must be 0.
     */
    uint32_t flags;
    /**
     * LSM_K_*; 0: LSM_K_BYTES.
     */
    uint32_t comparator;
    /**
     * Must be 0.
     */
    uint32_t merge;
    /**
     * LSM_C_*; 0: LSM_C_LZ4.
     */
    uint32_t compression;
    /**
     * Must be 0.
     */
    uint32_t compaction;
    /**
     * Tenths of filter bits for each key, up to 640, or LSM_FILTER_NONE; 0: 100.
     */
    uint32_t filter_bits_x10;
    /**
     * Bytes of one data block before compression, 64 to 1048576; 0: 4096.
     */
    uint32_t block_bytes;
    /**
     * Must be 0.
     */
    uint64_t blob_threshold;
    /**
     * Must be 0.
     */
    uint64_t default_ttl_secs;
} lsm_ks_opts;

/**
 * How a read is done. All zero but struct_size is the default.
 */
typedef struct lsm_read_opts {
    /**
     * sizeof(lsm_read_opts).
     */
    uint32_t struct_size;
    /**
     * LSM_R_* bits; scans only.
     */
    uint32_t flags;
    /**
     * The moment to read at; NULL: now.
     */
    const struct lsm_snapshot *snap;
    /**
     * Must be NULL.
     */
    struct lsm_txn *txn;
    /**
     * Must be 0.
     */
    uint64_t deadline_ns;
    /**
     * Must be 0.
     */
    uint64_t max_tombstones;
    /**
     * Must be 0.
     */
    uint64_t max_bytes;
} lsm_read_opts;

/**
 * How a write is done. All zero but struct_size is the default.
 */
typedef struct lsm_write_opts {
    /**
     * sizeof(lsm_write_opts).
     */
    uint32_t struct_size;
    /**
     * LSM_W_* bits.
     */
    uint32_t flags;
    /**
     * Must be NULL.
     */
    struct lsm_txn *txn;
    /**
     * Nanoseconds that the call may wait for room; 0: no limit.
     */
    uint64_t deadline_ns;
    /**
     * Must be 0.
     */
    uint64_t ttl_secs;
    /**
     * LSM_D_*; 0: as the database was opened.
     */
    uint32_t durability;
    /**
     * Must be 0.
     */
    uint32_t reserved;
} lsm_write_opts;

/**
 * How a database is doing. The caller sets struct_size, the library the rest.
 */
typedef struct lsm_health {
    /**
     * sizeof(lsm_health), set by the caller.
     */
    uint32_t struct_size;
    /**
     * LSM_H_*.
     */
    uint32_t state;
    /**
     * Every acknowledged write ends at or below this position.
     */
    uint64_t last_seq;
    /**
     * Writes that end at or below this position survive power loss.
     */
    uint64_t durable_seq;
    /**
     * Bytes that flush and compaction have still to work on.
     */
    uint64_t debt_bytes;
    /**
     * Nanoseconds that writes have waited for room since the open.
     */
    uint64_t stall_ns_total;
    /**
     * Bytes in use under the environment's budget.
     */
    uint64_t memory_used;
    /**
     * That budget.
     */
    uint64_t memory_budget;
    /**
     * Bytes of the database's files.
     */
    uint64_t disk_bytes;
    /**
     * Age of the oldest snapshot in seconds; 0 without one.
     */
    uint64_t oldest_snapshot_secs;
} lsm_health;

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/**
 * The number of the ABI that this library has; the header's is LSM_ABI.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: for ever.
 * - Blocks: never.
 * - Errors: none.
 */
LSM_API uint32_t lsm_abi_version(void);

/**
 * The version of this library, such as "0.1.0".
 *
 * - Threads: any.
 * - Owns: nothing; the text is static.
 * - Valid until: for ever.
 * - Blocks: never.
 * - Errors: none.
 */
LSM_API const char *lsm_version(void);

/**
 * The name of a code, such as "LSM_E_BUSY"; "LSM_UNKNOWN" for a number that is none.
 *
 * - Threads: any.
 * - Owns: nothing; the text is static.
 * - Valid until: for ever.
 * - Blocks: never.
 * - Errors: none.
 */
LSM_API const char *lsm_rc_name(lsm_rc rc);

/**
 * Makes an environment: one memory budget, thread pool and I/O budget for any number of
 * databases. `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_env_release gives it back.
 * - Valid until: released; databases keep what they need of it beyond that.
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_NOMEM, LSM_E_IO, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_env_create(const struct lsm_env_opts *o,
                      struct lsm_env **out,
                      struct lsm_error *err);

/**
 * Gives an environment back. Databases opened in it go on; its threads end with the last one.
 * Does nothing for NULL, a released handle, or in a forked child.
 *
 * - Threads: any.
 * - Owns: takes env.
 * - Valid until: returns; env is stale then.
 * - Blocks: until background threads have ended, when no database is left in it.
 * - Errors: none.
 */
LSM_API void lsm_env_release(struct lsm_env *env);

/**
 * Opens the database in the directory `path`, creating it, and the directories above it, if they
 * are absent (mode 700; not with LSM_O_MUST_EXIST). `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_close gives it back. Takes the context of the hooks.
 * - Valid until: closed.
 * - Blocks: while it reads the log of an unclean end.
 * - Errors: LSM_E_LOCKED (pid in detail0), LSM_E_CORRUPT, LSM_E_FORMAT, LSM_E_INVALID (such as
 *   absent with LSM_O_MUST_EXIST), LSM_E_UNSUPPORTED, LSM_E_NO_SPACE, LSM_E_IO, LSM_E_NOMEM,
 *   LSM_E_READONLY, LSM_E_CLOSED (the environment), LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_open(const char *path,
                const struct lsm_open_opts *o,
                struct lsm_db **out,
                struct lsm_error *err);

/**
 * Closes a database. Calls in flight end first; open children then answer LSM_E_CLOSED, but bytes
 * borrowed from them stay valid until the child is moved or closed. More than 1 MiB that is in no
 * table is written to one; what is less, or cannot be, stays in the log for the next lsm_open, but
 * for LSM_D_NONE writes, which are lost. Children that are left keep the threads of the
 * environment as well. NULL is LSM_OK. `flags` is 0 or LSM_CLOSE_STRICT. Whatever the code, db is closed, but for LSM_E_BUSY of
 * LSM_CLOSE_STRICT, LSM_E_INVALID and LSM_E_FORKED.
 *
 * - Threads: any; of several at once, one closes and the others answer LSM_E_CLOSED.
 * - Owns: takes db.
 * - Valid until: returns; db is stale then.
 * - Blocks: on writing that table, on syncing the log, and until no other call uses db.
 * - Errors: LSM_E_CLOSED, LSM_E_BUSY (number of children in detail0), LSM_E_IO, LSM_E_NO_SPACE
 *   (the last sync failed), LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_close(struct lsm_db *db,
                 uint32_t flags,
                 struct lsm_error *err);

/**
 * Removes the files of the database in the directory `path`, then the directory if nothing else
 * is in it. Files that lsmer did not write stay.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on removing files.
 * - Errors: LSM_E_LOCKED (it is open somewhere), LSM_E_INVALID (there is no such directory),
 *   LSM_E_IO, LSM_E_FORKED.
 */
LSM_API lsm_rc lsm_destroy(const char *path, struct lsm_error *err);

/**
 * Opens the keyspace `name` (NUL-terminated UTF-8 of 1 to 255 bytes), creating it if it is absent.
 * "default" always exists, and NULL in place of a keyspace means it. With `o` NULL a new keyspace
 * has the default options and an old one keeps its own; else they hold for tables written from now
 * on.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_ks_release gives it back.
 * - Valid until: released; LSM_E_CLOSED once db is closed.
 * - Blocks: on syncing the manifest when something changes.
 * - Errors: LSM_E_INVALID (such as another comparator than the stored one), LSM_E_UNSUPPORTED,
 *   LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_ks_open(struct lsm_db *db,
                   const char *name,
                   const struct lsm_ks_opts *o,
                   struct lsm_ks **out,
                   struct lsm_error *err);

/**
 * Drops the keyspace `name` and everything in it. Handles to it answer LSM_E_INVALID from then
 * on, and so do reads of it through cursors and snapshots that are older, and batches that name
 * it; a keyspace created later by that name is another one. "default" cannot be dropped.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on syncing log and manifest.
 * - Errors: LSM_E_INVALID (absent, or "default"), LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO,
 *   LSM_E_NO_SPACE, LSM_E_FORKED.
 */
LSM_API lsm_rc lsm_ks_drop(struct lsm_db *db, const char *name, struct lsm_error *err);

/**
 * Gives a keyspace handle back; the keyspace stays. Does nothing for NULL, a released handle, or
 * in a forked child.
 *
 * - Threads: any.
 * - Owns: takes ks.
 * - Valid until: returns; ks is stale then.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_ks_release(struct lsm_ks *ks);

/**
 * Lists the keyspaces into `buf`: for each u32 id, u32 length of the name, name; little-endian,
 * unaligned. *need becomes the bytes of the whole list. buf NULL and cap 0 only ask for them.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED. LSM_BUFFER_SMALL: buf is untouched.
 */
LSM_API
lsm_rc lsm_ks_list(struct lsm_db *db,
                   void *buf,
                   size_t cap,
                   size_t *need,
                   struct lsm_error *err);

/**
 * The id of a keyspace, for packed operations: 0 for NULL, the default keyspace; UINT32_MAX for
 * a handle that is not open, and in a forked child.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: the keyspace is dropped; ids are never reused in a database.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API uint32_t lsm_ks_id(const struct lsm_ks *ks);

/**
 * Copies the value of a key into `buf` and its length into *vlen. buf NULL and cap 0 only ask for
 * the length (LSM_OK); any other buffer that is too short gives LSM_BUFFER_SMALL, *vlen, and stays
 * as it was. `ks` and `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on reading a block from disk.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
 *   LSM_E_FORKED. LSM_NOT_FOUND: *vlen is untouched.
 */
LSM_API
lsm_rc lsm_get(struct lsm_db *db,
               struct lsm_ks *ks,
               const struct lsm_read_opts *o,
               const void *key,
               size_t klen,
               void *buf,
               size_t cap,
               size_t *vlen,
               struct lsm_error *err);

/**
 * Finds the value of a key and lends it without a copy. `ks` and `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: the caller owns *pin; lsm_pin_release gives it back.
 * - Valid until: *val is valid until *pin is released, even after lsm_close.
 * - Blocks: on reading a block from disk.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
 *   LSM_E_FORKED. LSM_NOT_FOUND: *pin is NULL and *val untouched.
 */
LSM_API
lsm_rc lsm_get_pinned(struct lsm_db *db,
                      struct lsm_ks *ks,
                      const struct lsm_read_opts *o,
                      const void *key,
                      size_t klen,
                      struct lsm_pin **pin,
                      struct lsm_slice *val,
                      struct lsm_error *err);

/**
 * Looks up `n` keys at one position. They lie behind each other in `keys`; key i ends at
 * `key_ends[i]`, counted from `keys`, and begins where the one before ends. Values are packed into
 * `buf` in the order of the keys: `rcs[i]` becomes LSM_OK, LSM_NOT_FOUND, or why this key alone
 * could not be read, and `val_ends[i]` where its value ends. *done becomes how many keys were
 * looked up, always the first ones; outputs of the others are untouched.
 * LSM_OK: all of them. LSM_PARTIAL: the next value does not fit; go on with the keys from *done
 * (with a snapshot, to stay at one position). LSM_BUFFER_SMALL: not even the value of the first
 * key fits; `val_ends[0]` says what it takes and *done is 0. buf NULL and cap 0 only ask for the
 * lengths, and never stop early. `ks` and `o` may be NULL. Faster than as many calls of lsm_get.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on reading blocks from disk.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_FORKED. In rcs also
 *   LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM: lsm_get of that key has the text.
 */
LSM_API
lsm_rc lsm_multi_get(struct lsm_db *db,
                     struct lsm_ks *ks,
                     const struct lsm_read_opts *o,
                     const void *keys,
                     const uint32_t *key_ends,
                     size_t n,
                     void *buf,
                     size_t cap,
                     uint64_t *val_ends,
                     int32_t *rcs,
                     size_t *done,
                     struct lsm_error *err);

/**
 * Gives a value back. Does nothing for NULL, a released handle, or in a forked child.
 *
 * - Threads: one at a time.
 * - Owns: takes pin.
 * - Valid until: returns; pin and the bytes that it lent are stale then.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_pin_release(struct lsm_pin *pin);

/**
 * Gives a key a value. `ks` and `o` may be NULL. A key has up to 65,535 bytes, a value up to 1 GiB
 * and what the memory budget allows (LSM_E_NOMEM). LSM_E_TIMEOUT: deadline_ns ran out; LSM_E_BUSY:
 * LSM_W_NOSTALL, or waiting would be in vain because this program itself holds the room.
 *
 * - Threads: any.
 * - Owns: nothing; key and value are copied.
 * - Valid until: -
 * - Blocks: for back-pressure (not with LSM_W_NOSTALL), for writes that were reserved before this
 *   one, and with LSM_D_SYNC on the disk.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_BUSY, LSM_E_TIMEOUT,
 *   LSM_E_READONLY, LSM_E_NO_SPACE, LSM_E_IO, LSM_E_NOMEM, LSM_E_INTERNAL, LSM_E_FORKED; with
 *   LSM_ERR_LATCHED after a failure that stopped all writes.
 */
LSM_API
lsm_rc lsm_put(struct lsm_db *db,
               struct lsm_ks *ks,
               const struct lsm_write_opts *o,
               const void *key,
               size_t klen,
               const void *val,
               size_t vlen,
               struct lsm_error *err);

/**
 * Takes a key's value away; LSM_OK if it had none. `ks` and `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: nothing; the key is copied.
 * - Valid until: -
 * - Blocks: as lsm_put.
 * - Errors: as lsm_put.
 */
LSM_API
lsm_rc lsm_delete(struct lsm_db *db,
                  struct lsm_ks *ks,
                  const struct lsm_write_opts *o,
                  const void *key,
                  size_t klen,
                  struct lsm_error *err);

/**
 * Applies a packed batch, whole or not at all. *seq becomes the position of its end. `o` and `seq`
 * may be NULL.
 *
 * - Threads: any.
 * - Owns: nothing; the operations are copied.
 * - Valid until: -
 * - Blocks: as lsm_put.
 * - Errors: as lsm_put; LSM_E_INVALID for malformed operations, of which none is applied.
 */
LSM_API
lsm_rc lsm_write(struct lsm_db *db,
                 const struct lsm_write_opts *o,
                 const void *packed_ops,
                 size_t len,
                 uint64_t *seq,
                 struct lsm_error *err);

/**
 * Makes an empty batch with room for `reserve` bytes (0: none yet). It belongs to no database.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_batch_release gives it back.
 * - Valid until: released.
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_NOMEM, LSM_E_FORKED.
 */
LSM_API lsm_rc lsm_batch_create(size_t reserve, struct lsm_batch **out, struct lsm_error *err);

/**
 * Gives a batch back. Does nothing for NULL, a released handle, or in a forked child.
 *
 * - Threads: one at a time.
 * - Owns: takes b.
 * - Valid until: returns; b and the bytes that it lent are stale then.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_batch_release(struct lsm_batch *b);

/**
 * Adds one operation: LSM_OP_PUT, or LSM_OP_DELETE (val NULL, vlen 0). `ks` may be NULL; the batch
 * keeps its id, so write it to the database that ks is of.
 *
 * - Threads: one at a time.
 * - Owns: nothing; key and value are copied.
 * - Valid until: bytes that lsm_batch_bytes lent are stale after this.
 * - Blocks: no.
 * - Errors: LSM_E_INVALID (the batch would exceed LSM_BATCH_BYTES_MAX, too), LSM_E_UNSUPPORTED,
 *   LSM_E_CLOSED, LSM_E_NOMEM, LSM_E_FORKED; the batch is then as it was.
 */
LSM_API
lsm_rc lsm_batch_add(struct lsm_batch *b,
                     uint32_t op,
                     const struct lsm_ks *ks,
                     const void *key,
                     size_t klen,
                     const void *val,
                     size_t vlen,
                     struct lsm_error *err);

/**
 * Lends the packed operations, for lsm_write, and tells how many there are. `packed` and `count`
 * may be NULL.
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: *packed is valid until the next lsm_batch_add, _clear or _release of b.
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_batch_bytes(const struct lsm_batch *b,
                       struct lsm_slice *packed,
                       uint32_t *count);

/**
 * Empties a batch and keeps its memory. Does nothing for NULL, a released handle, or in a forked
 * child.
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: bytes that lsm_batch_bytes lent are stale after this.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_batch_clear(struct lsm_batch *b);

/**
 * Keeps this moment readable: every write acknowledged before is seen through it, none that
 * begins after. *seq becomes its position. `seq` may be NULL. Only dropping a keyspace takes its
 * data from snapshots, too.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_snapshot_release gives it back.
 * - Valid until: released; LSM_E_CLOSED once db is closed.
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_NOMEM, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_snapshot_create(struct lsm_db *db,
                           struct lsm_snapshot **out,
                           uint64_t *seq,
                           struct lsm_error *err);

/**
 * Gives a snapshot back; cursors opened at it keep what they need. Does nothing for NULL, a
 * released handle, or in a forked child.
 *
 * - Threads: any.
 * - Owns: takes s.
 * - Valid until: returns; s is stale then.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_snapshot_release(struct lsm_snapshot *s);

/**
 * Opens a cursor over the keys in [lo, hi) as they are now, or at o->snap. It stands nowhere yet.
 * A NULL bound is none; with LSM_R_PREFIX lo is a prefix and hi NULL. `ks` and `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: the caller owns *out; lsm_iter_close gives it back.
 * - Valid until: closed; LSM_E_CLOSED once db is closed.
 * - Blocks: on opening tables.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM,
 *   LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_iter_open(struct lsm_db *db,
                     struct lsm_ks *ks,
                     const struct lsm_read_opts *o,
                     const void *lo,
                     size_t lolen,
                     const void *hi,
                     size_t hilen,
                     struct lsm_iter **out,
                     struct lsm_error *err);

/**
 * Moves a cursor to the entry that `how` (LSM_SEEK_*) and, but for FIRST and LAST, the key name;
 * within the bounds. LSM_END when there is none; the cursor then stands outside on the side where
 * it looked: before the first entry after LT, LE and LAST, behind the last after GE, GT and FIRST.
 * `k` and `v` may be NULL.
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
 * - Blocks: on reading blocks from disk.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NOMEM, LSM_E_INTERNAL,
 *   LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_iter_seek(struct lsm_iter *it,
                     uint32_t how,
                     const void *key,
                     size_t klen,
                     struct lsm_slice *k,
                     struct lsm_slice *v,
                     struct lsm_error *err);

/**
 * Moves a cursor to the next entry; the first if it stands nowhere. LSM_END after the last, where
 * it stays. After an error only lsm_iter_seek helps. `k` and `v` may be NULL.
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
 * - Blocks: on reading blocks from disk.
 * - Errors: as lsm_iter_seek.
 */
LSM_API
lsm_rc lsm_iter_next(struct lsm_iter *it,
                     struct lsm_slice *k,
                     struct lsm_slice *v,
                     struct lsm_error *err);

/**
 * Moves a cursor to the entry before; the last if it stands nowhere. LSM_END before the first,
 * where it stays. After an error only lsm_iter_seek helps. `k` and `v` may be NULL.
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: *k and *v are valid until the cursor moves or closes, even after lsm_close.
 * - Blocks: on reading blocks from disk.
 * - Errors: as lsm_iter_seek.
 */
LSM_API
lsm_rc lsm_iter_prev(struct lsm_iter *it,
                     struct lsm_slice *k,
                     struct lsm_slice *v,
                     struct lsm_error *err);

/**
 * Moves a cursor over up to `max` entries (0: as many as fit) in direction `dir` (LSM_DIR_*), as
 * lsm_iter_next or lsm_iter_prev would, and packs them into `buf`: u32 key length, u32 value
 * length, key, value; little-endian, unaligned. *used becomes the bytes and *count the entries.
 * LSM_OK: go on calling. LSM_END: that was all; the entries counted are valid. LSM_BUFFER_SMALL:
 * the next entry alone needs *used bytes; *count is 0 and the cursor has not moved. The entry that
 * lsm_iter_seek has shown is behind the cursor and not packed again: to read pages from a key on,
 * open the cursor with it as lower bound and do not seek, or seek with LSM_SEEK_LT (with
 * LSM_SEEK_GT backward).
 *
 * - Threads: one at a time.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on reading blocks from disk.
 * - Errors: as lsm_iter_seek; outputs are then untouched and buf may hold anything.
 */
LSM_API
lsm_rc lsm_iter_read(struct lsm_iter *it,
                     int32_t dir,
                     size_t max,
                     void *buf,
                     size_t cap,
                     size_t *used,
                     size_t *count,
                     struct lsm_error *err);

/**
 * Closes a cursor. Does nothing for NULL, a closed handle, or in a forked child.
 *
 * - Threads: one at a time.
 * - Owns: takes it.
 * - Valid until: returns; the handle and the bytes that it lent are stale then.
 * - Blocks: no.
 * - Errors: none.
 */
LSM_API void lsm_iter_close(struct lsm_iter *it);

/**
 * Packs up to `max` entries (0: as many as fit) of [lo, hi), ascending, into `buf`, without a
 * cursor; results as of lsm_iter_read. To go on, call again with lo = the last key and one zero
 * byte, at one snapshot if it must be one moment. `flags` is 0. `ks` and `o` may be NULL.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on reading blocks from disk.
 * - Errors: as lsm_iter_open; outputs are then untouched and buf may hold anything.
 */
LSM_API
lsm_rc lsm_scan(struct lsm_db *db,
                struct lsm_ks *ks,
                const struct lsm_read_opts *o,
                const void *lo,
                size_t lolen,
                const void *hi,
                size_t hilen,
                uint32_t flags,
                size_t max,
                void *buf,
                size_t cap,
                size_t *used,
                size_t *count,
                struct lsm_error *err);

/**
 * Makes every write that ends at or below `up_to_seq` survive power loss (0: every write that
 * returned before this call). *durable_seq becomes the position up to which all does.
 * `durable_seq` may be NULL. LSM_D_NONE writes are not in the log: only lsm_flush saves them.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: on the disk.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_READONLY, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_sync(struct lsm_db *db,
                uint64_t up_to_seq,
                uint64_t *durable_seq,
                struct lsm_error *err);

/**
 * Writes everything that is in memory now into synced tables, LSM_D_NONE writes too. `ks` may be
 * NULL; keyspaces share the memory, so all are written. `flags` is 0. The caller's thread does it,
 * also while background work is paused.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: until the tables are durable.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_BUSY, LSM_E_READONLY, LSM_E_IO,
 *   LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_flush(struct lsm_db *db,
                 struct lsm_ks *ks,
                 uint32_t flags,
                 struct lsm_error *err);

/**
 * Compacts the tables of [lo, hi) to the lowest level: old versions and deletions go. A NULL bound
 * is none. `ks` may be NULL. `flags` is 0. `deadline_ns` is the time it may take; 0: no limit.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: until it is done.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_TIMEOUT, LSM_E_BUSY,
 *   LSM_E_READONLY, LSM_E_CORRUPT, LSM_E_IO, LSM_E_NO_SPACE, LSM_E_NOMEM, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_compact(struct lsm_db *db,
                   struct lsm_ks *ks,
                   const void *lo,
                   size_t lolen,
                   const void *hi,
                   size_t hilen,
                   uint32_t flags,
                   uint64_t deadline_ns,
                   struct lsm_error *err);

/**
 * Steers background work: LSM_BG_PAUSE, LSM_BG_RESUME, LSM_BG_WAIT_IDLE. `timeout_ns` bounds
 * the wait of the first and the last: 0 does not wait, UINT64_MAX waits for ever. A pause that ran
 * out of time holds all the same. Pauses are counted: each needs its resume. They
 * hold back the background only; lsm_flush and lsm_compact still do their work.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: LSM_BG_PAUSE until running work has stopped, LSM_BG_WAIT_IDLE until nothing is due.
 * - Errors: LSM_E_INVALID, LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_TIMEOUT, LSM_E_BUSY (waiting
 *   while paused), the cause of failed background work, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_background(struct lsm_db *db,
                      uint32_t action,
                      uint64_t timeout_ns,
                      struct lsm_error *err);

/**
 * Tells how the database is doing. The caller sets out->struct_size. `bg_error` may be NULL; on
 * LSM_OK it is written too: the cause of LSM_H_POISONED or LSM_H_DEGRADED, or code 0.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED; *bg_error tells them, and *out is
 *   untouched.
 */
LSM_API
lsm_rc lsm_health_get(struct lsm_db *db,
                      struct lsm_health *out,
                      struct lsm_error *bg_error);

/**
 * One statistic by its name; lsm_stats_dump lists the names. `ks` is NULL: no statistic is kept
 * for one keyspace.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: no.
 * - Errors: LSM_E_INVALID (no such name, too), LSM_E_UNSUPPORTED, LSM_E_CLOSED, LSM_E_FORKED.
 */
LSM_API
lsm_rc lsm_stat(struct lsm_db *db,
                struct lsm_ks *ks,
                const char *name,
                uint64_t *out,
                struct lsm_error *err);

/**
 * All statistics as text in `format` (LSM_STATS_*), without a NUL. *need becomes its length. buf
 * NULL and cap 0 only ask for that; it may have grown by the next call.
 *
 * - Threads: any.
 * - Owns: nothing.
 * - Valid until: -
 * - Blocks: no.
 * - Errors: LSM_E_INVALID, LSM_E_CLOSED, LSM_E_FORKED. LSM_BUFFER_SMALL: buf is untouched.
 */
LSM_API
lsm_rc lsm_stats_dump(struct lsm_db *db,
                      uint32_t format,
                      void *buf,
                      size_t cap,
                      size_t *need,
                      struct lsm_error *err);

#ifdef __cplusplus
} /* extern "C" */
#endif /* __cplusplus */

#endif  /* LSMER_H */
