#include "cache/block_pool.h"

typedef struct Block {
    int32_t references, name;
    BlockId older, newer;      /* neighbours while cached; `older` links the free ones */
} Block;

struct BlockPool {
    Block *blocks;
    int32_t count, free, cached;
    BlockId first_free, oldest, newest;
    BlockForget forget;
    int64_t evictions;
};

BlockPool *block_pool_new(Arena *arena, int32_t blocks, BlockForget forget)
{
    BlockPool *p = ARENA_NEW(arena, BlockPool);
    if (!p || !(p->blocks = ARENA_ARRAY(arena, Block, (size_t)blocks)))
        return NULL;
    p->count = p->free = blocks;
    p->forget = forget;
    p->oldest = p->newest = p->first_free = BLOCK_NONE;
    for (BlockId b = blocks - 1; b >= 0; b--) {   /* so that block 0 is taken first */
        p->blocks[b] = (Block){.name = NAME_NONE, .older = p->first_free};
        p->first_free = b;
    }
    return p;
}

static Block *block_at(const BlockPool *p, BlockId b)
{
    ASSERT(b >= 0 && b < p->count);
    return &p->blocks[b];
}

static void cached_append(BlockPool *p, BlockId b)
{
    p->blocks[b].older = p->newest;
    p->blocks[b].newer = BLOCK_NONE;
    if (p->newest == BLOCK_NONE)
        p->oldest = b;
    else
        p->blocks[p->newest].newer = b;
    p->newest = b;
    p->cached++;
}

static void cached_remove(BlockPool *p, BlockId b)
{
    BlockId older = p->blocks[b].older, newer = p->blocks[b].newer;
    if (older == BLOCK_NONE)
        p->oldest = newer;
    else
        p->blocks[older].newer = newer;
    if (newer == BLOCK_NONE)
        p->newest = older;
    else
        p->blocks[newer].older = older;
    p->cached--;
}

static void free_push(BlockPool *p, BlockId b)
{
    p->blocks[b].older = p->first_free;
    p->first_free = b;
    p->free++;
}

void block_pool_uncache(BlockPool *p, BlockId b)
{
    Block *block = block_at(p, b);
    ASSERT(block->references == 0 && block->name != NAME_NONE);
    cached_remove(p, b);
    p->forget.call(p->forget.with, p->forget.group, block->name);
    block->name = NAME_NONE;
    free_push(p, b);
}

static BlockId take_one(BlockPool *p)
{
    if (p->first_free == BLOCK_NONE) {
        block_pool_uncache(p, p->oldest);
        p->evictions++;
    }
    BlockId b = p->first_free;
    p->first_free = p->blocks[b].older;
    p->free--;
    p->blocks[b].references = 1;
    return b;
}

bool block_pool_take(BlockPool *p, int32_t n, BlockId *out)
{
    if (n > block_pool_available(p))
        return false;
    for (int32_t i = 0; i < n; i++)
        out[i] = take_one(p);
    return true;
}

void block_pool_share(BlockPool *p, BlockId b)
{
    Block *block = block_at(p, b);
    if (block->references == 0) {
        ASSERT(block->name != NAME_NONE);   /* a free block has nothing to share */
        cached_remove(p, b);
    }
    block->references++;
}

void block_pool_give(BlockPool *p, BlockId b)
{
    Block *block = block_at(p, b);
    ASSERT(block->references > 0);
    if (--block->references > 0)
        return;
    if (block->name == NAME_NONE)
        free_push(p, b);
    else
        cached_append(p, b);
}

BlockId block_pool_own(BlockPool *p, BlockId b, BlockCopy *todo)
{
    Block *block = block_at(p, b);
    ASSERT(block->references > 0 && block->name == NAME_NONE);   /* what has a name is never written again */
    if (block->references == 1)
        return b;
    BlockId copy;
    if (!block_pool_take(p, 1, &copy))
        return BLOCK_NONE;
    block_pool_give(p, b);
    *todo = (BlockCopy){p->forget.group, b, copy};
    return copy;
}

void block_pool_set_name(BlockPool *p, BlockId b, int32_t name)
{
    Block *block = block_at(p, b);
    ASSERT(block->references > 0 && block->name == NAME_NONE);
    block->name = name;
}

int32_t block_pool_name(const BlockPool *p, BlockId b) { return block_at(p, b)->name; }
int32_t block_pool_references(const BlockPool *p, BlockId b) { return block_at(p, b)->references; }
int32_t block_pool_available(const BlockPool *p) { return p->free + p->cached; }
int64_t block_pool_evictions(const BlockPool *p) { return p->evictions; }

BlockCounts block_pool_counts(const BlockPool *p)
{
    return (BlockCounts){p->count, p->free, p->cached, p->count - p->free - p->cached};
}
