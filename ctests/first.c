/* The first handles of a process that has other threads: while the kernel is still told about the
 * process (10 to 16 ms), handles are made, used, passed to other threads and closed. Each round runs in
 * a process of its own, forked before this one has used the library. */
#include "test.h"

enum { THREADS = 4 };

static void *rest(void *arg) {
    (void)arg;
    for (;;) sleep_ms(1000);
    return NULL;
}

static void start_resting(void) {
    pthread_t thread;
    EXPECT(pthread_create(&thread, NULL, rest, NULL) == 0);
}

/* Opens, uses and closes, at once; a keyspace and a snapshot are closed under the nose of others. */
static void *open_and_close(void *arg) {
    lsm_error e;
    lsm_db *db = NULL;
    lsm_ks *ks = NULL;
    lsm_snapshot *snap = NULL;
    char buf[8];
    size_t n = 0;
    EXPECT(lsm_open((const char *)arg, NULL, &db, &e) == LSM_OK);
    EXPECT(lsm_ks_open(db, "ks", NULL, &ks, &e) == LSM_OK);
    EXPECT(lsm_put(db, ks, NULL, "k", 1, "v", 1, &e) == LSM_OK);
    EXPECT(lsm_snapshot_create(db, &snap, NULL, &e) == LSM_OK);
    lsm_snapshot_release(snap);
    EXPECT(lsm_get(db, ks, NULL, "k", 1, buf, sizeof buf, &n, &e) == LSM_OK && n == 1);
    lsm_ks_release(ks);
    EXPECT(lsm_close(db, 0, &e) == LSM_OK);
    return NULL;
}

static int opens_and_closes_at_once(void *arg) {
    pthread_t threads[THREADS];
    char dirs[THREADS][4200];
    int i;
    start_resting();
    for (i = 0; i < THREADS; i++) {
        snprintf(dirs[i], sizeof dirs[i], "%s/%d", (const char *)arg, i);
        EXPECT(pthread_create(&threads[i], NULL, open_and_close, dirs[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    return 0;
}

static void threads_may_open_and_close_at_once(const char *dir) {
    size_t round, rounds = 40 / slowness() + 1;
    for (round = 0; round < rounds; round++) {
        char sub[4200];
        snprintf(sub, sizeof sub, "%s/%u", dir, (unsigned)round);
        EXPECT(in_child(opens_and_closes_at_once, sub) == 0);
    }
}

static lsm_iter *shared;

/* Two threads at once may be told so. */
static void *move_on(void *arg) {
    lsm_error e;
    lsm_slice k, v;
    int i;
    (void)arg;
    for (i = 0; i < 2000; i++) {
        lsm_rc rc = lsm_iter_seek(shared, LSM_SEEK_FIRST, NULL, 0, &k, &v, &e);
        EXPECT(rc == LSM_OK || rc == LSM_E_INVALID);
    }
    return NULL;
}

static int shares_an_iterator(void *arg) {
    pthread_t threads[THREADS];
    lsm_db *db;
    int i;
    start_resting();
    db = open_db((const char *)arg);
    put_text(db, "k", "v");
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &shared, &err));
    for (i = 0; i < THREADS; i++) EXPECT(pthread_create(&threads[i], NULL, move_on, NULL) == 0);
    (void)move_on(NULL);
    for (i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
    lsm_iter_close(shared);
    OK(lsm_close(db, LSM_CLOSE_STRICT, &err));
    return 0;
}

static void an_iterator_may_change_hands_at_once(const char *dir) {
    size_t round, rounds = 20 / slowness() + 1;
    for (round = 0; round < rounds; round++) EXPECT(in_child(shares_an_iterator, (void *)dir) == 0);
}

static int is_refused(void *arg) {
    lsm_db *db = (lsm_db *)arg, *other = NULL;
    EXPECT_RC(lsm_close(db, 0, &err), LSM_E_FORKED);
    EXPECT_RC(lsm_open("nowhere", NULL, &other, &err), LSM_E_FORKED);
    /* Runs what the library may have left for the end of the process. */
    exit(0);
}

static int forks_at_once(void *arg) {
    lsm_db *db;
    start_resting();
    db = open_db((const char *)arg);
    EXPECT(in_child(is_refused, db) == 0);
    OK(lsm_close(db, 0, &err));
    return 0;
}

static void a_fork_just_after_the_first_open_hangs_neither_side(const char *dir) {
    size_t round, rounds = 20 / slowness() + 1;
    for (round = 0; round < rounds; round++) EXPECT(in_child(forks_at_once, (void *)dir) == 0);
}

static int uses_an_environment(void *arg) {
    lsm_env *env = NULL;
    lsm_db *db = NULL;
    DEFAULTS(lsm_open_opts, o);
    start_resting();
    OK(lsm_env_create(NULL, &env, &err));
    lsm_env_release(env);
    OK(lsm_env_create(NULL, &env, &err));
    o.env = env;
    OK(lsm_open((const char *)arg, &o, &db, &err));
    lsm_env_release(env);
    OK(lsm_close(db, 0, &err));
    return 0;
}

static void an_environment_may_go_at_once(const char *dir) {
    size_t round, rounds = 20 / slowness() + 1;
    for (round = 0; round < rounds; round++) EXPECT(in_child(uses_an_environment, (void *)dir) == 0);
}

MAIN(TEST(threads_may_open_and_close_at_once),
     TEST(an_iterator_may_change_hands_at_once),
     TEST(a_fork_just_after_the_first_open_hangs_neither_side),
     TEST(an_environment_may_go_at_once))
