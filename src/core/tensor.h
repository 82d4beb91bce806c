/* tensor.h -- a view of numbers: where they are, what they mean, how they are laid out.
 *
 * A Tensor is a small value, passed by copy; it owns nothing. Dimensions are written outermost first,
 * [rows, width] or [rows, heads, head width], and all but the outermost are contiguous: only the step
 * from one row to the next may be larger than the row (a slice of columns of a wider matrix).
 *
 * `data` is an address of the device that made the tensor, not always one that the host may read.
 * `packing` is PACKING_ROWS where the rows lie as `format` says; PACKING_PANELS is the CPU's own layout
 * (formats/panel.h) and PACKING_PLANES the GPU's (formats/planes.h), which only their kernels read.
 */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "core/format.h"

enum { TENSOR_DIMS = 4, PACKING_ROWS = 0, PACKING_PANELS = 1, PACKING_PLANES = 2 };

typedef struct Tensor {
    void *data;
    const Format *format;
    int64_t row_elems;           /* from one index of dim[0] to the next, in elements */
    int32_t dim[TENSOR_DIMS];    /* unused ones are 1 */
    int16_t dims, packing;
    int32_t near;                /* 1: a weight whose products with many rows may round both to bf16 (kernels/linear/near.h) */
} Tensor;                        /* without padding: equal tensors have equal bytes, which a device may compare */

static inline Tensor tensor_of(void *data, const Format *format, int32_t d0, int32_t d1)
{
    return (Tensor){data, format, d1, {d0, d1, 1, 1}, 2, 0, 0};
}
static inline Tensor tensor_3d(void *data, const Format *format, int32_t d0, int32_t d1, int32_t d2)
{
    return (Tensor){data, format, (int64_t)d1 * d2, {d0, d1, d2, 1}, 3, 0, 0};
}
static inline Tensor tensor_4d(void *data, const Format *f, int32_t d0, int32_t d1, int32_t d2, int32_t d3)
{
    return (Tensor){data, f, (int64_t)d1 * d2 * d3, {d0, d1, d2, d3}, 4, 0, 0};
}
static inline Tensor tensor_vector(void *data, const Format *format, int32_t n)
{
    return (Tensor){data, format, n, {1, n, 1, 1}, 1, 0, 0};
}

static inline bool tensor_is_none(Tensor t) { return t.format == NULL; }
static inline int64_t tensor_width(Tensor t) { return (int64_t)t.dim[1] * t.dim[2] * t.dim[3]; }   /* of a row */
static inline int64_t tensor_elems(Tensor t) { return t.dim[0] * tensor_width(t); }
static inline size_t tensor_row_bytes(Tensor t) { return format_row_bytes(t.format, tensor_width(t)); }
static inline size_t tensor_bytes(Tensor t) { return (size_t)t.dim[0] * tensor_row_bytes(t); }
static inline void *tensor_row(Tensor t, int64_t row)
{
    return (uint8_t *)t.data + (size_t)row * format_row_bytes(t.format, t.row_elems);
}
/* The same rows read as [rows, heads, width / heads]. */
static inline Tensor tensor_heads(Tensor t, int32_t heads)
{
    t.dim[2] = (int32_t)(tensor_width(t) / heads);
    t.dim[1] = heads;
    t.dim[3] = 1;
    t.dims = 3;
    return t;
}
static inline Tensor tensor_flat(Tensor t)   /* [rows, width] again */
{
    t.dim[1] = (int32_t)tensor_width(t);
    t.dim[2] = t.dim[3] = 1;
    t.dims = 2;
    return t;
}
/* Columns [from, from + width) of each row; blocks must not be cut. */
static inline Tensor tensor_columns(Tensor t, int32_t from, int32_t width)
{
    t = tensor_flat(t);
    t.data = (uint8_t *)t.data + format_row_bytes(t.format, from);
    t.dim[1] = width;
    return t;
}
static inline Tensor tensor_rows(Tensor t, int32_t from, int32_t rows)
{
    t.data = tensor_row(t, from);
    t.dim[0] = rows;
    return t;
}
static inline float *tensor_f32(Tensor t)
{
    ASSERT(t.format == &format_f32);
    return (float *)t.data;
}
static inline int32_t *tensor_i32(Tensor t)
{
    ASSERT(t.format == &format_i32);
    return (int32_t *)t.data;
}

#endif
