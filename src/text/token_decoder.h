/* token_decoder.h -- ids back to text: each piece's bytes, worked out once when a tokenizer is opened.
 *
 * Whatever chain of decoders a file names, what a piece adds to a text depends on the piece alone, save
 * at the two ends: the first piece may lose a leading space (`first_string`, or the one that
 * WordPiece puts before every word), and the last one a trailing space that only
 * stood for the end of a word (`strip_last`). So decoding is copying, and it can be done as ids come.
 */
#ifndef TEXT_TOKEN_DECODER_H
#define TEXT_TOKEN_DECODER_H

#include "base/buf.h"
#include "text/vocab.h"

struct Tokenizer;

typedef enum DecodeStepKind {
    DECODE_BYTE_ALPHABET,     /* letters of GPT-2's alphabet to bytes; a piece with any other letter stays */
    DECODE_BYTE_FALLBACK,     /* <0x41> to the byte */
    DECODE_REPLACE,           /* `string` by `by` */
    DECODE_STRIP,             /* up to `left` times `string` at the start, `right` at the end, of every piece */
    DECODE_WORDPIECE,         /* `string` ("##") joins to the piece before; others get a space. clean: see decoder.c */
    DECODE_SPELLING,          /* what `spell` makes of the piece */
    DECODE_WORD_END,          /* `string` ("</w>") at the end becomes a space, not at the very end of the text */
} DecodeStepKind;

typedef struct DecodeStep {
    DecodeStepKind kind;
    Span string, by;
    int left, right;
    bool clean;
    Err (*spell)(Span piece, Buf *out);
} DecodeStep;

enum { DECODE_STEPS_MAX = 16 };

typedef struct Decoder {
    DecodeStep steps[DECODE_STEPS_MAX];
    int count;
    Span first_string;        /* what is taken from the start of the whole text ... */
    int first_times;          /* ... up to so many times */
    bool first_piece_only;    /* ... but from the first piece alone */
    bool strip_last;          /* DECODE_WORD_END */
    bool fused;               /* the steps that come are for the whole text (while a file is read) */
    /* Made by decoder_finish. */
    Buf text;
    uint32_t *offsets;        /* [size + 1] of each id in text */
    int32_t size;
    bool spaced_words;        /* WordPiece: the space at the start of the first piece goes */
} Decoder;

void decoder_init(Decoder *);
void decoder_deinit(Decoder *);
Err decoder_add(Decoder *, DecodeStep, const char *what, Error *err);
Err decoder_finish(Decoder *, const Vocab *, Error *err);

static inline Span decoder_bytes(const Decoder *d, int32_t id)
{
    if (id < 0 || id >= d->size)
        return (Span){0};
    return span_of(d->text.data + d->offsets[id], d->offsets[id + 1] - d->offsets[id]);
}

/* What a text has lost or holds back at its ends so far. */
typedef struct DecodeState {
    int first_left;           /* how many more first_string may go */
    bool started;             /* a piece has been given */
    bool space_held;          /* strip_last: a space that comes out before the next piece */
} DecodeState;

void decode_state_init(DecodeState *, const Decoder *, bool continues);
const Decoder *tokenizer_decoder(const struct Tokenizer *);
bool decode_piece(const Decoder *, DecodeState *, int32_t id, Buf *out);   /* false: out is full */

#endif
