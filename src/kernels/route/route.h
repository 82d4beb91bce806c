/* route.h -- which experts a row goes to, and how much each counts (Shazeer et al. 2017; Fedus et al. 2021).
 *
 *     s       = softmax(scores), sigmoid(scores), or the scores themselves (SOFTMAX_TOP)      [E]
 *     ids     = the k experts with the largest s + bias, larger ones first; of equal ones the lower id
 *     w[i]    = s[ids[i]];  SOFTMAX_TOP: softmax of the chosen ones' s
 *     w      /= max(norm_min, norm(w) + norm_eps)        NORM_SUM: sum of w, NORM_L2: sqrt of the sum of w^2
 *     w[i]   *= factor gain[ids[i]]
 *
 * The bias takes part in the choice only (Wang et al. 2024). Where there is none, scores are compared as they came.
 *
 *     groups        E / groups neighbours are a group; it is as good as its largest s + bias, or as its two largest
 *                   together; only experts of the groups_used best groups may be chosen (DeepSeek-V2, V3)
 *     SPARSEMIXER   k times: m is the largest score left, its expert is chosen, w is its part of a softmax over all
 *                   that are left and near it: (m - x) / max(|x|, m) <= 2 jitter (Liu et al. 2023). No bias, groups, norm
 *
 * scores: [rows, E] F32, E <= EXPERTS_MAX; ids: [rows, k] I32, weights: [rows, k] F32, k <= E, and with groups
 * k <= groups_used E / groups; bias, gain: [E] F32 or none. ids are below E and differ, whatever the scores are, NaN too.
 * Scores are rounded to f32 before they are compared; the rest is f64 in the reference. A fast version may differ by
 * 2e-6 of the largest weight of the row.
 * Cost: rows E operations (one a score); reads 4 rows E bytes, writes 8 rows k.
 */
#ifndef KERNELS_ROUTE_ROUTE_H
#define KERNELS_ROUTE_ROUTE_H

#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

enum { ROUTE_SCORES, ROUTE_BIAS, ROUTE_GAIN };   /* in[...] */

typedef struct RouteShape { int32_t rows, experts, k; } RouteShape;
RouteShape route_shape(const OpCall *);          /* and holds all shapes against each other */

/* ids of one row. s: as above, in f32; scores: as they came; bias may be NULL. */
void route_choose(const Router *, RouteShape, const float *s, const float *scores, const float *bias, int32_t *ids);
/* One round of SPARSEMIXER: the largest of what is left; what is too far from it, or was taken, is -inf in `near`. */
int32_t route_sparse_round(const Router *, int32_t experts, const float *scores, const bool *taken, float *near);

#endif
