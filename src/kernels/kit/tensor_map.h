/* tensor_map.h -- tensors of bf16 as Hopper's copy engine sees them: boxes of up to 64 numbers by some rows, swizzled in
 * shared memory or not (async_cuda.h). CUDA driver API: cuTensorMapEncodeTiled.
 */
#ifndef KERNELS_KIT_TENSOR_MAP_H
#define KERNELS_KIT_TENSOR_MAP_H

#include <cuda.h>
#include <stdint.h>

enum { MAP_DIMS_MOST = 5 };

/* Dimensions from the innermost on, whose numbers are neighbours. */
typedef struct MapShape {
    int dims;
    int64_t size[MAP_DIMS_MOST];
    int64_t step[MAP_DIMS_MOST];      /* in bytes, of all but the first */
    int box[MAP_DIMS_MOST];
    int promote;                      /* bytes that a miss asks into the L2 cache: 128 or 256 */
    int swizzle;                      /* so wide, in bytes: 32, 64, 128; 0: not at all */
} MapShape;

/* This GPU is a Hopper, the program holds code for it, and the driver knows maps. */
bool tensor_maps_here(void);
/* False: the copy engine cannot take such a tensor. */
bool tensor_map(CUtensorMap *, const void *at, const MapShape *);

#endif
