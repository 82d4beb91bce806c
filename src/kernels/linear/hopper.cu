/* hopper.cu -- see hopper_cuda.h: which products it takes, and the maps of their weights and x. */
#include "kernels/linear/hopper_line_cuda.h"

enum { UNITS_MAX = 1 << 23, SHARED_LEAST = 200 << 10 };

typedef CUresult (*EncodeTiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *,
                                const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

static EncodeTiled encode_tiled(void)
{
    static EncodeTiled call;
    void *found = NULL;
    cudaDriverEntryPointQueryResult how;
    if (!call && cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &how) ==
                     cudaSuccess && how == cudaDriverEntryPointSuccess)
        call = (EncodeTiled)found;
    return call;
}

void hopper_map(CUtensorMap *map, const void *at, int width, int height, int depth, int64_t row_bytes, int rows, int layers)
{
    cuuint64_t size[3] = {(cuuint64_t)width, (cuuint64_t)height, (cuuint64_t)depth};
    cuuint64_t step[2] = {(cuuint64_t)row_bytes, (cuuint64_t)row_bytes * (cuuint64_t)height};
    cuuint32_t box[3] = {SWIZZLE_K, (cuuint32_t)rows, (cuuint32_t)layers}, each[3] = {1, 1, 1};
    CUresult result = encode_tiled()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, (void *)at, size, step, box, each,
                                     CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                     CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    ASSERT(result == CUDA_SUCCESS);      /* hopper_takes() saw to it */
}

/* The program holds code for Hopper, and this is one. */
static bool is_hopper(void)
{
    static int known;      /* 1: no, 2: yes */
    cudaFuncAttributes a;
    if (!known)
        known = cudaFuncGetAttributes(&a, hopper_code()) == cudaSuccess && a.binaryVersion == 90 && a.ptxVersion == 90 ? 2 : 1;
    return known == 2 && encode_tiled();
}

bool hopper_takes(const Product *p, int n, const CudaRun *g)
{
    int64_t units = 0, tiles = 0;
    for (int i = 0; i < n; i++) {
        if (p[i].k > 0 || p[i].in % 8 != 0 || (uintptr_t)p[i].w % 16 != 0 || p[i].row_bytes % 16 != 0)
            return false;
        tiles += blocks_for(p[i].out, BOX);
        units = tiles * blocks_for(p[i].in, SWIZZLE_K);
    }
    return p->pairs <= HOPPER_ROWS && tiles <= CUDA_COUNTERS && units < UNITS_MAX &&
           g->shared_bytes >= SHARED_LEAST && is_hopper();
}

size_t hopper_scratch(const Product *p, const CudaRun *g)
{
    enum { ENDS = 2 };
    return (size_t)g->multiprocessors * ENDS * hopper_rows(p->pairs) * BOX * sizeof(float);
}

void hopper_run(const Product *p, int n, const unsigned short *x, int parts, void *sums, const CudaRun *g)
{
    Line l = {};
    for (int i = 0; i < PRODUCTS; i++)
        l.p[i] = p[i < n ? i : 0];
    for (int i = 0; i < n; i++)
        hopper_map(&l.w[i], p[i].w, p[i].in, p[i].out, 1, p[i].row_bytes, BOX, 1);
    hopper_map(&l.x, x, p->in, p->pairs, parts, 2 * (int64_t)p->in, hopper_rows(p->pairs), parts);
    l.products = n, l.rows = p->pairs, l.chunks = (int)blocks_for(p->in, SWIZZLE_K);
    l.sums = (float4 *)sums, l.counters = g->counters;
    if (parts == 1)
        hopper_near(l, g);
    else
        hopper_exact(l, g);
}
