/* expert_groups.h -- pairs of a row and an expert on the GPU, in the order of their experts.
 *
 *     pairs     0:b  1:a  2:b  3:c  4:b  5:a          which expert each pair wants
 *     order     1 5 | 0 2 4 | 3                       pairs by expert
 *     tiles     (a, from 0, 2)  (b, from 2, 2)  (b, from 4, 1)  (c, from 5, 1)  (-, 0)     here at most 2 pairs each
 *
 * A block of threads has a tile of pairs and some outputs, so an expert's weights are read once for all of a tile, and
 * from the L2 cache by its other tiles. How many tiles there are is known on the GPU only: as many are launched as there
 * may be, and those without pairs do nothing.
 *
 * Floats of BF16 and F8 meet x on the tensor cores: three numbers of bf16 that add up to an x of f32, or one where that is
 * near enough. 64 k are summed there, and groups of 64 by additions that round to nearest. Other formats go through the
 * tiles of linear.cu. Tiles of 16, 32 or 64 pairs, as many as an expert has on average; those of 64 are multiplied by
 * Hopper's own instruction where there is one, and where experts have more, BF16 goes by tiles of 128 (hopper_experts.cu).
 */
#ifndef KERNELS_EXPERT_LINEAR_EXPERT_GROUPS_H
#define KERNELS_EXPERT_LINEAR_EXPERT_GROUPS_H

#include "kernels/linear/product_cuda.h"

enum { GROUPS_FEW = 16, GROUPS_SOME = 32, GROUPS_MANY = PRODUCT_TILE /* pairs of a tile */, GROUPS_K = 64, HOPPER_PAIRS = 128 };

/* As many tiles as there may be: full ones, and one of each expert that is not, with those that compute nothing. */
static inline int groups_tiles(const Product *p, int tile_pairs)
{
    int used = p->pairs < p->experts + 1 ? p->pairs : p->experts + 1;
    return p->pairs / tile_pairs + used;
}

/* Fills order [pairs] and tiles [groups_tiles()]. */
void groups_sort(const Product *, int tile_pairs, int *order, PairTile *tiles, const CudaRun *);

/* Weights that the tensor cores can take, lying as they must. */
bool groups_multiply(const Product *, WeightKind);
/* x in parts of bf16. */
size_t groups_x_bytes(const Product *, const CudaRun *);
void groups_run(const Product *, WeightKind, int tile_pairs, unsigned short *x, const CudaRun *);

/* The same by tiles of HOPPER_PAIRS. */
bool hopper_takes_experts(const Product *, WeightKind, const CudaRun *);
size_t hopper_experts_x_bytes(const Product *, const CudaRun *);
void hopper_experts(const Product *, unsigned short *x, const CudaRun *);

#endif
