/* The cache of a whole model: what it costs is known beforehand, constant where a window says so, and
 * shared where pasts are the same. */
#include "test.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cache/kv_audit.h"
#include "devices/cpu/cpu_device.h"

enum { BLOCK = 4, WINDOW = 10, CONTEXT = 400 };

/* Full, window, an alias of each, another window of the same size, and a layer without a cache. */
static const KvLayout layout = {6, {
    {KV_FULL, 2, 8, 4, 0, 0, 0}, {KV_WINDOW, 1, 16, 16, WINDOW, 0, 0}, {.kind = KV_ALIAS, .alias_of = 0},
    {.kind = KV_ALIAS, .alias_of = 1}, {KV_WINDOW, 1, 16, 16, WINDOW, 0, 0}, {.kind = KV_NONE},
}};

static KvOptions options(int64_t tokens, int64_t bytes)
{
    return (KvOptions){.format = format_find("F16"), .block_tokens = BLOCK, .sequences = 4, .context = CONTEXT, .rows = 8,
                       .tokens = tokens, .bytes = bytes};
}

static KvLedger ledger_of(KvOptions o)
{
    KvLedger l;
    Error err;
    assert_int_equal(kv_ledger_init(&l, &layout, &o, &err), OK);
    return l;
}

static void layers_that_keep_the_same_share_a_group_and_aliases_cost_nothing(void **state)
{
    (void)state;
    KvLedger l = ledger_of(options(0, 0));
    const int16_t groups[] = {0, 1, 0, 1, 1, -1}, owners[] = {0, 1, 0, 1, 4, 5};
    assert_int_equal(l.groups, 2);
    assert_memory_equal(l.group_of, groups, sizeof groups);
    assert_memory_equal(l.owner_of, owners, sizeof owners);
    assert_int_equal(l.group[0].block_bytes, BLOCK * 2 * (8 + 4) * 2);
    assert_int_equal(l.group[1].block_bytes, 2 * BLOCK * (16 + 16) * 2);
    assert_int_equal(l.token_bytes, 2 * (8 + 4) * 2);
}

static void a_window_costs_the_same_however_long_the_sequence(void **state)
{
    (void)state;
    KvLedger l = ledger_of(options(0, 0));
    assert_int_equal(kv_ledger_blocks(&l, 0, CONTEXT, 1), 100);
    assert_int_equal(kv_ledger_blocks(&l, 1, CONTEXT, 1), 4);    /* 10 positions touch at most 4 blocks of 4 */
    assert_int_equal(kv_ledger_blocks(&l, 1, 40, 1), 4);
    assert_int_equal(kv_ledger_blocks(&l, 1, 5, 1), 2);
    assert_int_equal(kv_ledger_sequence_bytes(&l, CONTEXT) - kv_ledger_sequence_bytes(&l, CONTEXT / 2), 200 * l.token_bytes);
}

static void a_budget_of_bytes_is_used_and_never_passed(void **state)
{
    (void)state;
    for (int64_t bytes = 20000; bytes < 100000; bytes += 777) {
        KvLedger l = ledger_of(options(0, bytes));
        assert_true(l.pool_bytes <= bytes);
        KvLedger more = ledger_of(options(l.options.tokens + BLOCK, 0));
        assert_true(more.pool_bytes > bytes || more.options.tokens == l.options.tokens);
        assert_int_equal(kv_ledger_longest(&l), l.group[0].blocks * BLOCK < CONTEXT ? l.group[0].blocks * BLOCK : CONTEXT);
    }
    KvLedger l;
    Error err;
    KvOptions tiny = options(0, 100);
    assert_int_equal(kv_ledger_init(&l, &layout, &tiny, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "100 bytes"));
}

static void a_layout_that_makes_no_sense_is_refused_by_layer(void **state)
{
    (void)state;
    const struct { KvLayer layer; Err code; const char *says; } bad[] = {
        {{.kind = KV_ALIAS, .alias_of = 1}, BAD_ARGUMENT, "layer 1: reads layer 1"},
        {{.kind = KV_ALIAS, .alias_of = -1}, BAD_ARGUMENT, "layer 1: reads layer -1"},
        {{.kind = KV_FULL, .heads = 1 << 30, .key_width = 1 << 30}, BAD_ARGUMENT, "layer 1: 1073741824 key/value heads"},
        {{.kind = KV_WINDOW, .heads = 1, .key_width = 1}, BAD_ARGUMENT, "layer 1: a window of 0"},
        {{.kind = KV_STATE}, BAD_ARGUMENT, "layer 1: a state of 0 numbers"},
        {{.kind = KV_NONE, .state_width = -1}, BAD_ARGUMENT, "layer 1: a state of -1 numbers"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        KvLayout l = {2, {{KV_FULL, 1, 1, 1, 0, 0, 0}, bad[i].layer}};
        KvOptions o = options(0, 0);
        KvLedger ledger;
        Error err;
        assert_int_equal(kv_ledger_init(&ledger, &l, &o, &err), bad[i].code);
        assert_non_null(strstr(err.text, bad[i].says));
    }
}

/* Blocks of a format lie within a head: else a head would share its scale with another. */
static void a_format_whose_blocks_a_head_does_not_fill_is_refused(void **state)
{
    (void)state;
    const struct { const char *format; int32_t key, value; Err code; const char *says; } tries[] = {
        {"Q8_0", 64, 32, OK, NULL},
        {"Q8_0", 576, 0, OK, NULL},
        {"F8_E4M3", 7, 3, OK, NULL},
        {"Q8_0", 24, 32, UNSUPPORTED, "layer 0: heads of 24 cannot be kept as Q8_0, whose blocks are of 32"},
        {"Q8_0", 64, 80, UNSUPPORTED, "layer 0: heads of 80 cannot be kept as Q8_0"},
        {"IQ2_XS", 256, 256, UNSUPPORTED, "cannot be kept as IQ2_XS"},
    };
    for (size_t i = 0; i < COUNT_OF(tries); i++) {
        KvLayout l = {1, {{KV_FULL, 3, tries[i].key, tries[i].value, 0, 0, 0}}};
        KvOptions o = options(0, 0);
        KvLedger ledger;
        Error err;
        o.format = format_find(tries[i].format);
        assert_int_equal(kv_ledger_init(&ledger, &l, &o, &err), tries[i].code);
        if (tries[i].says)
            assert_non_null(strstr(err.text, tries[i].says));
        else
            assert_int_equal(ledger.token_bytes, 3 * format_row_bytes(o.format, tries[i].key + tries[i].value));
    }
}

/* --- a cache --- */

typedef struct Fixture {
    Arena *arena;
    Device *device;
    KvCache *cache;
    BlockCopy copy[16];
    BlockCopies copies;
    int32_t tokens[CONTEXT];
} Fixture;

static void open_fixture(Fixture *f, int64_t tokens)
{
    Error err;
    KvLedger l = ledger_of(options(tokens, 0));
    *f = (Fixture){.arena = arena_new(1 << 24), .copies = {.max = 16}};
    f->copies.copy = f->copy;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &f->device, &err), OK);
    assert_int_equal(kv_cache_new(&f->cache, &l, &layout, f->device, f->arena, &err), OK);
    for (int32_t i = 0; i < CONTEXT; i++)
        f->tokens[i] = i * 31 % 97;
}

static void close_fixture(Fixture *f)
{
    Error err;
    for (int32_t s = 0; s < 4; s++)
        kv_cache_drop(f->cache, s);
    for (int32_t g = 0; g < 2; g++)
        assert_int_equal(kv_cache_counts(f->cache, g).held, 0);
    assert_int_equal(kv_audit_pools(f->cache, &err), OK);
    device_close(f->device);
    arena_free(f->arena);
}

static bool compute(Fixture *f, int32_t s, int32_t from, int32_t to)
{
    Error err;
    f->copies.count = 0;
    if (!kv_cache_extend(f->cache, s, from, to, false, &f->copies))
        return false;
    kv_cache_commit(f->cache, s, f->tokens, to);
    assert_int_equal(kv_audit_slot(f->cache, s, to, &err), OK);
    return true;
}

static void blocks_behind_a_window_go_back_during_generation(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, 0);
    assert_true(compute(&f, 0, 0, 8));
    for (int32_t at = 8; at < 200; at++) {
        assert_true(compute(&f, 0, at, at + 1));
        assert_int_equal(kv_cache_counts(f.cache, 0).held, at / BLOCK + 1);
        assert_in_range(kv_cache_counts(f.cache, 1).held, 2, 4);
    }
    close_fixture(&f);
}

static void a_past_is_usable_where_the_windows_last_blocks_are_there(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, 0);
    for (int32_t at = 0; at < 80; at += 8)
        assert_true(compute(&f, 0, at, at + 8));
    kv_cache_drop(f.cache, 0);
    assert_int_equal(kv_cache_match(f.cache, 1, f.tokens, 79, 0), 76);   /* whole blocks below the limit */
    assert_int_equal(kv_cache_table(f.cache, 1, 1)[15], BLOCK_NONE);     /* 76 - 10 + 1 = 67 lies in block 16 */
    assert_int_not_equal(kv_cache_table(f.cache, 1, 1)[16], BLOCK_NONE);
    assert_int_equal(kv_cache_match(f.cache, 2, f.tokens, 79, 9), 0);    /* another salt */
    f.tokens[50]++;
    assert_int_equal(kv_cache_match(f.cache, 3, f.tokens, 79, 0), 48);   /* the same until there */
    close_fixture(&f);
}

static void a_fork_copies_the_last_block_when_it_is_written(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, 0);
    assert_true(compute(&f, 0, 0, 6));
    kv_cache_fork(f.cache, 0, 1);
    BlockId shared = kv_cache_table(f.cache, 0, 0)[1];
    assert_int_equal(kv_cache_table(f.cache, 1, 0)[1], shared);
    assert_true(compute(&f, 1, 6, 7));
    assert_int_equal(f.copies.count, 2);                                  /* of each group */
    assert_int_equal(f.copy[0].from, shared);
    assert_int_equal(f.copy[0].to, kv_cache_table(f.cache, 1, 0)[1]);
    assert_int_not_equal(f.copy[0].to, shared);
    assert_true(compute(&f, 0, 6, 7));                                    /* alone by now */
    assert_int_equal(f.copies.count, 0);
    assert_int_equal(kv_cache_table(f.cache, 0, 0)[1], shared);
    assert_int_equal(kv_cache_table(f.cache, 0, 0)[0], kv_cache_table(f.cache, 1, 0)[0]);
    close_fixture(&f);
}

static void what_is_computed_twice_is_kept_once(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, 0);
    assert_true(compute(&f, 0, 0, 8) && compute(&f, 1, 0, 8));
    assert_int_equal(kv_cache_counts(f.cache, 0).held, 2);
    assert_int_equal(kv_cache_table(f.cache, 0, 0)[1], kv_cache_table(f.cache, 1, 0)[1]);
    close_fixture(&f);
}

static void a_past_is_evicted_from_its_end(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, 80);
    for (int32_t at = 0; at < 64; at += 8)
        assert_true(compute(&f, 0, at, at + 8));
    kv_cache_drop(f.cache, 0);                    /* 16 of 20 blocks of the full group are cached */
    int32_t own[CONTEXT];
    memcpy(own, f.tokens, sizeof own);
    for (int32_t i = 0; i < CONTEXT; i++)
        f.tokens[i] = 50 - i % 7;
    for (int32_t at = 0; at < 32; at += 8)        /* 8 blocks: the 4 free ones and the last 4 cached */
        assert_true(compute(&f, 1, at, at + 8));
    int32_t blocks = 0;
    NodeId node = NODE_ROOT;
    while ((node = prefix_index_find(kv_cache_index(f.cache), node, 0, own + blocks * BLOCK)) != NODE_NONE
           && prefix_index_block(kv_cache_index(f.cache), node, 0) != BLOCK_NONE)
        blocks++;
    assert_int_equal(blocks, 12);
    assert_false(compute(&f, 1, 32, 32 + 80));    /* all or nothing */
    assert_int_equal(kv_cache_blocks(f.cache, 1), 8);
    close_fixture(&f);
}

static size_t pages_missing(uint8_t *data, size_t bytes)
{
    static unsigned char there[1 << 14];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), missing = 0;
    uint8_t *first = data - (uintptr_t)data % page;
    size_t pages = ((size_t)(data - first) + bytes + page - 1) / page;
    assert_true(pages <= sizeof there);
    assert_int_equal(mincore(first, pages * page, there), 0);
    for (size_t i = 0; i < pages; i++)
        missing += !(there[i] & 1);
    return missing;
}

/* A server promises its cache when it starts: the memory must be there then, not be sought in the middle of an answer. */
static void touched_memory_is_there_at_once(void **state)
{
    (void)state;
    static const size_t sizes[] = {100, (3 << 20) + 4000, 20 << 20};      /* the second begins and ends within a page */
    Error err;
    for (int i = 0; i < 4; i++) {
        bool touches = i % 2, small_pages = i / 2;
        if (small_pages && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
            break;      /* a system that cannot be asked */
        Device *d;
        CpuOptions options = {.tier = TIER_REFERENCE, .threads = 2, .touches = touches};
        assert_int_equal(cpu_device_open(&options, &d, &err), OK);
        for (size_t j = 0; j < COUNT_OF(sizes); j++) {
            void *data;
            assert_int_equal(d->calls->take(d, sizes[j], &data, &err), OK);
            size_t missing = pages_missing(data, sizes[j]);
            assert_int_equal(touches ? missing : 0, 0);
            if (!touches && j + 1 == COUNT_OF(sizes))
                assert_true(missing > 0);
        }
        assert_true(device_left(d) > 1 << 20);
        assert_int_equal(device_left(d) < SIZE_MAX, touches);
        device_close(d);
    }
    prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_keep_the_same_share_a_group_and_aliases_cost_nothing),
        cmocka_unit_test(a_window_costs_the_same_however_long_the_sequence),
        cmocka_unit_test(a_budget_of_bytes_is_used_and_never_passed),
        cmocka_unit_test(a_layout_that_makes_no_sense_is_refused_by_layer),
        cmocka_unit_test(a_format_whose_blocks_a_head_does_not_fill_is_refused),
        cmocka_unit_test(blocks_behind_a_window_go_back_during_generation),
        cmocka_unit_test(a_past_is_usable_where_the_windows_last_blocks_are_there),
        cmocka_unit_test(a_fork_copies_the_last_block_when_it_is_written),
        cmocka_unit_test(what_is_computed_twice_is_kept_once),
        cmocka_unit_test(a_past_is_evicted_from_its_end),
        cmocka_unit_test(touched_memory_is_there_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
