/* trie.h -- a set of byte strings walked one byte at a time: all pieces that start here, or the longest.
 *
 * The edges are one hash table from (node, byte) to node, the first step a plain array, so building
 * costs one insertion for each new byte and a walk one probe for each byte.
 */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include "base/span.h"

enum { TRIE_ROOT = 0, TRIE_NODES_MAX = 1 << 23 };

typedef struct TrieEdge {
    uint32_t key;          /* node << 8 | byte, + 1; 0: free */
    int32_t child;
} TrieEdge;

typedef struct Trie {
    int32_t first[256];    /* child of the root, or 0 */
    TrieEdge *edges;
    uint32_t edge_mask, edge_count;
    int32_t *values;       /* of each node; -1: nothing ends here */
    int32_t node_count, node_capacity;
} Trie;

bool trie_init(Trie *);
void trie_deinit(Trie *);
bool trie_put(Trie *, Span key, int32_t value);   /* false: no memory or too many nodes. Later wins. */

int32_t trie_step(const Trie *, int32_t node, uint8_t byte);   /* 0: no such edge */
int32_t trie_walk(const Trie *, int32_t node, Span text);      /* 0: leaves the trie */
static inline int32_t trie_value(const Trie *t, int32_t node) { return t->values[node]; }
/* The longest string of the set that `text` starts with: its value, or -1. */
int32_t trie_longest(const Trie *, Span text, size_t *bytes);

#endif
