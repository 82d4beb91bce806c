/* planes.h -- weights as the GPU's products read them.
 *
 * Formats of single numbers (F32, F16, BF16, F8) stay in plain rows. Blocks as files have them are 17, 18 or 34 bytes
 * long, where no thread can load 16 at a time; so a matrix of a block format is taken apart into planes, each of them
 * dense, in the order of its blocks of 32 elements. All bits stay, and so does the size:
 *
 *     low      the lowest 2, 4 or 8 bits of each element: 8, 16 or 32 bytes a block
 *     high     the other 1 or 2 bits: 4 or 8 bytes a block, or none
 *     fine     scales (and mins) of the block: 1, 2 or 4 bytes
 *     coarse   scales of 256 elements: 2 or 4 bytes, or none
 *
 *     4 bits   byte b of word j holds elements 8 j + b (low half) and 8 j + 4 + b (high half): a mask away from four
 *              bytes for an integer dot product; where they are indices of a table, nibble i of word j is element 8 j + i
 *     2 bits   byte b of word j holds elements 16 j + b, + 4, + 8, + 12
 *     1 bit    bit i of byte b of the word is element 4 i + b
 *
 * A block means x = s (q - offset) - m, with a scale and a min for each half of it.
 * What has no planes (formats that are only read) is uploaded as F32: right, and larger (`make matrix`).
 */
#ifndef KERNELS_LINEAR_PLANES_H
#define KERNELS_LINEAR_PLANES_H

#ifdef __cplusplus
extern "C" {
#endif

#include "core/tensor.h"

typedef enum WeightKind {
    W_F32, W_F16, W_BF16, W_E4M3, W_E5M2,      /* plain rows */
    W_Q8_0, W_Q4_0, W_Q4_1, W_Q5_0, W_Q5_1, W_IQ4_NL, W_MXFP4, W_IQ4_XS, W_Q2_K, W_Q3_K, W_Q4_K, W_Q5_K, W_Q6_K,
    W_NONE,
    W_PLAIN_KINDS = W_Q8_0
} WeightKind;
enum { PLANE_BLOCK = 32, PLANES_ALIGN = 256 };

typedef struct PlaneShape { int8_t low, high, fine, coarse; } PlaneShape;   /* bytes: a block, and of coarse 256 elements */

typedef struct Planes {
    const uint8_t *low, *high, *fine, *coarse;
} Planes;

WeightKind weight_kind(const Format *);
PlaneShape plane_shape(WeightKind);
size_t planes_bytes(WeightKind, int64_t elems);
Planes planes_at(WeightKind, int64_t elems, const void *data);

/* Takes blocks apart, on the device: `elems` elements from element `first` of the matrix `to` on, which has `all`. */
void planes_pack(WeightKind, void *to, int64_t all, int64_t first, int64_t elems, const void *blocks, void *stream);

#ifdef __cplusplus
}
#endif

#endif
