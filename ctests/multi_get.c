/* Many keys in one call: order, buffers, one position, and the same answers as lsm_get. */
#include "test.h"

#define KEYS_MAX 600

static char packed[KEYS_MAX * 16];
static uint32_t key_ends[KEYS_MAX];
static uint64_t val_ends[KEYS_MAX];
static int32_t rcs[KEYS_MAX];
static size_t keys_len, keys_count;

static void no_keys(void) { keys_len = keys_count = 0; }

static void add_key(const char *key) {
    size_t len = strlen(key);
    memcpy(packed + keys_len, key, len);
    keys_len += len;
    key_ends[keys_count++] = (uint32_t)keys_len;
}

static lsm_rc get_all(lsm_db *db, const lsm_read_opts *o, char *buf, size_t cap, size_t *done) {
    return lsm_multi_get(db, NULL, o, packed, key_ends, keys_count, buf, cap, val_ends, rcs, done, &err);
}

static void values_come_in_the_order_of_the_keys(const char *dir) {
    lsm_db *db = open_db(dir);
    char buf[64];
    size_t done = 0, i;
    static const uint64_t ends[] = { 3, 3, 3, 8, 11 };
    put_text(db, "fox", "red");
    put_text(db, "", "empty");
    put_text(db, "none", "");
    no_keys();
    add_key("fox"), add_key("absent"), add_key("none"), add_key(""), add_key("fox");
    for (i = 0; i < 2; i++) {
        memset(buf, '#', sizeof buf);
        OK(get_all(db, NULL, buf, sizeof buf, &done));
        EXPECT(done == 5 && memcmp(buf, "redemptyred#", 12) == 0);
        EXPECT(memcmp(val_ends, ends, sizeof ends) == 0);
        EXPECT(rcs[0] == LSM_OK && rcs[1] == LSM_NOT_FOUND && rcs[2] == LSM_OK && rcs[4] == LSM_OK);
        OK(lsm_flush(db, NULL, 0, &err));
    }
    OK(lsm_close(db, 0, &err));
}

static void lengths_are_told_without_a_buffer(const char *dir) {
    lsm_db *db = open_db(dir);
    size_t done = 0;
    put_text(db, "a", "12345");
    put_text(db, "b", "6789");
    no_keys();
    add_key("a"), add_key("x"), add_key("b");
    OK(get_all(db, NULL, NULL, 0, &done));
    EXPECT(done == 3 && val_ends[0] == 5 && val_ends[1] == 5 && val_ends[2] == 9);
    EXPECT(rcs[0] == LSM_OK && rcs[1] == LSM_NOT_FOUND && rcs[2] == LSM_OK);
    OK(lsm_close(db, 0, &err));
}

static void a_full_buffer_ends_the_call_and_the_rest_follows(const char *dir) {
    lsm_db *db = open_db(dir);
    char buf[12];
    size_t done = 0;
    put_text(db, "a", "12345");
    put_text(db, "b", "6789");
    no_keys();
    add_key("a"), add_key("b"), add_key("x"), add_key("a");
    memset(buf, '#', sizeof buf);
    rcs[3] = 77, val_ends[3] = 77;
    EXPECT_RC(get_all(db, NULL, buf, 11, &done), LSM_PARTIAL);
    EXPECT(done == 3 && rcs[2] == LSM_NOT_FOUND && val_ends[2] == 9);
    EXPECT(rcs[3] == 77 && val_ends[3] == 77 && memcmp(buf, "123456789###", 12) == 0);

    /* The rest begins where the last key ended. */
    {
        uint32_t end = key_ends[3] - key_ends[2];
        OK(lsm_multi_get(db, NULL, NULL, packed + key_ends[2], &end, 1, buf, 11, val_ends, rcs, &done, &err));
        EXPECT(done == 1 && val_ends[0] == 5 && memcmp(buf, "12345", 5) == 0);
    }
    rcs[0] = 77;
    EXPECT_RC(get_all(db, NULL, buf, 4, &done), LSM_BUFFER_SMALL);
    EXPECT(done == 0 && val_ends[0] == 5 && rcs[0] == 77);
    OK(lsm_close(db, 0, &err));
}

static void no_keys_are_looked_up_at_once(const char *dir) {
    lsm_db *db = open_db(dir);
    size_t done = 7;
    OK(lsm_multi_get(db, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL, &done, &err));
    EXPECT(done == 0);
    OK(lsm_close(db, 0, &err));
}

static void keys_that_do_not_follow_each_other_are_refused(const char *dir) {
    lsm_db *db = open_db(dir);
    char buf[8] = "#######";
    size_t done = 77;
    static const uint32_t back[] = { 2, 1 };
    static const uint32_t longest[] = { 0, LSM_KEY_BYTES_MAX + 1u };
    val_ends[0] = 77, rcs[0] = 77;
    EXPECT_RC(lsm_multi_get(db, NULL, NULL, "ab", back, 2, buf, 7, val_ends, rcs, &done, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_multi_get(db, NULL, NULL, "ab", longest, 2, buf, 7, val_ends, rcs, &done, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_multi_get(db, NULL, NULL, "ab", back, SIZE_MAX, buf, 7, val_ends, rcs, &done, &err), LSM_E_INVALID);
    EXPECT(done == 77 && val_ends[0] == 77 && rcs[0] == 77 && buf[0] == '#');
    {
        DEFAULTS(lsm_read_opts, o);
        o.flags = LSM_R_KEYS_ONLY;
        EXPECT_RC(lsm_multi_get(db, NULL, &o, "ab", back, 1, buf, 7, val_ends, rcs, &done, &err), LSM_E_INVALID);
    }
    OK(lsm_close(db, 0, &err));
}

/* Compares with lsm_get, key by key. */
static void compare(lsm_db *db, const lsm_read_opts *o) {
    static char buf[KEYS_MAX * 40];
    char one[64];
    size_t done = 0, i, len;
    OK(get_all(db, o, buf, sizeof buf, &done));
    EXPECT(done == keys_count);
    for (i = 0; i < done; i++) {
        uint32_t from = i ? key_ends[i - 1] : 0;
        uint64_t start = i ? val_ends[i - 1] : 0;
        lsm_rc rc = lsm_get(db, NULL, o, packed + from, key_ends[i] - from, one, sizeof one, &len, &err);
        if (rc == LSM_NOT_FOUND) len = 0;
        EXPECT(rc == rcs[i] && val_ends[i] - start == len && memcmp(buf + start, one, len) == 0);
    }
}

static void answers_are_those_of_get(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_snapshot *snap = NULL;
    DEFAULTS(lsm_read_opts, at);
    char key[16], value[40];
    size_t round, i;
    no_keys();
    for (i = 0; i < KEYS_MAX; i++) {
        snprintf(key, sizeof key, "key%05u", (unsigned)(i * 7919 % (2 * KEYS_MAX)));
        add_key(key);
    }
    for (round = 0; round < 6; round++) {
        for (i = round; i < 2 * KEYS_MAX; i += round + 2) {
            snprintf(key, sizeof key, "key%05u", (unsigned)i);
            snprintf(value, sizeof value, "%u-%u-some more bytes", (unsigned)round, (unsigned)i);
            if (i % 11 == round) OK(lsm_delete(db, NULL, NULL, key, strlen(key), &err));
            else put_text(db, key, value);
        }
        compare(db, NULL);
        if (round == 2) {
            OK(lsm_snapshot_create(db, &snap, NULL, &err));
            at.snap = snap;
        }
        if (round != 4) OK(lsm_flush(db, NULL, 0, &err));
        if (round == 3) OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
        compare(db, NULL);
        if (snap) compare(db, &at);
    }
    lsm_snapshot_release(snap);
    OK(lsm_close(db, 0, &err));
}

static lsm_db *shared_db;
static int stop;

/* Writes the same number to all keys, in one batch each time. */
static void *write_all_keys(void *unused) {
    lsm_batch *batch = NULL;
    lsm_error e;
    lsm_slice ops;
    uint32_t count;
    uint64_t number = 0;
    size_t i;
    EXPECT(lsm_batch_create(0, &batch, &e) == LSM_OK);
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        number++;
        lsm_batch_clear(batch);
        for (i = 0; i < 64; i++) {
            char key = (char)('0' + i);
            EXPECT(lsm_batch_add(batch, LSM_OP_PUT, NULL, &key, 1, &number, 8, &e) == LSM_OK);
        }
        EXPECT(lsm_batch_bytes(batch, &ops, &count) == LSM_OK);
        EXPECT(lsm_write(shared_db, NULL, ops.data, ops.len, NULL, &e) == LSM_OK);
        if (number % 200 == 0) EXPECT(lsm_flush(shared_db, NULL, 0, &e) == LSM_OK);
    }
    lsm_batch_release(batch);
    return unused;
}

static void all_keys_are_read_at_one_position(const char *dir) {
    pthread_t writer;
    size_t i, round, done = 0, rounds = 20000 / slowness();
    uint64_t numbers[64], last = 0;
    shared_db = open_db(dir);
    no_keys();
    for (i = 0; i < 64; i++) {
        char key[2] = { (char)('0' + i), 0 };
        add_key(key);
    }
    EXPECT(pthread_create(&writer, NULL, write_all_keys, NULL) == 0);
    for (round = 0; round < rounds; round++) {
        OK(get_all(shared_db, NULL, (char *)numbers, sizeof numbers, &done));
        EXPECT(done == 64);
        if (rcs[0] == LSM_NOT_FOUND) {
            EXPECT(val_ends[63] == 0 && last == 0);
            continue;
        }
        EXPECT(val_ends[63] == sizeof numbers && numbers[0] >= last);
        for (i = 1; i < 64; i++) EXPECT(numbers[i] == numbers[0]);
        last = numbers[0];
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    EXPECT(pthread_join(writer, NULL) == 0);
    OK(lsm_close(shared_db, 0, &err));
}

MAIN(TEST(values_come_in_the_order_of_the_keys), TEST(lengths_are_told_without_a_buffer),
     TEST(a_full_buffer_ends_the_call_and_the_rest_follows), TEST(no_keys_are_looked_up_at_once),
     TEST(keys_that_do_not_follow_each_other_are_refused), TEST(answers_are_those_of_get),
     TEST(all_keys_are_read_at_one_position))
