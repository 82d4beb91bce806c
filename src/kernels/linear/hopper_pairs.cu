/* hopper_pairs.cu -- products of up to 64 rows with weights of F16 or F8, on Hopper, along the line of hopper_cuda.h. x is in pairs
 * of f16 (pairs_cuda.h), which hold it as exactly as sums of f32 are.
 *
 * F8 becomes f16 in registers. A unit is 128 k, and warps have 16 outputs each: of each 16 k a lane t has the weights from 4 t on,
 * one word, and so of x as well, whose words lie crossed.
 */
#include "kernels/linear/hopper_line_cuda.h"
#include "kernels/linear/warp_products_cuda.h"

enum { X_PARTS = 2 };

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
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
            tile_copy(stage + W_BYTES + i * X_PARTS * PART_BYTES, &l.x, (chunk * X_BOXES + i) * SWIZZLE_K, 0, 0, full, READ_AGAIN);
    }
    static __device__ Early early(const Line &, int, int, int) { return {}; }

    /* Piece c, of 16 bytes, of a row of a box. */
    static __device__ unsigned piece(const uint8_t *box, int row, int c)
    {
        return shared_place(box + row * SWIZZLE_ROW + (c ^ row % 8) * 16);
    }

    static __device__ void add(Sums &sums, const uint8_t *stage, const Early &, bool adds)
    {
        int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16;
        if (!adds)
#pragma unroll
            for (int i = 0; i < 4 * EIGHTS; i++)
                sums[i] = 0;
#pragma unroll (N <= 16 ? 4 : 2)
        for (int c = 0; c < SWIZZLE_ROW / 16; c += 2) {      /* 32 k */
            const uint8_t *x = stage + W_BYTES + c / 4 * X_PARTS * PART_BYTES;
            int words[4];
            unsigned w[2][4];
            load_matrices(words, piece(stage, row, c + lane / 16));
#pragma unroll
            for (int i = 0; i < 4; i++) {
                unsigned two[2];
                f8_as_f16<K>(two, (unsigned)words[i]);
                w[i / 2][i % 2] = two[0], w[i / 2][2 + i % 2] = two[1];
            }
#pragma unroll
            for (int part = X_PARTS - 1; part >= 0; part--)      /* the small ones first */
#pragma unroll
                for (int n = 0; n < EIGHTS; n++) {
                    int four[4];
                    load_matrices(four, piece(x + part * PART_BYTES, 8 * n + lane % 8, c % 4 * 2 + lane / 8));
                    f16_multiply_16(sums + 4 * n, w[0], four);
                    f16_multiply_16(sums + 4 * n, w[1], four + 2);
                }
        }
        __syncwarp();
    }
    static __device__ void end() {}
};
#endif

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
