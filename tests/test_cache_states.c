/* States of fixed size in the cache: what they cost, when they are kept, and that they go back. */
#include "test.h"

#include "cache/kv_audit.h"
#include "devices/cpu/cpu_device.h"

enum { BLOCK = 4, CONTEXT = 400, SEQUENCES = 4, SNAPSHOTS = 3, INTERVAL = 32, STATE_BYTES = (10 + 6) * 4 };

static const KvLayout pure = {3, {{.kind = KV_STATE, .state_width = 10}, {.kind = KV_NONE}, {.kind = KV_STATE, .state_width = 6}}};
/* Keys and values beside a state, and a window. */
static const KvLayout hybrid = {2, {{KV_FULL, 2, 8, 4, 0, 0, 10}, {KV_WINDOW, 1, 16, 16, 10, 0, 6}}};

static KvOptions options(void)
{
    return (KvOptions){.format = format_find("F16"), .block_tokens = BLOCK, .sequences = SEQUENCES, .context = CONTEXT,
                       .rows = 8, .state_snapshots = SNAPSHOTS, .state_interval = INTERVAL};
}

static KvLedger ledger_of(const KvLayout *layout, KvOptions o)
{
    KvLedger l;
    Error err;
    assert_int_equal(kv_ledger_init(&l, layout, &o, &err), OK);
    return l;
}

/* --- the ledger --- */

static void states_of_all_layers_are_one_group_and_do_not_grow(void **state)
{
    (void)state;
    KvLedger l = ledger_of(&hybrid, options());
    assert_int_equal(l.groups, 3);
    assert_int_equal(l.paged, 2);
    assert_int_equal(l.group[2].block_bytes, STATE_BYTES);
    assert_int_equal(l.group[2].layers, 2);
    assert_int_equal(l.group[2].blocks, 2 * SEQUENCES + SNAPSHOTS);
    assert_int_equal(l.state_bytes, STATE_BYTES);
    assert_int_equal(kv_ledger_sequence_bytes(&l, 300) - kv_ledger_sequence_bytes(&l, 200), 100 * l.token_bytes);
    assert_int_equal(kv_ledger_sequence_bytes(&l, 1), BLOCK * 2 * (8 + 4) * 2 + BLOCK * 32 * 2 + STATE_BYTES);
}

static void a_model_of_states_alone_fits_with_any_size_of_the_cache(void **state)
{
    (void)state;
    KvOptions few = options(), bytes = options();
    few.tokens = 1;
    bytes.bytes = 5 * STATE_BYTES + 1;
    KvLedger l = ledger_of(&pure, few);
    assert_int_equal(l.token_bytes, 0);
    assert_int_equal(kv_ledger_longest(&l), CONTEXT);
    assert_int_equal(kv_ledger_sequences(&l, CONTEXT), SEQUENCES);
    assert_int_equal(kv_ledger_sequence_bytes(&l, CONTEXT), STATE_BYTES);
    l = ledger_of(&pure, bytes);
    assert_int_equal(l.group[0].blocks, 5);
    assert_int_equal(kv_ledger_sequences(&l, CONTEXT), 2);   /* each may need two slots */
    Error err;
    bytes.bytes = 2 * STATE_BYTES - 1;
    assert_int_equal(kv_ledger_init(&l, &pure, &bytes, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "127 bytes"));
}

static void states_and_blocks_share_a_budget_of_bytes(void **state)
{
    (void)state;
    const int64_t least = 192 + 5 * 256;   /* one block of all positions, and a window with the rows of a step */
    for (int64_t bytes = least + 2 * STATE_BYTES; bytes < 40000; bytes += 333) {
        KvOptions o = options();
        o.bytes = bytes;
        KvLedger l = ledger_of(&hybrid, o);
        int64_t more = (l.group[2].blocks + 1) * l.group[2].block_bytes;
        assert_true(l.pool_bytes <= bytes);
        assert_true(l.group[2].blocks == 2 * SEQUENCES + SNAPSHOTS || more > bytes / 2 || more > bytes - least);
    }
}

static void an_interval_is_settled_to_whole_blocks(void **state)
{
    (void)state;
    KvOptions o = options();
    o.state_interval = BLOCK + 1;
    assert_int_equal(ledger_of(&pure, o).options.state_interval, 2 * BLOCK);
    o.state_interval = -1;
    KvLedger l;
    Error err;
    assert_int_equal(kv_ledger_init(&l, &pure, &o, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "tokens between snapshots: -1"));
}

/* --- a cache --- */

typedef struct Fixture {
    Arena *arena;
    Device *device;
    KvCache *cache;
    KvLedger ledger;
    BlockCopy copy[16];
    BlockCopies copies;
    int32_t tokens[CONTEXT];
} Fixture;

static void open_fixture(Fixture *f, const KvLayout *layout, KvOptions o)
{
    Error err;
    *f = (Fixture){.arena = arena_new(1 << 24), .copies = {.max = 16}, .ledger = ledger_of(layout, o)};
    f->copies.copy = f->copy;
    assert_int_equal(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = 1}, &f->device, &err), OK);
    assert_int_equal(kv_cache_new(&f->cache, &f->ledger, layout, f->device, f->arena, &err), OK);
    for (int32_t i = 0; i < CONTEXT; i++)
        f->tokens[i] = i * 31 % 97;
}

static BlockCounts slots(const Fixture *f) { return kv_cache_counts(f->cache, f->ledger.paged); }

static void audit(const Fixture *f, int32_t s, int32_t computed)
{
    Error err;
    bool agree = kv_audit_slot(f->cache, s, computed, &err) == OK && kv_audit_pools(f->cache, &err) == OK;
    if (!agree)
        print_error("%s\n", err.text);
    assert_true(agree);
}

static void close_fixture(Fixture *f)
{
    for (int32_t s = 0; s < SEQUENCES; s++) {
        kv_cache_drop(f->cache, s);
        audit(f, s, 0);
    }
    assert_int_equal(slots(f).held, 0);
    device_close(f->device);
    arena_free(f->arena);
}

/* One step; returns where it began and what it leaves. */
static StateSlots step(Fixture *f, int32_t s, int32_t from, int32_t to)
{
    f->copies.count = 0;
    assert_true(kv_cache_extend(f->cache, s, from, to, false, &f->copies));
    StateSlots used = kv_cache_state(f->cache, s);
    assert_int_equal(kv_cache_commit(f->cache, s, f->tokens, to), to);
    audit(f, s, to);
    return used;
}

/* A prompt, as the scheduler computes it: in chunks that stop where a state is worth keeping. */
static int32_t compute(Fixture *f, int32_t s, int32_t count)
{
    int32_t reused = kv_cache_match(f->cache, s, f->tokens, count - 1, 0), at = reused;
    while (at < count) {
        int32_t to = kv_cache_stop(f->cache, s, at, at + 50 < count ? at + 50 : count);
        step(f, s, at, to);
        at = to;
    }
    return reused;
}

static bool is_state(const Fixture *f, int32_t position)
{
    NodeId node = NODE_ROOT;
    for (int32_t i = 0; i < position && node != NODE_NONE; i += BLOCK)
        node = prefix_index_find(kv_cache_index(f->cache), node, 0, f->tokens + i);
    return node != NODE_NONE && prefix_index_block(kv_cache_index(f->cache), node, f->ledger.paged) != BLOCK_NONE;
}

static void a_state_goes_on_in_place_unless_others_need_it(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &pure, options());
    kv_cache_match(f.cache, 0, f.tokens, 30, 0);
    StateSlots used = step(&f, 0, 0, 5);
    assert_int_equal(used.from, BLOCK_NONE);                     /* zeros */
    BlockId own = used.to;
    used = step(&f, 0, 5, 6);
    assert_int_equal(used.from, own);
    assert_int_equal(used.to, own);
    kv_cache_fork(f.cache, 0, 1);
    used = step(&f, 1, 6, 7);                                    /* shared: each its own from now on */
    assert_int_equal(used.from, own);
    assert_int_not_equal(used.to, own);
    used = step(&f, 0, 6, 28);                                   /* alone again; 28 is the last worth keeping */
    assert_int_equal(used.to, own);
    assert_true(is_state(&f, 28));
    used = step(&f, 0, 28, 29);                                  /* a snapshot is never written */
    assert_int_equal(used.from, own);
    assert_int_not_equal(used.to, own);
    assert_int_equal(slots(&f).cached, 1);
    close_fixture(&f);
}

static void a_forked_sequence_goes_on_in_the_same_step(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &pure, options());
    compute(&f, 0, 10);
    kv_cache_fork(f.cache, 0, 1);
    assert_true(kv_cache_extend(f.cache, 0, 10, 11, false, &f.copies));
    assert_true(kv_cache_extend(f.cache, 1, 10, 11, false, &f.copies));
    StateSlots a = kv_cache_state(f.cache, 0), b = kv_cache_state(f.cache, 1);
    assert_int_equal(a.from, b.from);
    assert_true(a.to != a.from && b.to != a.from && a.to != b.to);   /* nobody writes what another reads */
    kv_cache_commit(f.cache, 0, f.tokens, 11);
    kv_cache_commit(f.cache, 1, f.tokens, 11);
    audit(&f, 0, 11);
    audit(&f, 1, 11);
    close_fixture(&f);
}

static void states_are_kept_at_intervals_and_where_a_prompt_ends(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &pure, options());
    assert_int_equal(compute(&f, 0, 75), 0);
    for (int32_t at = BLOCK; at < 75; at += BLOCK)
        assert_int_equal(is_state(&f, at), at == 32 || at == 64 || at == 72);
    kv_cache_drop(f.cache, 0);
    assert_int_equal(compute(&f, 1, 75), 72);
    kv_cache_drop(f.cache, 1);
    f.tokens[70]++;
    assert_int_equal(compute(&f, 1, 90), 64);
    close_fixture(&f);
}

static void a_state_is_kept_where_known_pasts_part(void **state)
{
    (void)state;
    Fixture f;
    KvOptions o = options();
    o.state_interval = 0;
    open_fixture(&f, &pure, o);
    for (int32_t turn = 0; turn < 3; turn++) {                   /* the same for 40 tokens, then something new */
        f.tokens[41] = 100 + turn;
        assert_int_equal(compute(&f, 0, 60), turn < 2 ? 0 : 40);
        assert_int_equal(is_state(&f, 40), turn > 0);
        kv_cache_drop(f.cache, 0);
    }
    close_fixture(&f);
}

static void an_answer_keeps_its_newest_state(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &pure, options());
    compute(&f, 0, 10);
    for (int32_t at = 10; at < 50; at++) {
        step(&f, 0, at, at + 1);
        int32_t newest = (at + 1) / BLOCK * BLOCK;
        for (int32_t p = BLOCK; p <= at + 1; p += BLOCK)         /* 8: the prompt's last; 32: at its interval */
            assert_int_equal(is_state(&f, p), p == 8 || p == 32 || p == newest);
    }
    kv_cache_drop(f.cache, 0);
    assert_int_equal(compute(&f, 1, 60), 48);
    close_fixture(&f);
}

static void the_state_that_was_used_longest_ago_gives_way(void **state)
{
    (void)state;
    Fixture f;
    KvOptions o = options();
    o.state_interval = 0;
    open_fixture(&f, &pure, o);
    for (int32_t i = 0; i < 30; i++) {                           /* more prompts than slots; the first one again and again */
        f.tokens[0] = i % 2 ? i : 0;
        assert_int_equal(compute(&f, 0, 11), i % 2 || i == 0 ? 0 : 8);
        kv_cache_drop(f.cache, 0);
    }
    f.tokens[0] = 1;
    assert_int_equal(compute(&f, 0, 11), 0);
    close_fixture(&f);
}

static void a_past_with_blocks_but_without_its_state_is_no_past(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &hybrid, options());
    compute(&f, 0, 75);
    kv_cache_drop(f.cache, 0);
    assert_int_equal(kv_cache_match(f.cache, 1, f.tokens, 70, 0), 64);    /* blocks for 68, a state at 64 */
    assert_int_equal(kv_cache_stop(f.cache, 1, 64, 75), 68);              /* where the past without a state ends */
    assert_int_not_equal(kv_cache_state(f.cache, 1).from, BLOCK_NONE);
    assert_int_equal(kv_cache_match(f.cache, 2, f.tokens, 70, 9), 0);     /* another salt */
    close_fixture(&f);
}

static void rejected_rows_take_their_state_back(void **state)
{
    (void)state;
    Fixture f;
    open_fixture(&f, &hybrid, options());
    compute(&f, 0, 22);
    BlockId before = kv_cache_state(f.cache, 0).from;
    for (int32_t good = 23; good <= 30; good++) {
        assert_true(kv_cache_extend(f.cache, 0, 22, 30, true, &f.copies));
        StateSlots used = kv_cache_state(f.cache, 0);
        assert_int_equal(used.from, before);
        assert_int_not_equal(used.to, before);                            /* the one before is still there */
        int32_t computed = kv_cache_commit(f.cache, 0, f.tokens, good);
        assert_int_equal(computed, good < 30 ? 22 : 30);                  /* all of the step, or nothing */
        assert_int_equal(kv_cache_state(f.cache, 0).from, good < 30 ? before : used.to);
        audit(&f, 0, computed);
    }
    close_fixture(&f);
}

static void without_states_only_the_rejected_rows_go_back(void **state)
{
    (void)state;
    Fixture f;
    KvLayout plain = {1, {{KV_FULL, 1, 4, 4, 0, 0, 0}}};
    open_fixture(&f, &plain, options());
    kv_cache_match(f.cache, 0, f.tokens, 21, 0);
    assert_int_equal(kv_cache_stop(f.cache, 0, 0, 22), 22);
    assert_true(kv_cache_extend(f.cache, 0, 0, 22, false, &f.copies));
    kv_cache_commit(f.cache, 0, f.tokens, 22);
    assert_true(kv_cache_extend(f.cache, 0, 22, 40, true, &f.copies));
    assert_int_equal(kv_cache_commit(f.cache, 0, f.tokens, 27), 27);
    assert_int_equal(kv_cache_counts(f.cache, 0).held, 7);
    assert_int_equal(kv_cache_named(f.cache, 0), 6);
    Error err;
    assert_int_equal(kv_audit_slot(f.cache, 0, 27, &err), OK);
    kv_cache_drop(f.cache, 0);
    assert_int_equal(kv_cache_counts(f.cache, 0).held, 0);
    device_close(f.device);
    arena_free(f.arena);
}

static void a_sequence_is_admitted_when_two_slots_can_be_had(void **state)
{
    (void)state;
    Fixture f;
    KvOptions o = options();
    o.bytes = 5 * STATE_BYTES;
    open_fixture(&f, &pure, o);
    int32_t promised[KV_GROUPS_MAX] = {0};
    compute(&f, 0, 10);                                          /* holds one, may need another */
    assert_true(kv_cache_has_room(f.cache, 1, 10, promised));
    kv_cache_promise(f.cache, 0, 10, promised);
    assert_int_equal(promised[0], 1);
    compute(&f, 1, 9);
    kv_cache_promise(f.cache, 1, 9, promised);
    assert_false(kv_cache_has_room(f.cache, 2, 10, promised));
    close_fixture(&f);
}

static void without_a_budget_nothing_is_kept_and_no_step_is_cut(void **state)
{
    (void)state;
    Fixture f;
    KvOptions o = options();
    o.state_snapshots = 0;
    open_fixture(&f, &pure, o);
    kv_cache_match(f.cache, 0, f.tokens, 99, 0);
    assert_int_equal(kv_cache_stop(f.cache, 0, 0, 100), 100);
    step(&f, 0, 0, 32);
    kv_cache_drop(f.cache, 0);
    assert_int_equal(slots(&f).cached, 0);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_of_all_layers_are_one_group_and_do_not_grow),
        cmocka_unit_test(a_model_of_states_alone_fits_with_any_size_of_the_cache),
        cmocka_unit_test(states_and_blocks_share_a_budget_of_bytes),
        cmocka_unit_test(an_interval_is_settled_to_whole_blocks),
        cmocka_unit_test(a_state_goes_on_in_place_unless_others_need_it),
        cmocka_unit_test(a_forked_sequence_goes_on_in_the_same_step),
        cmocka_unit_test(states_are_kept_at_intervals_and_where_a_prompt_ends),
        cmocka_unit_test(a_state_is_kept_where_known_pasts_part),
        cmocka_unit_test(an_answer_keeps_its_newest_state),
        cmocka_unit_test(the_state_that_was_used_longest_ago_gives_way),
        cmocka_unit_test(a_past_with_blocks_but_without_its_state_is_no_past),
        cmocka_unit_test(rejected_rows_take_their_state_back),
        cmocka_unit_test(without_states_only_the_rejected_rows_go_back),
        cmocka_unit_test(a_sequence_is_admitted_when_two_slots_can_be_had),
        cmocka_unit_test(without_a_budget_nothing_is_kept_and_no_step_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
