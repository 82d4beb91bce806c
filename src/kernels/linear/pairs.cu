/* pairs.cu -- see pairs_cuda.h. */
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/pairs_cuda.h"

enum { TOP = 13, PIECE_ALIGN = 256, IN_MOST = 48 << 10 /* a row in shared memory */ };
static const size_t W_BYTES_MOST = (size_t)2 << 30;      /* of weights anew: the cache wants memory too */

static bool is_blocks(WeightKind kind) { return kind >= W_PLAIN_KINDS; }
static bool is_f8(WeightKind kind) { return kind == W_E4M3 || kind == W_E5M2; }

/* Weights of BF16 are written anew for rows enough only; parts of bf16 need not be. */
static int fewest_rows(WeightKind kind)
{
    enum { BF16 = 512 };
    return kind == W_BF16 ? (int)BF16 : HOPPER_ROWS + 1;
}

static int x_parts(WeightKind kind, const CudaRun *g) { return is_blocks(kind) && !g->exact ? 1 : 2; }
static int w_parts(WeightKind kind, const CudaRun *g) { return is_blocks(kind) && g->exact ? 2 : 1; }

static size_t whole_pieces(size_t bytes) { return (bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN; }
static size_t numbers_bytes(int64_t rows, int in, int parts) { return whole_pieces((size_t)rows * (size_t)in * parts * 2); }
static size_t factors_bytes(int n) { return whole_pieces((size_t)n * sizeof(float)); }

/* What weights become. */
static size_t weights_bytes(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    size_t bytes = 0;
    for (int i = 0; i < n && kind != W_F16; i++)
        bytes += numbers_bytes(p[i].out, p->in, w_parts(kind, g)) + factors_bytes(p[i].out);
    return bytes;
}

bool pairs_take(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    bool known = kind == W_F16 || is_f8(kind) || is_blocks(kind) || (kind == W_BF16 && g->exact);
    if (g->same || !known || p->pairs < fewest_rows(kind))
        return false;
    for (int i = 0; i < n && !is_blocks(kind); i++)
        if ((uintptr_t)p[i].w % 16 != 0 || p[i].row_bytes % 16 != 0)
            return false;
    return p->in <= IN_MOST && weights_bytes(p, n, kind, g) <= W_BYTES_MOST && hopper_takes_many(p, n, g);
}

/* Few rows, whose weights are read as they are. */
static bool take_few(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    enum { LEAST = 2, CROSSED = 16 };
    bool known = kind == W_F16 || (is_f8(kind) && p->in % CROSSED == 0);
    return known && !g->same && p->pairs >= LEAST && p->in <= IN_MOST && hopper_takes(p, n, g);
}

/* For these rows, or fewer. */
static size_t few_scratch(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    Product few = *p;
    few.pairs = p->pairs < HOPPER_ROWS ? p->pairs : HOPPER_ROWS;
    if (n == 0 || !take_few(&few, 1, kind, g))
        return 0;
    return numbers_bytes(few.pairs, p->in, x_parts(kind, g)) + factors_bytes(few.pairs) + hopper_scratch(&few, g);
}

OpCall pairs_before(const OpCall *c)
{
    OpCall few = *c;
    int32_t rows = fewest_rows(W_BF16) - 1;
    few.in[0].dim[0] = c->in[0].dim[0] < rows ? c->in[0].dim[0] : rows;
    for (int o = 0; o < c->outs; o++)
        few.out[o].dim[0] = few.in[0].dim[0];
    return few;
}

size_t pairs_scratch(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    size_t few = few_scratch(p, n, kind, g);
    if (!pairs_take(p, n, kind, g))
        return few;
    size_t many = numbers_bytes(p->pairs, p->in, x_parts(kind, g)) + factors_bytes(p->pairs) + weights_bytes(p, n, kind, g);
    return many > few ? many : few;
}

/* ---- as f16 ---- */

/* Bits of the largest magnitude that a thread of the block has. */
static __device__ inline unsigned block_most(unsigned bits)
{
    __shared__ unsigned most[32];
    int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    bits = __reduce_max_sync(0xffffffff, bits);
    if (lane == 0)
        most[threadIdx.x / 32] = bits;
    __syncthreads();
    return __reduce_max_sync(0xffffffff, lane < warps ? most[lane] : 0);
}

/* The power of two that brings these to [2^TOP, 2^(TOP + 1)), and its inverse; 1 where there are none, or infinite ones. */
static __device__ inline float power_for(unsigned bits, float *inverse)
{
    int exponent = (int)(bits >> 23), power = min(max(127 + 127 + (int)TOP - exponent, 1), 253);
    if (bits == 0 || exponent == 255)
        power = 127;
    *inverse = __uint_as_float((unsigned)(254 - power) << 23);
    return __uint_as_float((unsigned)power << 23);
}

static __device__ inline unsigned f16_two(float a, float b) { return f16_of_f32(a) | (unsigned)f16_of_f32(b) << 16; }
/* What is left of a and b without these two. */
static __device__ inline unsigned f16_rest(float a, float b, unsigned upper)
{
    return f16_two(a - f32_of_f16((unsigned short)upper), b - f32_of_f16((unsigned short)(upper >> 16)));
}

/* Where the i-th number of a row lies in shared memory: so that neither neighbours nor every 32nd meet in a bank. */
static __host__ __device__ inline int place(int i) { return i + i / 32; }

/* Four words, the first of number i of a row. CROSSED: of each eight words even ones, then odd ones. */
template <bool CROSSED> static __device__ inline void put_words(unsigned short *row, int i, const unsigned *words)
{
    if (!CROSSED) {
        *(uint4 *)(row + i) = make_uint4(words[0], words[1], words[2], words[3]);
        return;
    }
    uint2 *to = (uint2 *)(row + i / 16 * 16) + i % 16 / 8;
    to[0] = make_uint2(words[0], words[2]);
    to[2] = make_uint2(words[1], words[3]);
}

/* Eight numbers into each part of a row. */
template <bool CROSSED>
static __device__ inline void put_eight(unsigned short *to, int i, int64_t part_step, int parts, const float *v, float by)
{
    unsigned upper[4], rest[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        float a = v[2 * j] * by, b = v[2 * j + 1] * by;
        upper[j] = f16_two(a, b), rest[j] = f16_rest(a, b, upper[j]);
    }
    put_words<CROSSED>(to, i, upper);
    if (parts > 1)
        put_words<CROSSED>(to + part_step, i, rest);
}

/* Where the numbers of a matrix come from: N at a time. */
template <bool WIDE> struct RowsOfFloats {
    enum { N = 4 };
    Rows x;
    __device__ inline void get(float *v, int64_t r, int i) const
    {
        float4 four = four_at<WIDE>(row(x, r), i, x.width);
        v[0] = four.x, v[1] = four.y, v[2] = four.z, v[3] = four.w;
    }
};
/* In 8 bits, as formats/a8/a8.h and round_rows() have it: eight lanes have a block of 32. */
template <bool WIDE> struct RowsRounded {
    enum { N = 4 };
    RowsOfFloats<WIDE> x;
    __device__ inline void get(float *v, int64_t r, int i) const
    {
        x.get(v, r, i);
        unsigned bits = 0, block = 0xffu << (threadIdx.x % 32 & ~7);
#pragma unroll
        for (int j = 0; j < N; j++)
            bits = max(bits, __float_as_uint(v[j]) & 0x7fffffff);
        for (int lane = 4; lane > 0; lane /= 2)
            bits = max(bits, __shfl_xor_sync(block, bits, lane));
        float amax = __uint_as_float(bits), d = __fdiv_rn(amax, 127);
        bool none = bits >= 0x7f800000 || amax < 0x1p-100f;      /* A8_AMAX_MIN */
        if (none)
            d = bits >= 0x7f800000 ? __uint_as_float(0x7fc00000) : 0;
#pragma unroll
        for (int j = 0; j < N; j++)
            v[j] = d * (none ? 0 : rintf(__fmul_rn(v[j], __fdiv_rn(127, amax))));
    }
};
template <int K> struct RowsPlain {
    enum { N = plain_in_16<K>() };
    const uint8_t *w;
    int64_t row_bytes;
    __device__ inline void get(float *v, int64_t r, int i) const
    {
        plain_expand<K>(v, __ldg((const uint4 *)(w + r * row_bytes) + i / N));
    }
};
template <int K> struct RowsOfBlocks {
    enum { N = PLANE_BLOCK };
    Planes planes;
    int blocks;
    __device__ inline void get(float *v, int64_t r, int i) const
    {
        Block w;
        block_load<K>(&w, planes, r * blocks + i / N);
#pragma unroll
        for (int j = 0; j < N; j++) {
            int half = j / (N / 2), q = (signed char)(w.q[j / 4] >> 8 * (j % 4)) - Kind<K>::offset;
            v[j] = w.s[Kind<K>::halves ? half : 0] * (float)q;
            if (Kind<K>::mins)
                v[j] -= w.m[Kind<K>::halves ? half : 0];
        }
    }
};

/* A block of threads has a row, whose numbers it keeps until it knows the largest. */
template <class From, bool CROSSED>
static __global__ void numbers_of_rows(From from, int width, unsigned short *to, int parts, float *factors)
{
    extern __shared__ float kept[];
    previous();
    int64_t r = blockIdx.x, part_step = (int64_t)gridDim.x * width;
    unsigned most = 0;
    float inverse;
    for (int i = From::N * threadIdx.x; i < width; i += From::N * blockDim.x) {
        float v[From::N];
        from.get(v, r, i);
#pragma unroll
        for (int j = 0; j < From::N; j++) {
            most = max(most, __float_as_uint(v[j]) & 0x7fffffff);
            kept[place(i + j)] = v[j];
        }
    }
    float power = power_for(block_most(most), &inverse);      /* after which all are there */
    if (threadIdx.x == 0)
        factors[r] = inverse;
    for (int i = 8 * threadIdx.x; i < width; i += 8 * blockDim.x) {
        float v[8];
#pragma unroll
        for (int j = 0; j < 8; j++)
            v[j] = kept[place(i + j)];
        put_eight<CROSSED>(to + r * width, i, part_step, parts, v, power);
    }
}

/* Numbers of so many rows. */
template <bool CROSSED = false, class From>
static void turn(From from, int rows, int width, unsigned short *to, int parts, float *factors, const CudaRun *g)
{
    int bytes = (place(width) + 1) * (int)sizeof(float);
    auto kernel = numbers_of_rows<From, CROSSED>;
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    LAUNCH(kernel, rows, EACH_THREADS, bytes, g, from, width, to, parts, factors);
}

/* ---- running ---- */

typedef struct Turned {
    Product p[PRODUCTS];
    Factors f;
} Turned;

template <bool WIDE>
static void turn_x(const Product *p, unsigned short *to, float *factors, int parts, bool rounds, bool crossed, const CudaRun *g)
{
    RowsOfFloats<WIDE> x = {{(float *)p->x, p->x_step, p->pairs, p->in}};
    if (rounds)
        turn(RowsRounded<WIDE>{x}, p->pairs, p->in, to, parts, factors, g);
    else if (crossed)
        turn<true>(x, p->pairs, p->in, to, parts, factors, g);
    else
        turn(x, p->pairs, p->in, to, parts, factors, g);
}

static void turn_weights(const Product *p, unsigned short *to, float *factors, int parts, WeightKind kind, const CudaRun *g)
{
    switch (kind) {
#define PLAIN(K) case K: turn(RowsPlain<K>{p->w, p->row_bytes}, p->out, p->in, to, parts, factors, g); break;
#define BLOCKS(K) case K: turn(RowsOfBlocks<K>{p->planes, p->in / PLANE_BLOCK}, p->out, p->in, to, parts, factors, g); break;
        PLAIN(W_BF16) PLAIN(W_E4M3) PLAIN(W_E5M2) EACH_PLANE_KIND(BLOCKS)
#undef PLAIN
#undef BLOCKS
    default: break;
    }
}

/* At the begin of the scratch; its factors, which lie behind it. */
static float *x_in_pairs(const Product *p, WeightKind kind, bool crossed, const CudaRun *g)
{
    uint8_t *at = (uint8_t *)g->scratch;
    float *factors = (float *)(at + numbers_bytes(p->pairs, p->in, x_parts(kind, g)));
    Rows x = {(float *)p->x, p->x_step, p->pairs, p->in};
    auto turn_these = in_fours(x) ? turn_x<true> : turn_x<false>;
    turn_these(p, (unsigned short *)at, factors, x_parts(kind, g), is_blocks(kind), crossed, g);
    return factors;
}

static Turned turned(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    Turned t = {};
    Factors *f = &t.f;
    float *factors = x_in_pairs(p, kind, false, g);
    f->x = (unsigned short *)g->scratch, f->x_parts = x_parts(kind, g), f->w_parts = w_parts(kind, g), f->of_row = factors;
    uint8_t *at = (uint8_t *)factors + factors_bytes(p->pairs);
    for (int i = 0; i < n; i++) {
        t.p[i] = p[i];
        if (kind == W_F16)
            continue;
        factors = (float *)(at + numbers_bytes(p[i].out, p->in, f->w_parts));
        turn_weights(&p[i], (unsigned short *)at, factors, f->w_parts, kind, g);
        t.p[i].w = at, t.p[i].row_bytes = 2 * (int64_t)p->in;
        f->of_output[i] = factors, f->late = true;
        at = (uint8_t *)factors + factors_bytes(p[i].out);
    }
    return t;
}

bool pairs_run(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    if (take_few(p, n, kind, g)) {
        float *factors = x_in_pairs(p, kind, is_f8(kind), g);
        hopper_pairs(p, n, kind, (unsigned short *)g->scratch, factors, (uint8_t *)factors + factors_bytes(p->pairs), g);
        return true;
    }
    if (!pairs_take(p, n, kind, g))
        return false;
    Turned t = turned(p, n, kind, g);
    hopper_many(t.p, n, &t.f, g);
    return true;
}

bool pairs_run_gates(const Product *both, WeightKind kind, const CudaRun *g)
{
    if (!pairs_take(both, 2, kind, g))
        return false;
    Turned t = turned(both, 2, kind, g);
    hopper_many_gates(t.p, &t.f, g);
    return true;
}
