/* cache_write.cu -- see cache_write.h. */
#include "kernels/cache_write/cache_write_cuda.h"

template <int K> static __global__ void write_rows(Write w)
{
    previous();
    const Pool &p = w.pool[blockIdx.z];
    if ((int)blockIdx.y < p.heads)
        write_head<K>(w, p, blockIdx.x, blockIdx.y);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Write w = write_of(c);
    dim3 grid((unsigned)c->in[0].dim[0], (unsigned)c->out[0].dim[1], tensor_is_none(c->in[1]) ? 1 : 2);
    switch (weight_kind(c->out[0].format)) {
#define DO(K) case K: LAUNCH(write_rows<K>, grid, 64, 0, g, w); break;
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
