#include "text/vocab.h"

#include <math.h>
#include <stdlib.h>

#include "base/checked.h"

void vocab_init(Vocab *v, const char *name)
{
    *v = (Vocab){.name = name};
    buf_init(&v->text, VOCAB_TEXT_BYTES_MAX);
}

void vocab_deinit(Vocab *v)
{
    buf_deinit(&v->text);
    free(v->pieces);
    free(v->slots);
    *v = (Vocab){0};
    buf_init(&v->text, 0);
}

static int shown(Span text) { return (int)(text.bytes < 64 ? text.bytes : 64); }

Err vocab_add(Vocab *v, int64_t id, Span text, PieceKind kind, double score, Error *err)
{
    const char *shown_text = (const char *)text.data;
    if (id < 0 || id >= VOCAB_PIECES_MAX)
        return fail(err, BAD_FILE, "%s: piece '%.*s' has the id %lld; ids go from 0 to %d", v->name, shown(text),
                    shown_text, (long long)id, VOCAB_PIECES_MAX - 1);
    if (text.bytes > VOCAB_PIECE_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: piece %lld has %zu bytes; at most %d are read", v->name, (long long)id,
                    text.bytes, VOCAB_PIECE_BYTES_MAX);
    if (isnan(score))
        return fail(err, BAD_FILE, "%s: the score of piece %lld ('%.*s') is not a number", v->name, (long long)id,
                    shown(text), shown_text);
    if (v->count == v->capacity) {
        size_t capacity = v->capacity ? 2 * v->capacity : 4096;
        Piece *pieces = realloc(v->pieces, capacity * sizeof *pieces);
        if (!pieces)
            return fail(err, NO_MEMORY, "%s: no memory for its %zu pieces", v->name, v->count);
        v->pieces = pieces;
        v->capacity = capacity;
    }
    v->pieces[v->count++] = (Piece){.offset = (uint32_t)v->text.bytes, .bytes = (uint32_t)text.bytes,
                                    .score = score, .kind = kind, .id = (int32_t)id};
    if (!buf_put_span(&v->text, text))
        return fail(err, LIMIT_REACHED, "%s: its pieces have more than %d bytes of text", v->name,
                    VOCAB_TEXT_BYTES_MAX);
    if (id >= v->size)
        v->size = (int32_t)id + 1;
    if (text.bytes > v->longest)
        v->longest = (uint32_t)text.bytes;
    return OK;
}

/* FNV-1a over eight bytes at a time, with a final mix: pieces are short. */
static uint32_t hash_bytes(Span s)
{
    uint64_t h = 0xCBF29CE484222325u ^ s.bytes;
    size_t i = 0;
    for (; i + 8 <= s.bytes; i += 8) {
        uint64_t word;
        memcpy(&word, s.data + i, 8);
        h = (h ^ word) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    uint64_t word = 0;
    if (i < s.bytes)
        memcpy(&word, s.data + i, s.bytes - i);
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 32);
}

/* The id of a text, or -1 and the free slot where it would go. */
static int32_t find_slot(const Vocab *v, Span text, uint32_t hash, uint32_t *slot)
{
    for (*slot = hash & v->slot_mask; v->slots[*slot]; *slot = (*slot + 1) & v->slot_mask) {
        int32_t id = (int32_t)(v->slots[*slot] & 0xFFFFFFFF) - 1;
        if (v->slots[*slot] >> 32 == hash && span_equal(vocab_text(v, id), text))
            return id;
    }
    return -1;
}

int32_t vocab_find(const Vocab *v, Span text)
{
    uint32_t at;
    return find_slot(v, text, hash_bytes(text), &at);
}

static Err lay_out_by_id(Vocab *v, Error *err)
{
    if ((size_t)v->size > v->count * VOCAB_HOLES_PER_PIECE + VOCAB_HOLES_FREE)
        return fail(err, BAD_FILE, "%s: has %zu pieces, but ids up to %d: the ids are wrong", v->name, v->count,
                    v->size - 1);
    Piece *by_id = calloc(v->size ? (size_t)v->size : 1, sizeof *by_id);
    if (!by_id)
        return fail(err, NO_MEMORY, "%s: no memory for its %d pieces", v->name, v->size);
    for (size_t i = 0; i < v->count; i++) {
        const Piece *p = &v->pieces[i];
        if (by_id[p->id].kind != PIECE_HOLE) {
            Span first = span_of(v->text.data + by_id[p->id].offset, by_id[p->id].bytes);
            Span second = span_of(v->text.data + p->offset, p->bytes);
            fail(err, BAD_FILE, "%s: the id %d belongs to two pieces, '%.*s' and '%.*s'", v->name, p->id,
                 shown(first), (const char *)first.data, shown(second), (const char *)second.data);
            free(by_id);
            return BAD_FILE;
        }
        by_id[p->id] = *p;
    }
    free(v->pieces);
    v->pieces = by_id;
    v->capacity = (size_t)v->size;
    return OK;
}

Err vocab_finish(Vocab *v, Error *err)
{
    TRY(lay_out_by_id(v, err));
    size_t slots = 16;
    while (slots < 2 * v->count)
        slots *= 2;
    v->slots = calloc(slots, sizeof *v->slots);
    if (!v->slots)
        return fail(err, NO_MEMORY, "%s: no memory for its %d pieces", v->name, v->size);
    v->slot_mask = (uint32_t)(slots - 1);
    for (int32_t id = 0; id < v->size; id++) {
        Span text = vocab_text(v, id);
        if (v->pieces[id].kind == PIECE_HOLE || text.bytes == 0)
            continue;   /* an empty piece stands for nothing in a text */
        uint32_t hash = hash_bytes(text), slot;
        int32_t other = find_slot(v, text, hash, &slot);
        if (other >= 0)
            return fail(err, BAD_FILE, "%s: the piece '%.*s' has two ids, %d and %d", v->name, shown(text),
                        (const char *)text.data, other, id);
        v->slots[slot] = (uint64_t)hash << 32 | (uint32_t)(id + 1);
    }
    return OK;
}
