/* warp_products_cuda.h of emulated.h. */
#ifndef KERNELS_LINEAR_WARP_PRODUCTS_CUDA_H
#define KERNELS_LINEAR_WARP_PRODUCTS_CUDA_H

enum { INTS_ZERO = 0x4b400000 };

static inline void emulated_ints(int *d, const int *w, const int *x, int halves, int2 zero)
{
    uint32_t words[WORDS] = {};
    memcpy(words, w, 8 * (size_t)halves);
    memcpy(words + 4, x, 4 * (size_t)halves);
    const Lanes &all = emulated_give(words, WORDS);
    int lane = (int)threadIdx.x % 32, begin[2] = {zero.x, zero.y};
    for (int e = 0; e < 4; e++) {
        int row = lane / 4, column = lane % 4 * 2 + e % 2;
        d[e] = begin[e % 2];
        for (int k = 0; k < 16 * halves; k++) {
            unsigned a = all.of[row * 4 + k % 16 / 4][e / 2 + k / 16 * 2], b = all.of[column * 4 + k % 16 / 4][4 + k / 16];
            d[e] += (int8_t)(a >> 8 * (k % 4)) * (int8_t)(b >> 8 * (k % 4));
        }
    }
}
static inline void ints_multiply_32(int *d, const int *w, const int *x, int2 zero) { emulated_ints(d, w, x, 2, zero); }
static inline void ints_multiply_16(int *d, const int *w, int x, int2 zero) { emulated_ints(d, w, &x, 1, zero); }

static inline void f16_multiply_16(float *d, const unsigned *w, const int *x)
{
    uint32_t words[WORDS] = {w[0], w[1], w[2], w[3], (uint32_t)x[0], (uint32_t)x[1]};
    const Lanes &all = emulated_give(words, WORDS);
    int lane = (int)threadIdx.x % 32;
    for (int e = 0; e < 4; e++) {
        int row = lane / 4, column = lane % 4 * 2 + e % 2;
        double sum = 0;
        for (int k = 0; k < 16; k++) {
            unsigned a = all.of[row * 4 + k % 8 / 2][e / 2 + k / 8 * 2], b = all.of[column * 4 + k % 8 / 2][4 + k / 8];
            sum += (double)f32_of_f16((unsigned short)(a >> 16 * (k % 2))) * (double)f32_of_f16((unsigned short)(b >> 16 * (k % 2)));
        }
        d[e] = (float)((double)d[e] + sum);
    }
}

static inline void load_matrices(int *to, unsigned place)
{
    const Lanes &all = emulated_give(&place, 1);
    int lane = (int)threadIdx.x % 32;
    for (int m = 0; m < 4; m++)
        memcpy(to + m, emulated_place(all.of[8 * m + lane / 4][0], 16) + 4 * (lane % 4), 4);
}

#endif
