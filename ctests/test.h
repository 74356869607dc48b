/* What every C test needs: checks that say where they failed, and a main that runs the tests of a
 * file. Header only; C99 and C++. A program takes a scratch directory, and names of tests to run
 * (none: all). It is silent and answers 0 when all passed. */
#ifndef LSMER_TEST_H
#define LSMER_TEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <lsmer.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct test {
    const char *name;
    void (*run)(const char *dir);
} test;

#ifdef __GNUC__
#define MAYBE_UNUSED __attribute__((unused))
#else
#define MAYBE_UNUSED
#endif

/* The error of the last call of the main thread. */
static lsm_error err;
static const char *test_name MAYBE_UNUSED = "?";
/* How this program was started. */
static const char *self_path MAYBE_UNUSED = "?";

#define FAIL(...) (fprintf(stderr, "%s:%d: in %s: ", __FILE__, __LINE__, test_name), \
                   fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), _exit(1))
#define EXPECT(condition) ((condition) ? (void)0 : (void)FAIL("not true: %s", #condition))
#define EXPECT_RC(call, want) expect_rc((call), (want), #call, __FILE__, __LINE__)
#define OK(call) EXPECT_RC(call, LSM_OK)
#define BYTES(literal) (literal), (sizeof(literal) - 1)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static MAYBE_UNUSED void expect_rc(lsm_rc got, lsm_rc want, const char *call, const char *file, int line) {
    if (got == want) return;
    fprintf(stderr, "%s:%d: in %s: %s answers %s, expected %s%s%s\n", file, line, test_name, call,
            lsm_rc_name(got), lsm_rc_name(want), got < 0 ? ": " : "", got < 0 ? err.message : "");
    _exit(1);
}

/* 1 for a full run, more for a slow tool such as valgrind: divide amounts of work by it. */
static MAYBE_UNUSED size_t slowness(void) {
    const char *text = getenv("LSMER_TEST_SLOWNESS");
    long n = text ? atol(text) : 1;
    return n < 1 ? 1 : (size_t)n;
}

/* Opens with default options. */
static MAYBE_UNUSED lsm_db *open_db(const char *dir) {
    lsm_db *db = NULL;
    OK(lsm_open(dir, NULL, &db, &err));
    EXPECT(db != NULL);
    return db;
}

/* All zero but the size: the defaults. */
#define DEFAULTS(type, name) \
    type name; \
    memset(&name, 0, sizeof name); \
    name.struct_size = (uint32_t)sizeof name

static MAYBE_UNUSED void put_text(lsm_db *db, const char *key, const char *value) {
    OK(lsm_put(db, NULL, NULL, key, strlen(key), value, strlen(value), &err));
}

/* "-" for an absent key. */
static MAYBE_UNUSED void expect_text(lsm_db *db, const lsm_read_opts *o, const char *key, const char *want) {
    char value[256];
    size_t len = 0;
    lsm_rc rc = lsm_get(db, NULL, o, key, strlen(key), value, sizeof value, &len, &err);
    if (strcmp(want, "-") == 0) {
        EXPECT_RC(rc, LSM_NOT_FOUND);
        return;
    }
    EXPECT_RC(rc, LSM_OK);
    EXPECT(len == strlen(want) && memcmp(value, want, len) == 0);
}

static MAYBE_UNUSED int slice_is(lsm_slice slice, const char *want) {
    return slice.len == strlen(want) && (slice.len == 0 || memcmp(slice.data, want, slice.len) == 0);
}

static MAYBE_UNUSED uint32_t u32_at(const void *bytes) {
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static MAYBE_UNUSED void set_u32(void *bytes, uint32_t n) {
    unsigned char *b = (unsigned char *)bytes;
    b[0] = (unsigned char)n;
    b[1] = (unsigned char)(n >> 8);
    b[2] = (unsigned char)(n >> 16);
    b[3] = (unsigned char)(n >> 24);
}

/* xorshift: numbers that differ, the same in every run. */
static MAYBE_UNUSED uint64_t random_next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static MAYBE_UNUSED void *allocate(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    EXPECT(p != NULL);
    return p;
}

static MAYBE_UNUSED void sleep_ms(long ms) {
    struct timespec t;
    t.tv_sec = ms / 1000;
    t.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&t, NULL);
}

/* The exit code of a child that ran `body` in a fork; fails when a signal ended it. */
static MAYBE_UNUSED int in_child(int (*body)(void *), void *arg) {
    int status = 0;
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) _exit(body(arg));
    EXPECT(waitpid(pid, &status, 0) == pid);
    if (!WIFEXITED(status)) FAIL("the child was ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* Starts this program anew, with the arguments `mode` and `dir` for its main. What it writes to
 * standard output goes to `output` (-1: where ours goes). */
static MAYBE_UNUSED pid_t start_process(const char *mode, const char *dir, int output) {
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        if (output >= 0) dup2(output, 1);
        execl(self_path, self_path, mode, dir, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Waits for a process: its exit code, or 128 and the signal that ended it. */
static MAYBE_UNUSED int end_of(pid_t pid) {
    int status = 0;
    EXPECT(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static MAYBE_UNUSED int in_process(const char *mode, const char *dir) {
    return end_of(start_process(mode, dir, -1));
}

static MAYBE_UNUSED int run_tests(int argc, char **argv, const test *tests, size_t count) {
    size_t i;
    int a;
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY [TEST...]\n", argv[0]);
        return 2;
    }
    self_path = argv[0];
    for (i = 0; i < count; i++) {
        char dir[4096];
        int wanted = argc == 2;
        for (a = 2; a < argc; a++) wanted |= strcmp(argv[a], tests[i].name) == 0;
        if (!wanted) continue;
        snprintf(dir, sizeof dir, "%s/%s", argv[1], tests[i].name);
        test_name = tests[i].name;
        /* A call that never returns ends the program by SIGALRM instead of the whole run. */
        alarm(900);
        tests[i].run(dir);
    }
    return 0;
}

/* Names of statistics that tests rely on. */
#define STAT_ROTATIONS "rotations"
#define STAT_COMPACTIONS "compactions"

#define TEST(name) { #name, name }
#define MAIN(...) \
    static const test TESTS[] = { __VA_ARGS__ }; \
    int main(int argc, char **argv) { return run_tests(argc, argv, TESTS, COUNT(TESTS)); }
#endif
