/* What callers do wrong: each of it answers a code, touches no memory, and ends nothing. */
#include "misuse_rows.h"

static void open_all(const char *dir) {
    snprintf(path, sizeof path, "%s", dir);
    OK(lsm_env_create(NULL, &env, &err));
    db = open_db(dir);
    put_text(db, "k", "v");
    put_text(db, "l", "w");
    put_text(db, "m", "x");
    put_text(db, "n", "y");
    OK(lsm_ks_open(db, "ks", NULL, &ks, &err));
    OK(lsm_batch_create(0, &batch, &err));
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    OK(lsm_get_pinned(db, NULL, NULL, "k", 1, &pin, &v, &err));
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));
}

static void release_children(void) {
    lsm_env_release(env);
    lsm_ks_release(ks);
    lsm_batch_release(batch);
    lsm_snapshot_release(snap);
    lsm_pin_release(pin);
    lsm_iter_close(it);
}

static void null_for_every_pointer_gives_a_code(const char *dir) {
    open_all(dir);
    all_rows();
    test_name = "null_for_every_pointer_gives_a_code";
    release_children();
    OK(lsm_close(db, 0, &err));
}

/* Every call that takes a handle, with handles that are wrong in one way: answers `want`, or when
 * that is LSM_PARTIAL either INVALID or CLOSED. */
static void expect_refused(lsm_rc rc, lsm_rc want) {
    if (want == LSM_PARTIAL) EXPECT(rc == LSM_E_INVALID || rc == LSM_E_CLOSED);
    else EXPECT_RC(rc, want);
}

static void refuse_all(lsm_db *d, lsm_ks *s, lsm_iter *i, lsm_batch *b, lsm_snapshot *sn, lsm_pin *p, lsm_env *e, lsm_rc want) {
    static const uint32_t two_ends[] = { 1, 2 };
    uint64_t two_values[2];
    int32_t two_rcs[2];
    lsm_ks *new_ks = (lsm_ks *)buf;
    lsm_iter *new_it = (lsm_iter *)buf;
    lsm_pin *new_pin = (lsm_pin *)buf;
    lsm_snapshot *new_snap = (lsm_snapshot *)buf;
    lsm_db *new_db = (lsm_db *)buf;
    DEFAULTS(lsm_health, h);
    DEFAULTS(lsm_read_opts, ro);
    DEFAULTS(lsm_open_opts, oo);
    ro.snap = sn;
    oo.env = e;
    n = 12345;
    expect_refused(lsm_get(d, NULL, NULL, "k", 1, buf, 9, &n, &err), want);
    expect_refused(lsm_get(db, s, NULL, "k", 1, buf, 9, &n, &err), want);
    expect_refused(lsm_get(db, NULL, &ro, "k", 1, buf, 9, &n, &err), want);
    expect_refused(MULTI(d, NULL, NULL, "kl", two_ends, buf, two_values, two_rcs, &n, &err), want);
    expect_refused(MULTI(db, s, NULL, "kl", two_ends, buf, two_values, two_rcs, &n, &err), want);
    expect_refused(MULTI(db, NULL, &ro, "kl", two_ends, buf, two_values, two_rcs, &n, &err), want);
    expect_refused(lsm_get_pinned(d, NULL, NULL, "k", 1, &new_pin, &v, &err), want);
    EXPECT(new_pin == NULL && n == 12345);
    expect_refused(lsm_put(d, NULL, NULL, "k", 1, "v", 1, &err), want);
    expect_refused(lsm_put(db, s, NULL, "k", 1, "v", 1, &err), want);
    expect_refused(lsm_delete(d, NULL, NULL, "k", 1, &err), want);
    expect_refused(lsm_write(d, NULL, "x", 0, NULL, &err), want);
    expect_refused(lsm_batch_add(b, LSM_OP_PUT, NULL, "k", 1, "v", 1, &err), want);
    expect_refused(lsm_batch_add(batch, LSM_OP_PUT, s, "k", 1, "v", 1, &err), want);
    expect_refused(lsm_batch_bytes(b, &v, &n32), want);
    lsm_batch_clear(b);
    expect_refused(lsm_snapshot_create(d, &new_snap, NULL, &err), want);
    expect_refused(lsm_iter_open(d, NULL, NULL, NULL, 0, NULL, 0, &new_it, &err), want);
    EXPECT(new_it == NULL && new_snap == NULL);
    expect_refused(lsm_iter_seek(i, LSM_SEEK_FIRST, NULL, 0, &k, &v, &err), want);
    expect_refused(lsm_iter_next(i, &k, &v, &err), want);
    expect_refused(lsm_iter_prev(i, &k, &v, &err), want);
    expect_refused(lsm_iter_read(i, 1, 1, buf, 99, &n, &m, &err), want);
    expect_refused(lsm_scan(d, NULL, NULL, NULL, 0, NULL, 0, 0, 1, buf, 99, &n, &m, &err), want);
    expect_refused(lsm_scan(db, NULL, &ro, NULL, 0, NULL, 0, 0, 1, buf, 99, &n, &m, &err), want);
    expect_refused(lsm_ks_open(d, "q", NULL, &new_ks, &err), want);
    EXPECT(new_ks == NULL);
    expect_refused(lsm_ks_drop(d, "q", &err), want);
    expect_refused(lsm_ks_list(d, NULL, 0, &n, &err), want);
    EXPECT(lsm_ks_id(s) == UINT32_MAX);
    expect_refused(lsm_flush(d, NULL, 0, &err), want);
    expect_refused(lsm_sync(d, 0, NULL, &err), want);
    expect_refused(lsm_compact(d, NULL, NULL, 0, NULL, 0, 0, 0, &err), want);
    expect_refused(lsm_background(d, LSM_BG_RESUME, 0, &err), want);
    expect_refused(lsm_health_get(d, &h, &err), want);
    expect_refused(lsm_stat(d, NULL, STAT_ROTATIONS, &n64, &err), want);
    expect_refused(lsm_stats_dump(d, LSM_STATS_TEXT, NULL, 0, &n, &err), want);
    expect_refused(lsm_open(path, &oo, &new_db, &err), want);
    EXPECT(new_db == NULL);
    expect_refused(lsm_close(d, 0, &err), want);
    expect_refused(lsm_close(d, LSM_CLOSE_STRICT, &err), want);
    lsm_ks_release(s);
    lsm_iter_close(i);
    lsm_batch_release(b);
    lsm_snapshot_release(sn);
    lsm_pin_release(p);
    lsm_env_release(e);
    EXPECT(n == 12345);
}

static void refuse_word(uint64_t word, lsm_rc want) {
    void *p = (void *)(uintptr_t)word;
    refuse_all((lsm_db *)p, (lsm_ks *)p, (lsm_iter *)p, (lsm_batch *)p, (lsm_snapshot *)p, (lsm_pin *)p, (lsm_env *)p, want);
}

static void random_words_are_no_handles(const char *dir) {
    uint64_t rnd = 88172645463325252u, live;
    size_t i, rounds = 20000 / slowness();
    unsigned bit;
    open_all(dir);
    live = (uint64_t)(uintptr_t)db;
    for (i = 0; i < rounds; i++) refuse_word(random_next(&rnd), LSM_PARTIAL);
    for (i = 1; i < 300; i++) refuse_word(i, LSM_E_INVALID);
    refuse_word(UINT64_MAX, LSM_E_INVALID);
    refuse_word((uint64_t)(uintptr_t)&err, LSM_E_INVALID);
    refuse_word((uint64_t)(uintptr_t)buf, LSM_E_INVALID);
    /* Neighbours of a live handle. */
    for (bit = 0; bit < 64; bit++) refuse_word(live ^ (uint64_t)1 << bit, LSM_PARTIAL);
    expect_text(db, NULL, "k", "v");
    release_children();
    OK(lsm_close(db, 0, &err));
}

static void a_handle_of_another_kind_is_refused(const char *dir) {
    open_all(dir);
    refuse_all((lsm_db *)ks, (lsm_ks *)db, (lsm_iter *)db, (lsm_batch *)db, (lsm_snapshot *)db, (lsm_pin *)db, (lsm_env *)db, LSM_E_INVALID);
    refuse_all((lsm_db *)it, (lsm_ks *)it, (lsm_iter *)batch, (lsm_batch *)it, (lsm_snapshot *)it, (lsm_pin *)it, (lsm_env *)it, LSM_E_INVALID);
    refuse_all((lsm_db *)snap, (lsm_ks *)snap, (lsm_iter *)snap, (lsm_batch *)snap, (lsm_snapshot *)pin, (lsm_pin *)snap, (lsm_env *)snap, LSM_E_INVALID);
    refuse_all((lsm_db *)env, (lsm_ks *)env, (lsm_iter *)env, (lsm_batch *)env, (lsm_snapshot *)env, (lsm_pin *)env, (lsm_env *)pin, LSM_E_INVALID);
    OK(lsm_iter_next(it, &k, &v, &err));
    EXPECT(lsm_ks_id(ks) != UINT32_MAX);
    release_children();
    OK(lsm_close(db, 0, &err));
}

static void stale_handles_stay_stale_after_many_new_ones(const char *dir) {
    size_t i, rounds = 100000 / slowness();
    lsm_db *old;
    char other[4300];
    open_all(dir);
    snprintf(other, sizeof other, "%s-old", dir);
    old = open_db(other);
    OK(lsm_close(old, 0, &err));
    release_children();
    {
        lsm_ks *s = ks;
        lsm_iter *i0 = it;
        lsm_batch *b0 = batch;
        lsm_snapshot *s0 = snap;
        lsm_pin *p0 = pin;
        lsm_env *e0 = env;
        for (i = 0; i < rounds; i++) {
            OK(lsm_batch_create(0, &batch, &err));
            if (i % 16 == 0) {
                OK(lsm_snapshot_create(db, &snap, NULL, &err));
                lsm_snapshot_release(snap);
                OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));
                lsm_iter_close(it);
            }
            lsm_batch_release(batch);
        }
        OK(lsm_batch_create(0, &batch, &err));
        refuse_all(old, s, i0, b0, s0, p0, e0, LSM_E_CLOSED);
    }
    lsm_batch_release(batch);
    OK(lsm_close(db, 0, &err));
}

typedef struct user {
    lsm_db *db;
    lsm_iter *it;
    unsigned long calls;
} user;

/* Uses a database until it is closed; only these codes may come. */
static void *use_until_closed(void *arg) {
    user *u = (user *)arg;
    lsm_error e;
    char value[64];
    size_t len = 0;
    for (;;) {
        lsm_rc a = lsm_get(u->db, NULL, NULL, "k", 1, value, sizeof value, &len, &e);
        lsm_rc b = lsm_put(u->db, NULL, NULL, "k", 1, "v", 1, &e);
        lsm_slice key, val;
        lsm_rc c = lsm_iter_next(u->it, &key, &val, &e);
        if (c == LSM_END) c = lsm_iter_seek(u->it, LSM_SEEK_FIRST, NULL, 0, &key, &val, &e);
        u->calls++;
        if (c == LSM_OK) EXPECT(key.len == 1 && key.data[0] == 'k' && val.data[0] == 'v');
        if (a == LSM_E_CLOSED || b == LSM_E_CLOSED || c == LSM_E_CLOSED) break;
        EXPECT(a == LSM_OK && b == LSM_OK && c == LSM_OK && len == 1 && value[0] == 'v');
    }
    EXPECT(lsm_get(u->db, NULL, NULL, "k", 1, value, sizeof value, &len, &e) == LSM_E_CLOSED);
    EXPECT(lsm_iter_next(u->it, NULL, NULL, &e) == LSM_E_CLOSED);
    lsm_iter_close(u->it);
    return NULL;
}

static void *close_it(void *arg) {
    lsm_error e;
    user *u = (user *)arg;
    u->calls = lsm_close(u->db, 0, &e) == LSM_OK;
    return NULL;
}

static void close_while_others_call_gives_them_a_code(const char *dir) {
    enum { USERS = 4, CLOSERS = 2 };
    size_t round, rounds = 40 / slowness() + 1;
    for (round = 0; round < rounds; round++) {
        pthread_t threads[USERS + CLOSERS];
        user users[USERS + CLOSERS];
        lsm_db *d = open_db(dir);
        int i;
        put_text(d, "k", "v");
        for (i = 0; i < USERS; i++) {
            users[i].db = d;
            users[i].calls = 0;
            OK(lsm_iter_open(d, NULL, NULL, NULL, 0, NULL, 0, &users[i].it, &err));
            EXPECT(pthread_create(&threads[i], NULL, use_until_closed, &users[i]) == 0);
        }
        sleep_ms((long)(round % 5));
        for (; i < USERS + CLOSERS; i++) {
            users[i].db = d;
            EXPECT(pthread_create(&threads[i], NULL, close_it, &users[i]) == 0);
        }
        for (i = 0; i < USERS + CLOSERS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
        EXPECT(users[USERS].calls + users[USERS + 1].calls == 1);
    }
}

static void wrong_struct_sizes_are_refused_everywhere(const char *dir) {
    static const uint32_t sizes[] = { 0, 1, 4, 39, 4097, 1u << 30, UINT32_MAX };
    size_t i;
    open_all(dir);
    for (i = 0; i < COUNT(sizes); i++) {
        DEFAULTS(lsm_read_opts, r);
        DEFAULTS(lsm_write_opts, w);
        DEFAULTS(lsm_ks_opts, s);
        DEFAULTS(lsm_env_opts, e);
        lsm_env *ne = NULL;
        lsm_ks *nk = NULL;
        r.struct_size = w.struct_size = s.struct_size = e.struct_size = sizes[i];
        EXPECT_RC(lsm_get(db, NULL, &r, "k", 1, buf, 9, &n, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_scan(db, NULL, &r, NULL, 0, NULL, 0, 0, 1, buf, 99, &n, &m, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_put(db, NULL, &w, "k", 1, "v", 1, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_ks_open(db, "z", &s, &nk, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_env_create(&e, &ne, &err), LSM_E_INVALID);
        EXPECT(ne == NULL && nk == NULL);
    }
    release_children();
    OK(lsm_close(db, 0, &err));
}

static void unaligned_structs_and_buffers_work(const char *dir) {
    static unsigned char raw[600];
    lsm_write_opts w;
    lsm_db *d = open_db(dir);
    memset(&w, 0, sizeof w);
    w.struct_size = sizeof w;
    memcpy(raw + 1, &w, sizeof w);
    OK(lsm_put(d, NULL, (const lsm_write_opts *)(const void *)(raw + 1), raw + 3, 5, raw + 7, 3, &err));
    OK(lsm_get(d, NULL, NULL, raw + 3, 5, raw + 101, 9, (size_t *)(void *)(raw + 203), &err));
    EXPECT(raw[203] == 3);
    OK(lsm_close(d, 0, &err));
}

/* UBSan rightly complains of the caller's own casts there. */
#if defined(__SANITIZE_ADDRESS__)
#define UNALIGNED TEST(wrong_struct_sizes_are_refused_everywhere)
#else
#define UNALIGNED TEST(unaligned_structs_and_buffers_work)
#endif

static const test TESTS[] = { TEST(null_for_every_pointer_gives_a_code), TEST(random_words_are_no_handles),
                              TEST(a_handle_of_another_kind_is_refused),
                              TEST(stale_handles_stay_stale_after_many_new_ones),
                              TEST(close_while_others_call_gives_them_a_code),
                              TEST(wrong_struct_sizes_are_refused_everywhere), UNALIGNED };

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        listing = 1;
        all_rows();
        return 0;
    }
    return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
