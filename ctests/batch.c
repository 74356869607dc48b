/* Batches, and packed operations that the caller made. */
#include "test.h"

static void write_batch(lsm_db *db, lsm_batch *b) {
    lsm_slice packed;
    uint32_t count = 0;
    OK(lsm_batch_bytes(b, &packed, &count));
    OK(lsm_write(db, NULL, packed.data, packed.len, NULL, &err));
}

static void a_batch_is_applied_in_order(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_batch *b = NULL;
    uint32_t count = 0;
    OK(lsm_batch_create(0, &b, &err));
    put_text(db, "gone", "x");
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("twice"), BYTES("first"), &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("twice"), BYTES("second"), &err));
    OK(lsm_batch_add(b, LSM_OP_DELETE, NULL, BYTES("gone"), NULL, 0, &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, NULL, 0, NULL, 0, &err));
    OK(lsm_batch_bytes(b, NULL, &count));
    EXPECT(count == 4);

    write_batch(db, b);

    expect_text(db, NULL, "twice", "second");
    expect_text(db, NULL, "gone", "-");
    expect_text(db, NULL, "", "");
    lsm_batch_release(b);
    OK(lsm_close(db, 0, &err));
}

static void a_cleared_batch_is_empty_and_can_be_used_again(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_batch *b = NULL;
    lsm_slice packed;
    uint32_t count = 7;
    OK(lsm_batch_create(100, &b, &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("old"), BYTES("x"), &err));
    lsm_batch_clear(b);
    OK(lsm_batch_bytes(b, &packed, &count));
    EXPECT(count == 0 && packed.len == 0);
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("new"), BYTES("y"), &err));

    write_batch(db, b);
    write_batch(db, b);

    expect_text(db, NULL, "old", "-");
    expect_text(db, NULL, "new", "y");
    lsm_batch_release(b);
    lsm_batch_release(b);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("a"), BYTES("b"), &err), LSM_E_CLOSED);
    EXPECT_RC(lsm_batch_bytes(b, &packed, &count), LSM_E_CLOSED);
    lsm_batch_clear(b);
    OK(lsm_close(db, 0, &err));
}

static void a_failed_add_leaves_the_batch_as_it_was(const char *dir) {
    lsm_batch *b = NULL;
    uint32_t count = 0;
    lsm_slice before, after;
    (void)dir;
    OK(lsm_batch_create(0, &b, &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("k"), BYTES("v"), &err));
    OK(lsm_batch_bytes(b, &before, NULL));

    EXPECT_RC(lsm_batch_add(b, 0, NULL, BYTES("k"), NULL, 0, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, 99, NULL, BYTES("k"), NULL, 0, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, 3, NULL, BYTES("k"), BYTES("l"), &err), LSM_E_UNSUPPORTED);
    EXPECT_RC(lsm_batch_add(b, 4, NULL, BYTES("k"), BYTES("l"), &err), LSM_E_UNSUPPORTED);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_DELETE, NULL, BYTES("k"), BYTES("v"), &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_PUT, NULL, "k", SIZE_MAX, "v", 1, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_PUT, NULL, "k", 1, "v", SIZE_MAX, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_PUT, NULL, "k", 1, "v", LSM_VALUE_BYTES_MAX, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_batch_add(b, LSM_OP_PUT, (lsm_ks *)&err, "k", 1, "v", 1, &err), LSM_E_INVALID);

    OK(lsm_batch_bytes(b, &after, &count));
    EXPECT(count == 1 && after.len == before.len && after.data == before.data);
    lsm_batch_release(b);
    EXPECT_RC(lsm_batch_create(SIZE_MAX, &b, &err), LSM_E_INVALID);
    EXPECT(b == NULL);
}

static void packed_operations_are_those_of_the_header(const char *dir) {
    lsm_db *db = open_db(dir);
    unsigned char ops[64];
    uint64_t seq = 0, later = 0;
    memset(ops, 0, sizeof ops);
    ops[0] = LSM_OP_PUT;
    set_u32(ops + 8, 3);
    set_u32(ops + 12, 4);
    memcpy(ops + 16, "keyval4", 7);
    ops[23] = LSM_OP_DELETE;
    set_u32(ops + 31, 4);
    memcpy(ops + 39, "gone", 4);
    put_text(db, "gone", "x");

    OK(lsm_write(db, NULL, ops, 43, &seq, &err));
    OK(lsm_write(db, NULL, ops, 23, &later, &err));

    EXPECT(seq > 0 && later > seq);
    expect_text(db, NULL, "key", "val4");
    expect_text(db, NULL, "gone", "-");
    {
        lsm_batch *b = NULL;
        lsm_slice packed;
        OK(lsm_batch_create(0, &b, &err));
        OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("key"), BYTES("val4"), &err));
        OK(lsm_batch_add(b, LSM_OP_DELETE, NULL, BYTES("gone"), NULL, 0, &err));
        OK(lsm_batch_bytes(b, &packed, NULL));
        EXPECT(packed.len == 43 && memcmp(packed.data, ops, 43) == 0);
        lsm_batch_release(b);
    }
    OK(lsm_close(db, 0, &err));
}

static void malformed_operations_change_nothing(const char *dir) {
    lsm_db *db = open_db(dir);
    unsigned char ops[48];
    size_t cut;
    uint64_t seq = 42;
    memset(ops, 0, sizeof ops);
    ops[0] = LSM_OP_PUT;
    set_u32(ops + 8, 3);
    set_u32(ops + 12, 4);
    memcpy(ops + 16, "keyval4", 7);
    memcpy(ops + 23, ops, 23);
    memcpy(ops + 39, "two", 3);

    for (cut = 1; cut < 46; cut++) {
        if (cut != 23) EXPECT_RC(lsm_write(db, NULL, ops, cut, &seq, &err), LSM_E_INVALID);
    }
    ops[23] = 9;
    EXPECT_RC(lsm_write(db, NULL, ops, 46, &seq, &err), LSM_E_INVALID);
    ops[23] = 4;
    EXPECT_RC(lsm_write(db, NULL, ops, 46, &seq, &err), LSM_E_UNSUPPORTED);
    ops[23] = LSM_OP_PUT;
    ops[24] = 1;
    EXPECT(lsm_write(db, NULL, ops, 46, &seq, &err) < 0);
    ops[24] = 0;
    ops[26] = 1;
    EXPECT_RC(lsm_write(db, NULL, ops, 46, &seq, &err), LSM_E_INVALID);
    ops[26] = 0;
    set_u32(ops + 27, 12345);
    EXPECT_RC(lsm_write(db, NULL, ops, 46, &seq, &err), LSM_E_INVALID);
    set_u32(ops + 27, 0);
    set_u32(ops + 35, UINT32_MAX);
    EXPECT_RC(lsm_write(db, NULL, ops, 46, &seq, &err), LSM_E_INVALID);

    EXPECT(seq == 42);
    expect_text(db, NULL, "key", "-");
    expect_text(db, NULL, "two", "-");
    OK(lsm_close(db, 0, &err));
}

static void a_batch_over_keyspaces_is_one_write(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *ks = NULL;
    lsm_batch *b = NULL;
    size_t len = 0;
    char value[8];
    OK(lsm_ks_open(db, "other", NULL, &ks, &err));
    OK(lsm_batch_create(0, &b, &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, ks, BYTES("k"), BYTES("other"), &err));
    OK(lsm_batch_add(b, LSM_OP_PUT, NULL, BYTES("k"), BYTES("main"), &err));

    write_batch(db, b);

    expect_text(db, NULL, "k", "main");
    OK(lsm_get(db, ks, NULL, BYTES("k"), value, sizeof value, &len, &err));
    EXPECT(len == 5 && memcmp(value, "other", 5) == 0);
    lsm_batch_release(b);
    lsm_ks_release(ks);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(a_batch_is_applied_in_order), TEST(a_cleared_batch_is_empty_and_can_be_used_again),
     TEST(a_failed_add_leaves_the_batch_as_it_was), TEST(packed_operations_are_those_of_the_header),
     TEST(malformed_operations_change_nothing), TEST(a_batch_over_keyspaces_is_one_write))
