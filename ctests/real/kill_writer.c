/* Writes from two threads until somebody kills it.
 *
 * kill_writer DATABASE COUNTERS WRITE_BUFFER_BYTES LOG DURABILITY LIMIT
 *   LOG         auto or written
 *   DURABILITY  buffer; sync (every write); or a number n (buffer, and lsm_sync about every n-th time)
 *   LIMIT       pieces of work that a thread does at most
 *
 * What was issued but not acknowledged when the last writer died is done again: that makes the same
 * state whether it was there or not. A thread that gets an error notes its code and ends. The process never ends by itself. */
#include "work.h"

#include <signal.h>
#include <sys/prctl.h>

typedef struct writer {
    pthread_t thread;
    unsigned id;
    shared *s;
    lsm_db *db;
    uint32_t durability;
    uint64_t sync_every; /* 0: never */
    uint64_t limit;
} writer;

static lsm_rc write_one(writer *w, uint64_t i, const op *o, uint64_t seen, const lsm_write_opts *options, lsm_error *err) {
    unsigned char key[KEY_BYTES], value[VALUE_BYTES];
    key_bytes(w->id, o->key, key);
    if (!o->is_put) return lsm_delete(w->db, NULL, options, key, sizeof key, err);
    value_bytes(w->id, o->key, i, seen, value);
    return lsm_put(w->db, NULL, options, key, sizeof key, value, sizeof value, err);
}

static lsm_rc write_batch(writer *w, uint64_t i, const op *ops, unsigned count, uint64_t seen, const lsm_write_opts *options, lsm_error *err) {
    unsigned char packed[BATCH_MAX * (16 + KEY_BYTES + VALUE_BYTES)], *at = packed;
    unsigned j;
    for (j = 0; j < count; j++) {
        uint32_t head[4] = {0, 0, KEY_BYTES, 0};
        head[0] = ops[j].is_put ? LSM_OP_PUT : LSM_OP_DELETE;
        head[3] = ops[j].is_put ? VALUE_BYTES : 0;
        memcpy(at, head, sizeof head);
        key_bytes(w->id, ops[j].key, at + sizeof head);
        at += sizeof head + KEY_BYTES;
        if (ops[j].is_put) {
            value_bytes(w->id, ops[j].key, i, seen, at);
            at += VALUE_BYTES;
        }
    }
    return lsm_write(w->db, options, packed, (size_t)(at - packed), NULL, err);
}

static void *body(void *arg) {
    writer *w = (writer *)arg;
    counters *mine = &w->s->of[w->id];
    const counters *other = &w->s->of[1 - w->id];
    uint64_t i = load(&mine->acknowledged), limit = i + w->limit;
    lsm_write_opts options;
    lsm_error err;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.durability = w->durability;
    for (; i < limit; i++) {
        op ops[BATCH_MAX];
        unsigned count = work(w->s, w->id, i, ops);
        uint64_t seen = load(&other->acknowledged);
        lsm_rc rc;
        store(&mine->issued, i + 1);
        rc = count == 1 ? write_one(w, i, ops, seen, &options, &err) : write_batch(w, i, ops, count, seen, &options, &err);
        if (rc == LSM_OK) store(&mine->acknowledged, i + 1);
        if (rc == LSM_OK && w->sync_every != 0 && mix(i) % w->sync_every == 0) rc = lsm_sync(w->db, 0, NULL, &err);
        else if (w->durability != LSM_D_SYNC && rc == LSM_OK) continue;
        if (rc != LSM_OK) {
            store(&mine->code, (uint64_t)-rc);
            return NULL;
        }
        store(&mine->synced, i + 1);
    }
    return NULL;
}

int main(int argc, char **argv) {
    writer writers[THREADS];
    shared *s;
    lsm_db *db;
    unsigned t;
    if (argc != 7) FAIL("kill_writer DATABASE COUNTERS WRITE_BUFFER_BYTES LOG DURABILITY LIMIT");
    /* Not left behind when the test that drives it dies. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    s = map_shared(argv[2]);
    store(&s->phase, OPENING);
    db = open_database(argv[1], strtoull(argv[3], NULL, 10), strcmp(argv[4], "written") == 0);
    store(&s->phase, WRITING);
    for (t = 0; t < THREADS; t++) {
        writers[t].id = t;
        writers[t].s = s;
        writers[t].db = db;
        writers[t].durability = strcmp(argv[5], "sync") == 0 ? LSM_D_SYNC : LSM_D_BUFFER;
        writers[t].sync_every = strtoull(argv[5], NULL, 10);
        writers[t].limit = strtoull(argv[6], NULL, 10);
        if (pthread_create(&writers[t].thread, NULL, body, &writers[t]) != 0) FAIL("no thread");
    }
    for (t = 0; t < THREADS; t++) pthread_join(writers[t].thread, NULL);
    store(&s->phase, FAILED);
    for (;;) pause();
}
