/* cache_write_cuda.h -- what the GPU's kernels that write the cache share. */
#ifndef KERNELS_CACHE_WRITE_CACHE_WRITE_CUDA_H
#define KERNELS_CACHE_WRITE_CACHE_WRITE_CUDA_H

#include "formats/planes_cuda.h"

typedef struct Pool {
    uint8_t *at;
    int64_t block_bytes;
    Rows x;
    int heads, tokens, width;
    int shift;                 /* tokens = 1 << shift; -1: they are no power of two */
} Pool;

typedef struct Write {
    Pool pool[2];
    const int32_t *tables, *positions, *row_seq;
    int64_t table_step;
} Write;

/* The byte, without its sign, nearest to |x|: as f8_of_f32() of formats/f8.h. */
static __device__ unsigned f8_near(float x, int fraction, int bias, unsigned largest)
{
    unsigned bits = __float_as_uint(x) & 0x7fffffff, shift = 23 - fraction, near;
    if (bits >> 23 <= (unsigned)(127 - bias)) {
        unsigned one = (unsigned)(127 + 23 + 1 - bias - fraction) << 23;
        near = __float_as_uint(__fadd_rn(__uint_as_float(bits), __uint_as_float(one))) - one;
    } else
        near = (bits - ((unsigned)(127 - bias) << 23) + (1u << (shift - 1)) - 1 + (bits >> shift & 1)) >> shift;
    return near < largest ? near : largest;
}

template <int K> static __device__ inline unsigned value_bits(float x)
{
    unsigned bits = __float_as_uint(x), magnitude = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
    switch (K) {
    case W_F32: return bits;
    case W_F16: return f16_of_f32(x);
    case W_BF16: return bf16_of_f32(x);
    case W_E4M3: return sign | (magnitude >= 0x7f800000 ? 0x7f : f8_near(x, 3, 7, 0x7e));
    default: return sign | (magnitude >= 0x7f800000 ? (magnitude > 0x7f800000 ? 0x7f : 0x7c) : f8_near(x, 2, 15, 0x7b));
    }
}
template <int K> constexpr int VALUE_BYTES = K == W_F32 ? 4 : K == W_F16 || K == W_BF16 ? 2 : 1;

template <int K> static __device__ inline void put_value(uint8_t *to, int64_t i, float x)
{
    unsigned bits = value_bits<K>(x);
    switch (VALUE_BYTES<K>) {
    case 4: ((unsigned *)to)[i] = bits; break;
    case 2: ((unsigned short *)to)[i] = (unsigned short)bits; break;
    default: to[i] = (uint8_t)bits;
    }
}
/* Values i to i + 3, i a multiple of four. */
template <int K> static __device__ inline void put_four_values(uint8_t *to, int64_t i, float4 v)
{
    float sum = v.x + v.y + v.z + v.w;
    if (K == W_BF16 && sum == sum) {      /* no NaN, of which the processor would not keep the bits */
        ((uint2 *)to)[i / 4] = make_uint2(bf16_two(v.x, v.y), bf16_two(v.z, v.w));
        return;
    }
    unsigned a = value_bits<K>(v.x), b = value_bits<K>(v.y), c = value_bits<K>(v.z), d = value_bits<K>(v.w);
    switch (VALUE_BYTES<K>) {
    case 4: ((uint4 *)to)[i / 4] = make_uint4(a, b, c, d); break;
    case 2: ((uint2 *)to)[i / 4] = make_uint2(a | b << 16, c | d << 16); break;
    default: ((unsigned *)to)[i / 4] = a | b << 8 | c << 16 | d << 24;
    }
}

/* The block of a sequence's position, and the first value of a head's there. */
static __device__ inline uint8_t *block_at(const Write &w, const Pool &p, int sequence, int position)
{
    int block = p.shift < 0 ? position / p.tokens : position >> p.shift;
    return p.at + w.tables[sequence * w.table_step + block] * p.block_bytes;
}
static __device__ inline int64_t value_at(const Pool &p, int h, int position)
{
    int token = p.shift < 0 ? position % p.tokens : position & (p.tokens - 1);
    return ((int64_t)h * p.tokens + token) * p.width;
}

static Pool pool_of(const Tensor &pool, const Tensor &x)
{
    Pool p = {(uint8_t *)pool.data, (int64_t)format_row_bytes(pool.format, pool.row_elems), rows_of(x), pool.dim[1],
              pool.dim[2], pool.dim[3], -1};
    for (int shift = 0; shift < 31; shift++)
        if (p.tokens == 1 << shift)
            p.shift = shift;
    p.x.step = x.row_elems;
    return p;
}

/* Whether four values of a row, and in the pool, can be one piece. */
static inline bool in_fours(const Pool &p)
{
    return in_fours(p.x) && p.width % 4 == 0 && (uintptr_t)p.at % 16 == 0 && p.block_bytes % 16 == 0;
}

static Write write_of(const OpCall *c)
{
    bool both = !tensor_is_none(c->in[1]);
    Write w = {{pool_of(c->out[0], c->in[0]), pool_of(c->out[both], c->in[both])}, ids_of(c->in[2]), ids_of(c->in[3]),
               ids_of(c->in[4]), c->in[2].row_elems};
    return w;
}

#endif
