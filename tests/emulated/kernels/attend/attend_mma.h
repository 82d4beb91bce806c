/* attend_mma.h of emulated.h: who holds what of a matrix stands in the other one, and in the PTX ISA. */
#ifndef KERNELS_ATTEND_ATTEND_MMA_H
#define KERNELS_ATTEND_ATTEND_MMA_H

#include "formats/planes_cuda.h"

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

template <int K> static inline unsigned pair_of(float first, float second)
{
    return K == W_BF16 ? bf16_two(first, second) : f16_of_f32(first) | (unsigned)f16_of_f32(second) << 16;
}
template <int K> static inline float first_of(unsigned pair)
{
    return K == W_BF16 ? __uint_as_float(pair << 16) : f32_of_f16((unsigned short)pair);
}
template <int K> static inline float second_of(unsigned pair)
{
    return K == W_BF16 ? __uint_as_float(pair & 0xffff0000) : f32_of_f16((unsigned short)(pair >> 16));
}
template <int K> static inline unsigned widen_pair(unsigned two)
{
    if (K == W_E5M2)
        return (two & 0xff) << 8 | (two & 0xff00) << 16;
    return pair_of<W_F16>(f32_of_e4m3((unsigned char)two), f32_of_e4m3((unsigned char)(two >> 8)));
}
static inline float near_bf16(float x) { return first_of<W_BF16>(pair_of<W_BF16>(x, 0)); }
static inline float power2(float x) { return exp2f(x); }

template <int K> static inline float half_of(unsigned pair, int i) { return i % 2 ? second_of<K>(pair) : first_of<K>(pair); }

/* [16, 16] . [16, 8], added to what is there. */
template <int K> static inline void multiply(float *c, const unsigned *a, uint2 b)
{
    uint32_t words[WORDS] = {a[0], a[1], a[2], a[3], b.x, b.y};
    const Lanes &all = emulated_give(words, WORDS);
    int lane = (int)threadIdx.x % 32;
    for (int e = 0; e < 4; e++) {
        int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
        double sum = 0;
        for (int k = 0; k < 16; k++) {
            unsigned x = all.of[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], y = all.of[column * 4 + k % 8 / 2][4 + k / 8];
            sum += (double)half_of<K>(x, k) * (double)half_of<K>(y, k);
        }
        c[e] = (float)((double)c[e] + sum);
    }
}

static inline unsigned shared_address(const void *p) { return emulated_address(p); }

/* Number [row][column] of a matrix whose rows begin at the addresses that eight lanes gave. */
static inline unsigned number_at(const Lanes &all, int matrix, int row, int column)
{
    uint16_t x;
    memcpy(&x, emulated_place(all.of[8 * matrix + row][0], 16) + 2 * column, sizeof x);
    return x;
}
static inline void load_four(unsigned *a, unsigned at, bool turned)
{
    const Lanes &all = emulated_give(&at, 1);
    int row = (int)threadIdx.x % 32 / 4, column = (int)threadIdx.x % 4 * 2;
    for (int m = 0; m < 4; m++)
        a[m] = turned ? number_at(all, m, column, row) | number_at(all, m, column + 1, row) << 16
                      : number_at(all, m, row, column) | number_at(all, m, row, column + 1) << 16;
}
static inline void load_matrices(unsigned *a, unsigned at) { load_four(a, at, false); }
static inline void load_turned(unsigned *a, unsigned at) { load_four(a, at, true); }
static inline unsigned turn(unsigned pair)
{
    const Lanes &all = emulated_give(&pair, 1);
    int row = (int)threadIdx.x % 32 / 4, column = (int)threadIdx.x % 4 * 2;
    auto at = [&](int r, int c) { return all.of[r * 4 + c / 2][0] >> c % 2 * 16 & 0xffff; };
    return at(column, row) | at(column + 1, row) << 16;
}

static inline void copy_16(unsigned to, const void *from, bool there) { emulated_copy_16(to, from, there); }
static inline void copies_sent() { emulated_copies_sent(); }
template <int N> static inline void copies_wait() { emulated_copies_wait(N); }

#endif
