/* Scans without a cursor: pages, bounds, going on. */
#include "test.h"

static void pages_join_to_the_whole_range(const char *dir) {
    enum { KEYS = 1000 };
    lsm_db *db = open_db(dir);
    lsm_snapshot *snap = NULL;
    char lo[32] = "";
    size_t lolen = 0, seen = 0, used, count;
    int i;
    lsm_rc rc;
    unsigned char page[1024];
    DEFAULTS(lsm_read_opts, o);
    for (i = 0; i < KEYS; i++) {
        char key[16];
        size_t len = (size_t)snprintf(key, sizeof key, "key%05d", i);
        OK(lsm_put(db, NULL, NULL, key, len, key + 3, len - 3, &err));
        if (i == KEYS / 2) OK(lsm_flush(db, NULL, 0, &err));
    }
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    o.snap = snap;
    do {
        const unsigned char *p = page;
        size_t n;
        rc = lsm_scan(db, NULL, &o, lo, lolen, NULL, 0, 0, 100, page, sizeof page, &used, &count, &err);
        EXPECT(rc == LSM_OK || rc == LSM_END);
        for (n = 0; n < count; n++, seen++) {
            char want[16];
            snprintf(want, sizeof want, "key%05d", (int)seen);
            EXPECT(u32_at(p) == 8 && u32_at(p + 4) == 5 && memcmp(p + 8, want, 8) == 0);
            EXPECT(memcmp(p + 16, want + 3, 5) == 0);
            memcpy(lo, p + 8, 8);
            lo[8] = 0;
            lolen = 9;
            p += 21;
        }
        EXPECT((size_t)(p - page) == used);
        /* What comes later is not of this moment. */
        put_text(db, "key00999zzz", "later");
    } while (rc == LSM_OK);
    EXPECT(seen == KEYS);
    lsm_snapshot_release(snap);
    OK(lsm_close(db, 0, &err));
}

static void bounds_prefix_and_keys_only_hold(const char *dir) {
    lsm_db *db = open_db(dir);
    unsigned char page[256];
    size_t used = 0, count = 0;
    DEFAULTS(lsm_read_opts, o);
    put_text(db, "a1", "x");
    put_text(db, "a2", "y");
    put_text(db, "b1", "z");

    EXPECT_RC(lsm_scan(db, NULL, NULL, BYTES("a2"), BYTES("b1"), 0, 0, page, 256, &used, &count, &err), LSM_END);
    EXPECT(count == 1 && used == 11 && memcmp(page + 8, "a2y", 3) == 0);
    o.flags = LSM_R_PREFIX | LSM_R_KEYS_ONLY;
    EXPECT_RC(lsm_scan(db, NULL, &o, BYTES("a"), NULL, 0, 0, 0, page, 256, &used, &count, &err), LSM_END);
    EXPECT(count == 2 && used == 20 && u32_at(page + 4) == 0);
    OK(lsm_scan(db, NULL, &o, BYTES("a"), NULL, 0, 0, 1, page, 256, &used, &count, &err));
    EXPECT(count == 1);
    EXPECT_RC(lsm_scan(db, NULL, NULL, BYTES("zz"), NULL, 0, 0, 0, page, 256, &used, &count, &err), LSM_END);
    EXPECT(count == 0 && used == 0);
    OK(lsm_close(db, 0, &err));
}

static void a_record_that_does_not_fit_tells_its_size(const char *dir) {
    lsm_db *db = open_db(dir);
    unsigned char page[64];
    size_t used = 0, count = 9;
    put_text(db, "key", "a value of 20 bytes.");
    EXPECT_RC(lsm_scan(db, NULL, NULL, NULL, 0, NULL, 0, 0, 0, page, 30, &used, &count, &err), LSM_BUFFER_SMALL);
    EXPECT(used == 31 && count == 0);
    OK(lsm_scan(db, NULL, NULL, NULL, 0, NULL, 0, 0, 1, page, 31, &used, &count, &err));
    EXPECT(used == 31 && count == 1);
    EXPECT_RC(lsm_scan(db, NULL, NULL, NULL, 0, NULL, 0, 1, 1, page, 31, &used, &count, &err), LSM_E_UNSUPPORTED);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(pages_join_to_the_whole_range), TEST(bounds_prefix_and_keys_only_hold),
     TEST(a_record_that_does_not_fit_tells_its_size))
