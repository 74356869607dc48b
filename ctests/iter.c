/* Cursors: moves, seeks, bounds, packed reads, lifetimes. */
#include "test.h"

static lsm_db *open_with(const char *dir, const char *keys) {
    lsm_db *db = open_db(dir);
    for (; *keys; keys++) {
        char value[3] = { 'v', *keys, 0 };
        OK(lsm_put(db, NULL, NULL, keys, 1, value, 2, &err));
    }
    return db;
}

static lsm_iter *iter(lsm_db *db, const char *lo, const char *hi) {
    lsm_iter *it = NULL;
    OK(lsm_iter_open(db, NULL, NULL, lo, lo ? strlen(lo) : 0, hi, hi ? strlen(hi) : 0, &it, &err));
    return it;
}

/* Moves and compares with the one-letter key `want`; '-' is the end. */
static void next_is(lsm_iter *it, char want) {
    lsm_slice k = { NULL, 0 }, v = { NULL, 0 };
    EXPECT_RC(lsm_iter_next(it, &k, &v, &err), want == '-' ? LSM_END : LSM_OK);
    if (want != '-') EXPECT(k.len == 1 && k.data[0] == want && v.len == 2 && v.data[1] == want);
}

static void prev_is(lsm_iter *it, char want) {
    lsm_slice k = { NULL, 0 }, v = { NULL, 0 };
    EXPECT_RC(lsm_iter_prev(it, &k, &v, &err), want == '-' ? LSM_END : LSM_OK);
    if (want != '-') EXPECT(k.len == 1 && k.data[0] == want && v.len == 2 && v.data[1] == want);
}

static void seek_is(lsm_iter *it, uint32_t how, const char *key, char want) {
    lsm_slice k = { NULL, 0 }, v = { NULL, 0 };
    EXPECT_RC(lsm_iter_seek(it, how, key, strlen(key), &k, &v, &err), want == '-' ? LSM_END : LSM_OK);
    if (want != '-') EXPECT(k.len == 1 && k.data[0] == want && v.len == 2 && v.data[1] == want);
}

static void moves_go_both_ways_and_turn_at_the_ends(const char *dir) {
    lsm_db *db = open_with(dir, "cab");
    lsm_iter *it = iter(db, NULL, NULL);
    const char *p;
    for (p = "abc--"; *p; p++) next_is(it, *p);
    for (p = "cba--"; *p; p++) prev_is(it, *p);
    for (p = "ab"; *p; p++) next_is(it, *p);
    prev_is(it, 'a');
    next_is(it, 'b');
    lsm_iter_close(it);
    it = iter(db, NULL, NULL);
    prev_is(it, 'c');
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void an_empty_range_is_at_its_end_from_both_sides(const char *dir) {
    lsm_db *db = open_with(dir, "ab");
    lsm_iter *it = iter(db, "x", "z");
    next_is(it, '-');
    prev_is(it, '-');
    seek_is(it, LSM_SEEK_FIRST, "", '-');
    seek_is(it, LSM_SEEK_LAST, "", '-');
    lsm_iter_close(it);
    it = iter(db, "b", "a");
    next_is(it, '-');
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void seeks_land_where_they_say(const char *dir) {
    lsm_db *db = open_with(dir, "bdf");
    lsm_iter *it = iter(db, NULL, NULL);
    seek_is(it, LSM_SEEK_FIRST, "", 'b');
    seek_is(it, LSM_SEEK_LAST, "", 'f');
    seek_is(it, LSM_SEEK_GE, "d", 'd');
    seek_is(it, LSM_SEEK_GE, "e", 'f');
    /* After the end it stands outside, on the side where it looked. */
    seek_is(it, LSM_SEEK_GE, "g", '-');
    prev_is(it, 'f');
    seek_is(it, LSM_SEEK_LT, "b", '-');
    next_is(it, 'b');
    seek_is(it, LSM_SEEK_GE, "g", '-');
    next_is(it, '-');
    prev_is(it, 'f');
    seek_is(it, LSM_SEEK_GT, "d", 'f');
    seek_is(it, LSM_SEEK_GT, "f", '-');
    seek_is(it, LSM_SEEK_LE, "d", 'd');
    seek_is(it, LSM_SEEK_LE, "c", 'b');
    seek_is(it, LSM_SEEK_LE, "a", '-');
    next_is(it, 'b');
    seek_is(it, LSM_SEEK_LT, "d", 'b');
    seek_is(it, LSM_SEEK_LT, "b", '-');
    seek_is(it, LSM_SEEK_GE, "", 'b');
    EXPECT_RC(lsm_iter_seek(it, 0, NULL, 0, NULL, NULL, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_iter_seek(it, 7, NULL, 0, NULL, NULL, &err), LSM_E_INVALID);
    OK(lsm_iter_seek(it, LSM_SEEK_FIRST, NULL, 0, NULL, NULL, &err));
    next_is(it, 'd');
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void bounds_hold_for_moves_and_seeks(const char *dir) {
    lsm_db *db = open_with(dir, "abcdef");
    lsm_iter *it = iter(db, "b", "e");
    const char *p;
    for (p = "bcd-"; *p; p++) next_is(it, *p);
    for (p = "dcb-"; *p; p++) prev_is(it, *p);
    seek_is(it, LSM_SEEK_GE, "a", 'b');
    seek_is(it, LSM_SEEK_LE, "f", 'd');
    seek_is(it, LSM_SEEK_GE, "e", '-');
    seek_is(it, LSM_SEEK_LT, "b", '-');
    lsm_iter_close(it);
    it = iter(db, "", "");
    next_is(it, '-');
    lsm_iter_close(it);
    it = iter(db, "", NULL);
    next_is(it, 'a');
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void deleted_and_later_keys_are_not_seen(const char *dir) {
    lsm_db *db = open_with(dir, "abc");
    lsm_iter *it;
    OK(lsm_delete(db, NULL, NULL, BYTES("b"), &err));
    it = iter(db, NULL, NULL);
    put_text(db, "aa", "later");
    OK(lsm_delete(db, NULL, NULL, BYTES("c"), &err));
    OK(lsm_flush(db, NULL, 0, &err));
    next_is(it, 'a');
    next_is(it, 'c');
    next_is(it, '-');
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void a_prefix_bounds_a_scan(const char *dir) {
    static const char *const keys[] = { "a", "ab", "ab\xff", "ab\xff\xff", "ac", "\xff", "\xff\xff", "\xff\xff\xff" };
    lsm_db *db = open_db(dir);
    lsm_iter *it = NULL;
    size_t i, n;
    lsm_slice k;
    DEFAULTS(lsm_read_opts, o);
    o.flags = LSM_R_PREFIX;
    for (i = 0; i < COUNT(keys); i++) put_text(db, keys[i], "v");
    {
        static const struct { const char *prefix; size_t entries; } want[] = {
            { "ab", 3 }, { "ab\xff", 2 }, { "\xff\xff", 2 }, { "\xff", 3 }, { "", 8 }, { "b", 0 } };
        for (i = 0; i < COUNT(want); i++) {
            OK(lsm_iter_open(db, NULL, &o, want[i].prefix, strlen(want[i].prefix), NULL, 0, &it, &err));
            for (n = 0; lsm_iter_next(it, &k, NULL, &err) == LSM_OK; n++) {
                EXPECT(memcmp(k.data, want[i].prefix, strlen(want[i].prefix)) == 0);
            }
            EXPECT(n == want[i].entries);
            lsm_iter_close(it);
        }
    }
    EXPECT_RC(lsm_iter_open(db, NULL, &o, "a", 1, "b", 1, &it, &err), LSM_E_INVALID);
    EXPECT(it == NULL);
    OK(lsm_close(db, 0, &err));
}

static void keys_only_lends_no_values(const char *dir) {
    lsm_db *db = open_with(dir, "ab");
    lsm_iter *it = NULL;
    lsm_slice k, v = { (const uint8_t *)"x", 1 };
    DEFAULTS(lsm_read_opts, o);
    o.flags = LSM_R_KEYS_ONLY;
    OK(lsm_iter_open(db, NULL, &o, NULL, 0, NULL, 0, &it, &err));
    OK(lsm_iter_next(it, &k, &v, &err));
    EXPECT(slice_is(k, "a") && v.len == 0);
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void packed_reads_fill_a_page_and_go_on(const char *dir) {
    lsm_db *db = open_with(dir, "abcdefg");
    lsm_iter *it = iter(db, NULL, NULL);
    unsigned char page[64];
    size_t used = 0, count = 0;
    /* A record is 8 + 1 + 2 = 11 bytes. */
    OK(lsm_iter_read(it, LSM_DIR_FORWARD, 2, page, sizeof page, &used, &count, &err));
    EXPECT(count == 2 && used == 22 && u32_at(page) == 1 && u32_at(page + 4) == 2);
    EXPECT(memcmp(page + 8, "ava", 3) == 0 && memcmp(page + 19, "bvb", 3) == 0);
    OK(lsm_iter_read(it, LSM_DIR_FORWARD, 0, page, 30, &used, &count, &err));
    EXPECT(count == 2 && used == 22 && page[8] == 'c' && page[19] == 'd');
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_FORWARD, 9, page, 10, &used, &count, &err), LSM_BUFFER_SMALL);
    EXPECT(count == 0 && used == 11);
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_FORWARD, 9, NULL, 0, &used, &count, &err), LSM_BUFFER_SMALL);
    EXPECT(count == 0 && used == 11);
    next_is(it, 'e');
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_FORWARD, 0, page, sizeof page, &used, &count, &err), LSM_END);
    EXPECT(count == 2 && page[8] == 'f' && page[19] == 'g');
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_FORWARD, 0, page, sizeof page, &used, &count, &err), LSM_END);
    EXPECT(count == 0 && used == 0);
    OK(lsm_iter_read(it, LSM_DIR_REVERSE, 3, page, sizeof page, &used, &count, &err));
    EXPECT(count == 3 && page[8] == 'g' && page[30] == 'e');
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_REVERSE, 1, page, 1, &used, &count, &err), LSM_BUFFER_SMALL);
    next_is(it, 'f');
    EXPECT_RC(lsm_iter_read(it, LSM_DIR_FORWARD, 1, page, 1, &used, &count, &err), LSM_BUFFER_SMALL);
    prev_is(it, 'e');
    /* What a seek has shown is not packed again. */
    seek_is(it, LSM_SEEK_GE, "c", 'c');
    OK(lsm_iter_read(it, LSM_DIR_FORWARD, 1, page, 64, &used, &count, &err));
    EXPECT(count == 1 && page[8] == 'd');
    seek_is(it, LSM_SEEK_LT, "c", 'b');
    OK(lsm_iter_read(it, LSM_DIR_FORWARD, 1, page, 64, &used, &count, &err));
    EXPECT(count == 1 && page[8] == 'c');
    EXPECT_RC(lsm_iter_read(it, 0, 1, page, 64, &used, &count, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_iter_read(it, 2, 1, page, 64, &used, &count, &err), LSM_E_INVALID);
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

static void borrowed_bytes_stay_after_close_and_moves_answer_closed(const char *dir) {
    lsm_db *db = open_with(dir, "ab");
    lsm_iter *it = iter(db, NULL, NULL);
    lsm_slice k, v, other = { NULL, 5 };
    OK(lsm_iter_next(it, &k, &v, &err));

    OK(lsm_close(db, 0, &err));

    EXPECT_RC(lsm_iter_next(it, &other, &other, &err), LSM_E_CLOSED);
    EXPECT_RC(lsm_iter_prev(it, &other, &other, &err), LSM_E_CLOSED);
    EXPECT_RC(lsm_iter_seek(it, LSM_SEEK_FIRST, NULL, 0, &other, &other, &err), LSM_E_CLOSED);
    EXPECT(other.len == 5 && slice_is(k, "a") && slice_is(v, "va"));
    lsm_iter_close(it);
    lsm_iter_close(it);
    EXPECT_RC(lsm_iter_next(it, NULL, NULL, &err), LSM_E_CLOSED);
}

static void cursors_agree_with_a_sorted_array_over_random_moves(const char *dir) {
    enum { KEYS = 300 };
    lsm_db *db = open_db(dir);
    lsm_iter *it;
    uint64_t rnd = 12345;
    int present[KEYS], i, at = -2;
    size_t step, steps = 20000 / slowness();
    memset(present, 0, sizeof present);
    for (i = 0; i < 2000; i++) {
        int n = (int)(random_next(&rnd) % KEYS);
        char key[16];
        size_t len = (size_t)snprintf(key, sizeof key, "%05d", n);
        present[n] = random_next(&rnd) % 3 != 0;
        if (present[n]) OK(lsm_put(db, NULL, NULL, key, len, key, len, &err));
        else OK(lsm_delete(db, NULL, NULL, key, len, &err));
        if (i % 500 == 499) OK(lsm_flush(db, NULL, 0, &err));
    }
    it = iter(db, NULL, NULL);
    /* `at` is the index of the current key; -2 nowhere, -1 before the first, KEYS after the last. */
    for (step = 0; step < steps; step++) {
        lsm_slice k = { NULL, 0 };
        lsm_rc rc;
        int how = (int)(random_next(&rnd) % 10), to = (int)(random_next(&rnd) % KEYS);
        char key[16];
        if (how < 4) {
            rc = lsm_iter_next(it, &k, NULL, &err);
            at = at == -2 ? 0 : at < KEYS ? at + 1 : KEYS;
            while (at < KEYS && !present[at]) at++;
        } else if (how < 8) {
            rc = lsm_iter_prev(it, &k, NULL, &err);
            at = at == -2 ? KEYS - 1 : at >= 0 ? at - 1 : -1;
            while (at >= 0 && !present[at]) at--;
        } else {
            snprintf(key, sizeof key, "%05d", to);
            rc = lsm_iter_seek(it, how == 8 ? LSM_SEEK_GE : LSM_SEEK_LT, key, 5, &k, NULL, &err);
            at = how == 8 ? to : to - 1;
            if (how == 8) while (at < KEYS && !present[at]) at++;
            else while (at >= 0 && !present[at]) at--;
        }
        if (at < 0 || at >= KEYS) {
            EXPECT_RC(rc, LSM_END);
        } else {
            EXPECT_RC(rc, LSM_OK);
            snprintf(key, sizeof key, "%05d", at);
            EXPECT(slice_is(k, key));
        }
    }
    lsm_iter_close(it);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(moves_go_both_ways_and_turn_at_the_ends), TEST(an_empty_range_is_at_its_end_from_both_sides),
     TEST(seeks_land_where_they_say), TEST(bounds_hold_for_moves_and_seeks),
     TEST(deleted_and_later_keys_are_not_seen), TEST(a_prefix_bounds_a_scan),
     TEST(keys_only_lends_no_values), TEST(packed_reads_fill_a_page_and_go_on),
     TEST(borrowed_bytes_stay_after_close_and_moves_answer_closed),
     TEST(cursors_agree_with_a_sorted_array_over_random_moves))
