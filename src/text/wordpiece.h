/* wordpiece.h -- the longest piece first, and again from where it ended.
 *
 *     WordPiece       unaffable -> un ##aff ##able; a word that cannot be finished is one unknown token
 *     WordLevel       the whole word, or unknown
 *     greedy (RWKV)   the longest piece at each byte; a byte without one is unknown
 *
 * Linear in the text times the longest piece.
 *
 * Schuster and Nakajima 2012; Devlin et al. 2018.
 */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include "text/token_sink.h"
#include "text/trie.h"
#include "text/vocab.h"

typedef struct WordPiece {
    const Vocab *vocab;
    Trie trie;
    Span word_start;        /* put before each word (GGUF: U+2581), or empty */
    Span continuing;        /* put before each later piece ("##"), or empty */
    size_t characters_max;  /* a longer word is unknown; 0: no limit */
    int32_t unk;
} WordPiece;

/* After vocab_finish. `spell` writes what a piece is looked for as, where that is not its text (RWKV's escapes). */
Err wordpiece_init(WordPiece *, const Vocab *, Err (*spell)(Span piece, Buf *out), Error *err);
void wordpiece_deinit(WordPiece *);

void wordpiece_encode(const WordPiece *, Span word, TokenSink *);
void wordlevel_encode(const WordPiece *, Span word, TokenSink *);
void greedy_encode(const WordPiece *, Span text, TokenSink *);

#endif
