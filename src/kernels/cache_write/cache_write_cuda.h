/* cache_write_cuda.h -- what the GPU's kernels that write the cache share. */
#ifndef KERNELS_CACHE_WRITE_CACHE_WRITE_CUDA_H
#define KERNELS_CACHE_WRITE_CACHE_WRITE_CUDA_H

#include "formats/planes_cuda.h"

typedef struct Pool {
    uint8_t *at;
    int64_t block_bytes;
    Rows x;
    int heads, tokens, width;
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

template <int K> static __device__ void put_value(uint8_t *to, int64_t i, float x)
{
    unsigned bits = __float_as_uint(x), magnitude = bits & 0x7fffffff, sign = bits >> 24 & 0x80;
    switch (K) {
    case W_F32: ((float *)to)[i] = x; break;
    case W_F16: ((unsigned short *)to)[i] = f16_of_f32(x); break;
    case W_BF16: ((unsigned short *)to)[i] = bf16_of_f32(x); break;
    case W_E4M3: to[i] = (uint8_t)(sign | (magnitude >= 0x7f800000 ? 0x7f : f8_near(x, 3, 7, 0x7e))); break;
    default:
        to[i] = (uint8_t)(sign | (magnitude >= 0x7f800000 ? (magnitude > 0x7f800000 ? 0x7f : 0x7c) : f8_near(x, 2, 15, 0x7b)));
    }
}

template <int K> static __device__ inline void put_four_values(uint8_t *to, int64_t i, float4 x)
{
    if (K == W_F32)
        *(float4 *)((float *)to + i) = x;
    else if (K == W_BF16)
        *(uint2 *)((unsigned short *)to + i) = make_uint2(bf16_two(x.x, x.y), bf16_two(x.z, x.w));
    else {
        put_value<K>(to, i, x.x), put_value<K>(to, i + 1, x.y);
        put_value<K>(to, i + 2, x.z), put_value<K>(to, i + 3, x.w);
    }
}

/* The block of a sequence's position, and the first value of a head's there. */
static __device__ inline uint8_t *block_at(const Write &w, const Pool &p, int sequence, int position)
{
    return p.at + w.tables[sequence * w.table_step + position / p.tokens] * p.block_bytes;
}
static __device__ inline int64_t value_at(const Pool &p, int h, int position)
{
    return ((int64_t)h * p.tokens + position % p.tokens) * p.width;
}

/* A block of threads writes head h of row r. */
template <int K> static __device__ void write_head(const Write &w, const Pool &p, int64_t r, int h)
{
    int position = w.positions[r];
    uint8_t *to = block_at(w, p, w.row_seq[r], position);
    const float *from = row(p.x, r) + (int64_t)h * p.width;
    int64_t at = value_at(p, h, position);
    for (int i = threadIdx.x; i < p.width; i += blockDim.x)
        put_value<K>(to, at + i, from[i]);
}

static Pool pool_of(const Tensor &pool, const Tensor &x)
{
    Pool p = {(uint8_t *)pool.data, (int64_t)format_row_bytes(pool.format, pool.row_elems), rows_of(x), pool.dim[1],
              pool.dim[2], pool.dim[3]};
    p.x.step = x.row_elems;
    return p;
}

static Write write_of(const OpCall *c)
{
    bool both = !tensor_is_none(c->in[1]);
    Write w = {{pool_of(c->out[0], c->in[0]), pool_of(c->out[both], c->in[both])}, ids_of(c->in[2]), ids_of(c->in[3]),
               ids_of(c->in[4]), c->in[2].row_elems};
    return w;
}

#endif
