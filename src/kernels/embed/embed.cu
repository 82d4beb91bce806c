/* embed.cu -- see embed.h. A block of threads has a row; a thread decodes 32 elements of it. */
#include "formats/planes_cuda.h"

typedef struct Embed {
    Rows y;
    const int32_t *ids;
    const uint8_t *table;
    Planes planes;
    int64_t row_bytes;
    int vocabulary;
    EmbedHow how;
} Embed;

static __device__ int64_t id_of(const Embed &e)
{
    int id = e.ids[blockIdx.x];
    return e.how.short_table && id >= e.vocabulary ? 0 : id;
}

template <int K> static __global__ void embed_plain(Embed e)
{
    previous();
    const uint8_t *from = e.table + id_of(e) * e.row_bytes;
    for (int i = threadIdx.x; i < e.y.width; i += blockDim.x)
        row(e.y, blockIdx.x)[i] = __fmul_rn(plain_value<K>(from, i), e.how.factor);
}

template <int K> static __global__ void embed_planes(Embed e)
{
    previous();
    int blocks = e.y.width / PLANE_BLOCK;
    float *y = row(e.y, blockIdx.x);
    for (int b = threadIdx.x; b < blocks; b += blockDim.x) {
        Block w;
        block_load<K>(&w, e.planes, id_of(e) * blocks + b);
#pragma unroll
        for (int i = 0; i < PLANE_BLOCK; i++)
            y[b * PLANE_BLOCK + i] = __fmul_rn(block_value<K>(w, i), e.how.factor);
    }
}

static void run(const OpCall *c, const CudaRun *g)
{
    Tensor t = c->in[0];
    WeightKind kind = weight_kind(t.format);
    Embed e = {rows_of(c->out[0]), ids_of(c->in[1]), (const uint8_t *)t.data, {0},
               (int64_t)format_row_bytes(t.format, t.row_elems), t.dim[0], c->embed};
    if (t.packing == PACKING_PLANES)
        e.planes = planes_at(kind, tensor_elems(t), t.data);
    switch (kind) {
#define DO(K) case K: LAUNCH(embed_plain<K>, e.y.rows, 256, 0, g, e); break;
        EACH_PLAIN_KIND(DO)
#undef DO
#define DO(K) case K: LAUNCH(embed_planes<K>, e.y.rows, 128, 0, g, e); break;
        EACH_PLANE_KIND(DO)
#undef DO
    default: break;
    }
}

static const char *refuses(const OpCall *c)
{
    return weight_kind(c->in[0].format) == W_NONE ? "has no decoder for the table's format" : NULL;
}

CUDA_KERNEL(embed, refuses, NULL, run)
