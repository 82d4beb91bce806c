/* rms_norm.cu -- see rms_norm.h. A block of threads has a head; small heads have a warp each. Where products follow that take
 * their x in parts of bf16, the norm writes these as well. */
#include "kernels/kit/later_calls.h"
#include "kernels/linear/parts_cuda.h"

typedef struct Norm {
    Rows y, x;                 /* y.at NULL: only the parts are wanted */
    const float *gain;         /* NULL: ones */
    int heads, width, gain_step;
    double eps;
    unsigned short *to;        /* the parts of y [part, row, heads width]; NULL: not wanted */
    int parts;
} Norm;

/* HELD fours of a head are kept by each thread. A small head is a warp's, and a block of threads has some of them. */
enum { BLOCK_HELD = 4, THREADS = 1024, SMALL = 128, SMALL_HEADS = 8 };

/* The thread's j-th four of `threads`. */
static __device__ inline int column(int thread, int threads, int j) { return (thread + j * threads) * 4; }

template <bool WIDE> static __device__ inline float4 gain_at(const float *gain, int i, int n)
{
    return gain ? four_at<WIDE>(gain, i, n) : make_float4(1, 1, 1, 1);
}

template <bool WIDE>
static __device__ inline void put_normed(const Norm &n, int64_t r, int64_t h, int i, float4 x, float factor, float4 gain)
{
    float4 y = make_float4(x.x * factor * gain.x, x.y * factor * gain.y, x.z * factor * gain.z, x.w * factor * gain.w);
    if (n.y.at)
        put_four<WIDE>(row(n.y, r) + h * n.width, i, n.width, y);
    if (WIDE && n.to)
        put_parts(n.to + r * n.x.width + h * n.width + i, (int64_t)n.x.rows * n.x.width, n.parts, y);
}

static __device__ inline double squares_of(float4 v)
{
    return (double)v.x * v.x + (double)v.y * v.y + ((double)v.z * v.z + (double)v.w * v.w);
}

template <bool WIDE, bool IS_SMALL, int HELD = IS_SMALL ? 1 : BLOCK_HELD>
static __global__ void __launch_bounds__(IS_SMALL ? 32 * SMALL_HEADS : THREADS) norm_heads(Norm n)
{
    __shared__ double shared[32];
    int thread = IS_SMALL ? threadIdx.x % 32 : threadIdx.x, threads = IS_SMALL ? 32 : blockDim.x;
    int64_t at = IS_SMALL ? (int64_t)blockIdx.x * SMALL_HEADS + threadIdx.x / 32 : blockIdx.x;
    int64_t r = at / n.heads, h = at % n.heads;
    previous_later();
    if (r >= n.x.rows)
        return;
    const float *x = row(n.x, r) + h * n.width, *gain = n.gain ? n.gain + h * n.gain_step : NULL;
    float4 held[HELD], held_gain[HELD];
    double squares = 0;
#pragma unroll
    for (int j = 0, i; j < HELD; j++)      /* a weight: it need not be waited for */
        if ((i = column(thread, threads, j)) < n.width)
            held_gain[j] = gain_at<WIDE>(gain, i, n.width);
    previous_ended();
#pragma unroll
    for (int j = 0, i; j < HELD; j++)
        held[j] = (i = column(thread, threads, j)) < n.width ? four_at<WIDE>(x, i, n.width) : make_float4(0, 0, 0, 0);
#pragma unroll
    for (int j = 0; j < HELD; j++)
        squares += squares_of(held[j]);
    for (int i = column(thread, threads, HELD); i < n.width; i += 4 * threads)
        squares += squares_of(four_at<WIDE>(x, i, n.width));
    squares = IS_SMALL ? warp_sum(squares) : block_sum(squares, shared);
    float factor = (float)rsqrt(squares / n.width + n.eps);
#pragma unroll
    for (int j = 0, i; j < HELD; j++)
        if ((i = column(thread, threads, j)) < n.width)
            put_normed<WIDE>(n, r, h, i, held[j], factor, held_gain[j]);
    for (int i = column(thread, threads, HELD); i < n.width; i += 4 * threads)
        put_normed<WIDE>(n, r, h, i, four_at<WIDE>(x, i, n.width), factor, gain_at<WIDE>(gain, i, n.width));
}

template <bool WIDE> static void launch(const Norm &n, const CudaRun *g)
{
    int64_t heads = (int64_t)n.x.rows * n.heads;
    unsigned threads = blocks_for(n.width, 32 * 4 * BLOCK_HELD) * 32;
    if (n.width <= SMALL)
        LAUNCH((norm_heads<WIDE, true>), blocks_for(heads, SMALL_HEADS), 32 * SMALL_HEADS, 0, g, n);
    else
        LAUNCH((norm_heads<WIDE, false>), (unsigned)heads, threads < THREADS ? threads : THREADS, 0, g, n);
}

static Norm norm_of(const OpCall *c)
{
    Norm n = {rows_of(c->out[0]), rows_of(c->in[0]), rows_of(c->in[1]).at, 0, innermost_of(c->in[0]), 0, c->eps, NULL, 0};
    n.heads = n.x.width / n.width;
    if (n.gain && tensor_width(c->in[1]) != n.width)
        n.gain_step = n.width;
    return n;
}

static bool is_wide(const Norm &n)
{
    return in_fours(n.x) && in_fours(n.y) && n.width % 4 == 0 && (uintptr_t)n.gain % 16 == 0;
}

static void run(const OpCall *c, const CudaRun *g)
{
    Norm n = norm_of(c);
    if (is_wide(n))
        launch<true>(n, g);
    else
        launch<false>(n, g);
}

extern "C" const CudaKernel kernel_linear_cuda, kernel_linear3_cuda, kernel_gated_mlp_cuda;

/* A product of what is normed may take the norm along. */
static bool taken_along(const OpCall *norm, const OpCall *next, const CudaRun *g)
{
    switch (next->op) {
    case OP_LINEAR: return kernel_linear_cuda.run_normed(norm, next, g);
    case OP_LINEAR3: return kernel_linear3_cuda.run_normed(norm, next, g);
    case OP_GATED_MLP: return kernel_gated_mlp_cuda.run_normed(norm, next, g);
    default: return false;
    }
}

/* A norm and the products that read it, and what goes with these. */
static int run_several(const OpCall *c, int count, const CudaRun *g)
{
    enum { TOGETHER = 2 };
    const OpCall *next = c + 1;
    if (count < TOGETHER || !same_rows(next->in[0], c->out[0]))
        return 0;
    if (taken_along(c, next, g))
        return TOGETHER;
    Norm n = norm_of(c);
    n.to = is_wide(n) ? parts_place_of(next, g) : NULL;
    n.parts = parts_of(g);
    if (!n.to)
        return 0;
    if (!is_read_later(next + 1, count - TOGETHER, c->out[0]))
        n.y.at = NULL;
    launch<true>(n, g);
    return 1 + parts_run_calls(next, count - 1, g);
}

CUDA_KERNEL(rms_norm, NULL, NULL, run, run_several)
