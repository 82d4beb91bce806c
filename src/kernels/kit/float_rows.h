/* float_rows.h -- rows of F32, F16 and BF16, 16 values at a time (for *_cpu.c files).
 *
 * The kind is found once per call; where it is a constant after inlining, its switch costs nothing. */
#ifndef KERNELS_KIT_FLOAT_ROWS_H
#define KERNELS_KIT_FLOAT_ROWS_H

#include "core/format.h"
#include "kernels/kit/simd.h"

typedef enum FloatKind { KIND_F32, KIND_F16, KIND_BF16, KIND_OTHER } FloatKind;

INLINE FloatKind float_kind(const Format *f)
{
    return f == &format_f32               ? KIND_F32
           : strcmp(f->name, "F16") == 0  ? KIND_F16
           : strcmp(f->name, "BF16") == 0 ? KIND_BF16
                                          : KIND_OTHER;
}

INLINE int kind_bytes(FloatKind kind) { return kind == KIND_F32 ? 4 : 2; }

INLINE Vf kind_load(FloatKind kind, const void *p)
{
    return kind == KIND_F32 ? vf_load(p) : kind == KIND_F16 ? vf_of_f16(p) : vf_of_bf16(p);
}

INLINE void kind_store(FloatKind kind, void *p, Vf v)
{
    if (kind == KIND_F32)
        vf_store(p, v);
    else if (kind == KIND_F16)
        vf_to_f16(p, v);
    else
        vf_to_bf16(p, v);
}

/* n < 16 values, the rest is 0; nothing beyond them is touched. */
INLINE Vf kind_load_n(FloatKind kind, const void *p, int n)
{
    float values[LANES] = {0};
    memcpy(values, p, (size_t)(n * kind_bytes(kind)));
    return kind_load(kind, values);
}

INLINE void kind_store_n(FloatKind kind, void *p, Vf v, int n)
{
    float values[LANES];
    kind_store(kind, values, v);
    memcpy(p, values, (size_t)(n * kind_bytes(kind)));
}

#endif
