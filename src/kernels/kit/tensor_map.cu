/* tensor_map.cu -- see tensor_map.h. */
#include "kernels/kit/cuda_kit.h"
#include "kernels/kit/tensor_map.h"

typedef CUresult (*EncodeTiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *,
                                const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* For the architectures that all kernels are compiled for. */
static __global__ void nothing() {}

/* NULL: no driver that knows maps, another GPU, or code for others only. */
static EncodeTiled encode_tiled(void)
{
    static EncodeTiled found;
    static bool looked;
    if (looked)
        return found;
    looked = true;
    void *entry = NULL;
    cudaDriverEntryPointQueryResult result;
    cudaFuncAttributes code = {};
    int device = 0, major = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
    if (major == 9 && cudaFuncGetAttributes(&code, (const void *)nothing) == cudaSuccess && code.binaryVersion == 90 &&
        code.ptxVersion == 90 &&
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, 12000, cudaEnableDefault, &result) == cudaSuccess &&
        result == cudaDriverEntryPointSuccess)
        found = (EncodeTiled)entry;
    return found;
}

bool tensor_maps_here(void) { return encode_tiled() != NULL; }

static CUtensorMapSwizzle swizzle_of(int bytes)
{
    return bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B :
           bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B : CU_TENSOR_MAP_SWIZZLE_NONE;
}

bool tensor_map(CUtensorMap *map, const void *at, const MapShape *s)
{
    cuuint64_t size[MAP_DIMS_MOST], step[MAP_DIMS_MOST];
    cuuint32_t box[MAP_DIMS_MOST], each[MAP_DIMS_MOST];
    for (int i = 0; i < s->dims; i++) {
        size[i] = (cuuint64_t)s->size[i], box[i] = (cuuint32_t)s->box[i], each[i] = 1;
        if (i > 0)
            step[i - 1] = (cuuint64_t)s->step[i];
    }
    return encode_tiled()(map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, (cuuint32_t)s->dims, (void *)at, size, step, box, each,
                          CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(s->swizzle),
                          s->promote == 256 ? CU_TENSOR_MAP_L2_PROMOTION_L2_256B : CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                          CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}
