/* tokenizer_parts.h -- the inside of a Tokenizer, for those who build one from a file.
 *
 * A builder takes a fresh Tokenizer from tokenizer_new(), fills vocab and calls vocab_finish(), fills
 * the stages, and hands it to tokenizer_ready(), which works out the rest and checks that the parts fit.
 */
#ifndef TEXT_TOKENIZER_PARTS_H
#define TEXT_TOKENIZER_PARTS_H

#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/token_decoder.h"
#include "text/normalizer.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

typedef enum ModelKind { MODEL_NONE, MODEL_BPE, MODEL_UNIGRAM, MODEL_WORDPIECE, MODEL_WORDLEVEL, MODEL_GREEDY } ModelKind;

enum { AFFIX_TOKENS_MAX = 16 };

typedef struct Affix {
    int32_t ids[AFFIX_TOKENS_MAX];
    int count;
} Affix;

/* What is done with bytes that are no UTF-8 before anything else. */
typedef enum BrokenText { BROKEN_REPLACED, BROKEN_KEPT } BrokenText;

struct Tokenizer {
    Arena *arena;             /* names, strings of steps */
    const char *name;
    Vocab vocab;
    AddedTokens added;
    BrokenText broken;
    Normalizer normalizer;
    PreTokenizer pretokenizer;
    ModelKind kind;
    Bpe bpe;
    Unigram unigram;
    WordPiece wordpiece;      /* also MODEL_WORDLEVEL and MODEL_GREEDY */
    Trie whole;               /* SentencePiece: pieces that are never cut */
    Decoder decoder;
    Affix before, after;      /* ENCODE_ADD_SPECIAL */
    SpecialTokens specials;
    uint8_t *hidden;          /* [vocab.size] DECODE_SKIP_SPECIAL leaves these out */
};

enum { TOKENIZER_ARENA_BYTES_MAX = 1 << 28 };

Err tokenizer_new(const char *name, Tokenizer **out, Error *err);
/* Frees the tokenizer when `result` is an error; otherwise finishes it into *out. */
Err tokenizer_ready(Tokenizer *, Err result, Tokenizer **out, Error *err);

Span tokenizer_keep(Tokenizer *, Span text);   /* a copy that lives as long; empty when there is no memory */
bool affix_add(Affix *, int32_t id);
bool affix_has(const Affix *, int32_t id);

/* Fills in the special tokens that are known by their spelling alone, and the list of ends. */
void special_tokens_guess(Tokenizer *);

#endif
