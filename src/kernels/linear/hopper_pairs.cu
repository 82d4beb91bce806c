/* hopper_pairs.cu -- products of up to 64 rows with weights of F16 or F8, on Hopper, along the line of hopper_cuda.h. x is in
 * pairs of f16 (pairs_cuda.h), which hold it as exactly as sums of f32 are.
 *
 * F8 becomes f16 in registers, and there the tensor cores take it. A unit is 128 k, and of each 16 of these a lane t has the
 * weights from 4 t on, one word, where those from 2 t and from 8 + 2 t on are wanted: so the words of x lie crossed.
 */
#include "kernels/linear/hopper_line_cuda.h"
#include "kernels/linear/warp_products_cuda.h"

enum { X_PARTS = 2, UNIT_16 = SWIZZLE_ROW / 16 /* times 16 k */ };

template <int K, int N> struct F8Way {
    static constexpr int EIGHTS = N / 8, X_BOXES = 2, W_BYTES = BOX * SWIZZLE_ROW, PART_BYTES = N * SWIZZLE_ROW;
    static constexpr int BYTES = W_BYTES + X_BOXES * X_PARTS * PART_BYTES, STAGE_BYTES = BYTES;
    static constexpr bool LATE = false;
    typedef float Sums[4 * EIGHTS];
    struct Early {};

    static __device__ void ask_weights(const Line &l, uint8_t *stage, int which, int o, int chunk, Barrier *full)
    {
        tile_copy(stage, &l.w[which], chunk * SWIZZLE_K, o, 0, full, READ_ONCE);
    }
    static __device__ void ask_x(const Line &l, uint8_t *stage, int chunk, Barrier *full)
    {
#pragma unroll
        for (int i = 0; i < X_BOXES; i++)
            tile_copy(stage + W_BYTES + i * X_PARTS * PART_BYTES, &l.x, (chunk * X_BOXES + i) * SWIZZLE_K, 0, 0, full,
                      READ_AGAIN);
    }
    static __device__ Early early(const Line &, int, int, int) { return {}; }

    /* A thread's weights of 32 k, as the tensor cores take them. */
    static __device__ void weights(unsigned (*w)[4], const uint8_t *stage, int c)
    {
        int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16, words[4];
        load_matrices(words, shared_place(stage + row * SWIZZLE_ROW + ((c + lane / 16) ^ row % 8) * 16));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            unsigned two[2];
            f8_as_f16<K>(two, (unsigned)words[i]);
            w[i / 2][i % 2] = two[0], w[i / 2][2 + i % 2] = two[1];
        }
    }

    /* Of each part and eight rows 16 k twice; few rows, which four warps together are slower for. */
    static __device__ void add_few(float *sums, const uint8_t *stage)
    {
        int lane = threadIdx.x % 32;
#pragma unroll
        for (int i = 0; i < UNIT_16; i += 2) {
            const uint8_t *x = stage + W_BYTES + i / 4 * X_PARTS * PART_BYTES;
            unsigned w[2][4];
            weights(w, stage, i);
#pragma unroll
            for (int part = X_PARTS - 1; part >= 0; part--)      /* the small ones first */
#pragma unroll
                for (int n = 0; n < EIGHTS; n++) {
                    int row = 8 * n + lane % 8, words[4];
                    load_matrices(words, shared_place(x + part * PART_BYTES + row * SWIZZLE_ROW +
                                                      ((i % 4 * 2 + lane / 8) ^ row % 8) * 16));
                    f16_multiply_16(sums + 4 * n, w[0], words);
                    f16_multiply_16(sums + 4 * n, w[1], words + 2);
                }
        }
    }

    static __device__ void add_many(Sums &sums, const uint8_t *stage, bool adds)
    {
        unsigned w[UNIT_16][4];
#pragma unroll
        for (int i = 0; i < UNIT_16; i += 2)
            weights(w + i, stage, i);
        products_begin();
#pragma unroll
        for (int i = 0; i < UNIT_16; i++) {
            const uint8_t *x = stage + W_BYTES + i / 4 * X_PARTS * PART_BYTES + i % 4 * 32;
#pragma unroll
            for (int part = X_PARTS - 1; part >= 0; part--)
                multiply_16_held<N>(sums, w[i], tile_place(x + part * PART_BYTES), adds || i > 0 || part < X_PARTS - 1);
        }
        products_sent();
        products_wait<0>();
    }

    static __device__ void add(Sums &sums, const uint8_t *stage, const Early &, bool adds)
    {
        enum { FEW = 16 };
        if constexpr (N <= FEW) {
            if (!adds)
#pragma unroll
                for (int i = 0; i < 4 * EIGHTS; i++)
                    sums[i] = 0;
            add_few(sums, stage);
        } else
            add_many(sums, stage, adds);
        __syncwarp();
    }
    static __device__ void end() {}
};

template <int K> static void by_kind(Line l, const CudaRun *g)
{
    switch (hopper_rows(l.rows)) {
    case 8: launch_line<F8Way<K, 8>>(l, g); break;
    case 16: launch_line<F8Way<K, 16>>(l, g); break;
    case 32: launch_line<F8Way<K, 32>>(l, g); break;
    default: launch_line<F8Way<K, 64>>(l, g); break;
    }
}

void hopper_pairs(const Product *p, int n, WeightKind kind, const unsigned short *x, const float *of_row, void *sums,
                  const CudaRun *g)
{
    Line l = hopper_line(p, n, kind == W_F16 ? 2 : 1, x, X_PARTS, sums, g);
    l.of_row = of_row;
    if (kind == W_F16)
        by_rows<X_PARTS, true>(l, g);
    else if (kind == W_E4M3)
        by_kind<W_E4M3>(l, g);
    else
        by_kind<W_E5M2>(l, g);
}
