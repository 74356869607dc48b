/* Eight threads over everything at once: puts, deletes, batches, gets, cursors, snapshots, with
 * write buffers so small that they rotate all the time and compaction runs beneath. Every value that
 * is read is checked, every batch is seen whole. */
#include "test.h"

enum { THREADS = 8, KEYS = 400, GROUP = 8 };

static lsm_db *db;
static size_t operations;

typedef struct worker {
    pthread_t thread;
    unsigned id;
    uint64_t random;
    /* The number last written to each own key; 0: absent. */
    uint32_t last[KEYS];
    /* The number last written to the own group. */
    uint32_t group;
    lsm_error err;
} worker;

#define W_RC(call, want) \
    do { \
        lsm_rc got_ = (call); \
        if (got_ != (want)) FAIL("%s answers %s: %s", #call, lsm_rc_name(got_), w->err.message); \
    } while (0)

static size_t own_key(char *key, unsigned id, unsigned i) {
    return (size_t)snprintf(key, 32, "k%u-%03u", id, i);
}

static size_t group_key(char *key, unsigned id, unsigned i) {
    return (size_t)snprintf(key, 32, "g%u-%u", id, i);
}

/* Number, then bytes that follow from it and the key. */
static size_t fill_value(unsigned char *value, uint32_t number, const char *key, size_t klen) {
    size_t len = 100 + number * 97 % 500, i;
    set_u32(value, number);
    for (i = 4; i < len; i++) value[i] = (unsigned char)(number + (unsigned char)key[i % klen] * 3u + i);
    return len;
}

/* The number of a value, after checking each byte. */
static uint32_t checked(const unsigned char *value, size_t len, const char *key, size_t klen) {
    unsigned char want[1024];
    uint32_t number;
    EXPECT(len >= 100);
    number = u32_at(value);
    EXPECT(fill_value(want, number, key, klen) == len && memcmp(value, want, len) == 0);
    return number;
}

static void put_or_delete(worker *w) {
    char key[32];
    unsigned char value[1024];
    unsigned i = (unsigned)(random_next(&w->random) % KEYS);
    size_t klen = own_key(key, w->id, i);
    if (random_next(&w->random) % 8 == 0) {
        W_RC(lsm_delete(db, NULL, NULL, key, klen, &w->err), LSM_OK);
        w->last[i] = 0;
    } else {
        uint32_t number = (uint32_t)random_next(&w->random) | 1u;
        size_t vlen = fill_value(value, number, key, klen);
        W_RC(lsm_put(db, NULL, NULL, key, klen, value, vlen, &w->err), LSM_OK);
        w->last[i] = number;
    }
}

/* Own keys are exactly what this thread wrote last; others' are whole. */
static void get_one(worker *w, unsigned owner) {
    char key[32];
    unsigned char value[1024];
    size_t len = 0;
    unsigned i = (unsigned)(random_next(&w->random) % KEYS);
    size_t klen = own_key(key, owner, i);
    lsm_rc rc = lsm_get(db, NULL, NULL, key, klen, value, sizeof value, &len, &w->err);
    uint32_t number = 0;
    if (rc == LSM_OK) number = checked(value, len, key, klen);
    else W_RC(rc, LSM_NOT_FOUND);
    if (owner == w->id) EXPECT(number == w->last[i]);
}

static void get_pinned(worker *w) {
    char key[32];
    unsigned i = (unsigned)(random_next(&w->random) % KEYS);
    size_t klen = own_key(key, w->id, i);
    lsm_pin *pin = NULL;
    lsm_slice value;
    lsm_rc rc = lsm_get_pinned(db, NULL, NULL, key, klen, &pin, &value, &w->err);
    if (rc == LSM_OK) {
        put_or_delete(w);
        (void)checked(value.data, value.len, key, klen);
    } else {
        W_RC(rc, LSM_NOT_FOUND);
        EXPECT(w->last[i] == 0 && pin == NULL);
    }
    lsm_pin_release(pin);
}

/* All keys of the own group get one number. */
static void write_group(worker *w) {
    lsm_batch *b = NULL;
    lsm_slice packed;
    unsigned i;
    W_RC(lsm_batch_create(0, &b, &w->err), LSM_OK);
    w->group++;
    for (i = 0; i < GROUP; i++) {
        char key[32];
        unsigned char value[1024];
        size_t klen = group_key(key, w->id, i);
        size_t vlen = fill_value(value, w->group, key, klen);
        W_RC(lsm_batch_add(b, LSM_OP_PUT, NULL, key, klen, value, vlen, &w->err), LSM_OK);
    }
    W_RC(lsm_batch_bytes(b, &packed, NULL), LSM_OK);
    W_RC(lsm_write(db, NULL, packed.data, packed.len, NULL, &w->err), LSM_OK);
    lsm_batch_release(b);
}

/* Somebody's group by single gets at one snapshot: one number, not older than before. */
static void read_group_by_gets(worker *w, unsigned owner) {
    lsm_snapshot *snap = NULL;
    unsigned i;
    uint32_t number = 0, least = owner == w->id ? w->group : 0;
    DEFAULTS(lsm_read_opts, o);
    W_RC(lsm_snapshot_create(db, &snap, NULL, &w->err), LSM_OK);
    o.snap = snap;
    for (i = 0; i < GROUP; i++) {
        char key[32];
        unsigned char value[1024];
        size_t len = 0, klen = group_key(key, owner, i);
        lsm_rc rc = lsm_get(db, NULL, &o, key, klen, value, sizeof value, &len, &w->err);
        uint32_t found = rc == LSM_OK ? checked(value, len, key, klen) : 0;
        if (rc != LSM_OK) W_RC(rc, LSM_NOT_FOUND);
        if (i == 0) number = found;
        EXPECT(found == number);
    }
    EXPECT(number >= least && (owner != w->id || number == least));
    lsm_snapshot_release(snap);
}

/* Somebody's group by a cursor, forward or backward: whole, one number. */
static void read_group_by_cursor(worker *w, unsigned owner) {
    char prefix[32];
    lsm_iter *it = NULL;
    lsm_slice k, v;
    unsigned count = 0;
    uint32_t number = 0;
    int back = (int)(random_next(&w->random) & 1);
    lsm_rc rc;
    size_t plen = (size_t)snprintf(prefix, sizeof prefix, "g%u-", owner);
    DEFAULTS(lsm_read_opts, o);
    o.flags = LSM_R_PREFIX;
    W_RC(lsm_iter_open(db, NULL, &o, prefix, plen, NULL, 0, &it, &w->err), LSM_OK);
    while ((rc = back ? lsm_iter_prev(it, &k, &v, &w->err) : lsm_iter_next(it, &k, &v, &w->err)) == LSM_OK) {
        uint32_t found;
        char want[32];
        size_t wlen = group_key(want, owner, back ? GROUP - 1 - count : count);
        EXPECT(k.len == wlen && memcmp(k.data, want, wlen) == 0);
        found = checked(v.data, v.len, want, wlen);
        if (count++ == 0) number = found;
        EXPECT(found == number);
    }
    W_RC(rc, LSM_END);
    EXPECT(count == GROUP || count == 0);
    lsm_iter_close(it);
}

/* All own keys by pages: exactly what this thread wrote. */
static void scan_own(worker *w) {
    char lo[40], hi[32];
    static __thread unsigned char page[16 << 10];
    size_t lolen = (size_t)snprintf(lo, sizeof lo, "k%u-", w->id), used, count, at, i = 0;
    size_t hilen = (size_t)snprintf(hi, sizeof hi, "k%u.", w->id);
    lsm_rc rc;
    do {
        rc = lsm_scan(db, NULL, NULL, lo, lolen, hi, hilen, 0, 0, page, sizeof page, &used, &count, &w->err);
        EXPECT(rc == LSM_OK || rc == LSM_END);
        for (at = 0; at < used;) {
            size_t klen = u32_at(page + at), vlen = u32_at(page + at + 4);
            char key[32];
            memcpy(key, page + at + 8, klen);
            key[klen] = 0;
            while (i < KEYS && w->last[i] == 0) i++;
            EXPECT(i < KEYS && own_key(lo, w->id, (unsigned)i) == klen && memcmp(lo, key, klen) == 0);
            EXPECT(checked(page + at + 8 + klen, vlen, key, klen) == w->last[i]);
            lo[klen] = 0;
            lolen = klen + 1;
            at += 8 + klen + vlen;
            i++;
        }
    } while (rc == LSM_OK);
    while (i < KEYS && w->last[i] == 0) i++;
    EXPECT(i == KEYS);
}

static void *work(void *arg) {
    worker *w = (worker *)arg;
    size_t n;
    for (n = 0; n < operations; n++) {
        unsigned dice = (unsigned)(random_next(&w->random) % 100), other = (unsigned)(random_next(&w->random) % THREADS);
        if (dice < 55) put_or_delete(w);
        else if (dice < 75) get_one(w, dice < 65 ? w->id : other);
        else if (dice < 80) get_pinned(w);
        else if (dice < 88) write_group(w);
        else if (dice < 92) read_group_by_gets(w, other);
        else if (dice < 97) read_group_by_cursor(w, other);
        else if (dice < 99) { if (n % 4 == 0) scan_own(w); }
        else if (n % 16 == 0) W_RC(lsm_flush(db, NULL, 0, &w->err), LSM_OK);
    }
    return NULL;
}

static void everything_is_whole_and_nothing_lost(const char *dir) {
    static worker workers[THREADS];
    uint64_t rotations = 0, compactions = 0;
    size_t i, round;
    DEFAULTS(lsm_open_opts, o);
    o.write_buffer_bytes = 256 << 10;
    operations = 6000 / slowness();
    for (round = 0; round < 2; round++) {
        OK(lsm_open(dir, &o, &db, &err));
        for (i = 0; i < THREADS; i++) {
            workers[i].id = (unsigned)i;
            workers[i].random = 0x9e3779b97f4a7c15u * (i + 1 + round * THREADS);
            EXPECT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
        }
        for (i = 0; i < THREADS; i++) EXPECT(pthread_join(workers[i].thread, NULL) == 0);
        OK(lsm_background(db, LSM_BG_WAIT_IDLE, UINT64_MAX, &err));
        OK(lsm_stat(db, NULL, STAT_ROTATIONS, &rotations, &err));
        OK(lsm_stat(db, NULL, STAT_COMPACTIONS, &compactions, &err));
        if (slowness() == 1) {
            if (rotations < 20) FAIL("only %u rotations", (unsigned)rotations);
            EXPECT(compactions > 0);
        }
        for (i = 0; i < THREADS; i++) scan_own(&workers[i]);
        OK(lsm_close(db, LSM_CLOSE_STRICT, &err));
    }
}

MAIN(TEST(everything_is_whole_and_nothing_lost))
