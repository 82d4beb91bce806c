/* linear_weights.h -- a matrix and its bias as they stand in a checkpoint.
 *
 * Families put the same product under many names: alone, as a part of a fused tensor, transposed.
 * A LinearName says where it is; both the matrix and the bias follow it.
 */
#ifndef MODEL_LINEAR_WEIGHTS_H
#define MODEL_LINEAR_WEIGHTS_H

#include "core/ops.h"
#include "model/weights.h"

typedef struct Linear { Tensor w, bias; } Linear;

typedef struct WeightName { char text[WEIGHT_NAME_BYTES]; } WeightName;
WeightName weight_name(const char *before, const char *after);   /* one behind the other; "" when before is "" */

typedef struct LinearName {
    const char *hf_before, *hf;      /* "model.layers.%d." and "self_attn.q_proj" */
    const char *gguf;                /* "blk.%d.attn_q"; "": a GGUF does not hold it */
    WeightPart hf_part, gguf_part;   /* which rows are meant; zeros: all */
    bool hf_transposed;              /* stored as [in, out] */
    int32_t gguf_turned_heads;
    WeightGroups hf_groups;
} LinearName;

WeightDecl *linear_declare(WeightList *, Linear *, LinearName, int layer, int32_t out, int32_t in, bool bias);   /* of w */

/* y += (x down) up, where there is such a thing (Hu et al. 2021, LoRA). */
typedef struct LowRank { Tensor down, up; } LowRank;
void low_rank_add(Device *, Tensor y, Tensor x, const LowRank *);

#endif
