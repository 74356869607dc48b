/* Health, statistics and their three texts. */
#include "test.h"

static void health_tells_positions_and_no_error(const char *dir) {
    lsm_db *db = open_db(dir);
    uint64_t seq = 0;
    lsm_error bg;
    DEFAULTS(lsm_health, h);
    unsigned char ops[20];
    memset(ops, 0, sizeof ops);
    ops[0] = LSM_OP_PUT;
    set_u32(ops + 8, 4);
    OK(lsm_write(db, NULL, ops, 20, &seq, &err));
    memset(&bg, 0xab, sizeof bg);

    OK(lsm_health_get(db, &h, &bg));

    EXPECT(h.struct_size == sizeof h && h.state == LSM_H_OK && h.last_seq >= seq && seq > 0);
    EXPECT(h.memory_budget > 0 && h.durable_seq <= h.last_seq + 4096);
    EXPECT(bg.code == 0 && bg.struct_size == 256 && bg.message[0] == 0);
    OK(lsm_close(db, 0, &err));
    bg.code = 5;
    EXPECT_RC(lsm_health_get(db, &h, &bg), LSM_E_CLOSED);
    EXPECT(bg.code == LSM_E_CLOSED);
}

static void health_of_a_newer_header_is_zero_behind_ours(const char *dir) {
    lsm_db *db = open_db(dir);
    struct {
        lsm_health h;
        unsigned char tail[40];
    } longer;
    uint32_t size;
    memset(&longer, 0x5a, sizeof longer);
    longer.h.struct_size = sizeof longer - 8;
    OK(lsm_health_get(db, &longer.h, NULL));
    EXPECT(longer.h.struct_size == sizeof longer - 8 && longer.h.state == LSM_H_OK);
    EXPECT(longer.tail[0] == 0 && longer.tail[31] == 0 && longer.tail[32] == 0x5a);
    for (size = 0; size < sizeof(lsm_health); size += 4) {
        longer.h.struct_size = size;
        EXPECT_RC(lsm_health_get(db, &longer.h, &err), LSM_E_INVALID);
    }
    longer.h.struct_size = UINT32_MAX;
    EXPECT_RC(lsm_health_get(db, &longer.h, &err), LSM_E_INVALID);
    OK(lsm_close(db, 0, &err));
}

static void statistics_have_names_and_an_unknown_one_is_an_error(const char *dir) {
    lsm_db *db = open_db(dir);
    lsm_ks *ks = NULL;
    uint64_t n = 99;
    OK(lsm_stat(db, NULL, STAT_ROTATIONS, &n, &err));
    EXPECT(n < 99);
    OK(lsm_stat(db, NULL, STAT_COMPACTIONS, &n, &err));
    n = 99;
    EXPECT_RC(lsm_stat(db, NULL, "no such thing", &n, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_stat(db, NULL, "", &n, &err), LSM_E_INVALID);
    OK(lsm_ks_open(db, "x", NULL, &ks, &err));
    EXPECT_RC(lsm_stat(db, ks, STAT_ROTATIONS, &n, &err), LSM_E_UNSUPPORTED);
    EXPECT(n == 99);
    lsm_ks_release(ks);
    OK(lsm_close(db, 0, &err));
}

static void every_format_has_a_text(const char *dir) {
    lsm_db *db = open_db(dir);
    uint32_t format;
    char few[1];
    size_t need = 0;
    for (format = LSM_STATS_JSON; format <= LSM_STATS_TEXT; format++) {
        char *text;
        size_t cap;
        OK(lsm_stats_dump(db, format, NULL, 0, &need, &err));
        EXPECT(need > 10);
        EXPECT_RC(lsm_stats_dump(db, format, few, 1, &need, &err), LSM_BUFFER_SMALL);
        cap = need + 4096;
        text = (char *)allocate(cap + 1);
        OK(lsm_stats_dump(db, format, text, cap, &need, &err));
        EXPECT(need <= cap && memchr(text, 0, need) == NULL);
        text[need] = 0;
        if (format == LSM_STATS_JSON) EXPECT(text[0] == '{' && strrchr(text, '}') != NULL);
        if (format == LSM_STATS_PROMETHEUS) EXPECT(strstr(text, "lsmer_") != NULL);
        free(text);
    }
    EXPECT_RC(lsm_stats_dump(db, 0, NULL, 0, &need, &err), LSM_E_INVALID);
    EXPECT_RC(lsm_stats_dump(db, 4, NULL, 0, &need, &err), LSM_E_INVALID);
    OK(lsm_close(db, 0, &err));
}

MAIN(TEST(health_tells_positions_and_no_error), TEST(health_of_a_newer_header_is_zero_behind_ours),
     TEST(statistics_have_names_and_an_unknown_one_is_an_error), TEST(every_format_has_a_text))
