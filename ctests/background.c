/* Flush, sync, compaction and the steering of background work. */
#include "test.h"

static void fill(lsm_db *db, int from, int to) {
    int i;
    for (i = from; i < to; i++) {
        char key[16], value[100];
        snprintf(key, sizeof key, "k%06d", i);
        memset(value, 'a' + i % 26, sizeof value);
        OK(lsm_put(db, NULL, NULL, key, strlen(key), value, sizeof value, &err));
    }
}

static void expect_filled(lsm_db *db, int to) {
    int i;
    for (i = 0; i < to; i++) {
        char key[16], value[100];
        size_t len = 0;
        snprintf(key, sizeof key, "k%06d", i);
        OK(lsm_get(db, NULL, NULL, key, strlen(key), value, sizeof value, &len, &err));
        EXPECT(len == sizeof value && value[0] == 'a' + i % 26 && value[99] == value[0]);
    }
}

static void flush_compact_and_wait_keep_everything_readable(const char *dir) {
    lsm_db *db = open_db(dir);
    fill(db, 0, 500);
    OK(lsm_flush(db, NULL, 0, &err));
    fill(db, 400, 1000);
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_compact(db, NULL, BYTES("k0001"), BYTES("k0005"), 0, 0, &err));
    OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
    OK(lsm_background(db, LSM_BG_WAIT_IDLE, UINT64_MAX, &err));
    expect_filled(db, 1000);
    OK(lsm_close(db, 0, &err));
}

static void paused_work_can_be_resumed(const char *dir) {
    lsm_db *db = open_db(dir);
    OK(lsm_background(db, LSM_BG_PAUSE, 0, &err));
    fill(db, 0, 300);
    expect_filled(db, 300);
    OK(lsm_background(db, LSM_BG_RESUME, 0, &err));
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_background(db, LSM_BG_WAIT_IDLE, (uint64_t)20 * 1000000000, &err));
    expect_filled(db, 300);
    OK(lsm_close(db, 0, &err));
}

static void a_paused_database_closes(const char *dir) {
    lsm_db *db = open_db(dir);
    fill(db, 0, 300);
    OK(lsm_background(db, LSM_BG_PAUSE, 0, &err));
    OK(lsm_close(db, 0, &err));
}

static void actions_and_flags_are_checked(const char *dir) {
    lsm_db *db = open_db(dir);
    EXPECT_RC(lsm_background(db, 0, 0, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_background(db, 5, 0, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_background(db, 4, 0, &err), LSM_E_UNSUPPORTED);
    EXPECT_RC(lsm_flush(db, NULL, 1, &err), LSM_E_UNSUPPORTED);
    EXPECT_RC(lsm_compact(db, NULL, NULL, 0, NULL, 0, 1, 0, &err), LSM_E_UNSUPPORTED);
    EXPECT_RC(lsm_compact(db, NULL, NULL, 1, NULL, 0, 0, 0, &err), LSM_E_INVALID);
    OK(lsm_close(db, 0, &err));
}

static void sync_tells_how_far_it_got(const char *dir) {
    lsm_db *db = open_db(dir);
    uint64_t durable = 0;
    DEFAULTS(lsm_health, h);
    fill(db, 0, 10);
    OK(lsm_health_get(db, &h, &err));

    OK(lsm_sync(db, 0, &durable, &err));
    EXPECT(durable >= h.last_seq);
    OK(lsm_sync(db, h.last_seq, NULL, &err));
    OK(lsm_health_get(db, &h, &err));
    EXPECT(h.durable_seq >= durable);
    OK(lsm_close(db, 0, &err));
}

typedef struct closer {
    lsm_db *db;
    lsm_rc rc;
} closer;

static void *wait_for_ever(void *arg) {
    closer *c = (closer *)arg;
    lsm_error e;
    c->rc = lsm_background(c->db, LSM_BG_WAIT_IDLE, UINT64_MAX, &e);
    return NULL;
}

static void close_ends_a_call_that_waits(const char *dir) {
    pthread_t thread;
    closer c;
    c.db = open_db(dir);
    c.rc = LSM_PARTIAL;
    fill(c.db, 0, 100);
    OK(lsm_background(c.db, LSM_BG_PAUSE, 0, &err));
    EXPECT(pthread_create(&thread, NULL, wait_for_ever, &c) == 0);
    sleep_ms(20);
    OK(lsm_close(c.db, 0, &err));
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT(c.rc == LSM_OK || c.rc == LSM_E_CLOSED || c.rc == LSM_E_BUSY);
}

MAIN(TEST(flush_compact_and_wait_keep_everything_readable), TEST(paused_work_can_be_resumed),
     TEST(a_paused_database_closes), TEST(actions_and_flags_are_checked),
     TEST(sync_tells_how_far_it_got), TEST(close_ends_a_call_that_waits))
