/* What the cache says of its own memory: each number is what one counts by hand, and at blocks of 16 little is wasted. */
#include "test.h"

#include "base/prng.h"
#include "cache/kv_audit.h"
#include "cache/kv_explain.h"
#include "devices/cpu/cpu_device.h"

enum { BLOCK = 16, CONTEXT = 1024, SEQUENCES = 64, BLOCKS_MAX = 8192 };

/* Full, a window, and a state beside it. */
static const KvLayout layout = {2, {{KV_FULL, 1, 2, 2, 0, 0, 0}, {KV_WINDOW, 1, 2, 2, 64, 0, 4}}};

typedef struct Fixture {
    Arena *arena;
    Device *device;
    KvCache *cache;
    BlockCopy copy[SEQUENCES];
    BlockCopies copies;
    int32_t tokens[CONTEXT];
} Fixture;

static int open_fixture(void **state)
{
    static Fixture f;
    Error err;
    KvLedger l;
    KvOptions o = {.format = &format_f32, .block_tokens = BLOCK, .sequences = SEQUENCES, .context = CONTEXT, .rows = CONTEXT,
                   .state_snapshots = 8, .state_interval = 64};
    assert_int_equal(kv_ledger_init(&l, &layout, &o, &err), OK);
    f = (Fixture){.arena = arena_new(1 << 26), .copies = {.max = SEQUENCES}};
    f.copies.copy = f.copy;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &f.device, &err), OK);
    assert_int_equal(kv_cache_new(&f.cache, &l, &layout, f.device, f.arena, &err), OK);
    for (int32_t i = 0; i < CONTEXT; i++)
        f.tokens[i] = i * 31 % 97;
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    Fixture *f = *state;
    device_close(f->device);
    arena_free(f->arena);
    return 0;
}

static void compute(Fixture *f, int32_t s, int32_t from, int32_t to)
{
    f->copies.count = 0;
    assert_true(kv_cache_extend(f->cache, s, from, to, false, &f->copies));
    kv_cache_commit(f->cache, s, f->tokens, to);
}

/* The totals are those of the map, block by block. */
static void check_map(const Fixture *f)
{
    static KvBlock map[BLOCKS_MAX];
    KvUsage u = kv_cache_usage(f->cache);
    for (int32_t g = 0; g < u.groups; g++) {
        const KvGroupUsage *group = &u.group[g];
        int32_t count[3] = {0}, shared = 0;
        int64_t filled = 0, references = 0;
        assert_true(group->blocks.blocks <= BLOCKS_MAX);
        kv_cache_map(f->cache, g, map);
        for (int32_t b = 0; b < group->blocks.blocks; b++) {
            count[map[b].state]++;
            shared += map[b].references > 1;
            references += map[b].references;
            filled += map[b].state == KV_BLOCK_HELD ? map[b].filled : 0;
            assert_int_equal(map[b].holder >= 0, map[b].state == KV_BLOCK_HELD);
            assert_int_equal(map[b].references > 0, map[b].state == KV_BLOCK_HELD);
        }
        assert_int_equal(count[KV_BLOCK_FREE], group->blocks.free);
        assert_int_equal(count[KV_BLOCK_CACHED], group->blocks.cached);
        assert_int_equal(count[KV_BLOCK_HELD], group->blocks.held);
        assert_int_equal(shared, group->shared);
        assert_int_equal(references, group->references);
        assert_int_equal(filled, group->places - group->wasted);
    }
}

static void each_number_is_what_one_counts_by_hand(void **state)
{
    Fixture *f = *state;
    compute(f, 0, 0, 40);                   /* 16 16 8 */
    kv_cache_fork(f->cache, 0, 1);          /* all three shared */
    KvUsage u = kv_cache_usage(f->cache);
    assert_int_equal(u.sequences, 2);
    assert_int_equal(u.group[0].blocks.held, 3);
    assert_int_equal(u.group[0].shared, 3);
    assert_int_equal(u.group[0].references, 6);
    assert_int_equal(u.group[0].places, 48);
    assert_int_equal(u.group[0].wasted, 8);    /* of the one block, once */
    assert_int_equal(u.group[2].blocks.held, 1);
    assert_int_equal(u.group[2].wasted, 0);
    assert_int_equal(u.prefixes, 2);
    check_map(f);
    compute(f, 1, 40, 41);                  /* takes a copy of the last: 16 16 8 + 9 */
    u = kv_cache_usage(f->cache);
    assert_int_equal(u.group[0].blocks.held, 4);
    assert_int_equal(u.group[0].shared, 2);
    assert_int_equal(u.group[0].wasted, 8 + 7);
    check_map(f);
    kv_cache_drop(f->cache, 0);
    kv_cache_drop(f->cache, 1);
    u = kv_cache_usage(f->cache);
    assert_int_equal(u.sequences, 0);
    assert_int_equal(u.group[0].blocks.cached, 2);
    assert_true(kv_usage_held(&u) == 0 && kv_usage_wasted(&u) == 0);
    check_map(f);
}

static void what_was_asked_counts_once_however_often_there_was_no_room(void **state)
{
    Fixture *f = *state;
    compute(f, 0, 0, 96);
    kv_cache_drop(f->cache, 0);
    KvAsked before = kv_cache_asked(f->cache);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(kv_cache_match(f->cache, 2, f->tokens, 99, 0), 96);
        kv_cache_drop(f->cache, 2);
    }
    assert_int_equal(kv_cache_asked(f->cache).asked, before.asked);
    assert_int_equal(kv_cache_match(f->cache, 2, f->tokens, 99, 0), 96);
    compute(f, 2, 96, 100);
    compute(f, 2, 100, 101);
    assert_int_equal(kv_cache_asked(f->cache).asked - before.asked, 99);
    assert_int_equal(kv_cache_asked(f->cache).found - before.found, 96);
    kv_cache_drop(f->cache, 2);
}

/* Prompts of 50 to 450 tokens and answers as long: a mean of half a block is empty of each sequence. */
static void under_4_in_100_are_wasted_while_sequences_come_grow_and_go(void **state)
{
    Fixture *f = *state;
    PrngStream random = {.seed = 5};
    int32_t at[SEQUENCES], end[SEQUENCES];
    for (int32_t s = 0; s < SEQUENCES; s++)
        at[s] = end[s] = 0;
    for (int step = 0; step < 2000; step++) {
        for (int32_t s = 0; s < SEQUENCES; s++) {
            if (at[s] == end[s]) {
                kv_cache_drop(f->cache, s);
                int32_t prompt = 50 + (int32_t)stream_below(&random, 401);
                end[s] = 2 * prompt;
                at[s] = prompt;
                kv_cache_match(f->cache, s, f->tokens, 0, (uint64_t)step * SEQUENCES + (uint64_t)s);   /* nobody shares */
                compute(f, s, 0, prompt);
            } else {
                compute(f, s, at[s], at[s] + 1);
                at[s]++;
            }
        }
        if (step % 50)
            continue;
        check_map(f);
        KvUsage u = kv_cache_usage(f->cache);
        assert_true((double)u.group[0].wasted < 0.04 * (double)u.group[0].places);   /* at any moment */
    }
    for (int32_t s = 0; s < SEQUENCES; s++)
        kv_cache_drop(f->cache, s);
    Error err;
    assert_int_equal(kv_audit_pools(f->cache, &err), OK);
}

static void the_lines_for_people_say_the_same_numbers(void **state)
{
    (void)state;
    KvUsage u = {.groups = 2, .block_tokens = 16, .sequences = 3, .prefixes = 7, .snapshots = 2, .asked = {200, 150},
                 .group = {{KV_FULL, 0, 100, {10, 1, 4, 5}, 2, 8, 80, 8, 17}, {KV_WINDOW, 64, 100, {10, 10, 0, 0}, 0, 0, 0, 0, 0}}};
    Buf out;
    buf_init(&out, 4096);
    assert_true(kv_explain(&u, &out));
    assert_string_equal(out.data, "cache of 20 blocks: 25.0% held by 3 sequences, 10.0% of that wasted\n"
                                  "  group               blocks    held  shared  cached    free  wasted  evicted\n"
                                  "  full                    10       5       2       4       1   10.0%       17\n"
                                  "  window of 64            10       0       0       0      10    0.0%        0\n"
                                  "sharing: 8 references to 5 blocks: 38% less than without\n"
                                  "prefixes: 7 known, 2 of them with a state; of 200 tokens asked for, 150 were known (75.0%)\n");
    buf_deinit(&out);
    buf_init(&out, 10);
    assert_false(kv_explain(&u, &out));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_number_is_what_one_counts_by_hand),
        cmocka_unit_test(what_was_asked_counts_once_however_often_there_was_no_room),
        cmocka_unit_test(under_4_in_100_are_wasted_while_sequences_come_grow_and_go),
        cmocka_unit_test(the_lines_for_people_say_the_same_numbers),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
