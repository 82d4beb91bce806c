/* The memory of the cache: no block is lost, taken twice or overwritten while somebody reads it, and
 * nobody is ever given another's past. */
#include "test.h"

#include "cache/prefix_index.h"

enum { ARENA_BYTES = 1 << 24 };

typedef struct Forgotten {
    int32_t names[64];
    int count;
} Forgotten;

static void note(void *with, int32_t group, int32_t name)
{
    Forgotten *f = with;
    assert_int_equal(group, 3);
    f->names[f->count++] = name;
}

static void taking_is_all_or_nothing_and_every_block_comes_back(void **state)
{
    (void)state;
    Arena *arena = arena_new(ARENA_BYTES);
    Forgotten forgotten = {0};
    BlockPool *pool = block_pool_new(arena, 4, (BlockForget){note, &forgotten, 3});
    BlockId taken[4], more;
    assert_true(block_pool_take(pool, 3, taken));
    assert_false(block_pool_take(pool, 2, &more));
    assert_int_equal(block_pool_available(pool), 1);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++)
            assert_int_not_equal(taken[i], taken[j]);
    for (int i = 0; i < 3; i++)
        block_pool_give(pool, taken[i]);
    BlockCounts counts = block_pool_counts(pool);
    assert_int_equal(counts.free, 4);
    assert_int_equal(counts.held + counts.cached, 0);
    assert_int_equal(forgotten.count, 0);
    arena_free(arena);
}

static void the_block_that_waited_longest_is_evicted_first(void **state)
{
    (void)state;
    Arena *arena = arena_new(ARENA_BYTES);
    Forgotten forgotten = {0};
    BlockPool *pool = block_pool_new(arena, 3, (BlockForget){note, &forgotten, 3});
    BlockId taken[3], again[3];
    assert_true(block_pool_take(pool, 3, taken));
    for (int i = 0; i < 3; i++)
        block_pool_set_name(pool, taken[i], 100 + i);
    block_pool_give(pool, taken[1]);
    block_pool_give(pool, taken[0]);
    block_pool_give(pool, taken[2]);
    assert_int_equal(block_pool_counts(pool).cached, 3);
    block_pool_share(pool, taken[0]);          /* used again: no longer waiting */
    assert_int_equal(block_pool_references(pool, taken[0]), 1);
    assert_true(block_pool_take(pool, 2, again));
    assert_int_equal(forgotten.count, 2);
    assert_int_equal(forgotten.names[0], 101);
    assert_int_equal(forgotten.names[1], 102);
    assert_int_equal(block_pool_name(pool, again[0]), NAME_NONE);
    assert_false(block_pool_take(pool, 1, again));
    arena_free(arena);
}

static void a_shared_block_is_copied_before_it_is_written(void **state)
{
    (void)state;
    Arena *arena = arena_new(ARENA_BYTES);
    BlockPool *pool = block_pool_new(arena, 2, (BlockForget){.group = 3});
    BlockId shared;
    BlockCopy copy = {-1, -1, -1};
    assert_true(block_pool_take(pool, 1, &shared));
    assert_int_equal(block_pool_own(pool, shared, &copy), shared);   /* alone: no copy */
    assert_int_equal(copy.from, -1);
    block_pool_share(pool, shared);
    BlockId own = block_pool_own(pool, shared, &copy);
    assert_int_not_equal(own, shared);
    assert_int_equal(copy.group, 3);
    assert_int_equal(copy.from, shared);
    assert_int_equal(copy.to, own);
    assert_int_equal(block_pool_references(pool, shared), 1);
    block_pool_share(pool, shared);
    assert_int_equal(block_pool_own(pool, shared, &copy), BLOCK_NONE);   /* full: nothing changes */
    assert_int_equal(block_pool_references(pool, shared), 2);
    arena_free(arena);
}

static const int32_t quick[] = {1, 2, 3, 4}, jumps[] = {5, 6, 7, 8}, sleeps[] = {5, 6, 7, 9};

static void a_past_is_found_only_under_its_own_parent_and_salt(void **state)
{
    (void)state;
    Arena *arena = arena_new(ARENA_BYTES);
    PrefixIndex *ix = prefix_index_new(arena, (PrefixIndexOptions){16, 4, 42});
    NodeId a = prefix_index_make(ix, NODE_ROOT, 0, quick), b = prefix_index_make(ix, a, 0, jumps);
    assert_int_equal(prefix_index_find(ix, NODE_ROOT, 0, quick), a);
    assert_int_equal(prefix_index_find(ix, a, 0, jumps), b);
    assert_int_equal(prefix_index_find(ix, a, 0, sleeps), NODE_NONE);
    assert_int_equal(prefix_index_find(ix, NODE_ROOT, 0, jumps), NODE_NONE);
    assert_int_equal(prefix_index_find(ix, b, 0, jumps), NODE_NONE);
    assert_int_equal(prefix_index_find(ix, NODE_ROOT, 7, quick), NODE_NONE);
    assert_int_equal(prefix_index_make(ix, NODE_ROOT, 0, quick), a);
    assert_int_not_equal(prefix_index_make(ix, NODE_ROOT, 7, quick), a);
    arena_free(arena);
}

static void a_node_lives_while_it_has_a_block_a_child_or_a_holder(void **state)
{
    (void)state;
    Arena *arena = arena_new(ARENA_BYTES);
    PrefixIndex *ix = prefix_index_new(arena, (PrefixIndexOptions){2, 4, 42});
    NodeId a = prefix_index_make(ix, NODE_ROOT, 0, quick), b = prefix_index_make(ix, a, 0, jumps);
    assert_int_equal(prefix_index_make(ix, a, 0, sleeps), NODE_NONE);   /* the bound */
    prefix_index_put(ix, b, 1, 17);
    prefix_index_release(ix, a);
    prefix_index_release(ix, b);
    assert_int_equal(prefix_index_nodes(ix), 2);
    assert_int_equal(prefix_index_block(ix, b, 1), 17);
    assert_int_equal(prefix_index_block(ix, a, 1), BLOCK_NONE);
    prefix_index_remove(ix, b, 1);                                      /* and with it goes its parent */
    assert_int_equal(prefix_index_nodes(ix), 0);
    assert_int_equal(prefix_index_find(ix, NODE_ROOT, 0, quick), NODE_NONE);
    assert_int_not_equal(prefix_index_make(ix, NODE_ROOT, 0, jumps), NODE_NONE);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taking_is_all_or_nothing_and_every_block_comes_back),
        cmocka_unit_test(the_block_that_waited_longest_is_evicted_first),
        cmocka_unit_test(a_shared_block_is_copied_before_it_is_written),
        cmocka_unit_test(a_past_is_found_only_under_its_own_parent_and_salt),
        cmocka_unit_test(a_node_lives_while_it_has_a_block_a_child_or_a_holder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
