/* row_stream.cu -- products of one row on the GPU: nothing but reading the weights.
 *
 * Each multiprocessor has one block of threads with an equal share of the outputs, in fours. A warp has a part of k: of four
 * outputs 128 bytes each, so that a lane has 16 bytes of one of them, and always the same part of x. What a warp will
 * read it asks for some KB ahead, by asynchronous copies into its own memory, and first before the kernel that writes x
 * has ended; two blocks fit, so that the next product's weights come while this one ends. What it
 * will ask for after that it has brought into the L2 cache.
 *
 *     shared    | warp: stages of 4 items of 4 x 128 bytes (and their scales) | x | sums [parts of k, outputs] |
 *
 * x is laid out, and rounded to 8 bits where the format says so, by each block for itself: that is faster than another
 * launch.
 */
#include "kernels/linear/row_stream_cuda.h"

#include <limits.h>

#include "kernels/linear/stream_loop_cuda.h"

enum {
    ROW_WARPS = 8, ROW_THREADS = 32 * ROW_WARPS, FOUR = 4, ITEMS = 4 /* of a stage */, ITEM_BYTES = 4 * UNIT_ROW_BYTES,
    AHEAD = 32 /* items, into the L2 cache */, ROW_STAGES_MAX = 5, ROW_ROOM = 122 << 10 /* so that two blocks fit */
};

typedef struct RowLine {
    Product p[PRODUCTS];
    int fours_end[PRODUCTS];
    int chunks, parts, stages;     /* of a row: 128 bytes each; into how many parts warps divide them; of a warp */
    int x_bytes, ahead;
} RowLine;

/* What a lane has of a row of weights: 16 bytes, and of x what they are multiplied by. */
template <int K> struct Piece {
    static constexpr bool plain = K < W_PLAIN_KINDS;
    static constexpr int ELEMS = plain ? plain_in_16<K>() : Kind<K>::bytes ? 16 : 32, CHUNK = 8 * ELEMS;
    static constexpr int FINE = plain ? 0 : Kind<K>::fine, COARSE = plain ? 0 : Kind<K>::coarse;
    static constexpr int BLOCKS = CHUNK / PLANE_BLOCK, SCALES = plain ? 0 : FOUR * (16 + 4);
    static constexpr int STAGE = ITEMS * (ITEM_BYTES + SCALES);
    /* Of x, per piece: floats, or numbers of 8 bits and then the scale and the sum. */
    static constexpr int X = plain ? ELEMS * 4 : ELEMS, X_PIECE = X + (plain ? 0 : 8);
};

/* x, so that the eight pieces of a chunk lie side by side, 16 bytes of each. */
template <int K> static __device__ inline uint8_t *x_slot(uint8_t *x, int piece, int sixteenth)
{
    return x + piece / 8 * (8 * Piece<K>::X_PIECE) + sixteenth * 128 + piece % 8 * 16;
}
template <int K> static __device__ inline uint8_t *x_scale(uint8_t *x, int piece)
{
    return x + piece / 8 * (8 * Piece<K>::X_PIECE) + 8 * Piece<K>::X + piece % 8 * 8;
}

/* Four numbers of x, normed where they are to be; the first block writes those. */
static __device__ inline float4 x_four(const Product &p, int k, float factor)
{
    if (k >= p.in)
        return make_float4(0, 0, 0, 0);
    float4 v = *(const float4 *)(p.x + k);
    if (!p.norm_y)
        return v;
    float4 gain = p.norm_gain ? *(const float4 *)(p.norm_gain + k) : make_float4(1, 1, 1, 1);
    v = make_float4(v.x * factor * gain.x, v.y * factor * gain.y, v.z * factor * gain.z, v.w * factor * gain.w);
    if (blockIdx.x == 0)
        *(float4 *)(p.norm_y + k) = v;
    return v;
}

/* As rms_norm.cu. */
static __device__ float norm_factor(const Product &p)
{
    __shared__ double shared[32];
    double squares = 0;
#pragma unroll 4
    for (int k = 4 * threadIdx.x; k < p.in; k += 4 * ROW_THREADS) {
        float4 v = *(const float4 *)(p.x + k);
        squares += (double)v.x * v.x + (double)v.y * v.y + (double)v.z * v.z + (double)v.w * v.w;
    }
    return (float)rsqrt(block_sum(squares, shared) / p.in + p.norm_eps);
}

template <int K> static __device__ void lay_floats(uint8_t *x, const Product &p, int pieces, float factor)
{
    for (int i = threadIdx.x; i < pieces * (Piece<K>::ELEMS / 4); i += ROW_THREADS) {
        int k = 4 * i;
        *(float4 *)x_slot<K>(x, k / Piece<K>::ELEMS, k % Piece<K>::ELEMS / 4) = x_four(p, k, factor);
    }
}

/* A block of 32 by a thread, as round_rows() of linear.cu has it. */
template <int K> static __device__ void lay_rounded(uint8_t *x, const Product &p, int pieces, float factor)
{
    constexpr int PER = PLANE_BLOCK / Piece<K>::ELEMS;
    for (int b = threadIdx.x; b < pieces / PER; b += ROW_THREADS) {
        float v[PLANE_BLOCK];
        unsigned amax_bits = 0;
#pragma unroll
        for (int i = 0; i < PLANE_BLOCK; i += 4) {
            float4 f = x_four(p, b * PLANE_BLOCK + i, factor);
            v[i] = f.x, v[i + 1] = f.y, v[i + 2] = f.z, v[i + 3] = f.w;
        }
#pragma unroll
        for (int i = 0; i < PLANE_BLOCK; i++)
            amax_bits = max(amax_bits, __float_as_uint(v[i]) & 0x7fffffff);
        float amax = __uint_as_float(amax_bits);
        bool none = amax_bits >= 0x7f800000 || amax < 0x1p-100f;      /* A8_AMAX_MIN */
        float factor = none ? 0 : __fdiv_rn(127, amax);
        float d = none ? amax_bits >= 0x7f800000 ? __uint_as_float(0x7fc00000) : 0 : __fdiv_rn(amax, 127);
#pragma unroll
        for (int half = 0; half < PER; half++) {
            int sum = 0, piece = b * PER + half;
#pragma unroll
            for (int s = 0; s < Piece<K>::ELEMS / 16; s++) {
                unsigned words[4] = {0, 0, 0, 0};
#pragma unroll
                for (int i = 0; i < 16; i++) {
                    int q = none ? 0 : __float2int_rn(__fmul_rn(v[half * Piece<K>::ELEMS + s * 16 + i], factor));
                    sum += q;
                    words[i / 4] |= (unsigned)(q & 255) << i % 4 * 8;
                }
                *(uint4 *)x_slot<K>(x, piece, s) = make_uint4(words[0], words[1], words[2], words[3]);
            }
            *(float2 *)x_scale<K>(x, piece) = make_float2(d, __int_as_float(sum));
        }
    }
}

/* The lane's 16 bytes of one output's chunk, times x. */
template <int K> static __device__ inline float plain_dot(float sum, const uint4 &w, const uint8_t *x)
{
    float v[16];
    plain_expand<K>(v, w);
#pragma unroll
    for (int i = 0; i < Piece<K>::ELEMS / 4; i++) {
        float4 f = *(const float4 *)(x + i * 128);
        sum = fmaf(v[4 * i], f.x, sum);
        sum = fmaf(v[4 * i + 1], f.y, sum);
        sum = fmaf(v[4 * i + 2], f.z, sum);
        sum = fmaf(v[4 * i + 3], f.w, sum);
    }
    return sum;
}

template <int K> static __device__ inline float block_dot(float sum, const uint4 &w, const uint8_t *x, const uint8_t *scales)
{
    int lane = threadIdx.x % 32, piece = lane % 8, row = lane / 8, dot = 0;
    const unsigned words[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
    for (int s = 0; s < Piece<K>::ELEMS / 16; s++) {
        uint4 v = *(const uint4 *)(x + piece * 16 + s * 128);
        const unsigned xq[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int q[2];
            if (Kind<K>::bytes)
                q[0] = (int)words[i];
            else if (i % 2 == 0)
                four_bits<K>(q, words[2 * s + i / 2]);
            dot = __dp4a(Kind<K>::bytes ? q[0] : q[i % 2], (int)xq[i], dot);
        }
    }
    float2 d = *(const float2 *)(x + 8 * Piece<K>::X + piece * 8);
    int total = __float_as_int(d.y), block = Kind<K>::bytes ? piece / 2 : piece;
    const uint8_t *fine = scales + row * 16;
    unsigned coarse = Piece<K>::COARSE ? *(const unsigned *)(scales + FOUR * 16 + row * 4) : 0;
    float2 sm = scale_and_min<K>(Piece<K>::FINE == 1 ? fine[block] : *(const unsigned short *)(fine + 2 * block), coarse);
    float value = sm.x * (float)(dot - Kind<K>::offset * total);
    if (Kind<K>::mins)
        value -= sm.y * (float)total;
    return fmaf(d.x, value, sum);
}

/* Where a warp is in its items: chunks [first, first + count) of each of its fours. */
typedef struct Walk {
    int four, chunk;
} Walk;

template <int K> struct RowWarp {
    const RowLine &s;
    uint8_t *room;             /* stages */
    int first, count, step;    /* chunks; fours from one to the next */

    __device__ void go_on(Walk *at) const
    {
        if (++at->chunk == first + count) {
            at->chunk = first;
            at->four += step;
        }
    }

    __device__ int which(int four) const
    {
        int i = 0;
        while (i < PRODUCTS - 1 && four >= s.fours_end[i])
            i++;
        return i;
    }

    __device__ void copy(uint8_t *item, const Walk &at) const
    {
        int i = which(at.four), lane = threadIdx.x % 32, piece = lane % 8, row = lane / 8;
        const Product &p = s.p[i];
        int o = min(FOUR * (at.four - (i ? s.fours_end[i - 1] : 0)) + row, p.out - 1);
        if constexpr (Piece<K>::plain) {
            int byte = at.chunk * UNIT_ROW_BYTES + piece * 16;
            bool there = byte < p.in * (16 / Piece<K>::ELEMS);
            copy_16(item + lane * 16, p.w + (int64_t)o * p.row_bytes + (there ? byte : 0), there);
        } else
            copy_blocks(item, p, o, at.chunk);
    }

    __device__ void copy_blocks(uint8_t *item, const Product &p, int o, int chunk) const
    {
        int lane = threadIdx.x % 32, piece = lane % 8, row = lane / 8;
        int blocks = p.in / PLANE_BLOCK, block = chunk * Piece<K>::BLOCKS;
        int64_t begin = (int64_t)o * blocks;
        bool there = block + piece * Piece<K>::ELEMS / PLANE_BLOCK < blocks;
        constexpr int LOW = PLANE_BLOCK / Piece<K>::ELEMS * 16, FINES = Piece<K>::BLOCKS * Piece<K>::FINE / 4;
        copy_16(item + lane * 16, p.planes.low + begin * LOW + (there ? block * LOW + piece * 16 : 0), there);
        uint8_t *scales = item + ITEM_BYTES;
        if (piece < FINES) {
            bool fine_there = block + piece * 4 / Piece<K>::FINE < blocks;
            copy_4(scales + row * 16 + piece * 4, p.planes.fine + begin * Piece<K>::FINE +
                   (fine_there ? block * Piece<K>::FINE + piece * 4 : 0), fine_there);
        }
        if (Piece<K>::COARSE && piece == 7)
            copy_4(scales + FOUR * 16 + row * 4, p.planes.coarse + (begin + block) / 8 * 4, true);
    }

    /* Items that come after the stages: only where they are; they are copied when there is room. */
    __device__ void expect(Walk at, int left) const
    {
        int lane = threadIdx.x % 32;
        for (int n = 0; n < s.ahead && n < left; n++, go_on(&at)) {
            int i = which(at.four), o = min(FOUR * (at.four - (i ? s.fours_end[i - 1] : 0)) + lane / 8, s.p[i].out - 1);
            const Product &p = s.p[i];
            const uint8_t *row = Piece<K>::plain ? p.w + (int64_t)o * p.row_bytes
                                                 : p.planes.low + (int64_t)o * (p.in / PLANE_BLOCK) * p.low_bytes;
            if (lane % 8 == 0)
                asm volatile("prefetch.global.L2 [%0];" ::"l"(row + at.chunk * UNIT_ROW_BYTES));
        }
    }

    /* The next items, as many as there are. */
    __device__ void copy_stage(int stage, Walk *at, int *left) const
    {
#pragma unroll
        for (int i = 0; i < ITEMS; i++)
            if (*left > 0) {
                copy(room + stage * Piece<K>::STAGE + i * (ITEM_BYTES + Piece<K>::SCALES), *at);
                go_on(at);
                --*left;
            }
    }

    __device__ float add(float sum, const uint8_t *item, const uint8_t *x, int chunk) const
    {
        const uint8_t *mine = x + chunk * (8 * Piece<K>::X_PIECE);
        uint4 w = *(const uint4 *)(item + threadIdx.x % 32 * 16);
        if constexpr (Piece<K>::plain)
            return plain_dot<K>(sum, w, mine + threadIdx.x % 8 * 16);
        else
            return block_dot<K>(sum, w, mine, item + ITEM_BYTES);
    }
};

template <int K> static __global__ void __launch_bounds__(ROW_THREADS, 3) row_stream(const __grid_constant__ RowLine s)
{
    extern __shared__ __align__(128) uint8_t room[];
    previous_later();
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, all = s.fours_end[PRODUCTS - 1];
    int block = blockIdx.x, part = warp % s.parts, begin = all * block / (int)gridDim.x,
        end = all * (block + 1) / (int)gridDim.x;
    RowWarp<K> w = {s, room + warp * s.stages * Piece<K>::STAGE, s.chunks * part / s.parts, 0, ROW_WARPS / s.parts};
    w.count = s.chunks * (part + 1) / s.parts - w.first;
    uint8_t *x = room + ROW_WARPS * s.stages * Piece<K>::STAGE;
    float *sums = (float *)(x + s.x_bytes);
    int from = begin + warp / s.parts, fours = from < end ? (end - from + w.step - 1) / w.step : 0, left = fours * w.count;
    int items = left, stage = 0, next = 0;
    Walk reads = {from, w.first}, copies = reads;
    for (int i = 0; i < s.stages - 1; i++) {
        w.copy_stage(next++, &copies, &left);
        copies_end_group();
    }
    w.expect(copies, left);
    previous_ended();
    float factor = s.p[0].norm_y ? norm_factor(s.p[0]) : 1;
    if constexpr (Piece<K>::plain)
        lay_floats<K>(x, s.p[0], s.chunks * 8, factor);
    else
        lay_rounded<K>(x, s.p[0], s.chunks * 8, factor);
    __syncthreads();
    float sum = 0;
    for (int done = 0; done < items; done += ITEMS) {
        copies_wait(s.stages - 2);
        __syncwarp();
        const uint8_t *at = w.room + stage * Piece<K>::STAGE;
#pragma unroll
        for (int i = 0; i < ITEMS; i++)
            if (done + i < items) {
                sum = w.add(sum, at + i * (ITEM_BYTES + Piece<K>::SCALES), x, reads.chunk);
                if (reads.chunk == w.first + w.count - 1) {
                    for (int j = 4; j > 0; j /= 2)
                        sum += __shfl_xor_sync(0xffffffff, sum, j);
                    if (lane % 8 == 0)
                        sums[(reads.four - begin) * FOUR * s.parts + lane / 8 * s.parts + part] = sum;
                    sum = 0;
                }
                w.go_on(&reads);
            }
        __syncwarp();
        w.copy_stage(next, &copies, &left);
        copies_end_group();
        stage = stage == s.stages - 1 ? 0 : stage + 1;
        next = next == s.stages - 1 ? 0 : next + 1;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < FOUR * (end - begin); i += ROW_THREADS) {
        int four = begin + i / FOUR, which = w.which(four);
        const Product &p = s.p[which];
        int o = FOUR * (four - (which ? s.fours_end[which - 1] : 0)) + i % FOUR;
        float total = 0;
        for (int j = 0; j < s.parts; j++)
            total += sums[i * s.parts + j];
        if (o < p.out)
            put(p, 0, 0, o, total);
    }
}

/* ---- on the host ---- */

/* How many parts of k leave the warp with the most work the least. */
static int parts_for(int chunks, int fours)
{
    int best = 1, least = INT_MAX;
    for (int parts = ROW_WARPS; parts >= 1; parts /= 2) {
        int longest = (int)(blocks_for(chunks, parts) * blocks_for((int64_t)fours * parts, ROW_WARPS));
        if (parts <= chunks && longest < least)
            best = parts, least = longest;
    }
    return best;
}

template <int K> static size_t shared_for(RowLine *s, const CudaRun *g)
{
    int fours = (s->fours_end[PRODUCTS - 1] + g->multiprocessors - 1) / g->multiprocessors + 1;
    s->x_bytes = s->chunks * 8 * Piece<K>::X_PIECE;
    int beside = s->x_bytes + fours * FOUR * s->parts * (int)sizeof(float), stage = ROW_WARPS * Piece<K>::STAGE;
    int room = g->shared_bytes < (size_t)ROW_ROOM ? (int)g->shared_bytes : ROW_ROOM;
    s->stages = (room - beside) / stage;
    s->stages = s->stages > ROW_STAGES_MAX ? ROW_STAGES_MAX : s->stages;
    if (s->stages < 3)
        s->stages = 3;
    return (size_t)(s->stages * stage + beside);
}

template <int K> static bool launch(RowLine s, const CudaRun *g, bool really)
{
    size_t bytes = shared_for<K>(&s, g);
    int fours = s.fours_end[PRODUCTS - 1];
    if (bytes > g->shared_bytes || !really)
        return bytes <= g->shared_bytes;
    cudaFuncSetAttribute(row_stream<K>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH(row_stream<K>, fours < g->multiprocessors ? fours : g->multiprocessors, ROW_THREADS, bytes, g, s);
    return true;
}

bool row_stream_run(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    RowLine s = {};
    int fours = 0;
    if (p->pairs != 1 || !stream_takes(p, n, kind, g))
        return false;
    s.chunks = (int)blocks_for(kind < W_PLAIN_KINDS ? p->row_bytes : p->in / PLANE_BLOCK * p->low_bytes, UNIT_ROW_BYTES);
    for (int i = 0; i < PRODUCTS; i++) {
        s.p[i] = p[i < n ? i : 0];
        fours += i < n ? (int)blocks_for(p[i].out, FOUR) : 0;
        s.fours_end[i] = fours;
    }
    s.ahead = AHEAD;
    s.parts = parts_for(s.chunks, (int)blocks_for(fours, g->multiprocessors));
    switch (kind) {
#define DO(K) case K: return launch<K>(s, g, true);
        EACH_STREAM_PLAIN_KIND(DO)
        EACH_STREAM_PLANE_KIND(DO)
#undef DO
    default: return false;
    }
}
