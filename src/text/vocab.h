/* vocab.h -- the pieces of a tokenizer: id -> text, and text -> id.
 *
 * Pieces are added in any order with their ids, then vocab_finish() lays them out by id and builds
 * the index. Ids that nobody named are holes: they have no text and no text leads to them. Two
 * pieces with one id, or one text with two ids, are errors of the file.
 *
 * An id is a table index, so a file that names id 16,000,000 for its only piece would make us
 * allocate for it: ids must stay within HOLES_PER_PIECE times the number of pieces.
 */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include "base/buf.h"
#include "base/error.h"

enum {
    VOCAB_PIECES_MAX = 1 << 24,
    VOCAB_PIECE_BYTES_MAX = 1 << 16,
    VOCAB_TEXT_BYTES_MAX = 1 << 29,
    VOCAB_HOLES_PER_PIECE = 8,
    VOCAB_HOLES_FREE = 1 << 16,
};

typedef enum PieceKind {
    PIECE_HOLE,
    PIECE_NORMAL,
    PIECE_UNKNOWN,
    PIECE_CONTROL,    /* never produced from text, e.g. the end of a turn */
    PIECE_USER,       /* always one token where it stands in the text */
    PIECE_UNUSED,
    PIECE_BYTE,       /* <0x41> */
    PIECE_ADDED,      /* not of the model: only ever found as an added token */
} PieceKind;

typedef struct Piece {
    uint32_t offset, bytes;
    double score;
    PieceKind kind;
    int32_t id;
} Piece;

typedef struct Vocab {
    const char *name;     /* for errors; owned by whoever made it */
    Buf text;
    Piece *pieces;        /* before vocab_finish in the order added, afterwards [size] by id */
    size_t count, capacity;
    int32_t size;         /* the highest id + 1 */
    uint64_t *slots;      /* hash << 32 | id + 1, so that a text is only looked at when its hash agrees; 0 is free */
    uint32_t slot_mask;
    uint32_t longest;     /* bytes of the longest piece */
} Vocab;

void vocab_init(Vocab *, const char *name);
void vocab_deinit(Vocab *);
Err vocab_add(Vocab *, int64_t id, Span text, PieceKind kind, double score, Error *err);
Err vocab_finish(Vocab *, Error *err);

/* After vocab_finish. */
int32_t vocab_find(const Vocab *, Span text);   /* -1: none */
static inline bool vocab_has(const Vocab *v, int64_t id)
{
    return id >= 0 && id < v->size && v->pieces[id].kind != PIECE_HOLE;
}
static inline Span vocab_text(const Vocab *v, int32_t id)   /* empty for a hole */
{
    return span_of(v->text.data + v->pieces[id].offset, v->pieces[id].bytes);
}

#endif
