/* A tour of lsmer in C: load, look up, scan a snapshot while others write, survive a crash.
 *
 * usage: quickstart UnicodeData.txt DIRECTORY
 *
 * `cargo run --release --example quickstart` compiles this file against the library and runs it on
 * examples/data/UnicodeData.txt, 34,924 lines such as
 *
 *   1F980;CRAB;So;0;ON;;;;;N;;;;;
 *
 * Every call of lsmer returns a code: below 0 it failed and `err` says why, 0 is done, above 0 is
 * ordinary news such as LSM_NOT_FOUND. `must` ends the program on the first failure. The process
 * runs itself again as `quickstart --crash DIRECTORY FD` for the part that dies. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lsmer.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_OPS = 500, SYNCED_WRITES = 200, WRITERS = 2, CRASH_AFTER = 50000, KEY_BYTES = 9 };
/* The scan covers the Greek and Coptic block. */
enum { RANGE_FIRST = 0x370, RANGE_END = 0x400, SCANS = 200 };

static lsm_error err;

/* One line of the data file; the pointers lead into the file's text and end at no NUL. */
struct row {
    uint32_t code;
    const char *name, *line;
    size_t name_bytes, line_bytes;
};

struct table {
    struct row *rows;
    size_t count;
    char *text;
};

/* ---- small helpers ---- */

static void fail(const char *what, const char *why) {
    fprintf(stderr, "quickstart: %s: %s\n", what, why);
    exit(1);
}

static lsm_rc must(const char *what, lsm_rc rc) {
    if (rc < 0) {
        fprintf(stderr, "quickstart: %s: %s (%s)\n", what, err.message, lsm_rc_name(rc));
        exit(1);
    }
    return rc;
}

static void expect(int holds, const char *what) {
    if (!holds) fail("this should hold, and does not", what);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Keys are compared as bytes, so numbers go in with their highest byte first. */
static void big_endian(uint8_t *out, uint64_t number, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
}

static uint32_t code_of(const uint8_t *key) {
    return (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
}

/* ---- the data file ---- */

static struct table read_table(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path, "cannot be opened");
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    struct table table = {0};
    table.text = calloc(1, (size_t)bytes + 1);
    table.rows = calloc((size_t)bytes / 8 + 1, sizeof *table.rows);
    if (!table.text || !table.rows) fail(path, "no memory");
    if (fread(table.text, 1, (size_t)bytes, file) != (size_t)bytes) fail(path, "cannot be read");
    fclose(file);
    for (const char *at = table.text; *at;) {
        struct row *row = &table.rows[table.count++];
        const char *end = strchr(at, '\n'), *name = strchr(at, ';');
        if (!end || !name || name > end) fail(path, "not in the format of UnicodeData.txt");
        const char *name_end = strchr(name + 1, ';');
        if (!name_end || name_end > end) fail(path, "not in the format of UnicodeData.txt");
        *row = (struct row){.code = (uint32_t)strtoul(at, NULL, 16), .name = name + 1, .line = at};
        row->name_bytes = (size_t)(name_end - row->name);
        row->line_bytes = (size_t)(end - at);
        at = end + 1;
    }
    return table;
}

/* `<control>` and the ends of ranges are not names. */
static int has_name(const struct row *row) { return row->name[0] != '<'; }

/* ---- 1. load: batches over two keyspaces ---- */

static void load(lsm_db *db, lsm_ks *by_code, lsm_ks *by_name, const struct table *table) {
    lsm_batch *batch = NULL;
    size_t records = 0, batches = 0;
    double start = seconds();
    must("lsm_batch_create", lsm_batch_create(1 << 16, &batch, &err));
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        uint8_t code[4];
        big_endian(code, row->code, sizeof code);
        must("lsm_batch_add", lsm_batch_add(batch, LSM_OP_PUT, by_code, code, sizeof code,
                                            row->line, row->line_bytes, &err));
        if (has_name(row)) {
            must("lsm_batch_add", lsm_batch_add(batch, LSM_OP_PUT, by_name, row->name,
                                                row->name_bytes, code, sizeof code, &err));
        }
        uint32_t count = 0;
        lsm_slice packed = {0};
        must("lsm_batch_bytes", lsm_batch_bytes(batch, &packed, &count));
        if (count >= BATCH_OPS || i + 1 == table->count) {
            /* All of the batch becomes visible at once, in both keyspaces, or none of it. */
            must("lsm_write", lsm_write(db, NULL, packed.data, packed.len, NULL, &err));
            lsm_batch_clear(batch);
            records += count;
            batches++;
        }
    }
    lsm_batch_release(batch);
    double took = seconds() - start;
    printf("1. Load: %zu lines became %zu records in two keyspaces, \"by_code\" and \"by_name\",\n"
           "   written in %zu batches: %.1f ms, %.2f million records a second.\n\n",
           table->count, records, batches, took * 1e3, (double)records / took / 1e6);
}

/* ---- 2. look up ---- */

static void look_up(lsm_db *db, lsm_ks *by_code, lsm_ks *by_name, const struct table *table) {
    static const char name[] = "GREEK SMALL LETTER LAMDA";
    char line[512];
    uint8_t key[4];
    size_t bytes = 0;
    big_endian(key, 0x1F980, sizeof key);
    lsm_rc rc = must("lsm_get", lsm_get(db, by_code, NULL, key, sizeof key, line, sizeof line,
                                        &bytes, &err));
    expect(rc == LSM_OK, "U+1F980 is found");
    printf("2. Look up: U+1F980 is   %.*s\n", (int)bytes, line);
    rc = must("lsm_get", lsm_get(db, by_name, NULL, name, sizeof name - 1, key, sizeof key, &bytes,
                                 &err));
    expect(rc == LSM_OK && bytes == sizeof key, "the lambda is found by name");
    printf("   %s is U+%04X\n", name, (unsigned)code_of(key));
    rc = must("lsm_get", lsm_get(db, by_name, NULL, "SNOWCRAB", 8, key, sizeof key, &bytes, &err));
    expect(rc == LSM_NOT_FOUND, "there is no snowcrab");
    printf("   SNOWCRAB is not there: %s\n", lsm_rc_name(rc));

    size_t found = 0;
    double start = seconds();
    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        if (!has_name(row)) continue;
        rc = lsm_get(db, by_name, NULL, row->name, row->name_bytes, key, sizeof key, &bytes, &err);
        must("lsm_get", rc);
        expect(rc == LSM_OK && code_of(key) == row->code, "a name leads to its code point");
        found++;
    }
    double took = seconds() - start;
    printf("   All %zu names, one by one: %.1f ms, %.0f ns each.\n\n", found, took * 1e3,
           took * 1e9 / (double)found);
}

/* ---- 3. a snapshot, scanned both ways while another thread writes ---- */

struct rewriter {
    lsm_db *db;
    lsm_ks *by_code;
    atomic_int stop;
    atomic_ulong writes;
};

/* Gives every character of the range a new value, again and again. */
static void *rewrite(void *arg) {
    struct rewriter *job = arg;
    lsm_error why;
    while (!atomic_load(&job->stop)) {
        unsigned long count = atomic_fetch_add(&job->writes, 1);
        uint8_t key[4];
        char value[32];
        big_endian(key, RANGE_FIRST + count % (RANGE_END - RANGE_FIRST), sizeof key);
        int bytes = snprintf(value, sizeof value, "rewritten %lu", count);
        if (lsm_put(job->db, job->by_code, NULL, key, sizeof key, value, (size_t)bytes, &why) < 0)
            fail("lsm_put", why.message);
    }
    return NULL;
}

static void expect_row(const struct row *row, lsm_slice key, lsm_slice value) {
    expect(key.len == 4 && code_of(key.data) == row->code, "keys come in order");
    expect(value.len == row->line_bytes && !memcmp(value.data, row->line, value.len),
           "the snapshot shows the value as it was loaded");
}

/* Walks the range once in each direction; returns how many entries each walk saw. */
static size_t scan(lsm_db *db, lsm_ks *by_code, const lsm_read_opts *at, const struct row *first) {
    uint8_t lo[4], hi[4];
    lsm_iter *iter = NULL;
    lsm_slice key = {0}, value = {0};
    size_t forward = 0, backward = 0;
    big_endian(lo, RANGE_FIRST, sizeof lo);
    big_endian(hi, RANGE_END, sizeof hi); /* the end is exclusive */
    must("lsm_iter_open",
         lsm_iter_open(db, by_code, at, lo, sizeof lo, hi, sizeof hi, &iter, &err));
    while (must("lsm_iter_next", lsm_iter_next(iter, &key, &value, &err)) == LSM_OK)
        expect_row(&first[forward++], key, value);
    while (must("lsm_iter_prev", lsm_iter_prev(iter, &key, &value, &err)) == LSM_OK)
        expect_row(&first[forward - 1 - backward++], key, value);
    lsm_iter_close(iter);
    expect(forward == backward, "both directions see the same entries");
    return forward;
}

static void snapshot(lsm_db *db, lsm_ks *by_code, const struct table *table) {
    const struct row *first = table->rows;
    while (first->code < RANGE_FIRST) first++;
    lsm_snapshot *snap = NULL;
    must("lsm_snapshot_create", lsm_snapshot_create(db, &snap, NULL, &err));
    lsm_read_opts at = {.struct_size = sizeof at, .snap = snap};

    struct rewriter job = {.db = db, .by_code = by_code};
    pthread_t thread;
    expect(pthread_create(&thread, NULL, rewrite, &job) == 0, "a thread starts");
    size_t scans = 0, entries = 0;
    double start = seconds();
    while (scans < SCANS || atomic_load(&job.writes) < SCANS) {
        entries = scan(db, by_code, &at, first);
        scans++;
    }
    double took = seconds() - start;
    atomic_store(&job.stop, 1);
    pthread_join(thread, NULL);

    uint8_t lambda[4];
    char now[512], then[512];
    size_t now_bytes = 0, then_bytes = 0;
    big_endian(lambda, 0x3BB, sizeof lambda);
    must("lsm_get", lsm_get(db, by_code, NULL, lambda, 4, now, sizeof now, &now_bytes, &err));
    must("lsm_get", lsm_get(db, by_code, &at, lambda, 4, then, sizeof then, &then_bytes, &err));
    lsm_snapshot_release(snap);
    printf("3. Snapshot: U+%04X to U+%04X, %zu entries, scanned %zu times forward and back\n"
           "   while another thread wrote %lu times into that range. Every scan saw the moment of\n"
           "   the snapshot: %.0f ns an entry.\n",
           RANGE_FIRST, RANGE_END - 1, entries, scans, atomic_load(&job.writes),
           took * 1e9 / (double)(scans * entries * 2));
    printf("   U+03BB now:             %.*s\n", (int)now_bytes, now);
    printf("   U+03BB in the snapshot: %.*s\n\n", (int)then_bytes, then);
}

/* ---- 4. durability ---- */

static void synced_writes(lsm_db *db) {
    lsm_write_opts sync = {.struct_size = sizeof sync, .durability = LSM_D_SYNC};
    double start = seconds();
    for (uint64_t i = 0; i < SYNCED_WRITES; i++) {
        uint8_t key[8];
        big_endian(key, i, sizeof key);
        must("lsm_put", lsm_put(db, NULL, &sync, key, sizeof key, "kept", 4, &err));
    }
    printf("4. Durability: a write survives the death of the process. With LSM_D_SYNC it survives\n"
           "   power loss too: %d such writes, %.0f us each.\n\n",
           SYNCED_WRITES, (seconds() - start) * 1e6 / SYNCED_WRITES);
}

/* ---- 5. a process that is killed while it writes ---- */

/* Lives in memory shared by both processes and outside the database: for each writing thread, how
 * many of its batches lsmer has acknowledged. */
struct acknowledged {
    atomic_ullong batches[WRITERS];
};

struct writer {
    lsm_db *db;
    lsm_ks *left, *right;
    struct acknowledged *acknowledged;
    uint8_t number;
};

static void crash_key(uint8_t *key, size_t writer, uint64_t i) {
    key[0] = (uint8_t)writer;
    big_endian(key + 1, i, KEY_BYTES - 1);
}

/* The value of a key is known from the key alone: 8 to 71 bytes of a number. */
static size_t crash_value(uint8_t *value, uint64_t i) {
    size_t bytes = 8 + (size_t)(i * 7 % 64);
    for (size_t at = 0; at < bytes; at++) value[at] = (uint8_t)(i * 31 + at);
    return bytes;
}

/* Writes batches that put one key into two keyspaces, for ever. */
static void *write_until_killed(void *arg) {
    struct writer *writer = arg;
    lsm_error why;
    lsm_batch *batch = NULL;
    lsm_rc rc = lsm_batch_create(256, &batch, &why);
    for (uint64_t i = 0; rc >= 0; i++) {
        uint8_t key[KEY_BYTES], value[80];
        lsm_slice packed = {0};
        crash_key(key, writer->number, i);
        size_t bytes = crash_value(value, i);
        lsm_batch_clear(batch);
        rc = lsm_batch_add(batch, LSM_OP_PUT, writer->left, key, sizeof key, value, bytes, &why);
        if (rc < 0) break;
        rc = lsm_batch_add(batch, LSM_OP_PUT, writer->right, key, sizeof key, value, bytes, &why);
        if (rc < 0) break;
        lsm_batch_bytes(batch, &packed, NULL);
        rc = lsm_write(writer->db, NULL, packed.data, packed.len, NULL, &why);
        if (rc >= 0) atomic_store(&writer->acknowledged->batches[writer->number], i + 1);
    }
    fail("the writing process", why.message);
    return NULL;
}

static unsigned long long total(struct acknowledged *acknowledged) {
    unsigned long long sum = 0;
    for (size_t i = 0; i < WRITERS; i++) sum += atomic_load(&acknowledged->batches[i]);
    return sum;
}

static struct acknowledged *share(int fd) {
    void *at = mmap(NULL, sizeof(struct acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) fail("mmap", "no shared memory");
    return at;
}

/* The child: never closes the database, never returns. */
static int crash(const char *directory, int fd) {
    struct acknowledged *acknowledged = share(fd);
    struct writer writers[WRITERS];
    lsm_db *db = NULL;
    lsm_ks *left = NULL, *right = NULL;
    must("lsm_open", lsm_open(directory, NULL, &db, &err));
    must("lsm_ks_open", lsm_ks_open(db, "left", NULL, &left, &err));
    must("lsm_ks_open", lsm_ks_open(db, "right", NULL, &right, &err));
    for (uint8_t i = 0; i < WRITERS; i++) {
        pthread_t thread;
        writers[i] = (struct writer){db, left, right, acknowledged, i};
        expect(pthread_create(&thread, NULL, write_until_killed, &writers[i]) == 0, "threads");
    }
    while (total(acknowledged) < CRASH_AFTER) {
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    kill(getpid(), SIGKILL);
    return 1;
}

/* Whether the batch is there: 1 whole, 0 absent. Anything between ends the program. */
static int present(lsm_db *db, lsm_ks *left, lsm_ks *right, size_t writer, uint64_t i) {
    uint8_t key[KEY_BYTES], value[80], want[80];
    size_t bytes = 0, want_bytes = crash_value(want, i);
    int found = 0;
    crash_key(key, writer, i);
    for (int side = 0; side < 2; side++) {
        lsm_ks *ks = side ? right : left;
        lsm_rc rc = lsm_get(db, ks, NULL, key, sizeof key, value, sizeof value, &bytes, &err);
        if (must("lsm_get", rc) == LSM_NOT_FOUND) continue;
        expect(bytes == want_bytes && !memcmp(value, want, bytes), "a value is what was written");
        found++;
    }
    expect(found != 1, "a batch is there whole or not at all");
    return found / 2;
}

static void survive(const char *directory) {
    int fd = memfd_create("acknowledged", 0);
    if (fd < 0 || ftruncate(fd, sizeof(struct acknowledged))) fail("memfd", "no shared memory");
    struct acknowledged *acknowledged = share(fd);
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "quickstart", "--crash", directory, number, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) fail("fork", "no child process");
    expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child dies by SIGKILL");

    lsm_db *db = NULL;
    lsm_ks *left = NULL, *right = NULL;
    double start = seconds();
    must("lsm_open", lsm_open(directory, NULL, &db, &err));
    double took = seconds() - start;
    must("lsm_ks_open", lsm_ks_open(db, "left", NULL, &left, &err));
    must("lsm_ks_open", lsm_ks_open(db, "right", NULL, &right, &err));
    unsigned long long extra = 0;
    for (size_t writer = 0; writer < WRITERS; writer++) {
        uint64_t count = atomic_load(&acknowledged->batches[writer]);
        for (uint64_t i = 0; i < count; i++)
            expect(present(db, left, right, writer, i), "an acknowledged batch is there");
        extra += (unsigned)present(db, left, right, writer, count);
        expect(!present(db, left, right, writer, count + 1), "nothing is there that was not begun");
    }
    printf("5. Crash: a child process with %d writing threads killed itself (SIGKILL) in the middle\n"
           "   of its writes. lsmer had acknowledged %llu batches, counted outside the database.\n"
           "   Reopened in %.1f ms: all %llu are there, each whole in both of its keyspaces, and %llu\n"
           "   more, written but not yet acknowledged.\n\n",
           WRITERS, total(acknowledged), took * 1e3, total(acknowledged), extra);
    lsm_ks_release(left);
    lsm_ks_release(right);
    must("lsm_close", lsm_close(db, 0, &err));
}

int main(int argc, char **argv) {
    if (argc == 4 && !strcmp(argv[1], "--crash")) return crash(argv[2], atoi(argv[3]));
    if (argc != 3) fail("usage", "quickstart UnicodeData.txt DIRECTORY");
    struct table table = read_table(argv[1]);
    lsm_db *db = NULL;
    lsm_ks *by_code = NULL, *by_name = NULL;
    double start = seconds();
    must("lsm_open", lsm_open(argv[2], NULL, &db, &err));
    must("lsm_ks_open", lsm_ks_open(db, "by_code", NULL, &by_code, &err));
    must("lsm_ks_open", lsm_ks_open(db, "by_name", NULL, &by_name, &err));
    printf("lsmer %s, ABI %u: a new database in %s (%.1f ms)\n\n", lsm_version(),
           (unsigned)lsm_abi_version(), argv[2], (seconds() - start) * 1e3);
    load(db, by_code, by_name, &table);
    look_up(db, by_code, by_name, &table);
    snapshot(db, by_code, &table);
    synced_writes(db);
    lsm_ks_release(by_code);
    lsm_ks_release(by_name);
    must("lsm_close", lsm_close(db, 0, &err));
    survive(argv[2]);
    must("lsm_destroy", lsm_destroy(argv[2], &err));
    free(table.rows);
    free(table.text);
    printf("Everything that was checked holds. The program is examples/quickstart.c.\n");
    return 0;
}
