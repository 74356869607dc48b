/* Opening and closing: options, environments, hooks, versions. */
#include "test.h"

static void versions_and_sizes_are_those_of_the_header(const char *dir) {
    (void)dir;
    EXPECT(lsm_abi_version() == LSM_ABI);
    EXPECT(strcmp(lsm_version(), LSMER_VERSION) == 0);
    EXPECT(sizeof(lsm_error) == 256 && sizeof(lsm_slice) == 16 && sizeof(lsm_env_opts) == 40);
    EXPECT(sizeof(lsm_open_opts) == 64 && sizeof(lsm_ks_opts) == 48 && sizeof(lsm_read_opts) == 48);
    EXPECT(sizeof(lsm_write_opts) == 40 && sizeof(lsm_health) == 72 && sizeof(lsm_hooks) == 88);
    EXPECT(offsetof(lsm_error, message) == 40 && offsetof(lsm_open_opts, hooks) == 56);
    EXPECT(offsetof(lsm_read_opts, max_bytes) == 40 && offsetof(lsm_write_opts, durability) == 32);
}

static void every_code_has_a_name(const char *dir) {
    int rc;
    (void)dir;
    for (rc = LSM_E_INTERNAL; rc <= LSM_PARTIAL; rc++) {
        EXPECT(strncmp(lsm_rc_name(rc), "LSM_", 4) == 0);
        EXPECT(strcmp(lsm_rc_name(rc), "LSM_UNKNOWN") != 0);
    }
    EXPECT(strcmp(lsm_rc_name(LSM_E_BUSY), "LSM_E_BUSY") == 0);
    EXPECT(strcmp(lsm_rc_name(5), "LSM_UNKNOWN") == 0 && strcmp(lsm_rc_name(-16), "LSM_UNKNOWN") == 0);
    EXPECT(strcmp(lsm_rc_name(INT32_MIN), "LSM_UNKNOWN") == 0);
}

static void closing_null_is_done_and_closing_twice_is_an_error(const char *dir) {
    lsm_db *db = open_db(dir);

    OK(lsm_close(NULL, 0, &err));
    OK(lsm_close(db, 0, &err));
    EXPECT_RC(lsm_close(db, 0, &err), LSM_E_CLOSED);
    EXPECT(err.code == LSM_E_CLOSED && err.struct_size == 256 && err.message[0] != 0);
    EXPECT_RC(lsm_put(db, NULL, NULL, BYTES("a"), BYTES("b"), &err), LSM_E_CLOSED);
}

static void a_database_can_be_opened_again_after_close(const char *dir) {
    int i;
    for (i = 0; i < 5; i++) OK(lsm_close(open_db(dir), 0, &err));
}

static void presence_can_be_demanded_and_forbidden(const char *dir) {
    DEFAULTS(lsm_open_opts, must);
    DEFAULTS(lsm_open_opts, must_not);
    lsm_db *db = (lsm_db *)&err;
    must.flags = LSM_O_MUST_EXIST;
    must_not.flags = LSM_O_MUST_NOT_EXIST;

    EXPECT_RC(lsm_open(dir, &must, &db, &err), LSM_E_INVALID);
    EXPECT(db == NULL);
    OK(lsm_open(dir, &must_not, &db, &err));
    OK(lsm_close(db, 0, &err));
    EXPECT_RC(lsm_open(dir, &must_not, &db, &err), LSM_E_INVALID);
    EXPECT(db == NULL);
    OK(lsm_open(dir, &must, &db, &err));
    OK(lsm_close(db, 0, &err));
    must.flags |= LSM_O_MUST_NOT_EXIST;
    EXPECT_RC(lsm_open(dir, &must, &db, &err), LSM_E_INVALID);
}

static void options_that_are_not_built_are_named(const char *dir) {
    lsm_db *db = NULL;
    int i;
    static const char *const names[] = { "format", "feed_retain_bytes", "feed_retain_secs", "flags" };
    for (i = 0; i < 4; i++) {
        DEFAULTS(lsm_open_opts, o);
        if (i == 0) o.format = 7;
        if (i == 1) o.feed_retain_bytes = 1;
        if (i == 2) o.feed_retain_secs = 1;
        if (i == 3) o.flags = 0x100;
        EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_UNSUPPORTED);
        EXPECT(db == NULL && strstr(err.message, names[i]) != NULL);
    }
    {
        DEFAULTS(lsm_open_opts, o);
        o.durability = 9;
        EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_INVALID);
    }
}

static void struct_sizes_are_checked_and_unknown_tails_must_be_zero(const char *dir) {
    struct {
        lsm_open_opts o;
        unsigned char tail[64];
    } longer;
    lsm_db *db = NULL;
    uint32_t size;
    memset(&longer, 0, sizeof longer);
    for (size = 0; size < sizeof(lsm_open_opts); size++) {
        longer.o.struct_size = size;
        EXPECT_RC(lsm_open(dir, &longer.o, &db, &err), LSM_E_INVALID);
    }
    longer.o.struct_size = 4097;
    EXPECT_RC(lsm_open(dir, &longer.o, &db, &err), LSM_E_INVALID);
    longer.o.struct_size = UINT32_MAX;
    EXPECT_RC(lsm_open(dir, &longer.o, &db, &err), LSM_E_INVALID);
    longer.o.struct_size = sizeof longer;
    longer.tail[63] = 1;
    EXPECT_RC(lsm_open(dir, &longer.o, &db, &err), LSM_E_UNSUPPORTED);
    longer.tail[63] = 0;
    OK(lsm_open(dir, &longer.o, &db, &err));
    OK(lsm_close(db, 0, &err));
}

static void databases_share_an_environment(const char *dir) {
    DEFAULTS(lsm_env_opts, eo);
    DEFAULTS(lsm_open_opts, oo);
    lsm_env *env = NULL;
    lsm_db *a = NULL, *b = NULL;
    char other[4200];
    snprintf(other, sizeof other, "%s-other", dir);
    eo.threads = 1;
    eo.memory_budget = 32 << 20;
    OK(lsm_env_create(&eo, &env, &err));
    oo.env = env;
    oo.write_buffer_bytes = 1 << 20;
    OK(lsm_open(dir, &oo, &a, &err));
    OK(lsm_open(other, &oo, &b, &err));
    lsm_env_release(env);

    put_text(a, "key", "of a");
    put_text(b, "key", "of b");

    expect_text(a, NULL, "key", "of a");
    expect_text(b, NULL, "key", "of b");
    EXPECT_RC(lsm_open(dir, &oo, &a, &err), LSM_E_CLOSED);
    lsm_env_release(env);
    OK(lsm_close(b, 0, &err));
}

static void environment_options_are_checked(const char *dir) {
    lsm_env *env = NULL;
    int i;
    (void)dir;
    for (i = 0; i < 3; i++) {
        DEFAULTS(lsm_env_opts, o);
        if (i == 0) o.max_open_files = 1;
        if (i == 1) o.flags = 1;
        if (i == 2) o.reserved = 1;
        EXPECT_RC(lsm_env_create(&o, &env, &err), LSM_E_UNSUPPORTED);
    }
    {
        DEFAULTS(lsm_env_opts, o);
        o.threads = 65;
        EXPECT_RC(lsm_env_create(&o, &env, &err), LSM_E_INVALID);
        EXPECT(env == NULL);
    }
}

typedef struct hook_context {
    int logs, drops;
} hook_context;

static void on_log(void *ctx, int32_t level, const char *msg, size_t len) {
    hook_context *c = (hook_context *)ctx;
    EXPECT(c->drops == 0 && level >= LSM_LOG_ERROR && level <= LSM_LOG_DEBUG && len > 0 && msg != NULL);
    __sync_fetch_and_add(&c->logs, 1);
}

static void on_drop(void *ctx) {
    __sync_fetch_and_add(&((hook_context *)ctx)->drops, 1);
}

static void a_log_hook_hears_and_is_dropped_once_by_close(const char *dir) {
    hook_context c = { 0, 0 };
    DEFAULTS(lsm_hooks, hooks);
    DEFAULTS(lsm_open_opts, o);
    lsm_db *db = NULL;
    lsm_snapshot *child = NULL;
    hooks.ctx = &c;
    hooks.log = on_log;
    hooks.drop = on_drop;
    o.hooks = &hooks;
    OK(lsm_open(dir, &o, &db, &err));
    memset(&hooks, 0xff, sizeof hooks);
    OK(lsm_snapshot_create(db, &child, NULL, &err));
    put_text(db, "a", "b");
    EXPECT(c.drops == 0 && c.logs > 0);

    OK(lsm_close(db, 0, &err));

    EXPECT(c.drops == 1);
    lsm_snapshot_release(child);
    EXPECT_RC(lsm_close(db, 0, &err), LSM_E_CLOSED);
    EXPECT(c.drops == 1);
}

static void a_failed_open_drops_the_hook_once(const char *dir) {
    hook_context c = { 0, 0 };
    DEFAULTS(lsm_hooks, hooks);
    DEFAULTS(lsm_open_opts, o);
    lsm_db *db = NULL;
    hooks.ctx = &c;
    hooks.drop = on_drop;
    o.hooks = &hooks;
    o.flags = LSM_O_MUST_EXIST;
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_INVALID);
    EXPECT(c.drops == 1);
    EXPECT_RC(lsm_open(NULL, &o, &db, &err), LSM_E_INVALID);
    EXPECT(c.drops == 2);
    EXPECT_RC(lsm_open(dir, &o, NULL, &err), LSM_E_INVALID);
    EXPECT(c.drops == 3);
    hooks.flags = 1;
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_UNSUPPORTED);
    EXPECT(c.drops == 4);
    hooks.struct_size = 8;
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_INVALID);
    EXPECT(c.drops == 4);
}

static int32_t on_compare(void *ctx, const uint8_t *a, size_t alen, const uint8_t *b, size_t blen) {
    (void)ctx, (void)a, (void)alen, (void)b, (void)blen;
    return 0;
}

static void hooks_that_are_not_built_are_named(const char *dir) {
    DEFAULTS(lsm_hooks, hooks);
    DEFAULTS(lsm_open_opts, o);
    lsm_db *db = NULL;
    o.hooks = &hooks;
    hooks.compare = on_compare;
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_UNSUPPORTED);
    EXPECT(strstr(err.message, "lsm_hooks.compare") != NULL);
    hooks.compare = NULL;
    hooks.merge_name = "sum";
    EXPECT_RC(lsm_open(dir, &o, &db, &err), LSM_E_UNSUPPORTED);
    EXPECT(strstr(err.message, "lsm_hooks.merge_name") != NULL);
}

static void strict_close_counts_open_children(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_iter *it = NULL;
    lsm_snapshot *snap = NULL;
    lsm_ks *ks = NULL;
    lsm_pin *pin = NULL;
    lsm_slice value;
    put_text(db, "a", "1");
    OK(lsm_iter_open(db, NULL, NULL, NULL, 0, NULL, 0, &it, &err));
    OK(lsm_snapshot_create(db, &snap, NULL, &err));
    OK(lsm_ks_open(db, "other", NULL, &ks, &err));
    OK(lsm_get_pinned(db, NULL, NULL, BYTES("a"), &pin, &value, &err));

    EXPECT_RC(lsm_close(db, LSM_CLOSE_STRICT, &err), LSM_E_BUSY);
    EXPECT(err.detail0 == 4 && (err.flags & LSM_ERR_RETRYABLE));
    expect_text(db, NULL, "a", "1");
    lsm_pin_release(pin);
    lsm_iter_close(it);
    lsm_ks_release(ks);
    EXPECT_RC(lsm_close(db, LSM_CLOSE_STRICT, &err), LSM_E_BUSY);
    EXPECT(err.detail0 == 1);
    lsm_snapshot_release(snap);
    OK(lsm_close(db, LSM_CLOSE_STRICT, &err));
    EXPECT_RC(lsm_close(db, 0x80, &err), LSM_E_UNSUPPORTED);
}

static void paths_may_hold_any_bytes(const char *dir) {
    char path[4200];
    snprintf(path, sizeof path, "%s-\xff\xfe odd \n name", dir);
    OK(lsm_close(open_db(path), 0, &err));
    OK(lsm_destroy(path, &err));
    EXPECT_RC(lsm_open("", NULL, NULL, &err), LSM_E_INVALID);
}

MAIN(TEST(versions_and_sizes_are_those_of_the_header), TEST(every_code_has_a_name),
     TEST(closing_null_is_done_and_closing_twice_is_an_error),
     TEST(a_database_can_be_opened_again_after_close), TEST(presence_can_be_demanded_and_forbidden),
     TEST(options_that_are_not_built_are_named),
     TEST(struct_sizes_are_checked_and_unknown_tails_must_be_zero),
     TEST(databases_share_an_environment), TEST(environment_options_are_checked),
     TEST(a_log_hook_hears_and_is_dropped_once_by_close), TEST(a_failed_open_drops_the_hook_once),
     TEST(hooks_that_are_not_built_are_named), TEST(strict_close_counts_open_children),
     TEST(paths_may_hold_any_bytes))
