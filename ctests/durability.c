/* What was acknowledged survives: a close, and the death of the process by SIGKILL at any moment.
 *
 * `--write-MODE DIR` writes until it is killed and reports each acknowledged number on standard
 * output, four bytes each. Modes: buffer, sync, written (the log without a mapping), batch, small
 * (a write buffer of 64 KiB, so that it rotates, flushes and compacts all the time). */
#include "test.h"

enum { BATCH_KEYS = 5 };

static size_t key_of(char *key, uint32_t n, unsigned part) {
    return (size_t)snprintf(key, 32, "key%08u.%u", n * 2654435761u % 100000007u, part);
}

static size_t value_of(char *value, uint32_t n, unsigned part) {
    size_t len = 20 + n * 37 % 400, i;
    for (i = 0; i < len; i++) value[i] = (char)(n * 31 + part * 7 + i);
    return len;
}

static void put_all(lsm_db *db, const lsm_write_opts *w, lsm_batch *b, uint32_t n) {
    unsigned part;
    char key[32], value[512];
    lsm_slice packed;
    if (!b) {
        OK(lsm_put(db, NULL, w, key, key_of(key, n, 0), value, value_of(value, n, 0), &err));
        return;
    }
    lsm_batch_clear(b);
    for (part = 0; part < BATCH_KEYS; part++) {
        size_t klen = key_of(key, n, part), vlen = value_of(value, n, part);
        OK(lsm_batch_add(b, LSM_OP_PUT, NULL, key, klen, value, vlen, &err));
    }
    OK(lsm_batch_bytes(b, &packed, NULL));
    OK(lsm_write(db, w, packed.data, packed.len, NULL, &err));
}

static int write_until_killed(const char *mode, const char *dir) {
    lsm_db *db = NULL;
    lsm_batch *b = NULL;
    uint32_t n;
    DEFAULTS(lsm_open_opts, o);
    DEFAULTS(lsm_write_opts, w);
    if (strcmp(mode, "sync") == 0) w.durability = LSM_D_SYNC;
    if (strcmp(mode, "written") == 0) o.flags = LSM_O_WRITTEN_LOG;
    if (strcmp(mode, "small") == 0) o.write_buffer_bytes = 64 << 10;
    OK(lsm_open(dir, &o, &db, &err));
    if (strcmp(mode, "batch") == 0) OK(lsm_batch_create(0, &b, &err));
    for (n = 0; ; n++) {
        unsigned char bytes[4];
        put_all(db, &w, b, n);
        set_u32(bytes, n);
        if (write(1, bytes, 4) != 4) return 3;
    }
}

/* Whether entry `n` is there; when it is, it must be right. */
static int is_there(lsm_db *db, uint32_t n, unsigned part) {
    char key[32], value[512], want[512];
    size_t len = 0, klen = key_of(key, n, part), wlen = value_of(want, n, part);
    lsm_rc rc = lsm_get(db, NULL, NULL, key, klen, value, sizeof value, &len, &err);
    if (rc == LSM_NOT_FOUND) return 0;
    EXPECT_RC(rc, LSM_OK);
    EXPECT(len == wlen && memcmp(value, want, len) == 0);
    return 1;
}

static void check(const char *dir, uint32_t acknowledged, unsigned parts) {
    lsm_db *db = open_db(dir);
    uint32_t n;
    unsigned part;
    for (n = 0; n < acknowledged; n++) {
        for (part = 0; part < parts; part++) EXPECT(is_there(db, n, part));
    }
    /* The write in flight is whole or absent, and nothing comes after it. */
    for (part = 1; part < parts; part++) EXPECT(is_there(db, acknowledged, part) == is_there(db, acknowledged, 0));
    EXPECT(!is_there(db, acknowledged + 1, 0));
    OK(lsm_close(db, 0, &err));
}

static void kill_and_check(const char *dir, const char *mode, long ms, unsigned parts) {
    int ends[2];
    unsigned char bytes[4];
    uint32_t acknowledged = 0;
    char flag[32], where[4200];
    pid_t pid;
    snprintf(flag, sizeof flag, "--write-%s", mode);
    snprintf(where, sizeof where, "%s-%s-%ld", dir, mode, ms);
    EXPECT(pipe(ends) == 0);
    pid = start_process(flag, where, ends[1]);
    close(ends[1]);
    /* From the first acknowledgement on, for `ms` milliseconds; the pipe must not fill. */
    EXPECT(read(ends[0], bytes, 4) == 4);
    acknowledged = 1;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    {
        struct timespec from, now;
        clock_gettime(CLOCK_MONOTONIC, &from);
        do {
            while (read(ends[0], bytes, 4) == 4) acknowledged = u32_at(bytes) + 1;
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
    }
    EXPECT(kill(pid, SIGKILL) == 0 && end_of(pid) == 128 + SIGKILL);
    while (read(ends[0], bytes, 4) == 4) acknowledged = u32_at(bytes) + 1;
    close(ends[0]);
    check(where, acknowledged, parts);
    /* Once more, now from what the first recovery left. */
    check(where, acknowledged, parts);
    OK(lsm_destroy(where, &err));
}

static void acknowledged_writes_survive_sigkill(const char *dir) {
    static const long ms[] = { 0, 3, 40, 200 };
    size_t i;
    for (i = 0; i < COUNT(ms); i++) {
        kill_and_check(dir, "buffer", ms[i], 1);
        kill_and_check(dir, "sync", ms[i], 1);
        kill_and_check(dir, "written", ms[i], 1);
        kill_and_check(dir, "batch", ms[i], BATCH_KEYS);
        kill_and_check(dir, "small", ms[i], 1);
    }
}

static void everything_survives_a_close_in_every_mode(const char *dir) {
    int mode;
    for (mode = 0; mode < 6; mode++) {
        char where[4200];
        lsm_db *db = NULL;
        uint32_t n;
        DEFAULTS(lsm_open_opts, o);
        DEFAULTS(lsm_write_opts, w);
        snprintf(where, sizeof where, "%s-%d", dir, mode);
        o.flags = mode & 1 ? LSM_O_WRITTEN_LOG : 0;
        o.durability = mode / 2 == 2 ? LSM_D_SYNC : LSM_D_BUFFER;
        if (mode / 2 == 1) o.write_buffer_bytes = 64 << 10;
        OK(lsm_open(where, &o, &db, &err));
        for (n = 0; n < 1000; n++) put_all(db, &w, NULL, n);
        OK(lsm_close(db, 0, &err));
        check(where, 1000, 1);
    }
}

static void unlogged_writes_survive_a_flush(const char *dir) {
    lsm_db *db = open_db(dir);
    uint32_t n;
    DEFAULTS(lsm_write_opts, w);
    w.durability = LSM_D_NONE;
    for (n = 0; n < 500; n++) put_all(db, &w, NULL, n);
    OK(lsm_flush(db, NULL, 0, &err));
    OK(lsm_close(db, 0, &err));
    check(dir, 500, 1);
}

static const test TESTS[] = { TEST(everything_survives_a_close_in_every_mode),
                              TEST(unlogged_writes_survive_a_flush),
                              TEST(acknowledged_writes_survive_sigkill) };

int main(int argc, char **argv) {
    if (argc == 3 && strncmp(argv[1], "--write-", 8) == 0) return write_until_killed(argv[1] + 8, argv[2]);
    return run_tests(argc, argv, TESTS, COUNT(TESTS));
}
