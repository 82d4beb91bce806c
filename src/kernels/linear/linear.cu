/* linear.cu -- see linear.h and product_cuda.h.
 *
 * One row: flow.h. From 2 to 64, in the formats that matter most: hopper_cuda.h, on other GPUs stream_cuda.h. Few in others: a
 * warp has an output, its lanes stride over k with 16 bytes of weights each, so that a warp's load is 512 neighbouring bytes,
 * and all rows meet the weights while they are in registers. Many rows: the library, or f16 on Hopper (pairs_cuda.h), or tiles
 * of 64 outputs by 64 rows through shared memory.
 */
#include "kernels/linear/flow.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/pairs_cuda.h"
#include "kernels/linear/parts_cuda.h"
#include "kernels/linear/stream_cuda.h"
#include "kernels/linear/tile_cuda.h"

enum { GEMV_WARPS = 4, GEMV_ROWS = 8, TILE = PRODUCT_TILE, TILE_K = 32, FEW_ROWS = 16 };

/* ---- activations in 8 bits ---- */

/* A warp has a block of 32: see formats/a8/a8.h. */
static __global__ void round_rows(XBlock8 *to, Product p, int rows)
{
    previous();
    int blocks = p.in / PLANE_BLOCK, warp = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (warp >= rows * blocks)
        return;
    int r = warp / blocks, at = warp % blocks * PLANE_BLOCK + lane;
    float x = p.k && p.own_x ? p.x[r / p.k * p.x_step + (int64_t)(r % p.k) * p.in + at] : p.x[r * p.x_step + at];
    float d;
    int q = round_in_warp(x, &d), sum = q;
    for (int i = 8; i > 0; i /= 2)
        sum += __shfl_xor_sync(0xffffffff, sum, i);
    XBlock8 *b = to + warp;
    ((signed char *)b->q)[lane] = (signed char)q;
    if (lane % 16 == 0)
        b->sum[lane / 16] = (short)sum;
    if (lane == 0)
        b->d = d;
}

template <int K> static __device__ inline float block_dot(const Block &w, const XBlock8 *x)
{
    const int2 *words = (const int2 *)x;
    int2 head = __ldg(words);
    float d = __int_as_float(head.x);
    int s0 = (short)head.y, s1 = head.y >> 16, dot[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int2 v = __ldg(words + 1 + i);
        dot[i / 2] = __dp4a(w.q[2 * i], v.x, dot[i / 2]);
        dot[i / 2] = __dp4a(w.q[2 * i + 1], v.y, dot[i / 2]);
    }
    float sum;
    if (Kind<K>::halves) {
        sum = w.s[0] * (float)(dot[0] - Kind<K>::offset * s0) + w.s[1] * (float)(dot[1] - Kind<K>::offset * s1);
        if (Kind<K>::mins)
            sum -= w.m[0] * (float)s0 + w.m[1] * (float)s1;
    } else {
        sum = w.s[0] * (float)(dot[0] + dot[1] - Kind<K>::offset * (s0 + s1));
        if (Kind<K>::mins)
            sum -= w.m[0] * (float)(s0 + s1);
    }
    return d * sum;
}

/* ---- few rows ---- */

/* Products that are one launch: their outputs one after another, each begins at a block of threads. */
typedef struct Several {
    Product p[PRODUCTS];
    int end[PRODUCTS];         /* in blocks of threads */
} Several;

/* M outputs from row `at` of w on, which meet each x while it is in registers. */
template <int K, int R, int M>
static __device__ void dot_blocks(float (*sum)[R], const Product &p, int64_t at, int outs, int first, int lane)
{
    int blocks = p.in / PLANE_BLOCK;
#pragma unroll 2
    for (int b = lane; b < blocks; b += 32) {
        Block w[M];
#pragma unroll
        for (int m = 0; m < M; m++)
            block_load<K>(&w[m], p.planes, (at + (m < outs ? m : 0)) * blocks + b);
#pragma unroll
        for (int r = 0; r < R; r++)
            if (first + r < p.pairs) {
                const XBlock8 *x = p.rounded + x_index(p, first + r) * blocks + b;
#pragma unroll
                for (int m = 0; m < M; m++)
                    sum[m][r] += block_dot<K>(w[m], x);
            }
    }
}

/* WIDE: rows of w and of x begin and end at 16 bytes. */
template <int K, int R, bool WIDE, int M>
static __device__ void dot_plain(float (*sum)[R], const Product &p, int64_t at, int outs, int first, int lane)
{
    constexpr int V = WIDE ? plain_in_16<K>() : 1;
    const uint8_t *w[M];
    const float *x[R];
#pragma unroll
    for (int m = 0; m < M; m++)
        w[m] = p.w + (at + (m < outs ? m : 0)) * p.row_bytes;
#pragma unroll
    for (int r = 0; r < R; r++)
        x[r] = x_at(p, first + r < p.pairs ? first + r : first);
#pragma unroll 4
    for (int k = lane * V; k < p.in; k += 32 * V) {
        float v[M][16];
#pragma unroll
        for (int m = 0; m < M; m++)
            if (WIDE)
                plain_expand<K>(v[m], __ldg((const uint4 *)w[m] + k / V));
            else
                v[m][0] = plain_value<K>(w[m], k);
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int i = 0; i < V; i += 4) {
                float4 q;
                if (WIDE)
                    q = __ldg((const float4 *)(x[r] + k + i));
                else
                    q.x = x[r][k];
#pragma unroll
                for (int m = 0; m < M; m++) {
                    sum[m][r] = fmaf(v[m][i], q.x, sum[m][r]);
                    if (WIDE) {
                        sum[m][r] = fmaf(v[m][i + 1], q.y, sum[m][r]);
                        sum[m][r] = fmaf(v[m][i + 2], q.z, sum[m][r]);
                        sum[m][r] = fmaf(v[m][i + 3], q.w, sum[m][r]);
                    }
                }
            }
    }
}

/* Weights do not depend on what was computed before: their beginnings are on their way while the GPU still ends that. */
template <int K, int M> static __device__ void fetch(const Product &p, int o, int lane)
{
    enum { LINE = 128, LINES = 16 };
    if (lane >= LINES)
        return;
#pragma unroll
    for (int m = 0; m < M; m++) {
        const uint8_t *w = p.w + (int64_t)(o + m) * p.row_bytes;
        if constexpr (K >= W_PLAIN_KINDS)
            w = p.planes.low + (int64_t)(o + m) * (p.in / PLANE_BLOCK) * p.low_bytes;
        if (o + m < p.out)
            asm volatile("prefetch.global.L2 [%0];" ::"l"(w + lane * LINE));
    }
}

/* A warp has M outputs, and R rows. */
template <int K, int R, bool WIDE, int M> static __global__ void few_rows(const __grid_constant__ Several s)
{
    previous_later();
    int which = 0, lane = threadIdx.x % 32, first = blockIdx.y * R;
    while (which < PRODUCTS - 1 && (int)blockIdx.x >= s.end[which])
        which++;
    const Product &p = s.p[which];
    int block = blockIdx.x - (which ? s.end[which - 1] : 0), o = (block * GEMV_WARPS + threadIdx.x / 32) * M;
    if (p.k == 0 && o < p.out)
        fetch<K, M>(p, o, lane);
    previous_ended();
    int expert = expert_at(p, first), outs = min(M, p.out - o);
    if (o >= p.out)
        return;
    float sum[M][R] = {{0}};
    bool computes = expert < p.experts;
    int64_t at = (int64_t)expert * p.out + o;
    if constexpr (K >= W_PLAIN_KINDS) {
        if (computes)
            dot_blocks<K, R, M>(sum, p, at, outs, first, lane);
    } else {
        if (computes)
            dot_plain<K, R, WIDE, M>(sum, p, at, outs, first, lane);
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int r = 0; r < R; r++) {
            float total = warp_sum(sum[m][r]);
            if (lane != 0 || first + r >= p.pairs || m >= outs)
                continue;
            if (computes)
                put(p, first + r, expert, o + m, total);
            else
                y_at(p, first + r)[o + m] = 0;
        }
}

/* ---- many rows ---- */

/* The rows of a block of threads, or its pairs of one expert (product_cuda.h). */
static __device__ inline PairTile tile_at(const Product &p)
{
    if (p.tiles)
        return p.tiles[blockIdx.y];
    PairTile rows = {0, (int)blockIdx.y * TILE, min(TILE, p.pairs - (int)blockIdx.y * TILE)};
    return rows;
}
static __device__ inline int pair_at(const Product &p, const PairTile &t, int i)
{
    return p.order ? p.order[t.first + i] : t.first + i;
}
/* Of a tile that computes nothing. */
static __device__ void put_nothing(const Product &p, const PairTile &t, int o0)
{
    for (int i = threadIdx.x; i < t.count * TILE; i += blockDim.x)
        if (o0 + i % TILE < p.out)
            y_at(p, pair_at(p, t, i / TILE))[o0 + i % TILE] = 0;
}

template <int K> static __global__ void tile_plain(Product p)
{
    previous();
    __shared__ float ws[TILE_K][TILE + 4], xs[TILE_K][TILE + 4];
    PairTile t = tile_at(p);
    int o0 = blockIdx.x * TILE, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    if (t.expert >= p.experts)
        put_nothing(p, t, o0);
    if (t.expert >= p.experts || t.count == 0)
        return;
    const uint8_t *w0 = p.w + (int64_t)t.expert * p.out * p.row_bytes;
    double all[4][4] = {{0}};      /* of tiles, each summed in f32 */
    for (int k0 = 0; k0 < p.in; k0 += TILE_K) {
        float sum[4][4] = {{0}};
        for (int i = threadIdx.x; i < TILE * TILE_K; i += blockDim.x) {
            int k = k0 + i % TILE_K, at = i / TILE_K;
            bool w_in = k < p.in && o0 + at < p.out, x_in = k < p.in && at < t.count;
            ws[i % TILE_K][at] = w_in ? plain_value<K>(w0 + (int64_t)(o0 + at) * p.row_bytes, k) : 0;
            xs[i % TILE_K][at] = x_in ? x_at(p, pair_at(p, t, at))[k] : 0;
        }
        __syncthreads();
#pragma unroll 8
        for (int k = 0; k < TILE_K; k++) {
            float4 w = *(const float4 *)&ws[k][4 * tx], x = *(const float4 *)&xs[k][4 * ty];
            const float wv[4] = {w.x, w.y, w.z, w.w}, xv[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[i][j] = fmaf(wv[j], xv[i], sum[i][j]);
        }
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                all[i][j] += sum[i][j];
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (4 * ty + i < t.count && o0 + 4 * tx + j < p.out)
                put(p, pair_at(p, t, 4 * ty + i), t.expert, o0 + 4 * tx + j, (float)all[i][j]);
}

typedef struct BlockTile {
    int wq[8][TILE + 1], xq[8][TILE + 1];
    float s[2][TILE], m[2][TILE], d[TILE];
    int sums[2][TILE];
} BlockTile;

template <int K> static __device__ void load_tile(BlockTile *t, const Product &p, const PairTile &of, int o0, int b)
{
    int at = threadIdx.x % TILE, blocks = p.in / PLANE_BLOCK;
    if (threadIdx.x < TILE) {
        Block w = {{0}, {0}, {0}};
        if (o0 + at < p.out)
            block_load<K>(&w, p.planes, ((int64_t)of.expert * p.out + o0 + at) * blocks + b);
        for (int i = 0; i < 8; i++)
            t->wq[i][at] = w.q[i];
        for (int h = 0; h < 2; h++)
            t->s[h][at] = w.s[h], t->m[h][at] = w.m[h];
    } else if (threadIdx.x < 2 * TILE) {
        XBlock8 x = {0, {0, 0}, {0}};
        if (at < of.count)
            x = p.rounded[x_index(p, pair_at(p, of, at)) * blocks + b];
        for (int i = 0; i < 8; i++)
            t->xq[i][at] = x.q[i];
        t->d[at] = x.d, t->sums[0][at] = x.sum[0], t->sums[1][at] = x.sum[1];
    }
}

template <int K> static __global__ void tile_blocks(Product p)
{
    previous();
    __shared__ BlockTile t;
    PairTile of = tile_at(p);
    int o0 = blockIdx.x * TILE, tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    if (of.expert >= p.experts)
        put_nothing(p, of, o0);
    if (of.expert >= p.experts || of.count == 0)
        return;
    float sum[4][4] = {{0}};
    for (int b = 0; b < p.in / PLANE_BLOCK; b++) {
        load_tile<K>(&t, p, of, o0, b);
        __syncthreads();
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int dot[4][4] = {{0}};
#pragma unroll
            for (int n = 4 * h; n < 4 * h + 4; n++)
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        dot[i][j] = __dp4a(t.wq[n][tx + 16 * j], t.xq[n][ty + 16 * i], dot[i][j]);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    int x_sum = t.sums[h][ty + 16 * i];
                    float part = t.s[h][tx + 16 * j] * (float)(dot[i][j] - Kind<K>::offset * x_sum);
                    if (Kind<K>::mins)
                        part -= t.m[h][tx + 16 * j] * (float)x_sum;
                    sum[i][j] = fmaf(t.d[ty + 16 * i], part, sum[i][j]);
                }
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (ty + 16 * i < of.count && o0 + tx + 16 * j < p.out)
                put(p, pair_at(p, of, ty + 16 * i), of.expert, o0 + tx + 16 * j, sum[i][j]);
}

/* ---- choosing ---- */

static bool is_wide(const Product *p, WeightKind kind)
{
    int V = kind == W_F32 ? 4 : kind == W_F16 || kind == W_BF16 ? 8 : 16;
    return p->in % V == 0 && (uintptr_t)p->w % 16 == 0 && p->row_bytes % 16 == 0 && (uintptr_t)p->x % 16 == 0 &&
           p->x_step % 4 == 0;
}

template <int K, int R> static void run_few(const Product *products, int n, const CudaRun *g)
{
    constexpr int M = R > 4 ? 1 : R > 1 ? 2 : K >= W_PLAIN_KINDS ? 4 : 2;
    Several s = {{{0}}, {0}};
    bool wide = true;
    int end = 0;
    for (int i = 0; i < PRODUCTS; i++) {
        if (i < n) {
            s.p[i] = products[i];
            end += (int)blocks_for(products[i].out, GEMV_WARPS * M);
            wide = wide && is_wide(&products[i], (WeightKind)K);
        }
        s.end[i] = end;
    }
    dim3 grid(end, blocks_for(products->pairs, R));
    if (K >= W_PLAIN_KINDS || wide)
        LAUNCH((few_rows<K, R, true, M>), grid, 32 * GEMV_WARPS, 0, g, s);
    else if constexpr (K < W_PLAIN_KINDS)
        LAUNCH((few_rows<K, R, false, M>), grid, 32 * GEMV_WARPS, 0, g, s);
}

template <int K> static void run_tiles(const Product *p, int tiles, const CudaRun *g)
{
    dim3 grid(blocks_for(p->out, TILE), tiles);
    if constexpr (K >= W_PLAIN_KINDS)
        LAUNCH(tile_blocks<K>, grid, 256, 0, g, *p);
    else
        LAUNCH(tile_plain<K>, grid, 256, 0, g, *p);
}

/* A router's outputs are few: tiles of them would leave most of the GPU without work, a warp for each output does not. */
static bool is_narrow(const Product *p, const CudaRun *g)
{
    return (int64_t)blocks_for(p->out, TILE) * blocks_for(p->pairs, TILE) < g->multiprocessors;
}

template <int K> static void run_kind(const Product *p, int n, const CudaRun *g)
{
    if (g->same && p->k == 0) {
        run_few<K, GEMV_ROWS>(p, n, g);
    } else if (p->k > 0 || p->pairs == 1) {      /* each pair may have an expert of its own */
        run_few<K, 1>(p, n, g);
    } else if (p->pairs == 2) {
        run_few<K, 2>(p, n, g);
    } else if (p->pairs <= 4) {
        run_few<K, 4>(p, n, g);
    } else if (p->pairs <= FEW_ROWS || (K < W_PLAIN_KINDS && is_narrow(p, g))) {
        run_few<K, GEMV_ROWS>(p, n, g);
    } else
        for (int i = 0; i < n; i++)
            if constexpr (K >= W_PLAIN_KINDS)
                tile_ints_run<K>(&p[i], g);
            else
                run_tiles<K>(&p[i], (int)blocks_for(p[i].pairs, TILE), g);
}

static int rows_of_x(const Product *p) { return p->k && !p->own_x ? p->pairs / p->k : p->pairs; }

/* ---- one of these ways ---- */

static size_t whole_pieces(size_t bytes) { return (bytes + 255) / 256 * 256; }

static void round_x(const Product *p, const CudaRun *g)
{
    int rows = rows_of_x(p);
    LAUNCH(round_rows, blocks_for((int64_t)rows * (p->in / PLANE_BLOCK), 8), 256, 0, g, p->rounded, *p, rows);
}

/* x as the kernels of few rows take it: in 8 bits, or in parts of bf16. */
static size_t few_x_bytes(const Product *p, WeightKind kind, const CudaRun *g)
{
    if (kind >= W_PLAIN_KINDS)
        return whole_pieces((size_t)rows_of_x(p) * (size_t)(p->in / PLANE_BLOCK) * sizeof(XBlock8));
    int rows = p->pairs < STREAM_ROWS ? p->pairs : STREAM_ROWS;
    return whole_pieces((size_t)parts_of(g) * rows * p->in * 2);
}

/*     scratch   | x | sums of tiles |      The bits of a row are the same in all groups of rows. */
static void by_stream(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    unsigned short *x = (unsigned short *)g->scratch;
    if (kind >= W_PLAIN_KINDS)
        round_x(p, g);
    for (int first = 0; first < p->pairs; first += STREAM_ROWS) {
        Product group[PRODUCTS];
        for (int i = 0; i < n; i++) {
            group[i] = p[i];
            group[i].x += first * p[i].x_step;
            group[i].y += first * p[i].y_step;
            group[i].rounded += (int64_t)first * (p[i].in / PLANE_BLOCK);
            group[i].pairs = p[i].pairs - first < STREAM_ROWS ? p[i].pairs - first : STREAM_ROWS;
        }
        if (kind < W_PLAIN_KINDS && stream_wants_parts(group->pairs))
            parts_cut(group, x, g);
        stream_run(group, n, kind, x, (uint8_t *)x + few_x_bytes(p, kind, g), g);
    }
}

/* One row is faster where a warp has an output, and so are rows of BF16 by the library. */
static bool streams(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    bool few = p->pairs > 1 && p->pairs <= STREAM_ROWS && !(kind == W_BF16 && g->lt);
    return (g->same || few) && stream_takes(p, n, kind, g);
}

void product_tiles(const Product *p, WeightKind kind, int tiles, const CudaRun *g)
{
    if (kind >= W_PLAIN_KINDS)
        round_x(p, g);
    switch (kind) {
#define DO(K) case K: run_tiles<K>(p, tiles, g); break;
        EACH_PLAIN_KIND(DO) EACH_PLANE_KIND(DO)
#undef DO
    default: break;
    }
}

size_t product_scratch(const Product *p, WeightKind kind, const CudaRun *g)
{
    size_t few = few_x_bytes(p, kind, g) + stream_scratch(p, g), parts = parts_scratch(p, kind, g);
    size_t blocks = blocks_scratch(p, kind, g), most = few > parts ? few : parts;
    return blocks > most ? blocks : most;
}

size_t products_scratch(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    size_t most = pairs_scratch(p, n, kind, g);
    for (int i = 0; i < n; i++) {
        size_t one = product_scratch(&p[i], kind, g);
        most = one > most ? one : most;
    }
    return most;
}

bool products_run(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    FlowBeside nothing = {NULL, NULL};
    if (flow_takes(p, n, kind, &nothing, g)) {
        flow_run(p, n, kind, &nothing, g);
        return false;
    }
    if (parts_run_few(p, n, kind, g) || blocks_run(p, n, kind, g) || pairs_run(p, n, kind, g))
        return false;
    if (streams(p, n, kind, g)) {
        by_stream(p, n, kind, g);
        return false;
    }
    if (parts_place(p, n, kind, g) && parts_run(p, n, g))
        return p->loose;
    if (kind >= W_PLAIN_KINDS)
        round_x(p, g);
    switch (kind) {
#define DO(K) case K: run_kind<K>(p, n, g); break;
        EACH_PLAIN_KIND(DO) EACH_PLANE_KIND(DO)
#undef DO
    default: break;
    }
    return false;
}

const char *product_refuses(Tensor w)
{
    if (weight_kind(w.format) == W_NONE)
        return "has no decoder for the weights' format";
    return weight_kind(w.format) >= W_PLAIN_KINDS && w.packing != PACKING_PLANES ? "needs weights in planes" : NULL;
}

static void set_weights(Product *p, Tensor w, int64_t elems)
{
    p->w = (const uint8_t *)w.data;
    p->row_bytes = (int64_t)format_row_bytes(w.format, p->in);
    if (w.packing == PACKING_PLANES) {
        p->planes = planes_at(weight_kind(w.format), elems, w.data);
        p->low_bytes = plane_shape(weight_kind(w.format)).low;
    }
}

Product product_of_linear(const OpCall *c, const CudaRun *g)
{
    Product p = {0};
    Tensor y = c->out[0], x = c->in[0], w = c->in[1];
    p.y = tensor_f32(y), p.y_step = y.row_elems, p.x = tensor_f32(x), p.x_step = x.row_elems;
    p.bias = rows_of(c->in[2]).at;
    p.rounded = (XBlock8 *)g->scratch;
    p.pairs = y.dim[0], p.experts = 1, p.in = w.dim[1], p.out = w.dim[0];
    p.adds = c->reads_out;
    set_weights(&p, w, tensor_elems(w));
    if (w.packing == PACKING_ROWS)
        p.row_bytes = (int64_t)format_row_bytes(w.format, w.row_elems);
    return p;
}

int products_of(const OpCall *c, Product *p, WeightKind *kind, const CudaRun *g)
{
    int n = c->op == OP_LINEAR ? 1 : c->op == OP_GATED_MLP ? 2 : c->op == OP_LINEAR3 ? 3 : 0;
    for (int i = 0; i < n; i++) {
        OpCall one = *c;
        one.in[1] = c->in[1 + i];
        one.in[2].format = NULL;
        p[i] = product_of_linear(&one, g);
        kind[i] = weight_kind(one.in[1].format);
    }
    return n;
}

Product product_of_experts(const OpCall *c, const CudaRun *g)
{
    Product p = {0};
    Tensor y = c->out[0], x = c->in[0], w = c->in[1], ids = c->in[3];
    p.y = tensor_f32(y), p.y_step = y.row_elems, p.x = tensor_f32(x), p.x_step = x.row_elems;
    p.bias = tensor_is_none(c->in[2]) ? NULL : tensor_f32(c->in[2]);
    p.ids = ids_of(ids), p.ids_step = ids.row_elems;
    p.rounded = (XBlock8 *)g->scratch;
    p.k = y.dim[1], p.pairs = y.dim[0] * p.k, p.experts = w.dim[0], p.in = w.dim[2], p.out = w.dim[1];
    p.own_x = x.dims == 3;
    set_weights(&p, w, tensor_elems(w));
    return p;
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    Product p = product_of_linear(c, g);
    return products_scratch(&p, 1, weight_kind(c->in[1].format), g);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Product p = product_of_linear(c, g);
    products_run(&p, 1, weight_kind(c->in[1].format), g);
}

static bool run_normed(const OpCall *norm, const OpCall *c, const CudaRun *g)
{
    Product p = product_of_linear(c, g);
    FlowBeside beside = {norm, NULL};
    if (!flow_takes(&p, 1, weight_kind(c->in[1].format), &beside, g))
        return false;
    flow_run(&p, 1, weight_kind(c->in[1].format), &beside, g);
    return true;
}

static const char *refuses(const OpCall *c) { return product_refuses(c->in[1]); }

CUDA_KERNEL(linear, refuses, scratch_bytes, run, NULL, run_normed)
