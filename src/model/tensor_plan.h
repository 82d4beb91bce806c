/* tensor_plan.h -- which tensors a GGUF will have, and the values of their lines.
 *
 *     weights of the family        tensors of the GGUF
 *     q ----.
 *     k ----+-- gguf.part -------- blk.0.attn_qkv.weight     [rows, width]
 *     v ----'
 *     up (of 64 experts) --------- blk.0.ffn_up_exps.weight  [64, rows, width]
 *
 * From a checkpoint, each weight is read at its place there and written at its place in a GGUF. From a
 * GGUF, each tensor stays as it is. Either way a line (a row, or a whole vector) is made when it is
 * asked for, from the mapped file, so any number of threads may ask.
 */
#ifndef MODEL_TENSOR_PLAN_H
#define MODEL_TENSOR_PLAN_H

#include "model/bind.h"

typedef struct PlanPart {            /* a weight that lies in a tensor */
    WeightSource source;
    int32_t *mine;                   /* by line of an expert: which of the slot's rows (columns) it holds; -1: none */
    struct PlanPart *next;
} PlanPart;

typedef struct TensorPlan {
    const char *name;
    const WeightDecl *decl;          /* the first that lies in it */
    const StoreTensor *copied;       /* of a GGUF; else NULL, and `parts` say */
    PlanPart *parts;
    int64_t dim[STORE_DIMS];
    int dims;
    int64_t lines, expert_lines, width;
} TensorPlan;

typedef struct TensorPlans {
    TensorPlan *items;
    PlanPart *parts;
    int count, part_count;
} TensorPlans;

Err tensor_plans_init(TensorPlans *, const Checkpoint *, const WeightList *, Error *err);
void tensor_plans_deinit(TensorPlans *);

/* The tensor of a GGUF in which a weight lies, alone or with others. */
TensorPlan tensor_plan_of(const WeightDecl *);

/* `width` values. */
void tensor_plan_line(const TensorPlan *, int64_t line, float *out);

/* The blocks in which the checkpoint has every line of it, whole and meaning what is stored; NULL: it has none. */
const Format *tensor_plan_blocks(const TensorPlan *);
/* A line in these. */
void tensor_plan_stored_line(const TensorPlan *, int64_t line, void *out);

#endif
