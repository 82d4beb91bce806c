#include "text/trie.h"

#include <stdlib.h>

bool trie_init(Trie *t)
{
    *t = (Trie){.node_count = 1, .node_capacity = 64, .edge_mask = 127};
    t->values = malloc((size_t)t->node_capacity * sizeof *t->values);
    t->edges = calloc(t->edge_mask + 1, sizeof *t->edges);
    if (!t->values || !t->edges) {
        trie_deinit(t);
        return false;
    }
    t->values[TRIE_ROOT] = -1;
    return true;
}

void trie_deinit(Trie *t)
{
    free(t->values);
    free(t->edges);
    *t = (Trie){0};
}

static uint32_t edge_key(int32_t node, uint8_t byte) { return ((uint32_t)node << 8 | byte) + 1; }
static uint32_t edge_home(uint32_t key) { return (key * 0x9E3779B1u) ^ (key * 0x9E3779B1u) >> 15; }

static TrieEdge *find_edge(const Trie *t, uint32_t key)
{
    uint32_t at = edge_home(key) & t->edge_mask;
    while (t->edges[at].key && t->edges[at].key != key)
        at = (at + 1) & t->edge_mask;
    return &t->edges[at];
}

int32_t trie_step(const Trie *t, int32_t node, uint8_t byte)
{
    if (node == TRIE_ROOT)
        return t->first[byte];
    return find_edge(t, edge_key(node, byte))->child;
}

static bool grow_edges(Trie *t)
{
    Trie wider = *t;
    wider.edge_mask = 2 * t->edge_mask + 1;
    wider.edges = calloc((size_t)wider.edge_mask + 1, sizeof *wider.edges);
    if (!wider.edges)
        return false;
    for (uint32_t i = 0; i <= t->edge_mask; i++)
        if (t->edges[i].key)
            *find_edge(&wider, t->edges[i].key) = t->edges[i];
    free(t->edges);
    *t = wider;
    return true;
}

static int32_t new_node(Trie *t)
{
    if (t->node_count == TRIE_NODES_MAX)
        return 0;
    if (t->node_count == t->node_capacity) {
        int32_t *values = realloc(t->values, 2 * (size_t)t->node_capacity * sizeof *values);
        if (!values)
            return 0;
        t->values = values;
        t->node_capacity *= 2;
    }
    t->values[t->node_count] = -1;
    return t->node_count++;
}

static int32_t step_or_make(Trie *t, int32_t node, uint8_t byte)
{
    int32_t child = trie_step(t, node, byte);
    if (child || !(child = new_node(t)))
        return child;
    if (node == TRIE_ROOT) {
        t->first[byte] = child;
        return child;
    }
    if (2 * ++t->edge_count > t->edge_mask && !grow_edges(t))
        return 0;
    uint32_t key = edge_key(node, byte);
    *find_edge(t, key) = (TrieEdge){key, child};
    return child;
}

bool trie_put(Trie *t, Span key, int32_t value)
{
    int32_t node = TRIE_ROOT;
    for (size_t i = 0; i < key.bytes; i++)
        if (!(node = step_or_make(t, node, key.data[i])))
            return false;
    if (key.bytes)
        t->values[node] = value;
    return true;
}

int32_t trie_walk(const Trie *t, int32_t node, Span text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (!(node = trie_step(t, node, text.data[i])))
            return 0;
    return node;
}

int32_t trie_longest(const Trie *t, Span text, size_t *bytes)
{
    int32_t node = TRIE_ROOT, best = -1;
    for (size_t i = 0; i < text.bytes && (node = trie_step(t, node, text.data[i])); i++)
        if (t->values[node] >= 0) {
            best = t->values[node];
            *bytes = i + 1;
        }
    return best;
}
