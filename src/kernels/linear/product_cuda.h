/* product_cuda.h -- products with weights on the GPU, for every operation that multiplies by one.
 *
 *     y[pair][o] = sum_k x[pair][k] w[expert of pair][o][k] + bias[expert][o] (+ y)
 *
 * For linear a pair is a row and there is one expert; for expert_linear see expert_linear.h.
 */
#ifndef KERNELS_LINEAR_PRODUCT_CUDA_H
#define KERNELS_LINEAR_PRODUCT_CUDA_H

#include "formats/planes_cuda.h"

/* 32 activations in 8 bits (formats/a8/a8.h), and the sums of their halves. */
typedef struct XBlock8 {
    float d;
    short sum[2];
    int q[8];
} XBlock8;

/* Some pairs of one expert: positions in Product.order. experts: these compute nothing. */
typedef struct PairTile { int expert, first, count; } PairTile;

typedef struct Product {
    float *y;
    int64_t y_step;            /* from row to row; where pairs are, from row to row of k pairs */
    const float *x;
    int64_t x_step;
    const uint8_t *w;          /* plain rows of `row_bytes` ... */
    int64_t row_bytes;
    Planes planes;             /* ... or planes */
    const float *bias;         /* NULL: none */
    const int32_t *ids;        /* NULL: linear, or pair i of a row meets expert i */
    int64_t ids_step;
    XBlock8 *rounded;          /* x in 8 bits, of pair after pair or row after row */
    const int *order;          /* pairs by expert, and how they are cut (expert_groups.h); NULL: as they come */
    const PairTile *tiles;
    int pairs, k, experts, in, out, low_bytes;
    bool own_x, adds;
    bool loose;                /* y has room for parts_rows() rows and may be left as sums (parts_cuda.h) */
} Product;

enum { PRODUCTS = 3 };
Product product_of_linear(const OpCall *, const CudaRun *);
/* Of a linear, linear3 or gated_mlp, those that read its x, without a bias; how many. 0: another call. */
int products_of(const OpCall *, Product *, WeightKind *, const CudaRun *);
Product product_of_experts(const OpCall *, const CudaRun *);
size_t product_scratch(const Product *, WeightKind, const CudaRun *);
size_t products_scratch(const Product *, int n, WeightKind, const CudaRun *);
/* Up to PRODUCTS that read the same rows of x and differ in their weights only. true: the loose ones were left as sums. */
bool products_run(const Product *, int n, WeightKind, const CudaRun *);
const char *product_refuses(Tensor w);

/* Products in tiles, of any format: of rows as they come, or of p->tiles, of which there are so many. */
enum { PRODUCT_TILE = 64 };
void product_tiles(const Product *, WeightKind, int tiles, const CudaRun *);

#ifdef __CUDACC__
/* A warp's block of 32 in 8 bits, a number a lane (formats/a8/a8.h). d: the scale. */
static __device__ inline int round_in_warp(float x, float *d)
{
    unsigned bits = __float_as_uint(x) & 0x7fffffff;
    for (int i = 16; i > 0; i /= 2)
        bits = max(bits, __shfl_xor_sync(0xffffffff, bits, i));
    float amax = __uint_as_float(bits);
    bool none = bits >= 0x7f800000 || amax < 0x1p-100f;      /* A8_AMAX_MIN */
    *d = none ? bits >= 0x7f800000 ? __uint_as_float(0x7fc00000) : 0 : __fdiv_rn(amax, 127);
    return none ? 0 : __float2int_rn(__fmul_rn(x, __fdiv_rn(127, amax)));
}
static __device__ inline int expert_at(const Product &p, int pair)
{
    if (p.k == 0)
        return 0;
    return p.ids ? p.ids[pair / p.k * p.ids_step + pair % p.k] : pair % p.k;
}
static __device__ inline int64_t x_index(const Product &p, int pair) { return p.k && !p.own_x ? pair / p.k : pair; }
static __device__ inline const float *x_at(const Product &p, int pair)
{
    if (p.k == 0)
        return p.x + pair * p.x_step;
    return p.x + pair / p.k * p.x_step + (p.own_x ? (int64_t)(pair % p.k) * p.in : 0);
}
static __device__ inline float *y_at(const Product &p, int pair)
{
    return p.k == 0 ? p.y + pair * p.y_step : p.y + pair / p.k * p.y_step + (int64_t)(pair % p.k) * p.out;
}
static __device__ inline void put(const Product &p, int pair, int expert, int o, float sum)
{
    float *y = y_at(p, pair) + o;
    if (p.bias)
        sum += p.bias[(int64_t)expert * p.out + o];
    *y = p.adds ? sum + *y : sum;
}
#endif

#endif
