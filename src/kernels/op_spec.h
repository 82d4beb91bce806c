/* op_spec.h -- what is to be known of an operation besides how to compute it.
 *
 * Each kernels/<op>/<op>_ref.c defines `const OpSpec spec_<op>`. The planner multiplies cost by a
 * machine's speed, the checker holds fast kernels against `tolerance`, devices without a fused kernel
 * run compose().
 */
#ifndef KERNELS_OP_SPEC_H
#define KERNELS_OP_SPEC_H

#include "core/device.h"
#include "core/roofline.h"

typedef struct OpCost {
    double operations;             /* multiplications and additions, one each */
    double weight_bytes;           /* read: weights, in their format */
    double cache_bytes;            /* read: the past */
    double activation_bytes;       /* read and written: the rest */
    double chosen_bytes, choice_bytes;   /* of experts: the weights that are read, and all that rows chose them from; else 0 */
} OpCost;

typedef struct OpSpec {
    OpCost (*cost)(const OpCall *);               /* reads shapes and formats only, except where the past's length counts */
    void (*compose)(Device *, const OpCall *);    /* FUSED only */
    float tolerance;                              /* largest |fast - reference| / (largest |reference| of the output row) */
} OpSpec;

const OpSpec *op_spec(Op);

/* What a fast version may be wrong by, of the largest of its row. rounded: what multiplies may round its factors to bf16
 * (--products bf16), by 2^-9 at most, and queries, powers and what a gate lets through add up: 2^-6. */
double op_allowed(Op, bool rounded);

/* What a call asks of a machine: weights and the past from memory, operations of the kind that its weights ask for. */
Demand op_demand(const OpCall *, const OpCost *);

#endif
