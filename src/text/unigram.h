/* unigram.h -- the most probable way to cut a text into pieces (Viterbi over a trie of the pieces).
 *
 *     best[0] = 0;  best[end] = max over pieces ending there of best[begin] + score
 *
 * A character that no piece covers alone costs the lowest score less 10. Among equal ways the one whose
 * last piece begins first wins, as in the reference. Linear in the text times the longest piece.
 *
 * Kudo 2018, "Subword Regularization".
 */
#ifndef TEXT_UNIGRAM_H
#define TEXT_UNIGRAM_H

#include "text/token_sink.h"
#include "text/trie.h"
#include "text/vocab.h"

typedef struct Unigram {
    const Vocab *vocab;
    Trie trie;
    int32_t unk;
    bool byte_fallback, fuse_unk;
    bool single_precision;    /* SentencePiece itself sums floats; tokenizer.json and GGUF mean doubles */
    bool users_win;           /* user-defined pieces score 0, all others less; tokenizer.json has none */
    double lowest;            /* score of a normal piece */
    int32_t bytes[256];       /* the <0x41> pieces, or -1 */
} Unigram;

/* After vocab_finish. all_pieces: special ones take part too, as in tokenizer.json. */
Err unigram_init(Unigram *, const Vocab *, bool all_pieces, Error *err);
void unigram_deinit(Unigram *);

typedef struct UnigramScratch {
    struct UnigramStep *steps;
    size_t capacity;
} UnigramScratch;
void unigram_scratch_deinit(UnigramScratch *);

Err unigram_encode(const Unigram *, UnigramScratch *, Span word, TokenSink *, Error *err);

#endif
