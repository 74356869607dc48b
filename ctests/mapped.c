/* Mapped reads: the same answers as without, values that outlive their table, damage as a code. */
#include "test.h"

#include <dirent.h>

#define KEYS 2000

static char text[9000];

/* The value of key i: its number, then dots; every tenth is longer than a block. */
static size_t value(unsigned i) {
    size_t len = i % 10 == 3 ? 5000 + i : 20 + i % 100;
    memset(text, '.', len);
    snprintf(text, sizeof text, "value %u", i);
    text[strlen(text)] = '!';
    return len;
}

static size_t key_of(unsigned i, char *key) { return (size_t)sprintf(key, "key%06u", i); }

static lsm_db *open_mapped(const char *dir, uint32_t flags) {
    DEFAULTS(lsm_open_opts, o);
    lsm_db *db = NULL;
    o.flags = LSM_O_MAPPED_READS | flags;
    OK(lsm_open(dir, &o, &db, &err));
    return db;
}

/* A database whose default keyspace is not compressed, all in one table. */
static lsm_db *filled(const char *dir) {
    DEFAULTS(lsm_ks_opts, ko);
    lsm_db *db = open_mapped(dir, 0);
    lsm_ks *ks = NULL;
    char key[32];
    unsigned i;
    ko.compression = LSM_C_NONE;
    OK(lsm_ks_open(db, "default", &ko, &ks, &err));
    lsm_ks_release(ks);
    for (i = 0; i < KEYS; i++) {
        size_t klen = key_of(i, key), vlen = value(i);
        OK(lsm_put(db, NULL, NULL, key, klen, text, vlen, &err));
    }
    OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
    return db;
}

static void check_all(lsm_db *db) {
    static char buf[9000];
    char key[32];
    unsigned i;
    lsm_iter *it = NULL;
    lsm_slice k, v;
    for (i = 0; i < KEYS; i++) {
        size_t klen = key_of(i, key), vlen = value(i), got = 0;
        lsm_pin *pin = NULL;
        OK(lsm_get(db, NULL, NULL, key, klen, buf, sizeof buf, &got, &err));
        EXPECT(got == vlen && memcmp(buf, text, vlen) == 0);
        OK(lsm_get_pinned(db, NULL, NULL, key, klen, &pin, &v, &err));
        EXPECT(v.len == vlen && memcmp(v.data, text, vlen) == 0);
        lsm_pin_release(pin);
    }
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));
    OK(lsm_iter_seek(it, LSM_SEEK_FIRST, NULL, 0, &k, &v, &err));
    for (i = 0; i < KEYS; i++) {
        size_t klen = key_of(i, key), vlen = value(i);
        EXPECT(k.len == klen && memcmp(k.data, key, klen) == 0);
        EXPECT(v.len == vlen && memcmp(v.data, text, vlen) == 0);
        EXPECT_RC(lsm_iter_next(it, &k, &v, &err), i + 1 < KEYS ? LSM_OK : LSM_END);
    }
    lsm_iter_close(it);
}

static void answers_are_the_same_through_a_mapping(const char *dir) {
    lsm_db *db = filled(dir);
    check_all(db);
    check_all(db);
    OK(lsm_close(db, 0, &err));
    db = open_mapped(dir, LSM_O_READ_ONLY);
    check_all(db);
    OK(lsm_close(db, 0, &err));
    db = open_db(dir);
    check_all(db);
    OK(lsm_close(db, 0, &err));
}

static void a_pinned_value_outlives_its_table_and_the_database(const char *dir) {
    lsm_db *db = filled(dir);
    lsm_pin *pins[20];
    lsm_slice held[20];
    char key[32];
    unsigned i;
    for (i = 0; i < 20; i++)
        OK(lsm_get_pinned(db, NULL, NULL, key, key_of(i, key), &pins[i], &held[i], &err));
    for (i = 0; i < KEYS; i++) OK(lsm_delete(db, NULL, NULL, key, key_of(i, key), &err));
    OK(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err));
    OK(lsm_background(db, LSM_BG_WAIT_IDLE, UINT64_MAX, &err));
    OK(lsm_close(db, 0, &err));
    for (i = 0; i < 20; i++) {
        size_t vlen = value(i);
        EXPECT(held[i].len == vlen && memcmp(held[i].data, text, vlen) == 0);
        lsm_pin_release(pins[i]);
    }
}

/* Changes one byte in the middle of every table, long before its end, where the data is. */
static void damage_tables(const char *dir) {
    struct dirent *entry;
    DIR *list = opendir(dir);
    EXPECT(list != NULL);
    while ((entry = readdir(list)) != NULL) {
        char path[4096];
        struct stat about;
        char byte;
        int fd;
        if (!strstr(entry->d_name, ".sst")) continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        fd = open(path, O_RDWR);
        EXPECT(fd >= 0 && fstat(fd, &about) == 0);
        EXPECT(pread(fd, &byte, 1, about.st_size / 3) == 1);
        byte = (char)(byte ^ 4);
        EXPECT(pwrite(fd, &byte, 1, about.st_size / 3) == 1);
        close(fd);
    }
    closedir(list);
}

static void damage_is_a_code_for_the_keys_of_its_block_alone(const char *dir) {
    static char buf[9000];
    char key[32];
    unsigned i, damaged = 0;
    lsm_db *db = filled(dir);
    OK(lsm_background(db, LSM_BG_WAIT_IDLE, UINT64_MAX, &err));
    OK(lsm_close(db, 0, &err));
    damage_tables(dir);
    db = open_mapped(dir, LSM_O_READ_ONLY);
    for (i = 0; i < 2 * KEYS; i++) {
        size_t klen = key_of(i % KEYS, key), vlen = value(i % KEYS), got = 0;
        lsm_rc rc = lsm_get(db, NULL, NULL, key, klen, buf, sizeof buf, &got, &err);
        if (rc == LSM_E_CORRUPT) damaged++;
        else EXPECT(rc == LSM_OK && got == vlen && memcmp(buf, text, vlen) == 0);
    }
    EXPECT(damaged > 0 && damaged < KEYS / 4);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(answers_are_the_same_through_a_mapping), TEST(a_pinned_value_outlives_its_table_and_the_database),
     TEST(damage_is_a_code_for_the_keys_of_its_block_alone))
