/* bpe.h -- byte pair encoding: neighbours are merged, the best pair first, until none is left.
 *
 *     l o w e r      rank of (l,o) 3, (e,r) 0
 *     l o w er       e+r first
 *     lo w er        then l+o
 *     low er         ...
 *
 * Two ways to know a pair. BPE_BY_RANK (GPT-2 and all that follow): a table of pairs of pieces, the
 * earlier line first. BPE_BY_SCORE (SentencePiece): any two neighbours whose joined text is a piece,
 * the highest score first. Equal ones: the leftmost first.
 *
 * The pairs wait in a heap and the symbols in a linked list, so a word of n characters costs
 * O(n log n): a megabyte without a space is no attack.
 *
 * Gage 1994; Sennrich, Haddow and Birch 2016; Kudo and Richardson 2018.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "text/token_sink.h"
#include "text/trie.h"
#include "text/vocab.h"

enum { MERGES_MAX = 1 << 24, BPE_DIRECT_CODES = 0x200 };

typedef struct MergeSlot {
    int32_t left, right;       /* left -1: free */
    uint32_t rank;
    int32_t joined;
} MergeSlot;

typedef struct Bpe {
    const Vocab *vocab;
    MergeSlot *merges;         /* NULL: BPE_BY_SCORE */
    size_t merges_count;
    uint32_t merge_mask;
    const char *continuing;    /* what a piece that does not begin a word starts with, e.g. "##"; or NULL */
    const char *word_end;      /* what a piece that ends a word ends with, e.g. "</w>"; or NULL */
    int32_t unk;               /* TOKEN_NONE: characters without a piece are left out */
    bool fuse_unk;             /* neighbouring unknown characters are one unknown token */
    bool byte_fallback;        /* unknown characters become <0x41> pieces */
    bool whole_words_first;    /* a word that is a piece is that piece, whatever the merges say */
    const Trie *whole;         /* pieces that are one symbol from the start and never merge; or NULL */
    bool has_unused;           /* pieces of kind PIECE_UNUSED: cut again into what they were merged from */
    uint8_t *neighbours;       /* bit set: characters that stand side by side in a piece; NULL: not looked at */
    int32_t bytes[256];        /* the <0x41> pieces, or -1 */
    int32_t direct[BPE_DIRECT_CODES];   /* the piece of a character below U+0200, or -1 */
} Bpe;

/* After vocab_finish; fields above may be set before or after. */
void bpe_init(Bpe *, const Vocab *);
void bpe_deinit(Bpe *);

Err bpe_reserve_merges(Bpe *, size_t count, Error *err);   /* before the first bpe_add_merge */
Err bpe_add_merge(Bpe *, Span left, Span right, Error *err);

/* For models whose words are long (a whole text, where spaces are letters): a word is then cut wherever no
 * piece could reach across, which changes no token and keeps the heap small. After all other settings. */
Err bpe_index_neighbours(Bpe *, Error *err);

typedef struct BpeScratch BpeScratch;      /* of one thread; grows with the longest word */
BpeScratch *bpe_scratch_new(void);
void bpe_scratch_free(BpeScratch *);
Err bpe_encode(const Bpe *, BpeScratch *, Span word, TokenSink *, Error *err);

#endif
