/* What a put costs in system calls: 2 million puts of 16-byte keys and 100-byte values by two
 * threads, with flush and compaction held back.
 *
 * put_cost DIRECTORY [PUTS]
 *
 * Prints nanoseconds a put. To count calls, run it under `strace -c -f`. */
#include "work.h"

typedef struct putter {
    pthread_t thread;
    unsigned id;
    lsm_db *db;
    uint64_t puts;
} putter;

static void *body(void *arg) {
    putter *p = (putter *)arg;
    unsigned char key[KEY_BYTES], value[VALUE_BYTES];
    lsm_error err;
    uint64_t i;
    for (i = 0; i < p->puts; i++) {
        uint64_t k = mix((i << 1) | p->id);
        key_bytes(p->id, k & 0xffffffffffu, key);
        value_bytes(p->id, k, i, 0, value);
        if (lsm_put(p->db, NULL, NULL, key, sizeof key, value, sizeof value, &err) != LSM_OK)
            FAIL("a put answers %s: %s", lsm_rc_name(err.code), err.message);
    }
    return NULL;
}

int main(int argc, char **argv) {
    putter putters[THREADS];
    lsm_env_opts eo;
    lsm_open_opts oo;
    lsm_env *env = NULL;
    lsm_db *db = NULL;
    lsm_error err;
    struct timespec from, to;
    uint64_t puts = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000000;
    unsigned t;
    if (argc < 2) FAIL("put_cost DIRECTORY [PUTS]");
    memset(&eo, 0, sizeof eo);
    eo.struct_size = sizeof eo;
    eo.memory_budget = (uint64_t)4 << 30;
    if (lsm_env_create(&eo, &env, &err) != LSM_OK) FAIL("no environment: %s", err.message);
    memset(&oo, 0, sizeof oo);
    oo.struct_size = sizeof oo;
    oo.env = env;
    if (lsm_open(argv[1], &oo, &db, &err) != LSM_OK) FAIL("cannot open: %s", err.message);
    if (lsm_background(db, LSM_BG_PAUSE, UINT64_MAX, &err) != LSM_OK) FAIL("cannot pause: %s", err.message);
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (t = 0; t < THREADS; t++) {
        putters[t].id = t;
        putters[t].db = db;
        putters[t].puts = puts / THREADS;
        if (pthread_create(&putters[t].thread, NULL, body, &putters[t]) != 0) FAIL("no thread");
    }
    for (t = 0; t < THREADS; t++) pthread_join(putters[t].thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("%.0f ns a put\n", ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (double)puts);
    fflush(stdout);
    _exit(0);
}
