/* cache_write.cu -- see cache_write.h. A thread has four values of a head, or one where they do not lie in fours. */
#include "kernels/cache_write/cache_write_cuda.h"

template <int K, bool WIDE> static __global__ void write_rows(const __grid_constant__ Write w)
{
    previous();
    const Pool &p = w.pool[blockIdx.z];
    int i = (int)(blockIdx.y * blockDim.x + threadIdx.x) * (WIDE ? 4 : 1), h = i / p.width, r = blockIdx.x;
    if (h >= p.heads)
        return;
    int position = w.positions[r];
    uint8_t *to = block_at(w, p, w.row_seq[r], position);
    int64_t at = value_at(p, h, position) + i % p.width;
    if (WIDE)
        put_four_values<K>(to, at, *(const float4 *)(row(p.x, r) + i));
    else
        put_value<K>(to, at, row(p.x, r)[i]);
}

template <int K> static void write(const Write &w, int pools, const CudaRun *g)
{
    bool wide = in_fours(w.pool[0]) && in_fours(w.pool[1]);
    int widest = w.pool[0].x.width > w.pool[1].x.width ? w.pool[0].x.width : w.pool[1].x.width;
    dim3 grid(w.pool[0].x.rows, blocks_for(widest, wide ? 4 * EACH_THREADS : EACH_THREADS), pools);
    if (wide)
        LAUNCH((write_rows<K, true>), grid, EACH_THREADS, 0, g, w);
    else
        LAUNCH((write_rows<K, false>), grid, EACH_THREADS, 0, g, w);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Write w = write_of(c);
    int pools = tensor_is_none(c->in[1]) ? 1 : 2;
    switch (weight_kind(c->out[0].format)) {
#define DO(K) case K: write<K>(w, pools, g); break;
        EACH_PLAIN_KIND(DO)
#undef DO
    default: break;
    }
}

static const char *refuses(const OpCall *c)
{
    return weight_kind(c->out[0].format) >= W_PLAIN_KINDS ? "cannot write a cache of this format" : NULL;
}

CUDA_KERNEL(cache_write, refuses, NULL, run)
