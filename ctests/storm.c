/* Storms of opening and closing: databases, and every kind of handle, from many threads. */
#include "test.h"

enum { THREADS = 8 };

typedef struct stormer {
    pthread_t thread;
    unsigned id;
    char dir[4300];
    lsm_db *db;
    unsigned long opened;
} stormer;

static void storm(stormer *all, const char *dir, void *(*body)(void *), lsm_db *db) {
    unsigned i;
    for (i = 0; i < THREADS; i++) {
        all[i].id = i;
        all[i].db = db;
        all[i].opened = 0;
        snprintf(all[i].dir, sizeof all[i].dir, "%s", dir);
        EXPECT(pthread_create(&all[i].thread, NULL, body, &all[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) EXPECT(pthread_join(all[i].thread, NULL) == 0);
}

static void *own_database(void *arg) {
    stormer *s = (stormer *)arg;
    size_t n, rounds = 30 / slowness() + 1;
    lsm_error e;
    snprintf(s->dir + strlen(s->dir), 16, "-%u", s->id);
    for (n = 0; n < rounds; n++) {
        lsm_db *db = NULL;
        char key[32], value[32];
        size_t klen = (size_t)snprintf(key, sizeof key, "%u", (unsigned)n), len = 0, i;
        EXPECT(lsm_open(s->dir, NULL, &db, &e) == LSM_OK);
        for (i = 0; i < n; i++) {
            size_t l = (size_t)snprintf(value, sizeof value, "%u", (unsigned)i);
            EXPECT(lsm_get(db, NULL, NULL, value, l, value, sizeof value, &len, &e) == LSM_OK && len == l);
        }
        EXPECT(lsm_put(db, NULL, NULL, key, klen, key, klen, &e) == LSM_OK);
        EXPECT(lsm_close(db, 0, &e) == LSM_OK);
    }
    EXPECT(lsm_destroy(s->dir, &e) == LSM_OK);
    return NULL;
}

static void *one_database(void *arg) {
    stormer *s = (stormer *)arg;
    size_t n, rounds = 100 / slowness() + 1;
    lsm_error e;
    for (n = 0; n < rounds; n++) {
        lsm_db *db = NULL;
        lsm_rc rc = lsm_open(s->dir, NULL, &db, &e);
        if (rc == LSM_E_LOCKED) {
            EXPECT(db == NULL && e.detail0 == (uint64_t)getpid());
            continue;
        }
        if (rc != LSM_OK) FAIL("open answers %s: %s", lsm_rc_name(rc), e.message);
        s->opened++;
        EXPECT(lsm_put(db, NULL, NULL, "k", 1, "v", 1, &e) == LSM_OK);
        EXPECT(lsm_close(db, 0, &e) == LSM_OK);
    }
    return NULL;
}

static void *handles(void *arg) {
    stormer *s = (stormer *)arg;
    size_t n, rounds = 3000 / slowness() + 1;
    lsm_error e;
    for (n = 0; n < rounds; n++) {
        lsm_iter *it = NULL;
        lsm_snapshot *snap = NULL;
        lsm_pin *pin = NULL;
        lsm_batch *b = NULL;
        lsm_ks *ks = NULL;
        lsm_slice k, v;
        EXPECT(lsm_snapshot_create(s->db, &snap, NULL, &e) == LSM_OK);
        EXPECT(lsm_iter_open(s->db, NULL, NULL, NULL, 0, NULL, 0, &it, &e) == LSM_OK);
        EXPECT(lsm_get_pinned(s->db, NULL, NULL, "k", 1, &pin, &v, &e) == LSM_OK && v.len == 1);
        EXPECT(lsm_batch_create(0, &b, &e) == LSM_OK);
        EXPECT(lsm_ks_open(s->db, "default", NULL, &ks, &e) == LSM_OK && lsm_ks_id(ks) == 0);
        EXPECT(lsm_iter_next(it, &k, NULL, &e) == LSM_OK && k.data[0] == 'k');
        EXPECT(v.data[0] == 'v');
        lsm_iter_close(it);
        lsm_snapshot_release(snap);
        lsm_pin_release(pin);
        lsm_batch_release(b);
        lsm_ks_release(ks);
        EXPECT(lsm_iter_next(it, &k, NULL, &e) == LSM_E_CLOSED);
        EXPECT(lsm_ks_id(ks) == UINT32_MAX);
    }
    return NULL;
}

static stormer all[THREADS];

static void databases_of_their_own(const char *dir) {
    storm(all, dir, own_database, NULL);
}

static void one_database_for_all(const char *dir) {
    unsigned long opened = 0;
    int i;
    storm(all, dir, one_database, NULL);
    for (i = 0; i < THREADS; i++) opened += all[i].opened;
    EXPECT(opened > 0);
    {
        lsm_db *db = open_db(dir);
        expect_text(db, NULL, "k", "v");
        OK(lsm_close(db, 0, &err));
    }
}

static void handles_of_one_database(const char *dir) {
    lsm_db *db = open_db(dir);
    put_text(db, "k", "v");
    storm(all, dir, handles, db);
    OK(lsm_close(db, LSM_CLOSE_STRICT, &err));
}

MAIN(TEST(databases_of_their_own), TEST(one_database_for_all), TEST(handles_of_one_database))
