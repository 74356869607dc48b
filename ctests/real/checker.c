/* Checks what a killed writer left: that it is what each thread's first n pieces of work make, for
 * some n of which all that binds is part.
 *
 * checker DATABASE COUNTERS WRITE_BUFFER_BYTES LOG END BOUND...
 *   END    close, or die (without closing)
 *   BOUND  for each thread, the pieces of work that must be there
 *
 * 1. Every key and value that a scan gives must be one that some piece of work wrote, whole.
 * 2. From the bound on the model is moved forward until it equals the scan. A lost write, a torn
 *    batch or a hole equal no n.
 * 3. What a surviving value had seen of the neighbour's acknowledgements must have survived too.
 * 4. Every key is asked for: lsm_get must say the same as the scan.
 *
 * The counters then begin at n, which is durable now: what recovery has shown must stay. */
#include "work.h"

typedef struct found {
    uint64_t *last; /* as in the model, for all threads */
    uint64_t seen[THREADS];
    uint64_t entries;
} found;

static void take(const shared *s, found *f, const unsigned char *key, uint32_t klen, const unsigned char *value, uint32_t vlen) {
    unsigned char expected[VALUE_BYTES];
    unsigned thread;
    uint64_t k, i, seen, *last;
    if (klen != KEY_BYTES || !key_of(key, &thread, &k) || thread >= THREADS || k >= s->keys)
        FAIL("a key was never written");
    if (vlen != VALUE_BYTES) FAIL("a value has %u bytes", vlen);
    memcpy(&i, value, 8);
    memcpy(&seen, value + 8, 8);
    value_bytes(thread, k, i, seen, expected);
    if (memcmp(value, expected, VALUE_BYTES) != 0) FAIL("the value of key %llu of thread %u is wrong", (unsigned long long)k, thread);
    if (seen > f->seen[thread]) f->seen[thread] = seen;
    last = &f->last[thread * s->keys + k];
    if (*last != 0) FAIL("key %llu of thread %u comes twice", (unsigned long long)k, thread);
    *last = i + 1;
    f->entries++;
}

static void scan(const shared *s, lsm_db *db, found *f) {
    enum { PAGE = 1 << 20 };
    unsigned char *page = (unsigned char *)malloc(PAGE), before[KEY_BYTES];
    int any = 0;
    lsm_iter *it = NULL;
    lsm_error err;
    lsm_rc rc;
    if (page == NULL) FAIL("no memory");
    if (lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err) != LSM_OK) FAIL("no iterator: %s", err.message);
    do {
        size_t used = 0, count = 0, at = 0;
        rc = lsm_iter_read(it, LSM_DIR_FORWARD, SIZE_MAX, page, PAGE, &used, &count, &err);
        if (rc < 0) FAIL("the scan ends with %s: %s", lsm_rc_name(rc), err.message);
        while (at < used) {
            uint32_t lens[2];
            memcpy(lens, page + at, 8);
            take(s, f, page + at + 8, lens[0], page + at + 8 + lens[0], lens[1]);
            if (any && memcmp(before, page + at + 8, KEY_BYTES) >= 0) FAIL("the scan is out of order");
            memcpy(before, page + at + 8, KEY_BYTES);
            any = 1;
            at += 8 + lens[0] + lens[1];
        }
    } while (rc != LSM_END);
    lsm_iter_close(it);
    free(page);
}

/* Whether piece of work i changes nothing of the model: it only deletes what is not there. */
static int is_idle(shared *s, unsigned thread, uint64_t i) {
    op ops[BATCH_MAX];
    unsigned count = work(s, thread, i, ops), j, k;
    for (j = 0; j < count; j++) {
        int is_put = ops[j].is_put;
        for (k = j + 1; k < count; k++)
            if (ops[k].key == ops[j].key) is_put = ops[k].is_put;
        if (is_put || last_of(s, thread)[ops[j].key] != 0) return 0;
    }
    return 1;
}

/* Moves the model of a thread to the state that was found. Returns its n, the last one if several
 * follow that cannot be told apart. */
static uint64_t find(shared *s, const found *f, unsigned thread, uint64_t bound) {
    counters *c = &s->of[thread];
    uint64_t *model = last_of(s, thread), *real = f->last + thread * s->keys, n, k, wrong = 0, example = 0;
    for (n = load(&c->next); n < bound; n++) apply(s, thread, n);
    for (k = 0; k < s->keys; k++) wrong += model[k] != real[k];
    while (wrong != 0 && n < load(&c->issued)) {
        op ops[BATCH_MAX];
        unsigned count = work(s, thread, n, ops), j;
        for (j = 0; j < count; j++) wrong -= model[ops[j].key] != real[ops[j].key];
        /* A key that comes twice in the batch was taken off twice. */
        for (j = 0; j < count; j++) {
            unsigned before = 0;
            while (before < j && ops[before].key != ops[j].key) before++;
            if (before < j) wrong += model[ops[j].key] != real[ops[j].key];
        }
        apply(s, thread, n++);
        for (j = 0; j < count; j++) {
            unsigned before = 0;
            while (before < j && ops[before].key != ops[j].key) before++;
            if (before == j) wrong += model[ops[j].key] != real[ops[j].key];
        }
    }
    if (wrong == 0) {
        store(&c->least, n);
        while (n < load(&c->issued) && is_idle(s, thread, n)) n++;
        return n;
    }
    while (example < s->keys && model[example] == real[example]) example++;
    FAIL("thread %u: %llu keys differ from every state between %llu and %llu pieces of work; key %llu has %lld "
         "instead of %lld",
         thread, (unsigned long long)wrong, (unsigned long long)bound, (unsigned long long)n,
         (unsigned long long)example, (long long)real[example] - 1, (long long)model[example] - 1);
}

static void ask(shared *s, lsm_db *db, const found *f, unsigned thread) {
    uint64_t k;
    lsm_error err;
    for (k = 0; k < s->keys; k++) {
        unsigned char key[KEY_BYTES], value[VALUE_BYTES];
        uint64_t last = f->last[thread * s->keys + k], i;
        size_t len = 0;
        lsm_rc rc;
        key_bytes(thread, k, key);
        rc = lsm_get(db, NULL, NULL, key, sizeof key, value, sizeof value, &len, &err);
        if (rc == LSM_NOT_FOUND && last == 0) continue;
        if (rc != LSM_OK) FAIL("a get answers %s, the scan has %llu", lsm_rc_name(rc), (unsigned long long)last);
        memcpy(&i, value, 8);
        if (len != VALUE_BYTES || i + 1 != last) FAIL("a get differs from the scan");
    }
}

int main(int argc, char **argv) {
    shared *s;
    lsm_db *db;
    lsm_error err;
    found f;
    uint64_t n[THREADS];
    unsigned t;
    if (argc != 6 + THREADS) FAIL("checker DATABASE COUNTERS WRITE_BUFFER_BYTES LOG END BOUND...");
    s = map_shared(argv[2]);
    memset(&f, 0, sizeof f);
    f.last = (uint64_t *)calloc(THREADS * s->keys, 8);
    if (f.last == NULL) FAIL("no memory");
    db = open_database(argv[1], strtoull(argv[3], NULL, 10), strcmp(argv[4], "written") == 0);
    scan(s, db, &f);
    for (t = 0; t < THREADS; t++) n[t] = find(s, &f, t, strtoull(argv[6 + t], NULL, 10));
    for (t = 0; t < THREADS; t++) {
        if (f.seen[t] > n[1 - t])
            FAIL("thread %u survived up to %llu, but a later write of its neighbour had seen %llu acknowledged", 1 - t,
                 (unsigned long long)n[1 - t], (unsigned long long)f.seen[t]);
        ask(s, db, &f, t);
    }
    if (strcmp(argv[5], "close") == 0 && lsm_close(db, 0, &err) != LSM_OK) FAIL("the close answers %s", err.message);
    for (t = 0; t < THREADS; t++) {
        counters *c = &s->of[t];
        store(&c->next, n[t]);
        store(&c->issued, n[t]);
        store(&c->acknowledged, n[t]);
        store(&c->synced, n[t]);
        store(&c->code, 0);
        printf("%llu ", (unsigned long long)n[t]);
    }
    printf("%llu\n", (unsigned long long)f.entries);
    fflush(stdout);
    _exit(0);
}
