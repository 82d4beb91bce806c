/* kept_rows.h -- rows of a cache in the formats that it is fast in, 16 values at a time (for *_cpu.c files).
 *
 *     F32, F16, BF16, F8_E4M3      value by value
 *     Q8_0                         blocks of 32: a row is a whole number of them
 *
 * The kind is found once per call; where it is a constant after inlining, its switch costs nothing. */
#ifndef FORMATS_KEPT_ROWS_H
#define FORMATS_KEPT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "formats/f8_e4m3/f8_e4m3_lanes.h"
#include "formats/q8_0/q8_0_lanes.h"
#include "kernels/kit/transpose.h"

typedef enum KeptKind { KEPT_F32, KEPT_F16, KEPT_BF16, KEPT_F8_E4M3, KEPT_Q8_0, KEPT_OTHER } KeptKind;

/* do(kind) for each of them: the cases of a switch, where the kind must be a constant. */
#define EACH_KEPT(do) do(KEPT_F32) do(KEPT_F16) do(KEPT_BF16) do(KEPT_F8_E4M3) do(KEPT_Q8_0)

INLINE KeptKind kept_kind(const Format *f)
{
    static const char *const names[KEPT_OTHER] = {"F32", "F16", "BF16", "F8_E4M3", "Q8_0"};
    int kind = KEPT_F32;
    while (kind < KEPT_OTHER && strcmp(f->name, names[kind]) != 0)
        kind++;
    return (KeptKind)kind;
}

/* Of a value; of Q8_0 without its share of the scale. */
INLINE int kept_bytes(KeptKind kind) { return kind == KEPT_F32 ? 4 : kind == KEPT_F16 || kind == KEPT_BF16 ? 2 : 1; }

enum { KEPT_BLOCK = Q8_0_ELEMS };     /* values that share a scale, where there are scales */
INLINE bool kept_scaled(KeptKind kind) { return kind == KEPT_Q8_0; }

/* How far value `at` lies from the beginning of its row, in bytes. */
INLINE int kept_offset(KeptKind kind, int at)
{
    if (kind == KEPT_Q8_0)
        return at / Q8_0_ELEMS * (int)sizeof(Q8_0Block) + (int)offsetof(Q8_0Block, q) + at % Q8_0_ELEMS;
    return at * kept_bytes(kind);
}

/* Of a value that begins a block. */
INLINE int kept_block_offset(KeptKind kind, int at)
{
    return kind == KEPT_Q8_0 ? at / Q8_0_ELEMS * (int)sizeof(Q8_0Block) : at * kept_bytes(kind);
}

/* How many values 32 bytes are, and 4. */
INLINE int kept_turn(KeptKind kind) { return 32 / kept_bytes(kind); }
INLINE int kept_word(KeptKind kind) { return 4 / kept_bytes(kind); }

/* 32 bytes of 16 rows, turned: 4 bytes of each row share a vector; numbers of F16 lie apart, as they become F32 from memory. */
typedef struct KeptTurned {
    union {
        _Alignas(64) Vi words[8];
        uint16_t halves[16][LANES];
    };
    Vf scales;                   /* where there are any: 32 bytes are a block */
} KeptTurned;
_Static_assert(KEPT_BLOCK == 32, "a turn of numbers with a scale");

/* Of rows that lie `bytes` apart. */
INLINE void kept_turn_rows(KeptKind kind, KeptTurned *out, const uint8_t *rows, size_t bytes)
{
    Vf words[8];
    if (kind == KEPT_F16) {
        turn_halves(out->halves, rows, (int64_t)bytes);
        return;
    }
    vf_turn_8(words, rows, (int64_t)bytes);
    for (int i = 0; i < 8; i++)
        out->words[i] = vf_bits(words[i]);
    if (kept_scaled(kind))
        out->scales = q8_0_scales(rows - offsetof(Q8_0Block, q), bytes);
}

/* The values of word i, of all rows each. */
INLINE void kept_turned(KeptKind kind, Vf *out, const KeptTurned *t, int i)
{
    switch (kind) {
    case KEPT_F32: out[0] = vf_of_bits(t->words[i]); break;
    case KEPT_F16:
        out[0] = vf_of_f16(t->halves[2 * i]);
        out[1] = vf_of_f16(t->halves[2 * i + 1]);
        break;
    case KEPT_BF16:
        out[0] = vf_of_bits(vi_shl(t->words[i], 16));
        out[1] = vf_of_bits(vi_and(t->words[i], vi_all((int32_t)0xffff0000)));
        break;
    case KEPT_F8_E4M3: f8_e4m3_fours(out, t->words[i]); break;
    default: q8_0_fours(out, t->words[i], t->scales);
    }
}

/* 16 values that lie together; of Q8_0 without their scale. */
INLINE Vf kept_lanes(KeptKind kind, const uint8_t *p)
{
    switch (kind) {
    case KEPT_F32: return vf_load((const float *)p);
    case KEPT_F16: return vf_of_f16(p);
    case KEPT_BF16: return vf_of_bf16(p);
    case KEPT_F8_E4M3: return f8_e4m3_lanes(p);
    default: return vf_of_i(vi_of_i8(p));
    }
}

/* Values [at, at + 16) of a row; `at` is a multiple of 16. */
INLINE Vf kept_load(KeptKind kind, const uint8_t *row, int at)
{
    return kind == KEPT_Q8_0 ? q8_0_lanes(row, at) : kept_lanes(kind, row + kept_offset(kind, at));
}

/* Values [at, at + 64); as many as some formats take less time for together. */
INLINE void kept_load_64(KeptKind kind, Vf out[4], const uint8_t *row, int at)
{
    if (kind == KEPT_F8_E4M3)
        f8_e4m3_64(out, row + at);
    for (int i = 0; i < 4 && kind != KEPT_F8_E4M3; i++)
        out[i] = kept_load(kind, row, at + i * LANES);
}

/* n < 16 values. Nothing beyond the row is read; what comes after the n is anything. */
INLINE Vf kept_load_n(KeptKind kind, const uint8_t *row, int at, int n)
{
    if (kind == KEPT_Q8_0)
        return q8_0_lanes(row, at);
    float values[LANES] = {0};
    memcpy(values, row + kept_offset(kind, at), (size_t)(n * kept_bytes(kind)));
    return kept_lanes(kind, (const uint8_t *)values);
}

INLINE void kept_store(KeptKind kind, uint8_t *p, Vf v)
{
    switch (kind) {
    case KEPT_F32: vf_store((float *)p, v); break;
    case KEPT_F16: vf_to_f16(p, v); break;
    case KEPT_BF16: vf_to_bf16(p, v); break;
    default: f8_e4m3_put_lanes(p, v);
    }
}

/* A whole row. */
INLINE void kept_put(KeptKind kind, const Format *f, uint8_t *row, const float *x, int32_t width)
{
    int32_t i = 0, bytes = kept_bytes(kind);
    for (; kind == KEPT_Q8_0 && i < width; i += Q8_0_ELEMS)
        q8_0_put_block(f, (Q8_0Block *)row + i / Q8_0_ELEMS, x + i);
    for (; i + LANES <= width; i += LANES)
        kept_store(kind, row + i * bytes, vf_load(x + i));
    if (i < width) {
        float values[LANES];
        kept_store(kind, (uint8_t *)values, vf_load_n(x + i, width - i));
        memcpy(row + i * bytes, values, (size_t)((width - i) * bytes));
    }
}

#endif
