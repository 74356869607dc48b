/* Removing a database. */
#include "test.h"

static int exists(const char *path) {
    return access(path, F_OK) == 0;
}

static void a_closed_database_is_removed_with_its_directory(const char *dir) {
    lsm_db *db = open_db(dir);
    put_text(db, "k", "v");
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_close(db, 0, &err));
    EXPECT(exists(dir));

    OK(lsm_destroy(dir, &err));

    EXPECT(!exists(dir));
    db = open_db(dir);
    expect_text(db, NULL, "k", "-");
    OK(lsm_close(db, 0, &err));
}

static void an_open_database_is_not_removed(const char *dir) {
    lsm_db *db = open_db(dir);
    put_text(db, "k", "v");

    EXPECT_RC(lsm_destroy(dir, &err), LSM_E_LOCKED);
    EXPECT(err.detail0 == (uint64_t)getpid());

    expect_text(db, NULL, "k", "v");
    OK(lsm_close(db, 0, &err));
    db = open_db(dir);
    expect_text(db, NULL, "k", "v");
    OK(lsm_close(db, 0, &err));
}

static void foreign_files_stay(const char *dir) {
    char path[4200];
    int fd;
    OK(lsm_close(open_db(dir), 0, &err));
    snprintf(path, sizeof path, "%s/notes.txt", dir);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    EXPECT(fd >= 0 && write(fd, "mine", 4) == 4 && close(fd) == 0);

    EXPECT(lsm_destroy(dir, &err) <= 0);

    EXPECT(exists(path));
    snprintf(path, sizeof path, "%s/CURRENT", dir);
    EXPECT(!exists(path));
}

static void an_absent_directory_is_an_error(const char *dir) {
    EXPECT_RC(lsm_destroy(dir, &err), LSM_E_INVALID);
    EXPECT(!exists(dir));
    EXPECT_RC(lsm_destroy("", &err), LSM_E_INVALID);
}

MAIN(TEST(a_closed_database_is_removed_with_its_directory), TEST(an_open_database_is_not_removed),
     TEST(foreign_files_stay), TEST(an_absent_directory_is_an_error))
