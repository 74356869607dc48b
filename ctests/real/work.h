/* The work that writers do and checkers expect: a sequence of operations for each thread that is
 * the same in every process, the counters that the two share, and what the database must hold after
 * the first n operations.
 *
 * The counters lie in a file outside the database, mapped by writers and checkers and read by the
 * test that drives them. A thread counts an operation as issued before its call and as
 * acknowledged after it, so after its death at most one is in between. Threads own disjoint keys;
 * each value says which operation wrote it and how many operations of its neighbour were
 * acknowledged before that. */
#ifndef LSMER_REAL_WORK_H
#define LSMER_REAL_WORK_H
#define _GNU_SOURCE
#include <lsmer.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, KEY_BYTES = 16, VALUE_BYTES = 100, BATCH_MAX = 9 };

enum { OPENING = 1, WRITING = 2, FAILED = 3 };

/* Words of the shared file; tests/real/shared.rs knows the places. */
typedef struct counters {
    uint64_t next;         /* where the last check found the database, and the model stands */
    uint64_t issued;       /* operations begun */
    uint64_t acknowledged; /* operations that returned LSM_OK; a new writer begins there */
    uint64_t synced;       /* operations known to survive the loss of power */
    uint64_t code;         /* the negated code of the call that stopped the thread */
    uint64_t least;        /* like next, but the first of several states that look the same */
    uint64_t unused[2];
} counters;

typedef struct shared {
    uint64_t phase;
    uint64_t keys; /* of each thread */
    uint64_t seed;
    uint64_t unused[5];
    counters of[THREADS];
    char gap[4096 - 64 - THREADS * 64];
    uint64_t last[]; /* the model: for each thread and key, 1 + the operation that gave its value */
} shared;

typedef struct op {
    uint64_t key;
    int is_put;
} op;

#define FAIL(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

static inline uint64_t load(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void store(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELEASE); }

/* A bijection that mixes all bits. */
static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return x ^ (x >> 33);
}

static inline shared *map_shared(const char *path) {
    struct stat st;
    shared *s;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) FAIL("cannot open %s", path);
    s = (shared *)mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) FAIL("cannot map %s", path);
    if ((size_t)st.st_size < sizeof *s + THREADS * s->keys * 8) FAIL("%s is too short", path);
    close(fd);
    return s;
}

static inline uint64_t *last_of(shared *s, unsigned thread) { return s->last + thread * s->keys; }

/* The i-th piece of work of a thread: 1 operation, or a batch of 2 to BATCH_MAX. */
static inline unsigned work(const shared *s, unsigned thread, uint64_t i, op ops[BATCH_MAX]) {
    uint64_t r = mix(s->seed + mix((i << 8) | thread));
    unsigned kind = (unsigned)(r % 100), count = 1, j;
    if (kind >= 85) count = 2 + (unsigned)((r >> 20) % (BATCH_MAX - 1));
    for (j = 0; j < count; j++) {
        uint64_t q = mix(r + j + 1);
        ops[j].key = (q >> 8) % s->keys;
        ops[j].is_put = count == 1 ? kind < 80 : q % 4 != 0;
    }
    return count;
}

static inline void key_bytes(unsigned thread, uint64_t key, unsigned char out[KEY_BYTES]) {
    uint64_t id = ((uint64_t)thread << 40) | key, front = mix(id + 1), back = id ^ mix(front);
    memcpy(out, &front, 8);
    memcpy(out + 8, &back, 8);
}

/* Which key this is; 0 if it is none of ours. */
static inline int key_of(const unsigned char *bytes, unsigned *thread, uint64_t *key) {
    uint64_t front, back, id;
    memcpy(&front, bytes, 8);
    memcpy(&back, bytes + 8, 8);
    id = back ^ mix(front);
    *thread = (unsigned)(id >> 40);
    *key = id & 0xffffffffffu;
    return mix(id + 1) == front;
}

/* The value that piece of work i of the thread gives the key; `seen` of its neighbour's. */
static inline void value_bytes(unsigned thread, uint64_t key, uint64_t i, uint64_t seen, unsigned char out[VALUE_BYTES]) {
    uint64_t r = mix(key ^ mix((i << 8) | thread));
    size_t at;
    memcpy(out, &i, 8);
    memcpy(out + 8, &seen, 8);
    for (at = 16; at + 8 <= VALUE_BYTES; at += 8) {
        uint64_t word = r ^ (seen << 1);
        memcpy(out + at, &word, 8);
        r = r * 6364136223846793005u + 1442695040888963407u;
    }
    memset(out + at, 0x5a, VALUE_BYTES - at);
}

/* Makes the model of a thread say what is there after piece of work i. */
static inline void apply(shared *s, unsigned thread, uint64_t i) {
    op ops[BATCH_MAX];
    unsigned count = work(s, thread, i, ops), j;
    for (j = 0; j < count; j++) last_of(s, thread)[ops[j].key] = ops[j].is_put ? i + 1 : 0;
}

/* Opens the database as writers and checkers do: with a written log tables are read through
 * mappings, so that both kinds of trials do both kinds of reads. */
static inline lsm_db *open_database(const char *path, uint64_t write_buffer_bytes, int is_written) {
    lsm_open_opts o;
    lsm_error err;
    lsm_db *db = NULL;
    memset(&o, 0, sizeof o);
    o.struct_size = sizeof o;
    o.flags = is_written ? LSM_O_WRITTEN_LOG | LSM_O_MAPPED_READS : 0;
    o.write_buffer_bytes = write_buffer_bytes;
    if (lsm_open(path, &o, &db, &err) != LSM_OK) FAIL("cannot open %s: %s: %s", path, lsm_rc_name(err.code), err.message);
    return db;
}
#endif
