/* The NULL table: for every pointer argument of every function what a call with NULL there answers.
 * `--list` prints the rows as "function argument"; the harness compares them with the header, so that
 * a new function without rows fails. */
#ifndef LSMER_MISUSE_ROWS_H
#define LSMER_MISUSE_ROWS_H
#include "test.h"

static int listing;

/* Everything a row may need; opened anew for each row that spoils something. */
static lsm_db *db;
static lsm_env *env;
static lsm_ks *ks;
static lsm_iter *it;
static lsm_batch *batch;
static lsm_snapshot *snap;
static lsm_pin *pin;
static lsm_slice k, v;
static uint64_t n64;
static uint32_t n32;
static size_t n, m;
static char buf[4096];
static char path[4200];

/* Whether to run the row now; in a listing it is printed instead. */
static int row(const char *function, const char *argument) {
    test_name = function;
    if (listing) printf("%s %s\n", function, argument);
    return !listing;
}

/* `argument` is NULL in `call`, which answers `want`. */
#define NULL_ROW(function, argument, want, call) \
    do { if (row(#function, #argument)) EXPECT_RC(call, want); } while (0)
/* The same for functions that answer nothing. */
#define VOID_ROW(function, argument, call) \
    do { if (row(#function, #argument)) (call); } while (0)

static void rows_of_library_and_database(void) {
    lsm_env *e = NULL;
    lsm_db *d = NULL;
    NULL_ROW(lsm_env_create, o, LSM_OK, lsm_env_create(NULL, &e, &err));
    VOID_ROW(lsm_env_release, env, lsm_env_release(NULL));
    lsm_env_release(e);
    NULL_ROW(lsm_env_create, out, LSM_E_INVALID, lsm_env_create(NULL, NULL, &err));
    NULL_ROW(lsm_env_create, err, LSM_E_INVALID, lsm_env_create(NULL, NULL, NULL));
    NULL_ROW(lsm_open, path, LSM_E_INVALID, lsm_open(NULL, NULL, &d, &err));
    NULL_ROW(lsm_open, out, LSM_E_INVALID, lsm_open(path, NULL, NULL, &err));
    NULL_ROW(lsm_open, err, LSM_E_INVALID, lsm_open(NULL, NULL, &d, NULL));
    if (!listing) snprintf(buf, sizeof buf, "%s-second", path);
    NULL_ROW(lsm_open, o, LSM_OK, lsm_open(buf, NULL, &d, &err));
    NULL_ROW(lsm_close, db, LSM_OK, lsm_close(NULL, 0, &err));
    NULL_ROW(lsm_close, err, LSM_OK, lsm_close(d, 0, NULL));
    if (!listing) EXPECT_RC(lsm_close(d, 0, NULL), LSM_E_CLOSED);
    NULL_ROW(lsm_destroy, path, LSM_E_INVALID, lsm_destroy(NULL, &err));
    NULL_ROW(lsm_destroy, err, LSM_E_INVALID, lsm_destroy(NULL, NULL));
}

static void rows_of_keyspaces(void) {
    lsm_ks *s = NULL;
    NULL_ROW(lsm_ks_open, db, LSM_E_INVALID, lsm_ks_open(NULL, "x", NULL, &s, &err));
    NULL_ROW(lsm_ks_open, name, LSM_E_INVALID, lsm_ks_open(db, NULL, NULL, &s, &err));
    NULL_ROW(lsm_ks_open, out, LSM_E_INVALID, lsm_ks_open(db, "x", NULL, NULL, &err));
    NULL_ROW(lsm_ks_open, err, LSM_E_INVALID, lsm_ks_open(db, NULL, NULL, &s, NULL));
    NULL_ROW(lsm_ks_open, o, LSM_OK, lsm_ks_open(db, "x", NULL, &s, &err));
    lsm_ks_release(s);
    NULL_ROW(lsm_ks_drop, db, LSM_E_INVALID, lsm_ks_drop(NULL, "x", &err));
    NULL_ROW(lsm_ks_drop, name, LSM_E_INVALID, lsm_ks_drop(db, NULL, &err));
    NULL_ROW(lsm_ks_drop, err, LSM_E_INVALID, lsm_ks_drop(db, NULL, NULL));
    VOID_ROW(lsm_ks_release, ks, lsm_ks_release(NULL));
    NULL_ROW(lsm_ks_list, db, LSM_E_INVALID, lsm_ks_list(NULL, buf, sizeof buf, &n, &err));
    NULL_ROW(lsm_ks_list, buf, LSM_E_INVALID, lsm_ks_list(db, NULL, 1, &n, &err));
    NULL_ROW(lsm_ks_list, need, LSM_E_INVALID, lsm_ks_list(db, buf, sizeof buf, NULL, &err));
    NULL_ROW(lsm_ks_list, err, LSM_E_INVALID, lsm_ks_list(db, buf, sizeof buf, NULL, NULL));
    VOID_ROW(lsm_ks_id, ks, EXPECT(lsm_ks_id(NULL) == 0));
}

static void rows_of_reads(void) {
    lsm_pin *p = NULL;
    NULL_ROW(lsm_get, db, LSM_E_INVALID, lsm_get(NULL, NULL, NULL, "k", 1, buf, 9, &n, &err));
    NULL_ROW(lsm_get, ks, LSM_OK, lsm_get(db, NULL, NULL, "k", 1, buf, 9, &n, &err));
    NULL_ROW(lsm_get, o, LSM_OK, lsm_get(db, NULL, NULL, "k", 1, buf, 9, &n, &err));
    NULL_ROW(lsm_get, key, LSM_E_INVALID, lsm_get(db, NULL, NULL, NULL, 1, buf, 9, &n, &err));
    NULL_ROW(lsm_get, buf, LSM_E_INVALID, lsm_get(db, NULL, NULL, "k", 1, NULL, 9, &n, &err));
    NULL_ROW(lsm_get, vlen, LSM_E_INVALID, lsm_get(db, NULL, NULL, "k", 1, buf, 9, NULL, &err));
    NULL_ROW(lsm_get, err, LSM_E_INVALID, lsm_get(db, NULL, NULL, NULL, 1, buf, 9, &n, NULL));
    NULL_ROW(lsm_get_pinned, db, LSM_E_INVALID, lsm_get_pinned(NULL, NULL, NULL, "k", 1, &p, &v, &err));
    NULL_ROW(lsm_get_pinned, key, LSM_E_INVALID, lsm_get_pinned(db, NULL, NULL, NULL, 1, &p, &v, &err));
    NULL_ROW(lsm_get_pinned, pin, LSM_E_INVALID, lsm_get_pinned(db, NULL, NULL, "k", 1, NULL, &v, &err));
    NULL_ROW(lsm_get_pinned, val, LSM_E_INVALID, lsm_get_pinned(db, NULL, NULL, "k", 1, &p, NULL, &err));
    NULL_ROW(lsm_get_pinned, err, LSM_E_INVALID, lsm_get_pinned(db, NULL, NULL, NULL, 1, &p, &v, NULL));
    NULL_ROW(lsm_get_pinned, ks, LSM_OK, lsm_get_pinned(db, NULL, NULL, "k", 1, &p, &v, &err));
    lsm_pin_release(p);
    NULL_ROW(lsm_get_pinned, o, LSM_OK, lsm_get_pinned(db, NULL, NULL, "k", 1, &p, &v, &err));
    lsm_pin_release(p);
    VOID_ROW(lsm_pin_release, pin, lsm_pin_release(NULL));
}

#define MULTI(db, ks, o, keys, ends, buf, val_ends, rcs, done, err) \
    lsm_multi_get(db, ks, o, keys, ends, 2, buf, 9, val_ends, rcs, done, err)

static void rows_of_multi_get(void) {
    static const uint32_t ends[] = { 1, 2 };
    uint64_t vals[2];
    int32_t rcs[2];
    NULL_ROW(lsm_multi_get, db, LSM_E_INVALID, MULTI(NULL, NULL, NULL, "kl", ends, buf, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, ks, LSM_OK, MULTI(db, NULL, NULL, "kl", ends, buf, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, o, LSM_OK, MULTI(db, NULL, NULL, "kl", ends, buf, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, keys, LSM_E_INVALID, MULTI(db, NULL, NULL, NULL, ends, buf, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, key_ends, LSM_E_INVALID, MULTI(db, NULL, NULL, "kl", NULL, buf, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, buf, LSM_E_INVALID, MULTI(db, NULL, NULL, "kl", ends, NULL, vals, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, val_ends, LSM_E_INVALID, MULTI(db, NULL, NULL, "kl", ends, buf, NULL, rcs, &n, &err));
    NULL_ROW(lsm_multi_get, rcs, LSM_E_INVALID, MULTI(db, NULL, NULL, "kl", ends, buf, vals, NULL, &n, &err));
    NULL_ROW(lsm_multi_get, done, LSM_E_INVALID, MULTI(db, NULL, NULL, "kl", ends, buf, vals, rcs, NULL, &err));
    NULL_ROW(lsm_multi_get, err, LSM_E_INVALID, MULTI(db, NULL, NULL, NULL, ends, buf, vals, rcs, &n, NULL));
}

static void rows_of_writes(void) {
    lsm_batch *b = NULL;
    NULL_ROW(lsm_put, db, LSM_E_INVALID, lsm_put(NULL, NULL, NULL, "k", 1, "v", 1, &err));
    NULL_ROW(lsm_put, ks, LSM_OK, lsm_put(db, NULL, NULL, "k", 1, "v", 1, &err));
    NULL_ROW(lsm_put, o, LSM_OK, lsm_put(db, NULL, NULL, "k", 1, "v", 1, &err));
    NULL_ROW(lsm_put, key, LSM_E_INVALID, lsm_put(db, NULL, NULL, NULL, 1, "v", 1, &err));
    NULL_ROW(lsm_put, val, LSM_E_INVALID, lsm_put(db, NULL, NULL, "k", 1, NULL, 1, &err));
    NULL_ROW(lsm_put, err, LSM_E_INVALID, lsm_put(db, NULL, NULL, NULL, 1, "v", 1, NULL));
    NULL_ROW(lsm_delete, db, LSM_E_INVALID, lsm_delete(NULL, NULL, NULL, "z", 1, &err));
    NULL_ROW(lsm_delete, ks, LSM_OK, lsm_delete(db, NULL, NULL, "z", 1, &err));
    NULL_ROW(lsm_delete, o, LSM_OK, lsm_delete(db, NULL, NULL, "z", 1, &err));
    NULL_ROW(lsm_delete, key, LSM_E_INVALID, lsm_delete(db, NULL, NULL, NULL, 1, &err));
    NULL_ROW(lsm_delete, err, LSM_E_INVALID, lsm_delete(db, NULL, NULL, NULL, 1, NULL));
    if (!listing) {
        OK(lsm_batch_add(batch, LSM_OP_PUT, NULL, "k", 1, "v", 1, &err));
        OK(lsm_batch_bytes(batch, &v, NULL));
    }
    NULL_ROW(lsm_write, db, LSM_E_INVALID, lsm_write(NULL, NULL, v.data, v.len, &n64, &err));
    NULL_ROW(lsm_write, o, LSM_OK, lsm_write(db, NULL, v.data, v.len, &n64, &err));
    NULL_ROW(lsm_write, packed_ops, LSM_E_INVALID, lsm_write(db, NULL, NULL, 17, &n64, &err));
    NULL_ROW(lsm_write, seq, LSM_OK, lsm_write(db, NULL, v.data, v.len, NULL, &err));
    NULL_ROW(lsm_write, err, LSM_E_INVALID, lsm_write(db, NULL, NULL, 17, &n64, NULL));
    NULL_ROW(lsm_batch_create, out, LSM_E_INVALID, lsm_batch_create(0, NULL, &err));
    NULL_ROW(lsm_batch_create, err, LSM_OK, lsm_batch_create(0, &b, NULL));
    VOID_ROW(lsm_batch_release, b, lsm_batch_release(NULL));
    lsm_batch_release(b);
    NULL_ROW(lsm_batch_add, b, LSM_E_INVALID, lsm_batch_add(NULL, LSM_OP_PUT, NULL, "k", 1, "v", 1, &err));
    NULL_ROW(lsm_batch_add, ks, LSM_OK, lsm_batch_add(batch, LSM_OP_PUT, NULL, "k", 1, "v", 1, &err));
    NULL_ROW(lsm_batch_add, key, LSM_E_INVALID, lsm_batch_add(batch, LSM_OP_PUT, NULL, NULL, 1, "v", 1, &err));
    NULL_ROW(lsm_batch_add, val, LSM_E_INVALID, lsm_batch_add(batch, LSM_OP_PUT, NULL, "k", 1, NULL, 1, &err));
    NULL_ROW(lsm_batch_add, err, LSM_E_INVALID, lsm_batch_add(batch, LSM_OP_PUT, NULL, NULL, 1, "v", 1, NULL));
    NULL_ROW(lsm_batch_bytes, b, LSM_E_INVALID, lsm_batch_bytes(NULL, &v, &n32));
    NULL_ROW(lsm_batch_bytes, packed, LSM_OK, lsm_batch_bytes(batch, NULL, &n32));
    NULL_ROW(lsm_batch_bytes, count, LSM_OK, lsm_batch_bytes(batch, &v, NULL));
    VOID_ROW(lsm_batch_clear, b, lsm_batch_clear(NULL));
}

static void rows_of_snapshots_and_cursors(void) {
    lsm_snapshot *s = NULL;
    lsm_iter *i = NULL;
    NULL_ROW(lsm_snapshot_create, db, LSM_E_INVALID, lsm_snapshot_create(NULL, &s, &n64, &err));
    NULL_ROW(lsm_snapshot_create, out, LSM_E_INVALID, lsm_snapshot_create(db, NULL, &n64, &err));
    NULL_ROW(lsm_snapshot_create, err, LSM_E_INVALID, lsm_snapshot_create(db, NULL, &n64, NULL));
    NULL_ROW(lsm_snapshot_create, seq, LSM_OK, lsm_snapshot_create(db, &s, NULL, &err));
    VOID_ROW(lsm_snapshot_release, s, lsm_snapshot_release(NULL));
    lsm_snapshot_release(s);
    NULL_ROW(lsm_iter_open, db, LSM_E_INVALID, lsm_iter_open(NULL, NULL, NULL, "a", 1, "z", 1, &i, &err));
    NULL_ROW(lsm_iter_open, lo, LSM_E_INVALID, lsm_iter_open(db, NULL, NULL, NULL, 1, "z", 1, &i, &err));
    NULL_ROW(lsm_iter_open, hi, LSM_E_INVALID, lsm_iter_open(db, NULL, NULL, "a", 1, NULL, 1, &i, &err));
    NULL_ROW(lsm_iter_open, out, LSM_E_INVALID, lsm_iter_open(db, NULL, NULL, "a", 1, "z", 1, NULL, &err));
    NULL_ROW(lsm_iter_open, err, LSM_E_INVALID, lsm_iter_open(db, NULL, NULL, NULL, 1, "z", 1, &i, NULL));
    NULL_ROW(lsm_iter_open, ks, LSM_OK, lsm_iter_open(db, NULL, NULL, "a", 1, "z", 1, &i, &err));
    lsm_iter_close(i);
    NULL_ROW(lsm_iter_open, o, LSM_OK, lsm_iter_open(db, NULL, NULL, "a", 1, "z", 1, &i, &err));
    lsm_iter_close(i);
    NULL_ROW(lsm_iter_seek, it, LSM_E_INVALID, lsm_iter_seek(NULL, LSM_SEEK_GE, "a", 1, &k, &v, &err));
    NULL_ROW(lsm_iter_seek, key, LSM_E_INVALID, lsm_iter_seek(it, LSM_SEEK_GE, NULL, 1, &k, &v, &err));
    NULL_ROW(lsm_iter_seek, k, LSM_OK, lsm_iter_seek(it, LSM_SEEK_GE, "a", 1, NULL, &v, &err));
    NULL_ROW(lsm_iter_seek, v, LSM_OK, lsm_iter_seek(it, LSM_SEEK_GE, "a", 1, &k, NULL, &err));
    NULL_ROW(lsm_iter_seek, err, LSM_E_INVALID, lsm_iter_seek(it, LSM_SEEK_GE, NULL, 1, &k, &v, NULL));
    NULL_ROW(lsm_iter_next, it, LSM_E_INVALID, lsm_iter_next(NULL, &k, &v, &err));
    NULL_ROW(lsm_iter_next, err, LSM_E_INVALID, lsm_iter_next(NULL, &k, &v, NULL));
    NULL_ROW(lsm_iter_next, k, LSM_OK, lsm_iter_next(it, NULL, &v, &err));
    NULL_ROW(lsm_iter_next, v, LSM_OK, lsm_iter_next(it, &k, NULL, &err));
    NULL_ROW(lsm_iter_prev, it, LSM_E_INVALID, lsm_iter_prev(NULL, &k, &v, &err));
    NULL_ROW(lsm_iter_prev, err, LSM_E_INVALID, lsm_iter_prev(NULL, &k, &v, NULL));
    NULL_ROW(lsm_iter_prev, k, LSM_OK, lsm_iter_prev(it, NULL, &v, &err));
    NULL_ROW(lsm_iter_prev, v, LSM_OK, lsm_iter_prev(it, &k, NULL, &err));
    NULL_ROW(lsm_iter_read, it, LSM_E_INVALID, lsm_iter_read(NULL, 1, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_iter_read, buf, LSM_E_INVALID, lsm_iter_read(it, 1, 1, NULL, 99, &n, &m, &err));
    NULL_ROW(lsm_iter_read, used, LSM_E_INVALID, lsm_iter_read(it, 1, 1, buf, 99, NULL, &m, &err));
    NULL_ROW(lsm_iter_read, count, LSM_E_INVALID, lsm_iter_read(it, 1, 1, buf, 99, &n, NULL, &err));
    NULL_ROW(lsm_iter_read, err, LSM_E_INVALID, lsm_iter_read(it, 1, 1, buf, 99, NULL, &m, NULL));
    VOID_ROW(lsm_iter_close, it, lsm_iter_close(NULL));
    NULL_ROW(lsm_scan, db, LSM_E_INVALID, lsm_scan(NULL, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, ks, LSM_OK, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, o, LSM_OK, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, lo, LSM_E_INVALID, lsm_scan(db, NULL, NULL, NULL, 1, "z", 1, 0, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, hi, LSM_E_INVALID, lsm_scan(db, NULL, NULL, "a", 1, NULL, 1, 0, 1, buf, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, buf, LSM_E_INVALID, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, NULL, 99, &n, &m, &err));
    NULL_ROW(lsm_scan, used, LSM_E_INVALID, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, NULL, &m, &err));
    NULL_ROW(lsm_scan, count, LSM_E_INVALID, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, &n, NULL, &err));
    NULL_ROW(lsm_scan, err, LSM_E_INVALID, lsm_scan(db, NULL, NULL, "a", 1, "z", 1, 0, 1, buf, 99, &n, NULL, NULL));
}

static void rows_of_administration(void) {
    DEFAULTS(lsm_health, h);
    NULL_ROW(lsm_sync, db, LSM_E_INVALID, lsm_sync(NULL, 0, &n64, &err));
    NULL_ROW(lsm_sync, durable_seq, LSM_OK, lsm_sync(db, 0, NULL, &err));
    NULL_ROW(lsm_sync, err, LSM_E_INVALID, lsm_sync(NULL, 0, &n64, NULL));
    NULL_ROW(lsm_flush, db, LSM_E_INVALID, lsm_flush(NULL, NULL, 0, &err));
    NULL_ROW(lsm_flush, ks, LSM_OK, lsm_flush(db, NULL, 0, &err));
    NULL_ROW(lsm_flush, err, LSM_E_INVALID, lsm_flush(NULL, NULL, 0, NULL));
    NULL_ROW(lsm_compact, db, LSM_E_INVALID, lsm_compact(NULL, NULL, "a", 1, "z", 1, 0, 0, &err));
    NULL_ROW(lsm_compact, ks, LSM_OK, lsm_compact(db, NULL, "a", 1, "z", 1, 0, 0, &err));
    NULL_ROW(lsm_compact, lo, LSM_E_INVALID, lsm_compact(db, NULL, NULL, 1, "z", 1, 0, 0, &err));
    NULL_ROW(lsm_compact, hi, LSM_E_INVALID, lsm_compact(db, NULL, "a", 1, NULL, 1, 0, 0, &err));
    NULL_ROW(lsm_compact, err, LSM_E_INVALID, lsm_compact(db, NULL, NULL, 1, "z", 1, 0, 0, NULL));
    NULL_ROW(lsm_background, db, LSM_E_INVALID, lsm_background(NULL, LSM_BG_RESUME, 0, &err));
    NULL_ROW(lsm_background, err, LSM_E_INVALID, lsm_background(NULL, LSM_BG_RESUME, 0, NULL));
    NULL_ROW(lsm_health_get, db, LSM_E_INVALID, lsm_health_get(NULL, &h, &err));
    NULL_ROW(lsm_health_get, out, LSM_E_INVALID, lsm_health_get(db, NULL, &err));
    NULL_ROW(lsm_health_get, bg_error, LSM_OK, lsm_health_get(db, &h, NULL));
    NULL_ROW(lsm_stat, db, LSM_E_INVALID, lsm_stat(NULL, NULL, STAT_ROTATIONS, &n64, &err));
    NULL_ROW(lsm_stat, ks, LSM_OK, lsm_stat(db, NULL, STAT_ROTATIONS, &n64, &err));
    NULL_ROW(lsm_stat, name, LSM_E_INVALID, lsm_stat(db, NULL, NULL, &n64, &err));
    NULL_ROW(lsm_stat, out, LSM_E_INVALID, lsm_stat(db, NULL, STAT_ROTATIONS, NULL, &err));
    NULL_ROW(lsm_stat, err, LSM_E_INVALID, lsm_stat(db, NULL, NULL, &n64, NULL));
    NULL_ROW(lsm_stats_dump, db, LSM_E_INVALID, lsm_stats_dump(NULL, LSM_STATS_TEXT, buf, 99, &n, &err));
    NULL_ROW(lsm_stats_dump, buf, LSM_E_INVALID, lsm_stats_dump(db, LSM_STATS_TEXT, NULL, 99, &n, &err));
    NULL_ROW(lsm_stats_dump, need, LSM_E_INVALID, lsm_stats_dump(db, LSM_STATS_TEXT, buf, 99, NULL, &err));
    NULL_ROW(lsm_stats_dump, err, LSM_E_INVALID, lsm_stats_dump(db, LSM_STATS_TEXT, buf, 99, NULL, NULL));
}

static void all_rows(void) {
    rows_of_library_and_database();
    rows_of_keyspaces();
    rows_of_reads();
    rows_of_multi_get();
    rows_of_writes();
    rows_of_snapshots_and_cursors();
    rows_of_administration();
}
#endif
