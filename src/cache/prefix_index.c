#include "cache/prefix_index.h"

#include <string.h>

typedef struct Node {
    uint64_t hash, salt;
    NodeId parent, next;              /* next: in the bucket, or in the list of unused nodes */
    int32_t uses;                     /* children, blocks and holders; 0: unused */
    BlockId block[KV_GROUPS_MAX];
} Node;

struct PrefixIndex {
    PrefixIndexOptions o;
    Node *nodes;
    int32_t *tokens;                  /* [nodes_max, block_tokens] */
    NodeId *buckets;
    uint64_t *ended;                  /* hashes of nodes that have ended, each in its bucket's place: the last one */
    uint32_t bucket_mask;
    NodeId first_unused;              /* given back; those from `fresh` on were never used */
    int32_t fresh, used;
};

PrefixIndex *prefix_index_new(Arena *arena, PrefixIndexOptions o)
{
    uint32_t buckets = 1;
    while (buckets < (uint32_t)o.nodes_max)
        buckets *= 2;
    PrefixIndex *ix = ARENA_NEW(arena, PrefixIndex);
    if (!ix || !(ix->nodes = ARENA_ARRAY(arena, Node, (size_t)o.nodes_max))
        || !(ix->tokens = ARENA_ARRAY(arena, int32_t, (size_t)o.nodes_max * (size_t)o.block_tokens))
        || !(ix->buckets = ARENA_ARRAY(arena, NodeId, buckets)) || !(ix->ended = ARENA_ARRAY(arena, uint64_t, buckets)))
        return NULL;
    ix->o = o;
    ix->bucket_mask = buckets - 1;
    for (uint32_t i = 0; i < buckets; i++)
        ix->buckets[i] = NODE_NONE;
    ix->first_unused = NODE_NONE;
    return ix;
}

static Node *node_at(const PrefixIndex *ix, NodeId n)
{
    ASSERT(n >= 0 && n < ix->o.nodes_max && ix->nodes[n].uses > 0);
    return &ix->nodes[n];
}

static int32_t *node_tokens(const PrefixIndex *ix, NodeId n) { return ix->tokens + (size_t)n * (size_t)ix->o.block_tokens; }

/* The finaliser of splitmix64 (Steele et al. 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t hash_of(const PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    uint64_t h = mix((parent == NODE_ROOT ? ix->o.key : node_at(ix, parent)->hash) ^ mix(salt));
    for (int32_t i = 0; i < ix->o.block_tokens; i++)
        h = mix(h * 0x9e3779b97f4a7c15u + (uint32_t)tokens[i]);
    return h;
}

static NodeId *bucket_of(const PrefixIndex *ix, uint64_t hash) { return &ix->buckets[hash & ix->bucket_mask]; }

static NodeId find(const PrefixIndex *ix, uint64_t hash, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    size_t bytes = (size_t)ix->o.block_tokens * sizeof *tokens;
    for (NodeId n = *bucket_of(ix, hash); n != NODE_NONE; n = ix->nodes[n].next) {
        const Node *node = &ix->nodes[n];
        if (node->hash == hash && node->parent == parent && node->salt == salt
            && memcmp(node_tokens(ix, n), tokens, bytes) == 0)
            return n;
    }
    return NODE_NONE;
}

NodeId prefix_index_find(const PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    return find(ix, hash_of(ix, parent, salt, tokens), parent, salt, tokens);
}

void prefix_index_hold(PrefixIndex *ix, NodeId n)
{
    if (n != NODE_ROOT)
        node_at(ix, n)->uses++;
}

static NodeId unused_node(PrefixIndex *ix)
{
    NodeId n = ix->first_unused;
    if (n != NODE_NONE)
        ix->first_unused = ix->nodes[n].next;
    else if (ix->fresh < ix->o.nodes_max)
        n = ix->fresh++;
    return n;
}

NodeId prefix_index_make(PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    uint64_t hash = hash_of(ix, parent, salt, tokens);
    NodeId n = find(ix, hash, parent, salt, tokens);
    if (n == NODE_NONE && (n = unused_node(ix)) != NODE_NONE) {
        Node *node = &ix->nodes[n];
        NodeId *bucket = bucket_of(ix, hash);
        *node = (Node){.hash = hash, .salt = salt, .parent = parent, .next = *bucket};
        for (int g = 0; g < KV_GROUPS_MAX; g++)
            node->block[g] = BLOCK_NONE;
        memcpy(node_tokens(ix, n), tokens, (size_t)ix->o.block_tokens * sizeof *tokens);
        *bucket = n;
        prefix_index_hold(ix, parent);
        ix->used++;
    }
    if (n != NODE_NONE)
        ix->nodes[n].uses++;
    return n;
}

static void unlink_node(PrefixIndex *ix, NodeId n)
{
    NodeId *link = bucket_of(ix, ix->nodes[n].hash);
    ix->ended[ix->nodes[n].hash & ix->bucket_mask] = ix->nodes[n].hash;
    while (*link != n)
        link = &ix->nodes[*link].next;
    *link = ix->nodes[n].next;
    ix->nodes[n].next = ix->first_unused;
    ix->first_unused = n;
    ix->used--;
}

/* A node that ends gives up its use of its parent, which may end then too. */
void prefix_index_release(PrefixIndex *ix, NodeId n)
{
    while (n != NODE_ROOT && --node_at(ix, n)->uses == 0) {
        unlink_node(ix, n);
        n = ix->nodes[n].parent;
    }
}

int32_t prefix_index_alike(const PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    int32_t most = -1;
    for (NodeId n = 0; n < ix->fresh; n++) {
        const Node *node = &ix->nodes[n];
        if (node->uses == 0 || node->parent != parent || node->salt != salt)
            continue;
        int32_t alike = 0;
        while (alike < ix->o.block_tokens && node_tokens(ix, n)[alike] == tokens[alike])
            alike++;
        most = alike > most ? alike : most;
    }
    return most;
}

bool prefix_index_ended(const PrefixIndex *ix, NodeId parent, uint64_t salt, const int32_t *tokens)
{
    uint64_t hash = hash_of(ix, parent, salt, tokens);
    return ix->ended[hash & ix->bucket_mask] == hash;
}

BlockId prefix_index_block(const PrefixIndex *ix, NodeId n, int32_t group) { return node_at(ix, n)->block[group]; }

void prefix_index_put(PrefixIndex *ix, NodeId n, int32_t group, BlockId block)
{
    Node *node = node_at(ix, n);
    ASSERT(node->block[group] == BLOCK_NONE && block >= 0);
    node->block[group] = block;
    node->uses++;
}

void prefix_index_remove(PrefixIndex *ix, NodeId n, int32_t group)
{
    Node *node = node_at(ix, n);
    ASSERT(node->block[group] != BLOCK_NONE);
    node->block[group] = BLOCK_NONE;
    prefix_index_release(ix, n);
}

NodeId prefix_index_parent(const PrefixIndex *ix, NodeId n) { return node_at(ix, n)->parent; }
const int32_t *prefix_index_tokens(const PrefixIndex *ix, NodeId n)
{
    node_at(ix, n);
    return node_tokens(ix, n);
}
int32_t prefix_index_nodes(const PrefixIndex *ix) { return ix->used; }
