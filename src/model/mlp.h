/* mlp.h -- the feed-forward part: down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate.
 *
 *     x [rows, D] -> [rows, F] -> [rows, D]           (Shazeer 2020, "GLU Variants Improve Transformer")
 *
 * A sparse one lets only those gates through that stand out of their row (kernels/keep_above).
 */
#ifndef MODEL_MLP_H
#define MODEL_MLP_H

#include "model/linear_weights.h"
#include "model/part.h"

/* Where gate and up stand in a checkpoint. */
typedef enum GateUp {
    GATE_UP_APART,       /* gate_proj, up_proj */
    GATE_UP_FUSED,       /* one tensor: gate, then up */
    UP_GATE_FUSED,       /* one tensor: up, then gate */
} GateUp;

typedef struct MlpShape {
    int32_t D, F;
    bool gated, gate_bias, up_bias, down_bias;
    Activation activation;
    bool sparse;                      /* gated ones only */
    float deviations;                 /* how far a gate must stand out then */
    const Xielu *xielu;               /* instead of it, without a gate; NULL: not */
    GateUp hf_layout, gguf_layout;
    bool hf_transposed;
    const char *prefix;               /* "model.layers.%d.mlp." */
    const char *gate, *up, *down;     /* behind it: "gate_proj", ...; fused: `up` names both */
    const char *gguf_suffix;          /* behind "blk.%d.ffn_gate": "_shexp" of shared experts; NULL: nothing */
} MlpShape;

typedef struct MlpWeights { Linear gate, up, down; } MlpWeights;

extern const Part part_mlp;

#endif
