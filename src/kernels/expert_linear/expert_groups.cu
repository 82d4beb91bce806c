/* expert_groups.cu -- see expert_groups.h.
 *
 *     weights   A, [16 outputs, 16 k]     x   B, [16 k, 8 pairs]     sums   C, [16 outputs, 8 pairs]     (attend_mma.h)
 *
 * Both lie in shared memory as rows of 64 k, in pieces of 16 bytes that are turned by the row, so that eight rows of a
 * piece are in eight banks. Some stages are on their way while one is multiplied.
 */
#include "kernels/attend/attend_mma.h"
#include "kernels/expert_linear/expert_groups.h"

/* PAIRS and OUTS of a tile; of the warps WM share the outputs, WN the pairs. */
template <int K_, int PARTS_, int PAIRS_, int OUTS_, int WM_, int WN_, int STAGES_>
struct Tiling {
    static constexpr int K = K_, PARTS = PARTS_, PAIRS = PAIRS_, OUTS = OUTS_, WM = WM_, WN = WN_;
    static constexpr int STAGES = STAGES_;      /* of 64 k, on their way or in use */
    static constexpr int THREADS = 32 * WM * WN, MT = OUTS / WM / 16, NT = PAIRS / WN / 8;
    static constexpr int ELEM = K == W_BF16 ? 2 : 1, X_ROW = 2 * GROUPS_K, W_ROW = ELEM * GROUPS_K;
    static constexpr int X_BYTES = PARTS * PAIRS * X_ROW, STAGE = X_BYTES + OUTS * W_ROW, SHARED = STAGES * STAGE;
    static_assert(MT * 16 * WM == OUTS && NT * 8 * WN == PAIRS && NT % 2 == 0, "a warp has whole tiles, of pairs two");
};

/* What was copied may be read by instructions that go another way to shared memory than loads. */
static __device__ inline void tensor_cores_see_it()
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/* Where piece c of row r lies; rows of 64 bytes are two to a line of the banks. */
template <int ROW> static __device__ inline unsigned place(int r, int c)
{
    return ROW == 128 ? r * 128 + ((c ^ r % 8) << 4) : r * 64 + ((c ^ r / 2 % 4) << 4);
}

template <typename T>
static __device__ void fetch_x(unsigned stage, const Product &p, const unsigned short *x, const int *x_rows, int all_rows,
                               int k0)
{
    constexpr int PIECES = T::X_ROW / 16;
#pragma unroll
    for (int i = threadIdx.x; i < T::PARTS * T::PAIRS * PIECES; i += T::THREADS) {
        int c = i % PIECES, r = i / PIECES, k = k0 + 8 * c;
        bool there = k < p.in && x_rows[r % T::PAIRS] >= 0;
        const unsigned short *from = x + ((int64_t)(r / T::PAIRS) * all_rows + x_rows[r % T::PAIRS]) * p.in + k;
        copy_16(stage + place<T::X_ROW>(r, c), there ? from : x, there);
    }
}

template <typename T> static __device__ void fetch_w(unsigned stage, const Product &p, int64_t first, int outs, int k0)
{
    constexpr int PIECES = T::W_ROW / 16;
#pragma unroll
    for (int i = threadIdx.x; i < T::OUTS * PIECES; i += T::THREADS) {
        int c = i % PIECES, r = i / PIECES;
        bool there = r < outs && k0 * T::ELEM + 16 * c < p.in * T::ELEM;
        copy_16(stage + T::X_BYTES + place<T::W_ROW>(r, c),
                p.w + (first + (r < outs ? r : 0)) * p.row_bytes + (there ? k0 * T::ELEM + 16 * c : 0), there);
    }
}

/* The weights of 16 outputs and 16 k, as two words a half. Of F8 a lane has four neighbours where BF16 has two and
 * two: x lies so that they meet (split_x). */
template <typename T> static __device__ inline void weights_of(unsigned (*a)[4], unsigned stage, int o0, int step)
{
    int lane = threadIdx.x % 32, r = lane % 16;
#pragma unroll
    for (int m = 0; m < T::MT; m++) {
        if (T::ELEM == 2) {
            load_matrices(a[m], stage + place<T::W_ROW>(o0 + 16 * m + r, 2 * step + lane / 16));
        } else {
            unsigned bytes[2], two[2];
            asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                         : "=r"(bytes[0]), "=r"(bytes[1])
                         : "r"(stage + place<T::W_ROW>(o0 + 16 * m + r, step)) : "memory");
#pragma unroll
            for (int half = 0; half < 2; half++) {
                f8_as_bf16<T::K>(two, bytes[half]);
                a[m][half] = two[0];
                a[m][2 + half] = two[1];
            }
        }
    }
}

/* One stage: sums of 64 k, from zero. */
template <typename T> static __device__ inline void multiply_stage(float (*sums)[T::NT][4], unsigned stage, int o0, int n0)
{
    float part_sums[T::MT][T::NT][4] = {};
    int lane = threadIdx.x % 32, r = lane % 8 + lane / 16 * 8, half = lane / 8 % 2;
#pragma unroll
    for (int step = 0; step < GROUPS_K / 16; step++) {
        unsigned a[T::MT][4];
        weights_of<T>(a, stage + T::X_BYTES, o0, step);
#pragma unroll
        for (int part = T::PARTS - 1; part >= 0; part--)
#pragma unroll
            for (int n = 0; n < T::NT; n += 2) {
                unsigned b[4];
                load_matrices(b, stage + place<T::X_ROW>(part * T::PAIRS + n0 + 8 * n + r, 2 * step + half));
#pragma unroll
                for (int m = 0; m < T::MT; m++) {
                    multiply<W_BF16>(part_sums[m][n], a[m], make_uint2(b[0], b[1]));
                    multiply<W_BF16>(part_sums[m][n + 1], a[m], make_uint2(b[2], b[3]));
                }
            }
    }
#pragma unroll
    for (int m = 0; m < T::MT; m++)
#pragma unroll
        for (int n = 0; n < T::NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                sums[m][n][i] += part_sums[m][n][i];
}

template <typename T>
static __device__ inline void put_tile(float (*sums)[T::NT][4], const Product &p, PairTile t, const int *pairs, int o0, int n0)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int m = 0; m < T::MT; m++)
#pragma unroll
        for (int n = 0; n < T::NT; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int o = o0 + 16 * m + lane / 4 + i / 2 * 8, r = n0 + 8 * n + 2 * (lane % 4) + i % 2;
                if (r < t.count && o < p.out)
                    put(p, pairs[r], t.expert, o, sums[m][n][i]);
            }
}

static __device__ void put_zeros(const Product &p, const int *pairs, int count, int o0, int outs)
{
    for (int i = threadIdx.x; i < count * outs; i += blockDim.x)
        y_at(p, pairs[i / outs])[o0 + i % outs] = 0;
}

/* The pairs of this block's tile, and where their x lies. False: there is nothing to multiply. */
template <typename T> static __device__ bool begin_tile(const Product &p, PairTile t, int *pairs, int *x_rows, int o0)
{
    if (t.count == 0)
        return false;
    for (int r = threadIdx.x; r < T::PAIRS; r += T::THREADS) {
        pairs[r] = r < t.count ? p.order[t.first + r] : 0;
        x_rows[r] = r < t.count ? (int)x_index(p, pairs[r]) : -1;
    }
    __syncthreads();
    if (t.expert >= p.experts)
        put_zeros(p, pairs, t.count, o0, min(T::OUTS, p.out - o0));
    return t.expert < p.experts;
}

/* Goes through all stages: multiply(where it lies). APART: by instructions that do not load what they multiply. */
template <typename T, bool APART, typename Multiply>
static __device__ void each_stage(const Product &p, PairTile t, const unsigned short *x, const int *x_rows, int all_rows,
                                  int o0, unsigned shared, Multiply multiply)
{
    int stages = (p.in + GROUPS_K - 1) / GROUPS_K;
    int64_t first = (int64_t)t.expert * p.out + o0;
    auto fetch = [&](int s) {
        if (s < stages) {
            fetch_w<T>(shared + s % T::STAGES * T::STAGE, p, first, p.out - o0, s * GROUPS_K);
            fetch_x<T>(shared + s % T::STAGES * T::STAGE, p, x, x_rows, all_rows, s * GROUPS_K);
        }
        copies_sent();
    };
    for (int s = 0; s < T::STAGES - 1; s++)
        fetch(s);
    for (int s = 0; s < stages; s++) {
        copies_wait<T::STAGES - 2>();
        if (APART)
            tensor_cores_see_it();
        __syncthreads();
        fetch(s + T::STAGES - 1);
        multiply(shared + s % T::STAGES * T::STAGE);
    }
}

template <typename T> static __global__ void __launch_bounds__(T::THREADS)
multiply_groups(const __grid_constant__ Product p, const unsigned short *x, int all_rows)
{
    extern __shared__ __align__(1024) uint8_t memory[];
    __shared__ int pairs[T::PAIRS], x_rows[T::PAIRS];
    previous();
    PairTile t = p.tiles[blockIdx.y];
    int o0 = blockIdx.x * T::OUTS, warp = threadIdx.x / 32;
    if (!begin_tile<T>(p, t, pairs, x_rows, o0))
        return;
    float sums[T::MT][T::NT][4] = {};
    int warp_o = warp % T::WM * (16 * T::MT), warp_n = warp / T::WM * (8 * T::NT);
    each_stage<T, false>(p, t, x, x_rows, all_rows, o0, shared_address(memory), [&](unsigned stage) {
        if (warp_n < t.count)
            multiply_stage<T>(sums, stage, warp_o, warp_n);
    });
    put_tile<T>(sums, p, t, pairs, o0 + warp_o, warp_n);
}

/* ---- Hopper's own way: four warps multiply 64 outputs by 64 pairs, weights in registers, x where it lies ---- */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define EIGHT(f, i) f(i, 0), f(i, 1), f(i, 2), f(i, 3), f(i + 1, 0), f(i + 1, 1), f(i + 1, 2), f(i + 1, 3)
#define SUM(i, j) "+f"(c[i][j])
/* x: how it lies; adds: to what is there, else to zero. */
static __device__ inline void multiply_64(float (*c)[4], const unsigned *w, uint64_t x, int adds)
{
    asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, "
                 "%13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, adds, 1, 1, 0;\n}"
                 : EIGHT(SUM, 0), EIGHT(SUM, 2), EIGHT(SUM, 4), EIGHT(SUM, 6)
                 : "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]), "l"(x), "r"(adds));
}
static __device__ inline void multiply_begins() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
static __device__ inline void multiply_ends()
{
    asm volatile("wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;" ::: "memory");
}

/* Rows of 128 bytes, turned by the row as place() turns them; eight rows are 1,024 bytes. */
static __device__ inline uint64_t lying_at(unsigned at)
{
    return (uint64_t)(at >> 4 & 0x3fff) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

/* The upper parts of x in sums of 64 k, the others, which are small, in one sum through all stages. */
template <typename T>
static __device__ inline void multiply_stage_64(float (*sums)[4], float (*small)[4], unsigned stage, int warp)
{
    float upper[T::NT][4];
    unsigned w[GROUPS_K / 16][1][4];
#pragma unroll
    for (int step = 0; step < GROUPS_K / 16; step++)
        weights_of<T>(w[step], stage + T::X_BYTES, 16 * warp, step);
    multiply_begins();
#pragma unroll
    for (int step = 0; step < GROUPS_K / 16; step++) {
#pragma unroll
        for (int part = T::PARTS - 1; part > 0; part--)
            multiply_64(small, w[step][0], lying_at(stage + part * T::PAIRS * T::X_ROW + 32 * step), 1);
        multiply_64(upper, w[step][0], lying_at(stage + 32 * step), step > 0);
    }
    multiply_ends();
#pragma unroll
    for (int n = 0; n < T::NT; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[n][i] += upper[n][i];
}
#endif

template <typename T> static __global__ void __launch_bounds__(T::THREADS)
multiply_groups_64(const __grid_constant__ Product p, const unsigned short *x, int all_rows)
{
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(1024) uint8_t memory[];
    __shared__ int pairs[T::PAIRS], x_rows[T::PAIRS];
    previous();
    PairTile t = p.tiles[blockIdx.y];
    int o0 = blockIdx.x * T::OUTS, warp = threadIdx.x / 32;
    if (!begin_tile<T>(p, t, pairs, x_rows, o0))
        return;
    float sums[1][T::NT][4] = {}, small[T::NT][4] = {};
    each_stage<T, true>(p, t, x, x_rows, all_rows, o0, (shared_address(memory) + 1023) & ~1023u,
                  [&](unsigned stage) { multiply_stage_64<T>(sums[0], small, stage, warp); });
#pragma unroll
    for (int n = 0; n < T::NT && T::PARTS > 1; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            sums[0][n][i] += small[n][i];
    put_tile<T>(sums, p, t, pairs, o0 + 16 * warp, 0);
#endif
}

/* ---- getting ready ---- */

/* One block of threads; each has some neighbouring experts. What computes nothing is an expert of its own, the last. */
enum { SORT_THREADS = 1024, SORT_EACH = EXPERTS_MAX / SORT_THREADS + 1 };

/* The sum of what the threads before this one have; `shared` holds 32 numbers. */
static __device__ int sum_before(int n, int *shared)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, all = n;
    for (int i = 1; i < 32; i *= 2) {
        int before = __shfl_up_sync(0xffffffff, all, i);
        all += lane >= i ? before : 0;
    }
    __syncthreads();
    if (lane == 31)
        shared[warp] = all;
    __syncthreads();
    int warps = 0;
    for (int i = 0; i < warp; i++)
        warps += shared[i];
    return warps + all - n;
}

static __global__ void __launch_bounds__(SORT_THREADS)
sort_pairs(Product p, int *order, PairTile *tiles, int tile_pairs, int tiles_max)
{
    __shared__ int at[SORT_THREADS * SORT_EACH], of_warps[32], tiles_used;
    previous();
    for (int e = threadIdx.x; e < SORT_THREADS * SORT_EACH; e += SORT_THREADS)
        at[e] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < p.pairs; i += SORT_THREADS)
        atomicAdd(&at[min(expert_at(p, i), p.experts)], 1);
    __syncthreads();
    int first = threadIdx.x * SORT_EACH, count[SORT_EACH], pairs = 0, cut = 0;
    for (int i = 0; i < SORT_EACH; i++) {
        count[i] = at[first + i];
        pairs += count[i];
        cut += (count[i] + tile_pairs - 1) / tile_pairs;
    }
    int pair = sum_before(pairs, of_warps), tile = sum_before(cut, of_warps);
    for (int i = 0; i < SORT_EACH; i++) {
        at[first + i] = pair;
        for (int done = 0; done < count[i]; done += tile_pairs)
            tiles[tile++] = {first + i, pair + done, min(tile_pairs, count[i] - done)};
        pair += count[i];
    }
    if (threadIdx.x == SORT_THREADS - 1)
        tiles_used = tile;
    __syncthreads();
    for (int i = tiles_used + threadIdx.x; i < tiles_max; i += SORT_THREADS)
        tiles[i] = {0, 0, 0};
    for (int i = threadIdx.x; i < p.pairs; i += SORT_THREADS)
        order[atomicAdd(&at[min(expert_at(p, i), p.experts)], 1)] = i;
}

/* F8: see weights_of. Of 16 k the first two of each four become the first eight, the others the last. */
static __device__ inline int place_of_k(int k, bool f8)
{
    return f8 ? (k & ~15) + (k & 2) * 4 + (k % 16 / 4) * 2 + k % 2 : k;
}

static __global__ void split_x(unsigned short *to, int parts, bool f8, Product p)
{
    previous();
    int rows = gridDim.x;
    const float *x = p.own_x ? x_at(p, blockIdx.x) : p.x + blockIdx.x * p.x_step;
    for (int k = blockIdx.y * blockDim.x + threadIdx.x; k < p.in; k += gridDim.y * blockDim.x) {
        float left = x[k];
        for (int part = 0; part < parts; part++) {
            unsigned short near = bf16_of_f32(left);
            to[((int64_t)part * rows + blockIdx.x) * p.in + place_of_k(k, f8)] = near;
            left -= f32_of_bf16(near);
        }
    }
}

/* ---- choosing ---- */

bool groups_multiply(const Product *p, WeightKind kind)
{
    int elems = kind == W_BF16 ? 8 : 16;
    return (kind == W_BF16 || kind == W_E4M3 || kind == W_E5M2) && p->in % elems == 0 && (uintptr_t)p->w % 16 == 0 &&
           p->row_bytes % 16 == 0;
}

static int parts_of(const CudaRun *g) { return g->exact ? 3 : 1; }
static int rows_of_x(const Product *p) { return p->own_x ? p->pairs : p->pairs / p->k; }

size_t groups_x_bytes(const Product *p, const CudaRun *g)
{
    return ((size_t)parts_of(g) * (size_t)rows_of_x(p) * (size_t)p->in * 2 + 255) / 256 * 256;
}

template <typename T> static void launch(const Product *p, const unsigned short *x, const CudaRun *g)
{
    cudaFuncSetAttribute(multiply_groups<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, T::SHARED);
    dim3 grid(blocks_for(p->out, T::OUTS), groups_tiles(p, T::PAIRS));
    LAUNCH(multiply_groups<T>, grid, T::THREADS, T::SHARED, g, *p, x, rows_of_x(p));
}

/* Whether this GPU has the instructions of multiply_groups_64, and this program was compiled for it. */
static bool has_wgmma(void)
{
    static int version;
    cudaFuncAttributes a;
    if (version == 0 && cudaFuncGetAttributes(&a, split_x) == cudaSuccess)
        version = a.binaryVersion;
    return version == 90;      /* none but sm_90a is compiled of 9.0 (Makefile) */
}

template <typename T> static void launch_64(const Product *p, const unsigned short *x, const CudaRun *g)
{
    enum { SHARED = T::SHARED + 1024 /* so that a stage may begin at a multiple */ };
    cudaFuncSetAttribute(multiply_groups_64<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED);
    dim3 grid(blocks_for(p->out, T::OUTS), groups_tiles(p, T::PAIRS));
    LAUNCH(multiply_groups_64<T>, grid, T::THREADS, SHARED, g, *p, x, rows_of_x(p));
}

template <int K, int PARTS> static void by_pairs(const Product *p, int tile_pairs, const unsigned short *x, const CudaRun *g)
{
    if (tile_pairs == GROUPS_FEW)
        launch<Tiling<K, PARTS, GROUPS_FEW, 128, 8, 1, 4>>(p, x, g);
    else if (tile_pairs == GROUPS_SOME)
        launch<Tiling<K, PARTS, GROUPS_SOME, 128, 8, 1, 3>>(p, x, g);
    else if (!has_wgmma())
        launch<Tiling<K, PARTS, GROUPS_MANY, 128, 4, 2, 2>>(p, x, g);
    else if constexpr (PARTS == 1)
        launch_64<Tiling<K, PARTS, GROUPS_MANY, 128, 8, 1, 4>>(p, x, g);
    else      /* three parts of x are more bytes than the weights: more outputs for each */
        launch_64<Tiling<K, PARTS, GROUPS_MANY, 256, 16, 1, 3>>(p, x, g);
}

template <int K> static void by_parts(const Product *p, int tile_pairs, const unsigned short *x, const CudaRun *g)
{
    if (g->exact)
        by_pairs<K, 3>(p, tile_pairs, x, g);
    else
        by_pairs<K, 1>(p, tile_pairs, x, g);
}

void groups_run(const Product *p, WeightKind kind, int tile_pairs, unsigned short *x, const CudaRun *g)
{
    LAUNCH(split_x, dim3(rows_of_x(p), blocks_for(p->in, 1024)), 256, 0, g, x, parts_of(g), kind != W_BF16, *p);
    switch (kind) {
#define DO(K) case K: by_parts<K>(p, tile_pairs, x, g); break;
        EACH_STREAM_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

/* The pairs by expert, cut into tiles. */
void groups_sort(const Product *p, int tile_pairs, int *order, PairTile *tiles, const CudaRun *g)
{
    LAUNCH(sort_pairs, 1, SORT_THREADS, 0, g, *p, order, tiles, tile_pairs, groups_tiles(p, tile_pairs));
}
