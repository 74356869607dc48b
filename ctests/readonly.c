/* Read-only opening: everything is readable, nothing is written.
 *
 * `--read DIR` opens read-only in a process of its own and answers 0 when it finds "k". */
#include "test.h"

#include <dirent.h>

static lsm_db *open_read_only(const char *dir) {
    lsm_db *db = NULL;
    DEFAULTS(lsm_open_opts, o);
    o.flags = LSM_O_READ_ONLY;
    OK(lsm_open(dir, &o, &db, &err));
    return db;
}

static int read_here(const char *dir) {
    lsm_db *db = open_read_only(dir);
    expect_text(db, NULL, "k", "v");
    OK(lsm_close(db, 0, &err));
    return 0;
}

/* A number that changes when a file appears, goes, grows, shrinks or is written. */
static uint64_t fingerprint(const char *dir) {
    DIR *d = opendir(dir);
    struct dirent *entry;
    uint64_t sum = 0;
    EXPECT(d != NULL);
    while ((entry = readdir(d)) != NULL) {
        struct stat st;
        uint64_t h = 1469598103934665603u;
        const char *p;
        if (entry->d_name[0] == '.') continue;
        EXPECT(fstatat(dirfd(d), entry->d_name, &st, 0) == 0);
        for (p = entry->d_name; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
        h = (h ^ (uint64_t)st.st_size) * 1099511628211u;
        h = (h ^ (uint64_t)st.st_mtim.tv_sec) * 1099511628211u;
        sum += (h ^ (uint64_t)st.st_mtim.tv_nsec) * 1099511628211u;
    }
    closedir(d);
    return sum;
}

static void fill_and_close(const char *dir) {
    lsm_db *db = open_db(dir);
    put_text(db, "flushed", "1");
    OK(lsm_flush(db, NULL, 0, &err));
    put_text(db, "k", "v");
    OK(lsm_close(db, 0, &err));
}

static void everything_is_read_and_nothing_written(const char *dir) {
    lsm_db *db;
    lsm_iter *it = NULL;
    lsm_snapshot *snap = NULL;
    lsm_ks *ks = NULL;
    lsm_slice k;
    uint64_t before;
    DEFAULTS(lsm_health, h);
    fill_and_close(dir);
    before = fingerprint(dir);

    db = open_read_only(dir);
    expect_text(db, NULL, "flushed", "1");
    expect_text(db, NULL, "k", "v");
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));
    OK(lsm_iter_next(it, &k, NULL, &err));
    EXPECT(slice_is(k, "flushed"));
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    OK(lsm_health_get(db, &h, NULL));
    EXPECT(h.state == LSM_H_READONLY);
    EXPECT_RC(lsm_put(db, NULL, NULL, BYTES("k"), BYTES("w"), &err), LSM_E_READONLY);
    EXPECT_RC(lsm_delete(db, NULL, NULL, BYTES("k"), &err), LSM_E_READONLY);
    EXPECT_RC(lsm_flush(db, NULL, 0, &err), LSM_E_READONLY);
    EXPECT_RC(lsm_compact(db, NULL, NULL, 0, NULL, 0, 0, 0, &err), LSM_E_READONLY);
    EXPECT_RC(lsm_ks_open(db, "new", NULL, &ks, &err), LSM_E_READONLY);
    EXPECT_RC(lsm_ks_drop(db, "new", &err), LSM_E_READONLY);
    expect_text(db, NULL, "k", "v");
    lsm_iter_close(it);
    lsm_snapshot_release(snap);
    OK(lsm_close(db, 0, &err));

    EXPECT(fingerprint(dir) == before);
}

static void readers_share_and_writers_do_not(const char *dir) {
    lsm_db *writer, *a, *b = NULL;
    DEFAULTS(lsm_open_opts, o);
    o.flags = LSM_O_READ_ONLY;
    fill_and_close(dir);
    a = open_read_only(dir);
    EXPECT(in_process("--read", dir) == 0);
    EXPECT_RC(lsm_open(dir, NULL, &b, &err), LSM_E_LOCKED);
    OK(lsm_close(a, 0, &err));
    writer = open_db(dir);
    EXPECT_RC(lsm_open(dir, &o, &b, &err), LSM_E_LOCKED);
    OK(lsm_close(writer, 0, &err));
}

static void an_absent_database_is_not_created(const char *dir) {
    lsm_db *db = NULL;
    DEFAULTS(lsm_open_opts, o);
    o.flags = LSM_O_READ_ONLY;
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_INVALID);
    EXPECT(db == NULL && access(dir, F_OK) != 0);
}

static const test TESTS[] = { TEST(everything_is_read_and_nothing_written),
                              TEST(readers_share_and_writers_do_not),
                              TEST(an_absent_database_is_not_created) };

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--read") == 0) return read_here(argv[2]);
    return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
