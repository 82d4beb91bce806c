/* hopper_gate.cu -- act(gate) * up of up to 64 rows with weights of BF16, on Hopper, where nothing has to be joined.
 *
 * Each multiprocessor has one block of threads, with equally many neighbouring outputs of gate and the same of up, over all
 * of k: it reads its weights once, keeps its sums in registers, and writes what it makes of them. To the tensor cores rows
 * are the left factor here and weights the right one, whose width can be any multiple of eight:
 *
 *     sums [64 rows, 112 of gate | 112 of up]  =  x [64 rows, k]  (gate [112, k] | up [112, k])^T
 *
 * One thread asks the copy engine for 64 k of these, as far ahead as shared memory has room, and for the first weights before
 * the kernel that writes x has ended. What lies in shared memory behind the last row or output is anything, and stays in sums
 * that nobody writes.
 */
#include "kernels/activate/activate_cuda.h"
#include "kernels/linear/hopper_cuda.h"
#include "kernels/linear/wgmma_cuda.h"

enum {
    OUTS = 112 /* of gate, as many of up */, MULTIPLIERS = 128, THREADS = MULTIPLIERS + 32, STAGES_MOST = 8,
    SUMS = OUTS /* of a thread: half of gate */
};

typedef struct Gates {
    CUtensorMap w[2], x;           /* gate, up */
    const float *bias[2];
    unsigned short *h;             /* [part, row, out] */
    int rows, out, each;           /* each: outputs of a block of threads, even */
    int chunks, stages;
    Activation act;
} Gates;

template <int ROWS, int PARTS> struct Room {
    static constexpr int PART_BYTES = ROWS * SWIZZLE_ROW, X_BYTES = PARTS * PART_BYTES, BOX_BYTES = OUTS * SWIZZLE_ROW;
    static constexpr int STAGE_BYTES = X_BYTES + 2 * BOX_BYTES;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
static __device__ __noinline__ float activation_seldom(Activation f, float x) { return activation_near(f, x); }

template <class R> static __device__ void ask_weights(const Gates &s, uint8_t *stage, int chunk, Barrier *full)
{
    for (int i = 0; i < 2; i++)
        tile_copy(stage + R::X_BYTES + i * R::BOX_BYTES, &s.w[i], chunk * SWIZZLE_K, blockIdx.x * s.each, 0, full, READ_ONCE);
}

template <int PARTS> static __device__ inline void put_two(const Gates &s, int row, int o, float a, float b)
{
    unsigned *h = (unsigned *)(s.h + (int64_t)row * s.out + o);
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
        unsigned near = bf16_two(a, b);
        h[part * ((int64_t)s.rows * s.out / 2)] = near;
        a -= __uint_as_float(near << 16), b -= __uint_as_float(near & 0xffff0000);
    }
}

static __device__ inline float2 bias_of(const float *bias, int o)
{
    return bias ? make_float2(bias[o], bias[o + 1]) : make_float2(0, 0);
}

template <int PARTS, bool KNOWN> static __device__ inline void put_gates(const Gates &s, const float *sums)
{
    int lane = threadIdx.x % 32, r = threadIdx.x / 32 * 16 + lane / 4, first = blockIdx.x * s.each;
#pragma unroll
    for (int n = 0; n < OUTS / 8; n++) {
        int at = 8 * n + lane % 4 * 2, o = first + at;
        if (at >= s.each || o >= s.out)
            continue;
        float2 gate_bias = bias_of(s.bias[0], o), up_bias = bias_of(s.bias[1], o);
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const float *gate = sums + 4 * n + 2 * e, *up = gate + SUMS / 2;
            float a = gate[0] + gate_bias.x, b = gate[1] + gate_bias.y;
            a = (KNOWN ? activation_near(SILU, a) : activation_seldom(s.act, a)) * (up[0] + up_bias.x);
            b = (KNOWN ? activation_near(SILU, b) : activation_seldom(s.act, b)) * (up[1] + up_bias.y);
            if (r + 8 * e < s.rows)
                put_two<PARTS>(s, r + 8 * e, o, a, b);
        }
    }
}

template <class R, int PARTS, bool KNOWN>
static __device__ void multiply(const Gates &s, uint8_t *room, Barrier *full, Barrier *empty)
{
    int stage = 0, phase = 0, before = -1;
    bool tells = threadIdx.x % 32 == 0;
    float sums[SUMS];
    for (int chunk = 0; chunk < s.chunks; chunk++) {
        const uint8_t *x = room + stage * R::STAGE_BYTES, *w = x + R::X_BYTES;
        barrier_wait(shared_place(full + stage), phase);
        products_begin();
#pragma unroll
        for (int k = 0; k < SWIZZLE_ROW; k += 32)
#pragma unroll
            for (int part = PARTS - 1; part >= 0; part--)      /* the small ones first */
                multiply_16<2 * OUTS>(sums, tile_place(x + part * R::PART_BYTES + k), tile_place(w + k),
                                      chunk > 0 || k > 0 || part < PARTS - 1);
        products_sent();
        products_wait<1>();
        if (before >= 0 && tells)
            barrier_arrive(shared_place(empty + before));
        before = stage;
        stage = stage + 1 == s.stages ? 0 : stage + 1;
        phase ^= stage == 0;
    }
    products_wait<0>();
    put_gates<PARTS, KNOWN>(s, sums);
}

template <class R> static __device__ void ask(const Gates &s, uint8_t *room, Barrier *full, Barrier *empty)
{
    int stage = 0, phase = 1;
    for (int i = 0; i < s.stages && i < s.chunks; i++)
        tile_copy(room + i * R::STAGE_BYTES, &s.x, i * SWIZZLE_K, 0, 0, full + i, READ_AGAIN);
    for (int chunk = s.stages; chunk < s.chunks; chunk++) {
        uint8_t *to = room + stage * R::STAGE_BYTES;
        barrier_wait(shared_place(empty + stage), phase ^ 1);
        barrier_expect(shared_place(full + stage), R::X_BYTES + 2 * s.each * SWIZZLE_ROW);
        ask_weights<R>(s, to, chunk, full + stage);
        tile_copy(to, &s.x, chunk * SWIZZLE_K, 0, 0, full + stage, READ_AGAIN);
        stage = stage + 1 == s.stages ? 0 : stage + 1;
        phase ^= stage == 0;
    }
}
#endif

template <int ROWS, int PARTS, bool KNOWN>
static __global__ void __launch_bounds__(THREADS, 1) whole_gates(const __grid_constant__ Gates s)
{
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    typedef Room<ROWS, PARTS> R;
    extern __shared__ uint8_t tile_memory[];
    __shared__ Barrier full[STAGES_MOST], empty[STAGES_MOST];
    uint8_t *room = tile_memory + (SWIZZLE_ALIGN - shared_place(tile_memory) % SWIZZLE_ALIGN) % SWIZZLE_ALIGN;
    bool asks = threadIdx.x == MULTIPLIERS;
    previous_later();
    if (asks) {
        for (int i = 0; i < s.stages; i++) {
            barrier_open(shared_place(full + i), 1);
            barrier_open(shared_place(empty + i), MULTIPLIERS / 32);
        }
        barriers_opened();
        for (int i = 0; i < s.stages && i < s.chunks; i++) {
            barrier_expect(shared_place(full + i), R::X_BYTES + 2 * s.each * SWIZZLE_ROW);
            ask_weights<R>(s, room + i * R::STAGE_BYTES, i, full + i);
        }
    }
    __syncthreads();
    previous_ended();
    if (threadIdx.x < MULTIPLIERS)
        multiply<R, PARTS, KNOWN>(s, room, full, empty);
    else if (asks)
        ask<R>(s, room, full, empty);
#endif
}

/* So many that all multiprocessors have equally many, in one turn or in equal ones. */
static inline int each_of(int out, int multiprocessors)
{
    int turns = (int)blocks_for(out, (int64_t)OUTS * multiprocessors);
    int each = (int)blocks_for(out, (int64_t)turns * multiprocessors);
    return (each + 1) / 2 * 2;
}

template <int ROWS, int PARTS> static void launch(Gates s, const CudaRun *g)
{
    typedef Room<ROWS, PARTS> R;
    s.stages = (int)((g->shared_bytes - 2 * SWIZZLE_ALIGN) / R::STAGE_BYTES);
    s.stages = s.stages < STAGES_MOST ? s.stages : (int)STAGES_MOST;
    size_t bytes = (size_t)s.stages * R::STAGE_BYTES + SWIZZLE_ALIGN;
    auto kernel = s.act == SILU ? whole_gates<ROWS, PARTS, true> : whole_gates<ROWS, PARTS, false>;
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes);
    LAUNCH(kernel, blocks_for(s.out, s.each), THREADS, bytes, g, s);
}

template <int PARTS> static void by_rows(const Gates &s, const CudaRun *g)
{
    switch (hopper_rows(s.rows)) {
    case 8: launch<8, PARTS>(s, g); break;
    case 16: launch<16, PARTS>(s, g); break;
    case 32: launch<32, PARTS>(s, g); break;
    default: launch<64, PARTS>(s, g); break;
    }
}

void hopper_gate(const Product *both, Activation act, const unsigned short *x, int parts, unsigned short *h, const CudaRun *g)
{
    Gates s = {};
    s.rows = both->pairs, s.out = both->out, s.each = each_of(both->out, g->multiprocessors);
    s.chunks = (int)blocks_for(both->in, SWIZZLE_K), s.h = h, s.act = act;
    for (int i = 0; i < 2; i++) {
        hopper_map(&s.w[i], both[i].w, both[i].in, both[i].out, 1, both[i].row_bytes, s.each, 1);
        s.bias[i] = both[i].bias;
    }
    hopper_map(&s.x, x, both->in, both->pairs, parts, 2 * (int64_t)both->in, hopper_rows(s.rows), parts);
    if (parts == 1)
        by_rows<1>(s, g);
    else
        by_rows<HOPPER_PARTS>(s, g);
}
