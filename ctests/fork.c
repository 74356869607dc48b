/* Forks: in a child of a process that used the library every call answers LSM_E_FORKED, releases do
 * nothing, and the parent goes on. Its own program: the child's exit confuses leak checks. */
#include "test.h"

static lsm_db *db;
static lsm_env *env;
static lsm_ks *ks;
static lsm_iter *it;
static lsm_batch *batch;
static lsm_snapshot *snap;
static lsm_pin *pin;

#define FORKED(call) EXPECT_RC(call, LSM_E_FORKED)

static int open_in_child(void *arg) {
    lsm_db *mine = open_db((const char *)arg);
    put_text(mine, "k", "v");
    expect_text(mine, NULL, "k", "v");
    OK(lsm_close(mine, 0, &err));
    return 0;
}

/* First, while nothing has used the library here. */
static void a_child_forked_before_the_first_use_is_free(const char *dir) {
    char copy[4200];
    snprintf(copy, sizeof copy, "%s", dir);
    EXPECT(in_child(open_in_child, copy) == 0);
}

static void children_get_code_from_handles(void) {
    char buf[64];
    size_t n = 7, m = 7;
    uint64_t n64 = 7;
    lsm_slice k = { NULL, 7 }, v = { NULL, 7 };
    lsm_pin *p = (lsm_pin *)buf;
    lsm_iter *i = (lsm_iter *)buf;
    lsm_snapshot *s = (lsm_snapshot *)buf;
    lsm_ks *new_ks = (lsm_ks *)buf;
    DEFAULTS(lsm_health, h);
    FORKED(lsm_get(db, NULL, NULL, "k", 1, buf, 64, &n, &err));
    FORKED(lsm_multi_get(db, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, &n, &err));
    FORKED(lsm_get_pinned(db, NULL, NULL, "k", 1, &p, &v, &err));
    FORKED(lsm_put(db, NULL, NULL, "k", 1, "v", 1, &err));
    FORKED(lsm_delete(db, NULL, NULL, "k", 1, &err));
    FORKED(lsm_write(db, NULL, NULL, 0, &n64, &err));
    FORKED(lsm_batch_add(batch, LSM_OP_PUT, NULL, "k", 1, "v", 1, &err));
    FORKED(lsm_batch_bytes(batch, &v, NULL));
    FORKED(lsm_snapshot_create(db, &s, &n64, &err));
    FORKED(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &i, &err));
    FORKED(lsm_iter_seek(it, LSM_SEEK_FIRST, NULL, 0, &k, &v, &err));
    FORKED(lsm_iter_next(it, &k, &v, &err));
    FORKED(lsm_iter_prev(it, &k, &v, &err));
    FORKED(lsm_iter_read(it, 1, 1, buf, 64, &n, &m, &err));
    FORKED(lsm_scan(db, NULL, NULL, NULL, 0, NULL, 0, 0, 1, buf, 64, &n, &m, &err));
    FORKED(lsm_ks_open(db, "x", NULL, &new_ks, &err));
    FORKED(lsm_ks_drop(db, "x", &err));
    FORKED(lsm_ks_list(db, NULL, 0, &n, &err));
    FORKED(lsm_flush(db, NULL, 0, &err));
    FORKED(lsm_sync(db, 0, &n64, &err));
    FORKED(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
    FORKED(lsm_background(db, LSM_BG_WAIT_IDLE, UINT64_MAX, &err));
    FORKED(lsm_health_get(db, &h, &err));
    FORKED(lsm_stat(db, NULL, STAT_ROTATIONS, &n64, &err));
    FORKED(lsm_stats_dump(db, LSM_STATS_TEXT, NULL, 0, &n, &err));
    EXPECT(n == 7 && m == 7 && n64 == 7 && k.len == 7 && v.len == 7);
    EXPECT(p == NULL && i == NULL && s == NULL && new_ks == NULL);
    EXPECT(lsm_ks_id(ks) == UINT32_MAX && lsm_ks_id(NULL) == UINT32_MAX);
}

static int everything_in_child(void *arg) {
    lsm_db *d = (lsm_db *)&err;
    lsm_env *e = (lsm_env *)&err;
    lsm_batch *b = (lsm_batch *)&err;
    test_name = "everything_in_child";
    children_get_code_from_handles();
    FORKED(lsm_close(db, 0, &err));
    FORKED(lsm_close(NULL, 0, &err));
    FORKED(lsm_open((const char *)arg, NULL, &d, &err));
    FORKED(lsm_env_create(NULL, &e, &err));
    FORKED(lsm_batch_create(0, &b, &err));
    FORKED(lsm_destroy((const char *)arg, &err));
    EXPECT(e == NULL && b == NULL && d == NULL);
    lsm_pin_release(pin);
    lsm_iter_close(it);
    lsm_snapshot_release(snap);
    lsm_batch_clear(batch);
    lsm_batch_release(batch);
    lsm_ks_release(ks);
    lsm_env_release(env);
    /* With a foreign handle, too. */
    FORKED(lsm_get((lsm_db *)arg, NULL, NULL, "k", 1, NULL, 0, NULL, &err));
    EXPECT(strcmp(lsm_version(), LSMER_VERSION) == 0 && lsm_abi_version() == LSM_ABI);
    EXPECT(strcmp(lsm_rc_name(err.code), "LSM_E_FORKED") == 0);
    return 0;
}

static int grandchild(void *arg) {
    return in_child(everything_in_child, arg);
}

static int ends_by_exit(void *arg) {
    (void)arg;
    /* Runs what the library may have left for the end of the process. */
    exit(0);
}

static int reads_what_was_lent(void *arg) {
    const lsm_slice *v = (const lsm_slice *)arg;
    size_t i;
    for (i = 0; i < v->len; i++) EXPECT(((const char *)v->data)[i] == 'x');
    return v->len == 3000 ? 0 : 1;
}

static void a_child_can_read_what_was_lent_before_the_fork(const char *dir) {
    char value[3000];
    lsm_slice v;
    db = open_db(dir);
    memset(value, 'x', sizeof value);
    OK(lsm_put(db, NULL, NULL, "k", 1, value, sizeof value, &err));
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_get_pinned(db, NULL, NULL, "k", 1, &pin, &v, &err));

    EXPECT(in_child(reads_what_was_lent, &v) == 0);

    lsm_pin_release(pin);
    OK(lsm_close(db, 0, &err));
}

static void every_call_in_a_child_answers_forked_and_the_parent_goes_on(const char *dir) {
    char copy[4200], number[32];
    lsm_slice k, v;
    int i;
    snprintf(copy, sizeof copy, "%s", dir);
    OK(lsm_env_create(NULL, &env, &err));
    db = open_db(dir);
    put_text(db, "k", "v");
    put_text(db, "l", "w");
    OK(lsm_ks_open(db, "ks", NULL, &ks, &err));
    OK(lsm_batch_create(0, &batch, &err));
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    OK(lsm_get_pinned(db, NULL, NULL, "k", 1, &pin, &v, &err));
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));

    for (i = 0; i < 10; i++) {
        EXPECT(in_child(everything_in_child, copy) == 0);
        EXPECT(in_child(grandchild, copy) == 0);
        EXPECT(in_child(ends_by_exit, copy) == 0);
        snprintf(number, sizeof number, "%d", i);
        put_text(db, number, "after the fork");
    }

    EXPECT(slice_is(v, "v"));
    OK(lsm_iter_next(it, &k, &v, &err));
    EXPECT(slice_is(k, "k"));
    OK(lsm_batch_add(batch, LSM_OP_PUT, ks, "k", 1, "v", 1, &err));
    OK(lsm_flush(db, NULL, 0, &err));
    expect_text(db, NULL, "9", "after the fork");
    lsm_pin_release(pin);
    lsm_iter_close(it);
    lsm_snapshot_release(snap);
    lsm_batch_release(batch);
    lsm_ks_release(ks);
    lsm_env_release(env);
    OK(lsm_close(db, LSM_CLOSE_STRICT, &err));
}

static volatile int stop;

static void *write_on(void *arg) {
    lsm_error e;
    unsigned n = 0;
    while (!stop) {
        char key[16];
        size_t len = (size_t)snprintf(key, sizeof key, "%u", n++ % 1000);
        EXPECT(lsm_put((lsm_db *)arg, NULL, NULL, key, len, key, len, &e) == LSM_OK);
    }
    return NULL;
}

static int one_call(void *arg) {
    lsm_error e;
    return lsm_put((lsm_db *)arg, NULL, NULL, "k", 1, "v", 1, &e) == LSM_E_FORKED ? 0 : 1;
}

static void a_fork_amid_writes_hangs_neither_side(const char *dir) {
    pthread_t threads[3];
    int i;
    lsm_db *d = open_db(dir);
    stop = 0;
    for (i = 0; i < 3; i++) EXPECT(pthread_create(&threads[i], NULL, write_on, d) == 0);
    for (i = 0; i < 50; i++) EXPECT(in_child(one_call, d) == 0);
    stop = 1;
    for (i = 0; i < 3; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    OK(lsm_close(d, 0, &err));
}

MAIN(TEST(a_child_forked_before_the_first_use_is_free),
     TEST(a_child_can_read_what_was_lent_before_the_fork),
     TEST(every_call_in_a_child_answers_forked_and_the_parent_goes_on),
     TEST(a_fork_amid_writes_hangs_neither_side))
