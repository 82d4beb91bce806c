/* hopper_blocks.cu -- products of up to 64 rows with weights in planes (formats/planes.h), on Hopper, along the line of
 * hopper_cuda.h.
 *
 * A unit is 256 k of 128 outputs (512, where a block's scale is one byte: copies have 16 at least). x is in 8 bits
 * (formats/a8/a8.h), and lies in memory as a stage wants it, unit after unit, so that one copy brings it:
 *
 *     a stage    | low [box of 128 bytes][output] | high [output] | fine [output] |
 *                | x [box of 128 bytes][row] | d [block][row] | d sum [block][row] |
 *
 * The 16 bytes of rows of low, high and x change places, so that eight rows are read from all banks. Warps have 16 outputs
 * each, and multiply integers exactly over the 32 k of a block. Weights of fewer than 8 bits are the upper bits of signed
 * bytes, without their offset, and sums begin at a zero that counts sixteenths, eighths or quarters. What follows is one
 * subtraction and two products of f32 for each sum.
 */
#include "kernels/linear/hopper_line_cuda.h"
#include "kernels/linear/warp_products_cuda.h"

enum { LEAST_ROWS = 2, SIGNS = 0x80808080 };

template <int K> struct Units {
    static constexpr bool FLIPS = !Kind<K>::bytes && !Kind<K>::tabled;      /* weights lose an offset of half their range */
    static constexpr int LOW = Kind<K>::bytes ? 32 : 16 /* bytes of a block */, BLOCKS = Kind<K>::fine == 1 ? 16 : 8;
    static constexpr int BOXES = BLOCKS * LOW / SWIZZLE_ROW;
    static constexpr int HIGH_ROW = BLOCKS * Kind<K>::high, FINE_ROW = BLOCKS * Kind<K>::fine;
    static __host__ __device__ constexpr int x_bytes(int rows)
    {
        return BLOCKS * rows * (PLANE_BLOCK + (1 + Kind<K>::mins) * (int)sizeof(float));
    }
};

/* ---- x as units of it lie in a stage ---- */

/* Where byte `at` of a row of boxes lies, each of them so wide (32, 64 or 128 bytes) and of so many rows. */
template <int WIDTH = SWIZZLE_ROW> static __host__ __device__ inline int boxed(int at, int row, int rows)
{
    int piece = at % WIDTH / 16 ^ row * WIDTH / SWIZZLE_ROW % (WIDTH / 16);
    return at / WIDTH * rows * WIDTH + row * WIDTH + piece * 16 + at % 16;
}

/* A warp has a block of 32. n: rows that a unit has room for. Bytes of weights lie in order; of halves of bytes the lower ones,
 * eight neighbours a word, come before the upper ones. */
template <int K> static __global__ void round_units(uint8_t *to, Product p, int n)
{
    typedef Units<K> U;
    previous();
    int blocks = p.in / PLANE_BLOCK, warp = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    int r = warp / blocks, block = warp % blocks, b = block % U::BLOCKS;
    if (r >= p.pairs)
        return;
    float x = p.x[r * p.x_step + block * PLANE_BLOCK + lane];
    float scale;
    int q = round_in_warp(x, &scale), sum = q;
    for (int i = 16; i > 0; i /= 2)
        sum += __shfl_xor_sync(0xffffffff, sum, i);
    to += (size_t)(block / U::BLOCKS) * U::x_bytes(n);
    int place = Kind<K>::bytes ? lane : lane / 4 % 2 * 16 + lane / 8 * 4 + lane % 4;
    to[boxed(b * PLANE_BLOCK + place, r, n)] = (uint8_t)q;
    float *d = (float *)(to + U::BLOCKS * PLANE_BLOCK * n) + b * n + r;
    if (lane == 0)
        d[0] = scale;
    if (Kind<K>::mins && lane == 0)
        d[U::BLOCKS * n] = scale * (float)sum;
}

/* ---- units ---- */

template <int K, int N> struct BlocksWay {
    typedef Units<K> U;
    static constexpr int EIGHTS = N / 8, LOW_BYTES = U::BOXES * BOX * SWIZZLE_ROW;
    static constexpr int FINE_AT = LOW_BYTES + BOX * U::HIGH_ROW, W_BYTES = FINE_AT + BOX * U::FINE_ROW;
    static constexpr int XQ = U::BLOCKS * PLANE_BLOCK * N, BYTES = W_BYTES + U::x_bytes(N);
    static constexpr int STAGE_BYTES = (BYTES + SWIZZLE_ALIGN - 1) / SWIZZLE_ALIGN * SWIZZLE_ALIGN;
    static constexpr int ZERO = INTS_ZERO - (U::FLIPS ? 8 - Kind<K>::bits << 23 : 0);
    static constexpr bool LATE = false;
    typedef float Sums[4 * EIGHTS];
    struct Early { unsigned coarse[2]; };      /* of outputs g and g + 8 */

    static __device__ void ask_weights(const Line &l, uint8_t *stage, int which, int o, int chunk, Barrier *full)
    {
#pragma unroll
        for (int i = 0; i < U::BOXES; i++)
            tile_copy(stage + i * BOX * SWIZZLE_ROW, &l.w[which], (chunk * U::BOXES + i) * SWIZZLE_K, o, 0, full, READ_ONCE);
        if (U::HIGH_ROW)
            tile_copy(stage + LOW_BYTES, &l.high[which], chunk * (U::HIGH_ROW / 2), o, 0, full, READ_ONCE);
        tile_copy(stage + FINE_AT, &l.fine[which], chunk * (U::FINE_ROW / 2), o, 0, full, READ_ONCE);
    }
    static __device__ void ask_x(const Line &l, uint8_t *stage, int chunk, Barrier *full)
    {
        bulk_copy(stage + W_BYTES, l.x_units + (size_t)chunk * U::x_bytes(N), U::x_bytes(N), full, READ_AGAIN);
    }

    static __device__ Early early(const Line &l, int which, int o, int chunk)
    {
        Early e = {};
        const Product &p = l.p[which];
        if (Kind<K>::coarse)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int row = min(o + (int)threadIdx.x / 32 * 16 + (int)threadIdx.x % 32 / 4 + 8 * i, p.out - 1);
                int64_t at = (int64_t)row * l.chunks + chunk;
                e.coarse[i] = Kind<K>::coarse == 2 ? __ldg((const unsigned short *)p.planes.coarse + at)
                                                   : __ldg((const unsigned *)p.planes.coarse + at);
            }
        return e;
    }

    /* The two words of weights of a lane's word. high: its bits are the lowest of each byte, the first word's first. */
    static __device__ void expand(int *first, int *second, unsigned low, unsigned high)
    {
        if constexpr (U::FLIPS) {
            constexpr int up = 8 - Kind<K>::bits, more = Kind<K>::bits - 4;
            constexpr unsigned lows = 0x0f0f0f0fu << up, highs = 0xf0f0f0f0u & ~lows;
            unsigned a = low << up & lows, b = (up < 4 ? low >> (4 - up) : low) & lows;
            if (more)
                a |= high << (8 - more) & highs, b |= high << (8 - 2 * more) & highs;
            *first = (int)(a ^ SIGNS), *second = (int)(b ^ SIGNS);
        } else {
            int q[2];
            four_bits<K>(q, low);
            *first = q[0], *second = q[1];
        }
    }

    /* The high bits of a lane's word of block b, of output g or g + 8. */
    static __device__ unsigned high_bits(const uint8_t *stage, int b, int half)
    {
        constexpr int word = Kind<K>::high / 8;      /* bytes of a block that a pair of lanes has */
        if constexpr (U::HIGH_ROW) {
            int t = threadIdx.x % 4, row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + 8 * half;
            unsigned bits = shared_value<unsigned>(stage + LOW_BYTES +
                                                   boxed<U::HIGH_ROW>(b * Kind<K>::high + t / 2 * 4 * word, row, BOX));
            return bits >> (word ? t % 2 * 4 : t * 2);
        } else
            return 0;
    }

    /* Weights of blocks b and b + 1, as the tensor cores take them. */
    static __device__ void weights(int (*w)[4], const uint8_t *stage, int b)
    {
        int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16;
        if constexpr (Kind<K>::bytes) {
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_matrices(w[i], shared_place(stage + boxed((b + i) * 32 + lane / 16 * 16, row, BOX)));
        } else {
            int words[4];
            load_matrices(words, shared_place(stage + boxed((b + lane / 16) * 16, row, BOX)));
#pragma unroll
            for (int i = 0; i < 4; i++)
                expand(&w[i / 2][i % 2], &w[i / 2][2 + i % 2], (unsigned)words[i], high_bits(stage, b + i / 2, i % 2));
        }
    }

    /* Of block b scale and min, or both scales, of a lane's outputs. */
    static __device__ void scales(float2 *s, const uint8_t *stage, int b, const Early &early)
    {
        int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
        const uint8_t *fine = stage + FINE_AT + row * U::FINE_ROW + b * Kind<K>::fine;
#pragma unroll
        for (int i = 0; i < 2; i++, fine += 8 * U::FINE_ROW) {
            unsigned bits = Kind<K>::fine == 1 ? shared_value<uint8_t>(fine) : Kind<K>::fine == 2 ?
                            shared_value<unsigned short>(fine) : shared_value<unsigned>(fine);
            s[i] = scale_and_min<K>(bits, early.coarse[i]);
            if (U::FLIPS && Kind<K>::mins)      /* who has no offset to lose gets it back */
                s[i].y -= (float)(1 << (Kind<K>::bits - 1)) * s[i].x;
        }
    }

    /* A block of an eight of rows. d: of rows 2 t and 2 t + 1, a place in shared memory. */
    static __device__ void add_block(float *sums, const int *w, const int *x, const float2 *s, const float *d)
    {
        constexpr int halves = 1 + Kind<K>::halves;
        float2 of = shared_value<float2>(d), less = of;
        if (Kind<K>::mins)
            less = shared_value<float2>(d + U::BLOCKS * N);
#pragma unroll
        for (int h = 0; h < halves; h++) {
            bool has = halves == 1 || threadIdx.x % 4 / 2 == h;      /* this lane's k are of this half */
            const int some[2] = {has ? x[0] : 0, has ? x[1] : 0};
            int dots[4];
            ints_multiply_32(dots, w, some, make_int2(ZERO, ZERO));
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float value = (h ? s[i / 2].y : s[i / 2].x) * (__int_as_float(dots[i]) - __int_as_float(ZERO));
                sums[i] = fmaf(i % 2 ? of.y : of.x, value, sums[i]);
                if (Kind<K>::mins)
                    sums[i] = fmaf(-s[i / 2].y, i % 2 ? less.y : less.x, sums[i]);
            }
        }
    }

    static __device__ void add(Sums &sums, const uint8_t *stage, const Early &early, bool adds)
    {
        int lane = threadIdx.x % 32;
        const uint8_t *x = stage + W_BYTES;
        const float *d = (const float *)(x + XQ) + lane % 4 * 2;
        if (!adds)
#pragma unroll
            for (int i = 0; i < 4 * EIGHTS; i++)
                sums[i] = 0;
#pragma unroll (N <= 8 ? U::BLOCKS / 2 : N <= 16 ? 2 : 1)
        for (int b = 0; b < U::BLOCKS; b += 2) {
            int w[2][4];
            float2 s[2][2];
            weights(w, stage, b);
            scales(s[0], stage, b, early);
            scales(s[1], stage, b + 1, early);
#pragma unroll
            for (int n = 0; n < EIGHTS; n++) {
                int words[4];
                load_matrices(words, shared_place(x + boxed(b * PLANE_BLOCK + lane / 8 * 16, 8 * n + lane % 8, N)));
#pragma unroll
                for (int i = 0; i < 2; i++)
                    add_block(sums + 4 * n, w[i], words + 2 * i, s[i], d + (b + i) * N + 8 * n);
            }
        }
        __syncwarp();
    }
    static __device__ void end() {}
};

/* ---- launches ---- */

template <int K> static bool lies_well(const Product &p)
{
    return p.in % (Units<K>::BLOCKS * PLANE_BLOCK) == 0;
}

static bool takes_one(const Product &p, WeightKind kind)
{
    switch (kind) {
#define DO(K) case K: return lies_well<K>(p);
        EACH_FEW_PLANE_KIND(DO)
#undef DO
    default: return false;
    }
}

static bool blocks_take(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    Product lows[PRODUCTS];      /* which are mapped as rows of BF16 are */
    for (int i = 0; i < n; i++) {
        if (!takes_one(p[i], kind))
            return false;
        lows[i] = p[i];
        lows[i].w = p[i].planes.low, lows[i].row_bytes = p[i].in / PLANE_BLOCK * p[i].low_bytes;
    }
    return !g->same && p->pairs >= LEAST_ROWS && hopper_takes(lows, n, g);
}

static size_t units_bytes(const Product *p)
{
    enum { A_BLOCK = PLANE_BLOCK + 2 * sizeof(float) };
    return ((size_t)(p->in / PLANE_BLOCK) * A_BLOCK * hopper_rows(p->pairs) + 255) / 256 * 256;
}

size_t blocks_scratch(const Product *p, WeightKind kind, const CudaRun *g)
{
    Product few = *p;      /* or as many as come here */
    few.pairs = p->pairs < HOPPER_ROWS ? p->pairs : HOPPER_ROWS;
    return blocks_take(&few, 1, kind, g) ? units_bytes(&few) + hopper_scratch(&few, g) : 0;
}

template <int K, int N> static void run_rows(const Product *p, const Line &l, const CudaRun *g)
{
    int64_t warps = (int64_t)p->pairs * (p->in / PLANE_BLOCK);
    LAUNCH(round_units<K>, blocks_for(warps, 8), 256, 0, g, (uint8_t *)l.x_units, *p, N);
    launch_line<BlocksWay<K, N>>(l, g);
}

static void map_rows(CUtensorMap *map, const void *at, int64_t row_bytes, int rows, int box_bytes, int swizzle)
{
    MapShape s = {3, {row_bytes / 2, rows, 1}, {0, row_bytes, row_bytes * rows}, {box_bytes / 2, BOX, 1}, 128, swizzle};
    bool mapped = tensor_map(map, at, &s);
    ASSERT(mapped);      /* blocks_take() saw to it */
}

template <int K> static void run_kind(const Product *p, Line l, const CudaRun *g)
{
    typedef Units<K> U;
    for (int i = 0; i < l.products; i++) {
        int64_t blocks = p[i].in / PLANE_BLOCK, fine = blocks * Kind<K>::fine;
        hopper_map(&l.w[i], p[i].planes.low, (int)(blocks * U::LOW / 2), p[i].out, 1, blocks * U::LOW, BOX, 1);
        map_rows(&l.fine[i], p[i].planes.fine, fine, p[i].out, U::FINE_ROW, 0);
        if (U::HIGH_ROW)
            map_rows(&l.high[i], p[i].planes.high, blocks * Kind<K>::high, p[i].out, U::HIGH_ROW, U::HIGH_ROW);
    }
    l.chunks = p->in / PLANE_BLOCK / U::BLOCKS;
    switch (hopper_rows(l.rows)) {
    case 8: run_rows<K, 8>(p, l, g); break;
    case 16: run_rows<K, 16>(p, l, g); break;
    case 32: run_rows<K, 32>(p, l, g); break;
    default: run_rows<K, 64>(p, l, g); break;
    }
}

bool blocks_run(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    if (!blocks_take(p, n, kind, g))
        return false;
    Line l = {};
    for (int i = 0; i < PRODUCTS; i++)
        l.p[i] = p[i < n ? i : 0];
    l.products = n, l.rows = p->pairs;
    l.x_units = (const uint8_t *)g->scratch;
    l.sums = (float4 *)((uint8_t *)g->scratch + units_bytes(p)), l.counters = g->counters;
    switch (kind) {
#define DO(K) case K: run_kind<K>(p, l, g); break;
        EACH_FEW_PLANE_KIND(DO)
#undef DO
    default: break;
    }
    return true;
}
