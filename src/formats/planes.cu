/* planes.cu -- takes blocks of files apart (planes.h). A thread has a block of 32; it is done once, when weights come. */
#include "formats/planes_cuda.h"

/* As bits_get() of formats/bits.h. */
static __device__ unsigned bits_at(const uint8_t *bytes, int bits, int run, int elem)
{
    int of_byte = 8 / bits;
    return bytes[elem / (run * of_byte) * run + elem % run] >> elem / run % of_byte * bits & ((1u << bits) - 1);
}

/* Bytes and elements of a block in a file. */
template <int K> static __host__ __device__ constexpr int file_bytes()
{
    return K == W_Q8_0 ? 34 : K == W_Q4_0 || K == W_IQ4_NL ? 18 : K == W_Q4_1 ? 20 : K == W_Q5_0 ? 22 : K == W_Q5_1 ? 24
           : K == W_MXFP4 ? 17 : K == W_IQ4_XS ? 136 : K == W_Q2_K ? 84 : K == W_Q3_K ? 110 : K == W_Q4_K ? 144
           : K == W_Q5_K ? 176 : 210;
}
template <int K> static __host__ __device__ constexpr int file_elems() { return K < W_IQ4_XS ? 32 : 256; }

/* All bits of element i of a block. */
template <int K> static __device__ unsigned file_bits(const uint8_t *b, int i)
{
    switch (K) {
    case W_Q8_0: return b[2 + i];
    case W_Q4_0:
    case W_IQ4_NL: return bits_at(b + 2, 4, 16, i);
    case W_Q4_1: return bits_at(b + 4, 4, 16, i);
    case W_Q5_0: return bits_at(b + 6, 4, 16, i) | bits_at(b + 2, 1, 1, i) << 4;
    case W_Q5_1: return bits_at(b + 8, 4, 16, i) | bits_at(b + 4, 1, 1, i) << 4;
    case W_MXFP4: return bits_at(b + 1, 4, 16, i);
    case W_IQ4_XS: return bits_at(b + 8, 4, 16, i);
    case W_Q2_K: return bits_at(b + 16, 2, 32, i);
    case W_Q3_K: return bits_at(b + 32, 2, 32, i) | bits_at(b, 1, 32, i) << 2;
    case W_Q4_K: return bits_at(b + 16, 4, 32, i);
    case W_Q5_K: return bits_at(b + 48, 4, 32, i) | bits_at(b + 16, 1, 32, i) << 4;
    default: return bits_at(b, 4, 64, i) | bits_at(b + 128, 2, 32, i) << 4;
    }
}

/* The 6-bit scales and mins of Q4_K and Q5_K (formats/k_quant.c). */
static __device__ void k_scale(const uint8_t *bytes, int g, uint8_t *scale, uint8_t *min)
{
    if (g < 4) {
        *scale = bytes[g] & 63;
        *min = bytes[g + 4] & 63;
    } else {
        *scale = (uint8_t)((bytes[g + 4] & 15) | bytes[g - 4] >> 6 << 4);
        *min = (uint8_t)(bytes[g + 4] >> 4 | bytes[g] >> 6 << 4);
    }
}

/* The fine scales of block j of its file block. */
template <int K> static __device__ void put_fine(uint8_t *to, const uint8_t *b, int j)
{
    switch (K) {
    case W_MXFP4: to[0] = b[0]; break;
    case W_Q4_1:
    case W_Q5_1: to[2] = b[2], to[3] = b[3], to[0] = b[0], to[1] = b[1]; break;
    case W_IQ4_XS: to[0] = (uint8_t)((int)(bits_at(b + 4, 4, 1, j) | bits_at(b + 2, 2, 1, j) << 4) - 32); break;
    case W_Q2_K: to[0] = b[2 * j], to[1] = b[2 * j + 1]; break;
    case W_Q3_K:
        for (int g = 0; g < 2; g++)
            to[g] = (uint8_t)((int)(bits_at(b + 96, 4, 8, 2 * j + g) | bits_at(b + 104, 2, 4, 2 * j + g) << 4) - 32);
        break;
    case W_Q4_K:
    case W_Q5_K: k_scale(b + 4, j, to, to + 1); break;
    case W_Q6_K: to[0] = b[192 + 2 * j], to[1] = b[192 + 2 * j + 1]; break;
    default: to[0] = b[0], to[1] = b[1]; break;
    }
}

template <int K> static __device__ void put_coarse(uint8_t *to, const uint8_t *b)
{
    int at = K == W_Q2_K ? 80 : K == W_Q3_K ? 108 : K == W_Q6_K ? 208 : 0;
    for (int i = 0; i < (K == W_Q2_K || K == W_Q4_K || K == W_Q5_K ? 4 : 2); i++)
        to[i] = b[at + i];
}

/* The words of a block's low bits. */
template <int K> static __device__ void put_low(unsigned *to, const uint8_t *b, int first, int bits)
{
    int elems = 32 / bits;
    for (int j = 0; j < bits; j++) {
        unsigned word = 0;
        for (int i = 0; i < elems; i++) {
            int elem = bits == 8 || Kind<K>::tabled ? elems * j + i : elems * j + i % 4 + i / 4 * 4, at = i;
            if (bits < 8 && !Kind<K>::tabled)      /* element elems j + 4 part + byte */
                at = i % 4 * (8 / bits) + i / 4;
            word |= (file_bits<K>(b, first + elem) & ((1u << bits) - 1)) << at * bits;
        }
        to[j] = word;
    }
}

template <int K> static __device__ void put_high(unsigned *to, const uint8_t *b, int first)
{
    if (K == W_Q5_0 || K == W_Q5_1 || K == W_Q5_K || K == W_Q3_K) {
        to[0] = 0;
        for (int i = 0; i < 32; i++)
            to[0] |= (file_bits<K>(b, first + i) >> (K == W_Q3_K ? 2 : 4) & 1) << (i % 4 * 8 + i / 4);
    }
    if (K == W_Q6_K)
        for (int j = 0; j < 2; j++) {
            to[j] = 0;
            for (int i = 0; i < 16; i++)
                to[j] |= (file_bits<K>(b, first + 16 * j + i) >> 4 & 3) << (i % 4 * 8 + i / 4 * 2);
        }
}

template <int K>
static __global__ void pack(Planes to, PlaneShape shape, int64_t first, int64_t blocks, const uint8_t *from)
{
    int64_t n = blockIdx.x * (int64_t)blockDim.x + threadIdx.x, b = first + n;
    if (n >= blocks)
        return;
    constexpr int per = file_elems<K>() / PLANE_BLOCK;
    const uint8_t *file = from + n / per * file_bytes<K>();
    int j = (int)(n % per);
    put_low<K>((unsigned *)(to.low + b * shape.low), file, j * PLANE_BLOCK, shape.low / 4);
    put_high<K>((unsigned *)(to.high + b * shape.high), file, j * PLANE_BLOCK);
    put_fine<K>((uint8_t *)to.fine + b * shape.fine, file, j);
    if (per > 1 && j == 0)
        put_coarse<K>((uint8_t *)to.coarse + b / 8 * shape.coarse, file);
}

void planes_pack(WeightKind kind, void *to, int64_t all, int64_t first, int64_t elems, const void *blocks, void *stream)
{
    Planes p = planes_at(kind, all, to);
    PlaneShape shape = plane_shape(kind);
    int64_t n = elems / PLANE_BLOCK;
    CudaRun g = {};
    g.stream = stream;
#define DO(K)                                                                                                          \
    case K:                                                                                                            \
        LAUNCH(pack<K>, blocks_for(n, 128), 128, 0, &g, p, shape, first / PLANE_BLOCK, n, (const uint8_t *)blocks);     \
        break;
    switch (kind) {
        EACH_PLANE_KIND(DO)
    default: break;
    }
#undef DO
}
