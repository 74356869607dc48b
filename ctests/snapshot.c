/* Snapshots: one moment, for reads and scans, across flushes and compactions. */
#include "test.h"

static void a_snapshot_sees_its_moment(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_snapshot *snap = NULL;
    uint64_t seq = 0, later = 0;
    int round;
    DEFAULTS(lsm_read_opts, o);
    put_text(db, "kept", "old");
    put_text(db, "deleted", "there");
    OK(lsm_snapshot_create(db, &snap, &seq, &err));
    o.snap = snap;
    EXPECT(seq > 0);

    for (round = 0; round < 3; round++) {
        char text[16];
        snprintf(text, sizeof text, "new%d", round);
        put_text(db, "kept", text);
        put_text(db, "born", text);
        OK(lsm_delete(db, NULL, NULL, BYTES("deleted"), &err));
        OK(lsm_flush(db, NULL, 0, &err));
        OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
        expect_text(db, &o, "kept", "old");
        expect_text(db, &o, "deleted", "there");
        expect_text(db, &o, "born", "-");
        expect_text(db, NULL, "kept", text);
        expect_text(db, NULL, "deleted", "-");
    }
    lsm_snapshot_release(snap);
    OK(lsm_snapshot_create(db, &snap, &later, &err));
    EXPECT(later > seq);
    lsm_snapshot_release(snap);
    OK(lsm_close(db, 0, &err));
}

static void a_cursor_outlives_the_snapshot_it_was_opened_at(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_snapshot *snap = NULL;
    lsm_iter *it = NULL;
    lsm_slice k, v;
    DEFAULTS(lsm_read_opts, o);
    put_text(db, "a", "old");
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    o.snap = snap;
    OK(lsm_iter_open(db, NULL, &o, NULL, 0, NULL, 0, &it, &err));
    lsm_snapshot_release(snap);
    put_text(db, "a", "new");
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));

    OK(lsm_iter_next(it, &k, &v, &err));
    EXPECT(slice_is(k, "a") && slice_is(v, "old"));
    EXPECT_RC(lsm_iter_next(it, &k, &v, &err), LSM_END);
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void a_snapshot_of_another_or_a_closed_database_is_refused(const char *dir) {
    char other[4200];
    lsm_db *a = open_db(dir), *b;
    lsm_snapshot *snap = NULL;
    size_t len = 0;
    DEFAULTS(lsm_read_opts, o);
    snprintf(other, sizeof other, "%s-b", dir);
    b = open_db(other);
    OK(lsm_snapshot_create(b, &snap, NULL, &err));
    o.snap = snap;

    EXPECT_RC(lsm_get(a, NULL, &o, BYTES("k"), NULL, 0, &len, &err), LSM_E_INVALID);
    OK(lsm_close(b, 0, &err));
    EXPECT_RC(lsm_get(a, NULL, &o, BYTES("k"), NULL, 0, &len, &err), LSM_E_CLOSED);
    lsm_snapshot_release(snap);
    EXPECT_RC(lsm_get(a, NULL, &o, BYTES("k"), NULL, 0, &len, &err), LSM_E_CLOSED);
    OK(lsm_close(a, 0, &err));
}

static void many_snapshots_are_independent(const char *dir) {
    enum { MANY = 200 };
    lsm_db *db = open_db(dir);
    lsm_snapshot *snaps[MANY];
    int i;
    for (i = 0; i < MANY; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        put_text(db, "n", text);
        OK(lsm_snapshot_create(db, &snaps[i], NULL, &err));
        if (i % 50 == 10) OK(lsm_flush(db, NULL, 0, &err));
    }
    OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
    for (i = MANY - 1; i >= 0; i -= 1 + i % 2) {
        char text[16];
        DEFAULTS(lsm_read_opts, o);
        o.snap = snaps[i];
        snprintf(text, sizeof text, "%d", i);
        expect_text(db, &o, "n", text);
        lsm_snapshot_release(snaps[i]);
    }
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(a_snapshot_sees_its_moment), TEST(a_cursor_outlives_the_snapshot_it_was_opened_at),
     TEST(a_snapshot_of_another_or_a_closed_database_is_refused), TEST(many_snapshots_are_independent))
