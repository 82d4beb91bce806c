/* rows.h -- what most kernels ask of their tensors before they begin. */
#ifndef KERNELS_KIT_ROWS_H
#define KERNELS_KIT_ROWS_H

#include "base/checked.h"
#include "core/tensor.h"

/* Below this a second thread costs more than it brings: about a microsecond of streaming. */
enum { ELEMS_PER_THREAD = 1 << 14 };

/* How many threads have enough to do where each takes whole rows. */
static inline int64_t threads_by_rows(Tensor t)
{
    return min_i64(t.dim[0], tensor_elems(t) / ELEMS_PER_THREAD + 1);
}

/* Bytes that one pass over the tensor moves; 0 where it is missing. */
static inline double bytes_moved(Tensor t) { return tensor_is_none(t) ? 0 : (double)tensor_bytes(t); }

/* The width of [rows, width] or of [rows, heads, width]: what a norm or a rotation works on. */
static inline int32_t innermost(Tensor t) { return t.dim[t.dims > 2 ? t.dims - 1 : 1]; }

static inline const float *f32_row(Tensor t, int64_t row) { return tensor_f32(t) + row * t.row_elems; }
static inline float *f32_row_out(Tensor t, int64_t row) { return tensor_f32(t) + row * t.row_elems; }

/* Row `row` of a tensor that may have one row for all. */
static inline const float *f32_row_of(Tensor t, int64_t row) { return f32_row(t, t.dim[0] == 1 ? 0 : row); }

static inline bool same_shape(Tensor a, Tensor b)
{
    return a.dim[0] == b.dim[0] && tensor_width(a) == tensor_width(b);
}
/* Whether t has a row for each of the n rows, or one for all. */
static inline bool has_rows(Tensor t, int32_t n) { return t.dim[0] == n || t.dim[0] == 1; }

#endif
