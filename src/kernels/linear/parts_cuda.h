/* parts_cuda.h -- products of many rows with weights of BF16, whose x is cut into parts of bf16.
 *
 * A number of f32 has 24 bits and one of bf16 has 8, so x becomes three rows that add up to it exactly: the upper ones of
 * all rows, then the middle ones, then the lower ones. The library multiplies three times as many rows and reads the
 * weights once; of few rows a kernel of the house sums the parts itself. Where bf16 is enough there are only the upper ones.
 *
 *     scratch   | workspace | x [part, row, in] bf16 | y [part, row, out] f32 |
 *
 * What makes x may write its parts as well: to parts_place(), which is the same for all products; CudaRun.in_parts then says
 * whose parts lie there. And what reads y may add its sums up itself, where a product is loose: one part is then left in bf16.
 */
#ifndef KERNELS_LINEAR_PARTS_CUDA_H
#define KERNELS_LINEAR_PARTS_CUDA_H

#include "kernels/linear/product_cuda.h"

enum { PARTS_MAX = 3 };
static inline int parts_of(const CudaRun *g) { return g->exact ? PARTS_MAX : 1; }

/* Where these products take the parts of x from, or NULL: they take x itself. */
unsigned short *parts_place(const Product *, int n, WeightKind, const CudaRun *);
/* The same for all products with the x of a linear, linear3 or gated_mlp; of another call NULL. */
unsigned short *parts_place_of(const OpCall *, const CudaRun *);
/* Such a call, whose x lies there already and may be missing as f32, and others with it: how many. */
int parts_run_calls(const OpCall *, int count, const CudaRun *);

size_t parts_scratch(const Product *, WeightKind, const CudaRun *);
/* Few rows, and a GPU that is a Hopper (hopper_cuda.h): all of y, whether loose or not. false: not these. */
bool parts_run_few(const Product *, int n, WeightKind, const CudaRun *);
/* The same for down of act(gate) * up, `both` being gate and up. h: room for the parts of what down reads. */
bool parts_run_mlp(const Product *both, const Product *down, WeightKind, Activation, unsigned short *h, const CudaRun *);
/* Products that have a parts_place(). false: the library would not, and y is as it was. */
bool parts_run(const Product *, int n, const CudaRun *);
void parts_cut(const Product *, unsigned short *to, const CudaRun *);

/* One call of the library for several products is less than one for each; of many rows it is not. */
bool parts_want_company(const Product *, const CudaRun *);

/* Rows of y that a loose product needs room for. */
int parts_rows(const Product *, const CudaRun *);

/* What products_run() left of y: all of it; or without its bias as bf16, for whom that is near enough, or as the sums of
 * three parts. */
enum { SUMS_WHOLE, SUMS_NEAR, SUMS_APART };
typedef struct Sums {
    const void *at;
    int64_t step, part_step;       /* from row to row, from part to part */
    const float *bias;
    int how;
} Sums;
static inline Sums sums_of(const Product &p, bool apart, const CudaRun *g)
{
    Sums whole = {p.y, p.y_step, 0, NULL, SUMS_WHOLE};
    Sums sums = {p.y, p.out, (int64_t)p.pairs * p.out, p.bias, g->exact ? SUMS_APART : SUMS_NEAR};
    return apart ? sums : whole;
}

#ifdef __CUDACC__
/* Four neighbours of a row, into each of its parts. */
static __device__ inline void put_parts(unsigned short *to, int64_t part_step, int parts, float4 x)
{
#pragma unroll
    for (int i = 0; i < PARTS_MAX; i++) {
        uint2 near = make_uint2(bf16_two(x.x, x.y), bf16_two(x.z, x.w));
        *(uint2 *)(to + i * part_step) = near;
        if (i + 1 == parts)
            break;
        float4 part = four_of_bf16(near);
        x = make_float4(x.x - part.x, x.y - part.y, x.z - part.z, x.w - part.w);
    }
}

/* Columns [i, i + 4) of a row of n, the smallest part first; without the bias. */
template <int HOW, bool WIDE> static __device__ inline float4 joined(const Sums &s, int64_t row, int i, int n)
{
    int64_t at = row * s.step + i;
    if (HOW == SUMS_NEAR)
        return four_of_bf16(*(const uint2 *)((const unsigned short *)s.at + at));
    const float *whole = (const float *)s.at + at;
    if (HOW == SUMS_WHOLE)
        return four_at<WIDE>(whole - i, i, n);
    float4 upper = *(const float4 *)whole, middle = *(const float4 *)(whole + s.part_step);
    return *(const float4 *)(whole + 2 * s.part_step) + middle + upper;
}
static __device__ inline float4 with_bias(float4 sum, const Sums &s, int i, int n)
{
    return s.bias ? sum + four_at<false>(s.bias, i, n) : sum;
}
#endif

#endif
