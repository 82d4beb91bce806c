/* cuda_kit.h -- what the .cu files share: views of tensors, small floats, sums over a block. */
#ifndef KERNELS_KIT_CUDA_KIT_H
#define KERNELS_KIT_CUDA_KIT_H

#include "kernels/kit/cuda_kernel.h"
#include "kernels/kit/ptx_cuda.h"

/* Rows of F32 with a step in between; a missing tensor has no data. */
typedef struct Rows {
    float *at;
    int64_t step;
    int32_t rows, width;
} Rows;

static inline Rows rows_of(const Tensor &t)
{
    Rows r = {NULL, 0, 0, 0};
    if (tensor_is_none(t))
        return r;
    r.at = tensor_f32(t);
    r.rows = t.dim[0];
    r.width = (int32_t)tensor_width(t);
    r.step = t.dim[0] == 1 ? 0 : t.row_elems;      /* one row for all */
    return r;
}
__device__ inline float *row(const Rows &r, int64_t i) { return r.at + i * r.step; }

/* The width of [rows, width] or of [rows, heads, width]. */
static inline int32_t innermost_of(const Tensor &t) { return t.dim[t.dims > 2 ? t.dims - 1 : 1]; }

static inline int32_t *ids_of(const Tensor &t) { return tensor_is_none(t) ? NULL : tensor_i32(t); }

static inline unsigned blocks_for(int64_t n, int64_t each) { return (unsigned)((n + each - 1) / each); }

/* One block of threads for a row, or several where it is wide: EACH(i, of) goes over this block's columns. */
enum { EACH_THREADS = 256 };
static inline dim3 grid_of(const Rows &y)
{
    unsigned columns = blocks_for(y.width, EACH_THREADS);
    return dim3((unsigned)y.rows, columns < 64 ? columns : 64);
}
#define EACH(i, of)                                                                                                    \
    for (int32_t i = (int32_t)(blockIdx.y * blockDim.x + threadIdx.x); i < (of).width; i += (int32_t)(gridDim.y * blockDim.x))

/* ---- four columns at a time ---- */

/* A thread has four columns of a row, from four_begin() on. */
static inline dim3 grid_of_fours(const Rows &y) { return dim3((unsigned)y.rows, blocks_for(y.width, 4 * EACH_THREADS)); }
__device__ inline int four_begin() { return (int)(blockIdx.y * blockDim.x + threadIdx.x) * 4; }

/* Whether all rows begin and end at 16 bytes, so that four numbers are one piece: WIDE. */
static inline bool in_fours(const Rows &r) { return r.width % 4 == 0 && r.step % 4 == 0 && (uintptr_t)r.at % 16 == 0; }

/* Columns [i, i + 4) of a row of n; zeros beyond. */
template <bool WIDE> __device__ inline float4 four_at(const float *row, int i, int n)
{
    if (WIDE)
        return *(const float4 *)(row + i);
    return make_float4(row[i], i + 1 < n ? row[i + 1] : 0, i + 2 < n ? row[i + 2] : 0, i + 3 < n ? row[i + 3] : 0);
}
__device__ inline float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }
__device__ inline float4 operator*(float4 a, float b) { return make_float4(a.x * b, a.y * b, a.z * b, a.w * b); }
template <bool WIDE> __device__ inline void put_four(float *row, int i, int n, float4 v)
{
    if (WIDE) {
        *(float4 *)(row + i) = v;
        return;
    }
    const float four[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (i + j < n)
            row[i + j] = four[j];
}

/* ---- small floats ---- */

__device__ inline float f32_of_bf16(unsigned short h) { return __uint_as_float((unsigned)h << 16); }
__device__ inline unsigned short bf16_of_f32(float x)
{
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (unsigned short)(bits >> 16 | 0x40);
    return (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
__device__ inline float4 four_of_bf16(uint2 four)
{
    return make_float4(__uint_as_float(four.x << 16), __uint_as_float(four.x & 0xffff0000), __uint_as_float(four.y << 16),
                       __uint_as_float(four.y & 0xffff0000));
}
__device__ inline float bf16_near(float x) { return f32_of_bf16(bf16_of_f32(x)); }
__device__ inline float f32_of_e5m2(unsigned char b) { return f32_of_f16((unsigned short)(b << 8)); }
__device__ inline float f32_of_e4m3(unsigned char b)
{
    /* as an f16 its exponent is 8 too small; 0x7f is a NaN */
    float x = f32_of_f16((unsigned short)((b & 0x80) << 8 | (b & 0x7f) << 7)) * 256.0f;
    return (b & 0x7f) == 0x7f ? __uint_as_float(0x7fc00000) : x;
}

/* ---- over a block of threads ---- */

__device__ inline double warp_sum(double x)
{
    for (int i = 16; i > 0; i /= 2)
        x += __shfl_xor_sync(0xffffffff, x, i);
    return x;
}
__device__ inline float warp_sum(float x)
{
    for (int i = 16; i > 0; i /= 2)
        x += __shfl_xor_sync(0xffffffff, x, i);
    return x;
}
/* Each thread gets the sum; `shared` holds 32 numbers. */
__device__ inline double block_sum(double x, double *shared)
{
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = (blockDim.x + 31) / 32;
    x = warp_sum(x);
    if (warps == 1)
        return x;
    __syncthreads();
    if (lane == 0)
        shared[warp] = x;
    __syncthreads();
    return warp_sum(lane < warps ? shared[lane] : 0);
}

/* ---- the rows of a sequence ---- */

/* The first of n ascending numbers that is at least `value`. */
__device__ inline int first_at_least(const int32_t *sorted, int n, int value)
{
    int low = 0, high = n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (sorted[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The same by a whole warp, which looks at 32 of them together. */
__device__ inline int warp_first_at_least(const int32_t *sorted, int n, int value)
{
    int low = 0, lane = threadIdx.x % 32;
    while (n > 0) {
        int step = (n + 31) / 32, at = lane * step;
        int less = __popc(__ballot_sync(0xffffffff, at < n && sorted[low + at] < value));
        if (less == 0)
            break;
        int passed = (less - 1) * step + 1;
        low += passed;
        n = min(step - 1, n - passed);
    }
    return low;
}

/* What an operation with a state knows of its sequences (core/kv_view.h). */
typedef struct States {
    float *state;
    int64_t step;                          /* from slot to slot */
    const int32_t *from, *to, *row_seq;
    int32_t rows, seqs;
} States;

static inline States states_of(const OpCall *c, int at)
{
    States s = {tensor_f32(c->out[1]), c->out[1].row_elems, tensor_i32(c->in[at]), tensor_i32(c->in[at + 1]),
                tensor_i32(c->in[at + 2]), (int32_t)tensor_elems(c->in[at + 2]), (int32_t)tensor_elems(c->in[at])};
    return s;
}

/* One sequence's rows [first, end), the state that it begins with (NULL: zeros) and the one that it leaves. */
typedef struct StateSpan {
    int first, end;
    const float *from;
    float *to;
} StateSpan;

/* Whole warps ask. What it reads is written before a step, by no kernel: previous_ended() may come after it. */
__device__ inline StateSpan state_span(const States &s, int sequence)
{
    StateSpan r = {sequence, sequence + 1};      /* each sequence has a row at least */
    if (s.rows > s.seqs) {
        r.first = warp_first_at_least(s.row_seq, s.rows, sequence);
        r.end = r.first + warp_first_at_least(s.row_seq + r.first, s.rows - r.first, sequence + 1);
    }
    int slot = s.from[sequence];
    r.from = slot < 0 ? NULL : s.state + slot * s.step;
    r.to = s.state + s.to[sequence] * s.step;
    return r;
}

#define CUDA_KERNEL(name, ...)                                                                                         \
    extern "C" {                                                                                                       \
    extern const CudaKernel kernel_##name##_cuda;                                                                      \
    const CudaKernel kernel_##name##_cuda = {__VA_ARGS__};                                                             \
    }

#endif
