/* One writer: others are told who has the database, by whatever path they come.
 *
 * `--open DIR` opens DIR in a process of its own: exit code 0 when it could, 10 when it was locked by
 * the parent, 11 when locked by another. `--hold DIR` opens, says "ready" and waits to be killed. */
#include "test.h"

static int open_here(const char *dir) {
    lsm_db *db = NULL;
    lsm_rc rc = lsm_open(dir, NULL, &db, &err);
    if (rc == LSM_E_LOCKED) return err.detail0 == (uint64_t)getppid() ? 10 : 11;
    EXPECT_RC(rc, LSM_OK);
    OK(lsm_close(db, 0, &err));
    return 0;
}

static int hold(const char *dir) {
    open_db(dir);
    EXPECT(write(1, "ready", 5) == 5);
    for (;;) pause();
}

static void another_process_is_told_the_owner(const char *dir) {
    lsm_db *db = open_db(dir);
    EXPECT(in_process("--open", dir) == 10);
    put_text(db, "k", "v");
    OK(lsm_close(db, 0, &err));
    EXPECT(in_process("--open", dir) == 0);
    db = open_db(dir);
    expect_text(db, NULL, "k", "v");
    OK(lsm_close(db, 0, &err));
}

static void the_same_process_cannot_open_twice_by_any_path(const char *dir) {
    char other[4][4300], *slash;
    size_t i;
    lsm_db *db = open_db(dir), *second = (lsm_db *)&err;
    snprintf(other[0], sizeof other[0], "%s", dir);
    snprintf(other[1], sizeof other[1], "%s/", dir);
    slash = strrchr(other[0], '/');
    EXPECT(slash != NULL);
    snprintf(other[2], sizeof other[2], "%.*s/./..%s/%s", (int)(slash - other[0]), other[0],
             strrchr((*slash = 0, other[0]), '/'), slash + 1);
    *slash = '/';
    snprintf(other[3], sizeof other[3], "%s-link", dir);
    EXPECT(symlink(dir, other[3]) == 0);
    for (i = 0; i < 4; i++) {
        EXPECT_RC(lsm_open(other[i], NULL, &second, &err), LSM_E_LOCKED);
        EXPECT(second == NULL && err.detail0 == (uint64_t)getpid() && (err.flags & LSM_ERR_RETRYABLE));
        EXPECT(in_process("--open", other[i]) == 10);
    }
    OK(lsm_close(db, 0, &err));
    for (i = 0; i < 4; i++) OK(lsm_close(open_db(other[i]), 0, &err));
}

static void a_removed_lock_file_lets_nobody_in(const char *dir) {
    char lock[4300];
    lsm_db *db = open_db(dir), *second = NULL;
    snprintf(lock, sizeof lock, "%s/LOCK", dir);
    EXPECT(unlink(lock) == 0);
    EXPECT(in_process("--open", dir) >= 10);
    EXPECT_RC(lsm_open(dir, NULL, &second, &err), LSM_E_LOCKED);
    put_text(db, "k", "v");
    OK(lsm_close(db, 0, &err));
    db = open_db(dir);
    expect_text(db, NULL, "k", "v");
    OK(lsm_close(db, 0, &err));
}

static void a_killed_owner_leaves_no_lock(const char *dir) {
    int ends[2];
    char word[5];
    pid_t pid;
    lsm_db *db = NULL;
    EXPECT(pipe(ends) == 0);
    pid = start_process("--hold", dir, ends[1]);
    EXPECT(read(ends[0], word, 5) == 5);
    EXPECT_RC(lsm_open(dir, NULL, &db, &err), LSM_E_LOCKED);
    EXPECT(err.detail0 == (uint64_t)pid);
    EXPECT(kill(pid, SIGKILL) == 0 && end_of(pid) == 128 + SIGKILL);
    OK(lsm_close(open_db(dir), 0, &err));
    close(ends[0]);
    close(ends[1]);
}

static const test TESTS[] = { TEST(another_process_is_told_the_owner),
                              TEST(the_same_process_cannot_open_twice_by_any_path),
                              TEST(a_removed_lock_file_lets_nobody_in),
                              TEST(a_killed_owner_leaves_no_lock) };

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--open") == 0) return open_here(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--hold") == 0) return hold(argv[2]);
    return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
