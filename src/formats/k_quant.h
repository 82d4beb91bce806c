/* k_quant.h -- superblocks of 256: scales that are themselves quantised.
 *
 *     | d | dmin |        two f16 (or d alone)
 *     | scale of group 0, 1, ... |      small integers
 *     | min of group 0, 1, ...   |      small integers, if the format has mins
 *     | q of element 0, 1, ...   |      2 to 6 bits
 *
 *     x = (d scale_g) q - (dmin min_g)
 *
 * Q2_K to Q6_K and IQ4_XS differ in the size of their groups, in their number of bits and in where
 * these lie. So each has a pack() and an unpack() between its bytes and a KBlock; the meaning and
 * the search are here, once.
 */
#ifndef FORMATS_K_QUANT_H
#define FORMATS_K_QUANT_H

#include <stddef.h>

#include "formats/quant_search.h"

enum { K_ELEMS = 256, K_GROUPS_MAX = 16 };

typedef struct KShape {
    int groups;
    Levels q, scale;
    int min_high;                /* mins are 0..min_high; 0: the format has none */
} KShape;

typedef struct KBlock {
    float d, dmin;
    int8_t scale[K_GROUPS_MAX], min[K_GROUPS_MAX];
    int8_t q[K_ELEMS];           /* values, not indices of a table */
} KBlock;

void k_decode(float *x, const KBlock *, int groups);

/* importance: of the 256 elements, or NULL. |x| above F16_MAX saturates. */
void k_encode(KBlock *, const float *x, const float *importance, const KShape *);

/* The 8 scales and 8 mins of 6 bits each that Q4_K and Q5_K keep in 12 bytes. */
void k_scales_unpack(KBlock *, const uint8_t bytes[12]);
void k_scales_pack(uint8_t bytes[12], const KBlock *);   /* into zeros */

#endif
