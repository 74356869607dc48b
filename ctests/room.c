/* Writes that need more room than there is: large ones, impatient ones, full and paused databases. */
#include "test.h"

static lsm_db *open_small(const char *dir, uint64_t budget, uint64_t buffer, lsm_env **env) {
    lsm_db *db = NULL;
    DEFAULTS(lsm_env_opts, eo);
    DEFAULTS(lsm_open_opts, oo);
    eo.memory_budget = budget;
    OK(lsm_env_create(&eo, env, &err));
    oo.env = *env;
    oo.write_buffer_bytes = buffer;
    OK(lsm_open(dir, &oo, &db, &err));
    return db;
}

static lsm_rc put_bytes(lsm_db *db, const lsm_write_opts *o, const char *key, size_t bytes) {
    void *value = allocate(bytes);
    lsm_rc rc;
    memset(value, 'v', bytes);
    rc = lsm_put(db, NULL, o, key, strlen(key), value, bytes, &err);
    free(value);
    return rc;
}

static void large_writes_follow_one_another(const char *dir) {
    lsm_env *env = NULL;
    lsm_db *db = open_small(dir, 2 << 20, 64 << 10, &env);
    static const size_t sizes[] = { 1 << 20, 1 << 20, 1500 << 10, 100, 1900 << 10, 1024, 1 << 20 };
    size_t i, len = 0;
    for (i = 0; i < COUNT(sizes); i++) {
        char key[2] = { (char)('a' + (int)i), 0 };
        OK(put_bytes(db, NULL, key, sizes[i]));
    }
    for (i = 0; i < COUNT(sizes); i++) {
        char key[2] = { (char)('a' + (int)i), 0 };
        OK(lsm_get(db, NULL, NULL, key, 1, NULL, 0, &len, &err));
        EXPECT(len == sizes[i]);
    }
    OK(lsm_close(db, 0, &err));
    lsm_env_release(env);
}

static void a_write_above_the_whole_budget_is_refused_whatever_came_before(const char *dir) {
    lsm_env *env = NULL;
    lsm_db *db = open_small(dir, 2 << 20, 64 << 10, &env);
    int i;
    for (i = 0; i < 3; i++) {
        EXPECT_RC(put_bytes(db, NULL, "huge", 4 << 20), LSM_E_NOMEM);
        OK(put_bytes(db, NULL, "large", 1 << 20));
        EXPECT_RC(put_bytes(db, NULL, "huge", 4 << 20), LSM_E_NOMEM);
        OK(put_bytes(db, NULL, "small", 10));
    }
    expect_text(db, NULL, "huge", "-");
    OK(lsm_close(db, 0, &err));
    lsm_env_release(env);
}

static void the_first_write_of_a_database_never_stalls(const char *dir) {
    char path[4096];
    int i;
    for (i = 0; i < 10; i++) {
        lsm_db *db;
        DEFAULTS(lsm_write_opts, o);
        snprintf(path, sizeof path, "%s/%d", dir, i);
        db = open_db(path);
        o.flags = LSM_W_NOSTALL;
        OK(lsm_put(db, NULL, &o, BYTES("k"), BYTES("v"), &err));
        OK(lsm_close(db, 0, &err));
    }
}

/* Room that nobody can free: waiting would be in vain. */
static void a_writer_whose_room_is_paused_away_is_told(const char *dir) {
    lsm_env *env = NULL;
    lsm_db *db = open_small(dir, 1 << 20, 256 << 10, &env);
    lsm_rc rc = LSM_OK;
    int i;
    OK(lsm_background(db, LSM_BG_PAUSE, UINT64_MAX, &err));
    for (i = 0; i < 100 && rc == LSM_OK; i++) rc = put_bytes(db, NULL, "k", 50000);
    EXPECT_RC(rc, LSM_E_BUSY);
    EXPECT((err.flags & LSM_ERR_RETRYABLE) != 0 && strstr(err.message, "paused") != NULL);
    OK(lsm_background(db, LSM_BG_RESUME, 0, &err));
    OK(put_bytes(db, NULL, "k", 50000));
    OK(lsm_close(db, 0, &err));
    lsm_env_release(env);
}

/* Idle databases sit on their write buffers; the last one that comes must have some, too. */
static void databases_of_one_environment_do_not_starve_each_other(const char *dir) {
    enum { DATABASES = 12 };
    lsm_env *env = NULL;
    lsm_db *dbs[DATABASES];
    char path[4096];
    int i, j;
    DEFAULTS(lsm_env_opts, eo);
    DEFAULTS(lsm_open_opts, oo);
    eo.memory_budget = 8 << 20;
    OK(lsm_env_create(&eo, &env, &err));
    oo.env = env;
    oo.write_buffer_bytes = 1 << 20;
    for (i = 0; i < DATABASES; i++) {
        snprintf(path, sizeof path, "%s/%d", dir, i);
        OK(lsm_open(path, &oo, &dbs[i], &err));
        for (j = 0; j < 2000; j++) {
            char key[16];
            snprintf(key, sizeof key, "%d", j);
            OK(lsm_put(dbs[i], NULL, NULL, key, strlen(key), "0123456789012345678901234567890123456789", 40, &err));
        }
    }
    for (i = 0; i < DATABASES; i++) {
        expect_text(dbs[i], NULL, "1999", "0123456789012345678901234567890123456789");
        OK(lsm_close(dbs[i], 0, &err));
    }
    lsm_env_release(env);
}

static void a_refusal_for_want_of_space_shows_in_the_health(const char *dir) {
    lsm_db *db = NULL;
    DEFAULTS(lsm_open_opts, oo);
    DEFAULTS(lsm_health, health);
    lsm_error cause;
    oo.low_space_bytes = UINT64_MAX;
    OK(lsm_open(dir, &oo, &db, &err));
    OK(lsm_health_get(db, &health, &cause));
    EXPECT(health.state == LSM_H_OK && cause.code == 0);
    EXPECT_RC(lsm_put(db, NULL, NULL, BYTES("k"), BYTES("v"), &err), LSM_E_NO_SPACE);
    OK(lsm_health_get(db, &health, &cause));
    EXPECT(health.state == LSM_H_DEGRADED && cause.code == LSM_E_NO_SPACE);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(large_writes_follow_one_another),
     TEST(a_write_above_the_whole_budget_is_refused_whatever_came_before),
     TEST(the_first_write_of_a_database_never_stalls), TEST(a_writer_whose_room_is_paused_away_is_told),
     TEST(databases_of_one_environment_do_not_starve_each_other),
     TEST(a_refusal_for_want_of_space_shows_in_the_health))
