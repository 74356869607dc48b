/* Keyspaces: separation, options, dropping, listing, handles. */
#include "test.h"

static lsm_ks *open_ks(lsm_db *db, const char *name) {
    lsm_ks *ks = NULL;
    OK(lsm_ks_open(db, name, NULL, &ks, &err));
    return ks;
}

static void expect_in(lsm_db *db, lsm_ks *ks, const char *key, const char *want) {
    char value[64];
    size_t len = 0;
    lsm_rc rc = lsm_get(db, ks, NULL, key, strlen(key), value, sizeof value, &len, &err);
    EXPECT_RC(rc, *want == '-' ? LSM_NOT_FOUND : LSM_OK);
    if (*want != '-') EXPECT(len == strlen(want) && memcmp(value, want, len) == 0);
}

static void keyspaces_do_not_see_each_other(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *a = open_ks(db, "a"), *again = open_ks(db, "a"), *b = open_ks(db, "b");
    put_text(db, "k", "default");
    OK(lsm_put(db, a, NULL, BYTES("k"), BYTES("in a"), &err));
    expect_in(db, again, "k", "in a");
    expect_in(db, b, "k", "-");
    expect_in(db, NULL, "k", "default");
    OK(lsm_delete(db, a, NULL, BYTES("k"), &err));
    OK(lsm_flush(db, b, 0, &err));
    expect_in(db, a, "k", "-");
    expect_in(db, NULL, "k", "default");
    EXPECT(lsm_ks_id(a) == lsm_ks_id(again) && lsm_ks_id(a) != lsm_ks_id(b) && lsm_ks_id(a) != 0);
    lsm_ks_release(a);
    lsm_ks_release(again);
    lsm_ks_release(b);
    OK(lsm_close(db, 0, &err));
}

static void the_default_keyspace_has_a_name(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *ks = open_ks(db, "default");
    put_text(db, "k", "v");
    expect_in(db, ks, "k", "v");
    EXPECT(lsm_ks_id(ks) == 0 && lsm_ks_id(NULL) == 0);
    EXPECT_RC(lsm_ks_drop(db, "default", &err), LSM_E_INVALID);
    lsm_ks_release(ks);
    EXPECT(lsm_ks_id(ks) == UINT32_MAX);
    EXPECT_RC(lsm_put(db, ks, NULL, BYTES("k"), BYTES("w"), &err), LSM_E_CLOSED);
    OK(lsm_close(db, 0, &err));
}

static void a_dropped_keyspace_is_gone_and_its_name_free(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *old = open_ks(db, "temp"), *fresh;
    uint32_t id = lsm_ks_id(old);
    size_t len = 0;
    OK(lsm_put(db, old, NULL, BYTES("k"), BYTES("v"), &err));

    OK(lsm_ks_drop(db, "temp", &err));

    EXPECT_RC(lsm_put(db, old, NULL, BYTES("k"), BYTES("v"), &err), LSM_E_INVALID);
    EXPECT(lsm_get(db, old, NULL, BYTES("k"), NULL, 0, &len, &err) != LSM_OK);
    EXPECT_RC(lsm_ks_drop(db, "temp", &err), LSM_E_INVALID);
    fresh = open_ks(db, "temp");
    EXPECT(lsm_ks_id(fresh) != id);
    expect_in(db, fresh, "k", "-");
    lsm_ks_release(old);
    lsm_ks_release(fresh);
    OK(lsm_close(db, 0, &err));
}

static void the_list_names_every_keyspace(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *a = open_ks(db, "alpha");
    unsigned char buf[256];
    size_t need = 0, at = 0;
    int found = 0;
    OK(lsm_ks_list(db, NULL, 0, &need, &err));
    EXPECT(need == 8 + 7 + 8 + 5);
    memset(buf, '#', sizeof buf);
    EXPECT_RC(lsm_ks_list(db, buf, need - 1, &need, &err), LSM_BUFFER_SMALL);
    EXPECT(buf[0] == '#' && need == 28);
    OK(lsm_ks_list(db, buf, sizeof buf, &need, &err));
    while (at < need) {
        uint32_t id = u32_at(buf + at), len = u32_at(buf + at + 4);
        if (id == 0) EXPECT(len == 7 && memcmp(buf + at + 8, "default", 7) == 0);
        if (id == lsm_ks_id(a)) EXPECT(len == 5 && memcmp(buf + at + 8, "alpha", 5) == 0);
        at += 8 + len;
        found++;
    }
    EXPECT(at == need && found == 2);
    lsm_ks_release(a);
    OK(lsm_close(db, 0, &err));
}

static void options_are_checked_and_those_that_are_not_built_are_named(const char *dir) {
    static const char *const names[] = { "flags", "comparator", "merge", "compression", "compaction", "blob_threshold", "default_ttl_secs" };
    lsm_db *db = open_db(dir);
    lsm_ks *ks = NULL;
    int i;
    for (i = 0; i < 7; i++) {
        DEFAULTS(lsm_ks_opts, o);
        if (i == 0) o.flags = 1;
        if (i == 1) o.comparator = 2;
        if (i == 2) o.merge = 1;
        if (i == 3) o.compression = 3;
        if (i == 4) o.compaction = 1;
        if (i == 5) o.blob_threshold = 1;
        if (i == 6) o.default_ttl_secs = 1;
        EXPECT_RC(lsm_ks_open(db, "x", &o, &ks, &err), LSM_E_UNSUPPORTED);
        EXPECT(ks == NULL && strstr(err.message, names[i]) != NULL);
    }
    for (i = 0; i < 4; i++) {
        DEFAULTS(lsm_ks_opts, o);
        if (i == 0) o.block_bytes = 63;
        if (i == 1) o.block_bytes = (1 << 20) + 1;
        if (i == 2) o.filter_bits_x10 = 1001;
        if (i == 3) o.filter_bits_x10 = LSM_FILTER_NONE - 1;
        EXPECT_RC(lsm_ks_open(db, "x", &o, &ks, &err), LSM_E_INVALID);
    }
    OK(lsm_close(db, 0, &err));
}

static void tables_of_every_option_give_back_what_was_stored(const char *dir) {
    static const struct { uint32_t compression, filter, block; } variants[] = {
        { 0, 0, 0 }, { LSM_C_NONE, LSM_FILTER_NONE, 64 }, { LSM_C_LZ4, 200, 1 << 20 }, { LSM_C_NONE, 10, 512 } };
    lsm_db *db = open_db(dir);
    size_t v;
    for (v = 0; v < COUNT(variants); v++) {
        lsm_ks *ks = NULL;
        char name[8], key[16];
        int i;
        DEFAULTS(lsm_ks_opts, o);
        o.comparator = LSM_K_BYTES;
        o.compression = variants[v].compression;
        o.filter_bits_x10 = variants[v].filter;
        o.block_bytes = variants[v].block;
        snprintf(name, sizeof name, "v%d", (int)v);
        OK(lsm_ks_open(db, name, &o, &ks, &err));
        for (i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "k%d", i);
            OK(lsm_put(db, ks, NULL, key, strlen(key), key, strlen(key), &err));
        }
        OK(lsm_flush(db, ks, 0, &err));
        OK(lsm_compact(db, ks, NULL, 0, NULL, 0, 0, 0, &err));
        for (i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "k%d", i);
            expect_in(db, ks, key, key);
            snprintf(key, sizeof key, "m%d", i);
            expect_in(db, ks, key, "-");
        }
        lsm_ks_release(ks);
    }
    OK(lsm_close(db, 0, &err));
}

static void a_handle_of_another_or_a_closed_database_is_refused(const char *dir) {
    char other[4200];
    lsm_db *a = open_db(dir), *b;
    lsm_ks *ks;
    snprintf(other, sizeof other, "%s-b", dir);
    b = open_db(other);
    ks = open_ks(b, "x");
    EXPECT_RC(lsm_put(a, ks, NULL, BYTES("k"), BYTES("v"), &err), LSM_E_INVALID);
    EXPECT_RC(lsm_flush(a, ks, 0, &err), LSM_E_INVALID);
    OK(lsm_close(b, 0, &err));
    EXPECT_RC(lsm_put(a, ks, NULL, BYTES("k"), BYTES("v"), &err), LSM_E_CLOSED);
    EXPECT(lsm_ks_id(ks) == UINT32_MAX);
    lsm_ks_release(ks);
    OK(lsm_close(a, 0, &err));
}

static void names_are_checked(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *ks = NULL;
    char longest[300];
    memset(longest, 'n', sizeof longest);
    longest[256] = 0;
    EXPECT_RC(lsm_ks_open(db, "", NULL, &ks, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_ks_open(db, longest, NULL, &ks, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_ks_open(db, "\xff\xfe", NULL, &ks, &err), LSM_E_INVALID);
    longest[255] = 0;
    OK(lsm_ks_open(db, longest, NULL, &ks, &err));
    lsm_ks_release(ks);
    OK(lsm_close(db, 0, &err));
}

static void keyspaces_and_their_ids_survive_a_reopen(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *ks = open_ks(db, "kept");
    uint32_t id = lsm_ks_id(ks);
    OK(lsm_put(db, ks, NULL, BYTES("k"), BYTES("v"), &err));
    OK(lsm_close(db, 0, &err));
    lsm_ks_release(ks);

    db = open_db(dir);
    ks = open_ks(db, "kept");
    EXPECT(lsm_ks_id(ks) == id);
    expect_in(db, ks, "k", "v");
    lsm_ks_release(ks);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(keyspaces_do_not_see_each_other), TEST(the_default_keyspace_has_a_name),
     TEST(a_dropped_keyspace_is_gone_and_its_name_free), TEST(the_list_names_every_keyspace),
     TEST(options_are_checked_and_those_that_are_not_built_are_named),
     TEST(tables_of_every_option_give_back_what_was_stored),
     TEST(a_handle_of_another_or_a_closed_database_is_refused), TEST(names_are_checked),
     TEST(keyspaces_and_their_ids_survive_a_reopen))
