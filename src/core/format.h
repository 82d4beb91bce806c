/* format.h -- what the bytes of a tensor mean.
 *
 * A row of `width` elements is width / block_elems blocks of block_bytes each, one after another:
 *
 *     Q8_0   | d | 32 x int8 | d | 32 x int8 | ...        34 bytes a block of 32
 *
 * decode() is the meaning of a format: what any faster code computes is held against it. A format
 * without encode() can be read but not written. `activation` is what a row of x is turned into before
 * it meets a weight of this format in a product: F32 (left as it is), or A8 (8-bit blocks, for integer
 * dot products). It belongs to the meaning of the product, on every tier: y = W round(x). A format
 * that nobody has made fast still runs: the product decodes its rows to F32, a few at a time, and its
 * `activation` is F32. Encoders are defined for every number, infinities and NaN too: formats/quant.h.
 *
 * A format lives in a folder of its own, formats/<name>/, and is found by name or by its number in
 * GGUF; no other room names one. Only F32 (activations) and I32 (ids, positions) are known to all.
 */
#ifndef CORE_FORMAT_H
#define CORE_FORMAT_H

#include "base/error.h"

typedef struct Format Format;
struct Format {
    const char *name;            /* as GGUF and safetensors call it: "Q4_K", "BF16", "F8_E4M3" */
    int gguf_id;                 /* ggml's number of the type; -1: none */
    int block_elems, block_bytes;
    const Format *activation;    /* format_f32 or format_a8; NULL: takes no part in products */
    void (*decode)(float *x, const void *blocks, size_t elems);
    /* importance: a weight per element of the row (mean x^2 from calibration), or NULL. NULL fn: cannot. */
    void (*encode)(void *blocks, const float *x, size_t elems, const float *importance);
    /* Blocks of what checkpoints keep in two tensors: values, the first in the lowest bits, and a byte of scale for each
     * block. All bits stay. NULL fn: nobody does. */
    void (*join)(void *blocks, const uint8_t *values, const uint8_t *scales, size_t elems);
};

extern const Format format_f32, format_i32;

const Format *format_find(const char *name);      /* by name, in any case; NULL: unknown */
const Format *format_of_gguf(int gguf_id);        /* NULL: unknown */
const Format *format_at(int index);               /* 0, 1, ... until NULL: all formats, for tables and help */

static inline size_t format_row_bytes(const Format *f, int64_t width)
{
    return (size_t)(width / f->block_elems) * (size_t)f->block_bytes;
}

#endif
