/* Single keys: put, get, pinned get, delete; lengths and buffers. */
#include "test.h"

static void get_finds_what_put_stored(const char *dir) {
    lsm_db *db = open_db(dir);

    put_text(db, "fox", "red");
    put_text(db, "fox", "white");
    put_text(db, "", "the empty key");
    OK(lsm_put(db, NULL, NULL, BYTES("a\0b"), BYTES("nul inside"), &err));
    OK(lsm_put(db, NULL, NULL, NULL, 0, NULL, 0, &err));

    expect_text(db, NULL, "fox", "white");
    expect_text(db, NULL, "", "");
    expect_text(db, NULL, "a", "-");
    OK(lsm_close(db, 0, &err));
}

static void get_after_delete_is_not_found(const char *dir) {
    lsm_db *db = open_db(dir);
    size_t len = 77;
    put_text(db, "fox", "red");
    OK(lsm_delete(db, NULL, NULL, BYTES("fox"), &err));
    OK(lsm_delete(db, NULL, NULL, BYTES("never there"), &err));

    EXPECT(lsm_get(db, NULL, NULL, BYTES("fox"), NULL, 0, &len, &err) == LSM_NOT_FOUND);
    EXPECT(len == 77);
    OK(lsm_close(db, 0, &err));
}

static void a_short_buffer_tells_the_length_and_stays_untouched(const char *dir) {
    lsm_db *db = open_db(dir);
    char buf[8];
    size_t len = 0, cap;
    put_text(db, "k", "12345");

    OK(lsm_get(db, NULL, NULL, BYTES("k"), NULL, 0, &len, &err));
    EXPECT(len == 5);
    for (cap = 0; cap < 5; cap++) {
        memset(buf, '#', sizeof buf);
        len = 0;
        EXPECT_RC(lsm_get(db, NULL, NULL, BYTES("k"), buf, cap, &len, &err), LSM_BUFFER_SMALL);
        EXPECT(len == 5 && memcmp(buf, "########", 8) == 0);
    }
    OK(lsm_get(db, NULL, NULL, BYTES("k"), buf, 5, &len, &err));
    EXPECT(memcmp(buf, "12345###", 8) == 0);
    EXPECT_RC(lsm_get(db, NULL, NULL, BYTES("k"), NULL, 1, &len, &err), LSM_E_INVALID);
    put_text(db, "e", "");
    OK(lsm_get(db, NULL, NULL, BYTES("e"), buf, 0, &len, &err));
    EXPECT(len == 0);
    OK(lsm_close(db, 0, &err));
}

static void pinned_bytes_outlive_overwrites_and_close(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_pin *pin = NULL, *none = (lsm_pin *)&err, *empty = NULL;
    lsm_slice val = { NULL, 0 }, untouched = { NULL, 99 };
    put_text(db, "k", "value");
    put_text(db, "empty", "");
    OK(lsm_get_pinned(db, NULL, NULL, BYTES("k"), &pin, &val, &err));
    EXPECT_RC(lsm_get_pinned(db, NULL, NULL, BYTES("absent"), &none, &untouched, &err), LSM_NOT_FOUND);
    EXPECT(none == NULL && untouched.len == 99);
    OK(lsm_get_pinned(db, NULL, NULL, BYTES("empty"), &empty, &untouched, &err));
    EXPECT(empty != NULL && untouched.len == 0);
    lsm_pin_release(empty);

    put_text(db, "k", "other");
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_close(db, 0, &err));

    EXPECT(slice_is(val, "value"));
    lsm_pin_release(pin);
    lsm_pin_release(pin);
    lsm_pin_release(NULL);
}

static void the_longest_key_is_stored_and_a_longer_one_refused(const char *dir) {
    lsm_db *db = open_db(dir);
    char *key = (char *)allocate(LSM_KEY_BYTES_MAX + 1u);
    char value[4];
    size_t len = 0;
    memset(key, 0xff, LSM_KEY_BYTES_MAX + 1u);
    OK(lsm_put(db, NULL, NULL, key, LSM_KEY_BYTES_MAX, BYTES("max"), &err));

    OK(lsm_get(db, NULL, NULL, key, LSM_KEY_BYTES_MAX, value, sizeof value, &len, &err));
    EXPECT(len == 3 && memcmp(value, "max", 3) == 0);
    EXPECT_RC(lsm_put(db, NULL, NULL, key, LSM_KEY_BYTES_MAX + 1u, BYTES("x"), &err), LSM_E_INVALID);
    EXPECT_RC(lsm_get(db, NULL, NULL, key, LSM_KEY_BYTES_MAX + 1u, value, 4, &len, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_delete(db, NULL, NULL, key, LSM_KEY_BYTES_MAX + 1u, &err), LSM_E_INVALID);
    OK(lsm_close(db, 0, &err));
    free(key);
}

static void wild_lengths_are_refused_before_anything_is_read(const char *dir) {
    static const size_t lengths[] = { (size_t)1 << 31, ((size_t)1 << 32) - 1, (size_t)1 << 32,
                                      (size_t)1 << 63, SIZE_MAX / 2, SIZE_MAX - 7, SIZE_MAX };
    lsm_db *db = open_db(dir);
    size_t i, len = 5;
    for (i = 0; i < COUNT(lengths); i++) {
        EXPECT_RC(lsm_put(db, NULL, NULL, "k", lengths[i], "v", 1, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_put(db, NULL, NULL, "k", 1, "v", lengths[i], &err), LSM_E_INVALID);
        EXPECT_RC(lsm_delete(db, NULL, NULL, "k", lengths[i], &err), LSM_E_INVALID);
        EXPECT_RC(lsm_get(db, NULL, NULL, "k", lengths[i], NULL, 0, &len, &err), LSM_E_INVALID);
        EXPECT_RC(lsm_write(db, NULL, "k", lengths[i], NULL, &err), LSM_E_INVALID);
    }
    EXPECT(len == 5);
    expect_text(db, NULL, "k", "-");
    OK(lsm_close(db, 0, &err));
}

static void a_value_of_some_mebibytes_comes_back_whole(const char *dir) {
    lsm_db *db = open_db(dir);
    size_t bytes = (size_t)5 << 20, i, len = 0;
    unsigned char *value = (unsigned char *)allocate(bytes), *back = (unsigned char *)allocate(bytes);
    for (i = 0; i < bytes; i++) value[i] = (unsigned char)(i * 31 >> 3);
    OK(lsm_put(db, NULL, NULL, BYTES("big"), value, bytes, &err));
    OK(lsm_flush(db, NULL, 0, &err));

    OK(lsm_get(db, NULL, NULL, BYTES("big"), back, bytes, &len, &err));
    EXPECT(len == bytes && memcmp(value, back, bytes) == 0);
    OK(lsm_close(db, 0, &err));
    free(value);
    free(back);
}

static void write_options_are_checked(const char *dir) {
    lsm_db *db = open_db(dir);
    uint32_t d;
    int i;
    for (i = 0; i < 4; i++) {
        DEFAULTS(lsm_write_opts, o);
        if (i == 0) o.flags = 2;
        if (i == 1) o.ttl_secs = 1;
        if (i == 2) o.reserved = 1;
        if (i == 3) o.txn = (lsm_txn *)&err;
        EXPECT_RC(lsm_put(db, NULL, &o, BYTES("k"), BYTES("v"), &err), LSM_E_UNSUPPORTED);
    }
    for (d = 0; d < 5; d++) {
        DEFAULTS(lsm_write_opts, o);
        o.durability = d;
        EXPECT_RC(lsm_put(db, NULL, &o, BYTES("d"), BYTES("v"), &err), d == 4 ? LSM_E_INVALID : LSM_OK);
    }
    expect_text(db, NULL, "k", "-");
    expect_text(db, NULL, "d", "v");
    OK(lsm_close(db, 0, &err));
}

static void read_options_are_checked(const char *dir) {
    lsm_db *db = open_db(dir);
    size_t len = 0;
    int i;
    put_text(db, "k", "v");
    for (i = 0; i < 5; i++) {
        DEFAULTS(lsm_read_opts, o);
        if (i == 0) o.flags = 0x40;
        if (i == 1) o.txn = (lsm_txn *)&err;
        if (i == 2) o.deadline_ns = 1;
        if (i == 3) o.max_tombstones = 1;
        if (i == 4) o.max_bytes = 1;
        EXPECT_RC(lsm_get(db, NULL, &o, BYTES("k"), NULL, 0, &len, &err), LSM_E_UNSUPPORTED);
        EXPECT(strstr(err.message, "lsm_read_opts.") != NULL);
    }
    {
        DEFAULTS(lsm_read_opts, o);
        o.flags = LSM_R_PREFIX;
        EXPECT_RC(lsm_get(db, NULL, &o, BYTES("k"), NULL, 0, &len, &err), LSM_E_INVALID);
    }
    OK(lsm_close(db, 0, &err));
}

static void errno_survives_every_call(const char *dir) {
    lsm_db *db = NULL;
    size_t len = 0;
    errno = 123;
    OK(lsm_open(dir, NULL, &db, &err));
    EXPECT(errno == 123);
    put_text(db, "k", "v");
    EXPECT_RC(lsm_get(db, NULL, NULL, NULL, 1, NULL, 0, &len, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_get(NULL, NULL, NULL, NULL, 1, NULL, 0, &len, &err), LSM_E_INVALID);
    OK(lsm_flush(db, NULL, 0, &err));
    lsm_pin_release(NULL);
    EXPECT(errno == 123);
    OK(lsm_close(db, 0, &err));
    EXPECT(lsm_open("/proc/none/such", NULL, &db, &err) < 0);
    EXPECT(err.code < 0 && errno == 123);
}

static void an_error_is_written_whole_and_success_writes_none(const char *dir) {
    lsm_db *db = open_db(dir);
    unsigned char raw[258];
    lsm_error *e = (lsm_error *)allocate(sizeof *e);
    memset(e, 0xab, sizeof *e);
    OK(lsm_put(db, NULL, NULL, BYTES("k"), BYTES("v"), e));
    EXPECT(e->struct_size == 0xabababab && (unsigned char)e->message[215] == 0xab);
    EXPECT_RC(lsm_put(db, NULL, NULL, NULL, 1, NULL, 0, e), LSM_E_INVALID);
    EXPECT(e->struct_size == 256 && e->code == LSM_E_INVALID && e->os_errno == 0 && e->flags == 0);
    EXPECT(e->file_id == 0 && e->offset == 0 && e->detail0 == 0 && e->message[215] == 0);
    EXPECT(strlen(e->message) > 0 && strlen(e->message) < sizeof e->message);
    memset(raw, 0xab, sizeof raw);
    EXPECT_RC(lsm_put(db, NULL, NULL, NULL, 1, NULL, 0, (lsm_error *)(void *)(raw + 1)), LSM_E_INVALID);
    EXPECT(raw[0] == 0xab && raw[257] == 0xab && u32_at(raw + 1) == 256);
    OK(lsm_close(db, 0, &err));
    free(e);
}

MAIN(TEST(get_finds_what_put_stored), TEST(get_after_delete_is_not_found),
     TEST(a_short_buffer_tells_the_length_and_stays_untouched),
     TEST(pinned_bytes_outlive_overwrites_and_close),
     TEST(the_longest_key_is_stored_and_a_longer_one_refused),
     TEST(wild_lengths_are_refused_before_anything_is_read),
     TEST(a_value_of_some_mebibytes_comes_back_whole), TEST(write_options_are_checked),
     TEST(read_options_are_checked), TEST(errno_survives_every_call),
     TEST(an_error_is_written_whole_and_success_writes_none))
