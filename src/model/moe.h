/* moe.h -- the part of a layer that has many experts, of which each row uses a few (Shazeer et al. 2017).
 *
 *     ids, weights = route(x Wr)                                    k of E experts for each row
 *     y += sum_i weights[i] expert[ids[i]](x)                       expert(x) = down(act(gate(x)) * up(x))
 *     y += sigmoid(x g) shared(x)                                   shared by all rows, where there is one; g may be missing
 *
 * The weights of the experts that a step uses are read once in it, and no others (kernels/expert_linear).
 * What routers differ in is a value: see Router (kernels/route/route.h). An expert that computes nothing
 * returns x itself; Llama 4 multiplies what an expert reads by its weight, not what it gives.
 */
#ifndef MODEL_MOE_H
#define MODEL_MOE_H

#include "model/decoder.h"

/* What checkpoints call things, behind the layer's prefix; NULL: there is no such thing. The names of experts are
 * whole, "%e" stands for the expert; where gate and up are one tensor, both have its name. */
typedef struct MoeNames {
    const char *router;                  /* "mlp.gate", without ".weight" */
    const char *choice_bias, *gain;      /* "mlp.gate.e_score_correction_bias" */
    const char *choice_bias_gguf;        /* where it is not blk.%d.exp_probs_b.bias */
    const char *gate, *up, *down;        /* "mlp.experts.%e.gate_proj.weight" */
    const char *gate_bias, *up_bias, *down_bias, *out_bias;
    const char *shared;                  /* "mlp.shared_expert." */
    const char *shared_gate_proj, *shared_up_proj, *shared_down_proj;   /* behind it; NULL: gate_proj, ... */
    const char *shared_gate;             /* "mlp.shared_expert_gate" */
} MoeNames;

extern const MoeNames moe_names;         /* as most families spell them */

typedef struct MoeShape {
    int32_t D, F;                        /* width of x, of an expert */
    int32_t experts, used;
    int32_t idle;                        /* experts behind them that compute nothing */
    Router router;
    bool router_bias, choice_bias, gain; /* which optional weights exist */
    bool expert_bias, out_bias;
    bool weighs_input;
    bool plain;                          /* no gate */
    Activation activation;
    LimitedGate limits;                  /* alpha 0: none */
    WeightPart gate_part, up_part;       /* of a checkpoint's tensor, where they are one */
    bool transposed, down_transposed;    /* [E, in, out] in a checkpoint */
    bool gguf_fused;                     /* gate and up are one tensor in this GGUF */
    MlpShape shared;                     /* F 0: none */
    bool shared_gate;
    const char *prefix;
    const MoeNames *names;
} MoeShape;

typedef struct MoeWeights {
    Linear router;
    Tensor choice_bias, gain, gate, up, down, gate_bias, up_bias, down_bias, out_bias;
    Linear shared_gate;
    void *shared;                        /* of part_mlp */
} MoeWeights;

extern const Part part_moe;
/* The routed experts alone; `seen` is what the router reads. */
void moe_add(const MoeShape *, const MoeWeights *, Device *, Tensor y, Tensor x, Tensor seen);

/* What a family means where its config says nothing, and what it cannot say. */
typedef struct MoeUsual {
    const MoeNames *names;               /* NULL: moe_names */
    RouterScore score;
    bool normalises;                     /* where norm_topk_prob is not given */
    bool gguf_normalises;                /* what a GGUF of the family means; it has no word for it */
    bool gguf_says_norm;                 /* it has: expert_weights_norm */
    float norm_eps;
    float factor;                        /* 0: 1 */
    int32_t group_top;                   /* 0: groups are not known; see Router */
    int32_t groups, groups_used;         /* where config.json does not say; 0: 1 */
    int32_t shared;                      /* experts that all rows use, where the config gives a width for one */
    bool shared_width_given;             /* the config gives their width itself */
} MoeUsual;

/* The keys that most families spell alike; one shape for all layers, in the arena. */
Err moe_read(const Keys *, Arena *, const ModelShape *, const MoeUsual *, MoeShape **out, Error *);
/* Which layers have experts, [L]: mlp_layer_types, moe_layers or a list moe_layer_freq, or else every so many-th layer
 * (decoder_sparse_step, moe_layer_interval) between two, without mlp_only_layers. first: how many layers come before them
 * where the config does not say it. */
Err moe_read_layers(const Keys *, const ModelShape *, int32_t first, bool *sparse, Error *);
/* In the layers that have experts (NULL: all) they take the place of the mlp. */
void moe_use(const ModelShape *, const MoeShape *, const bool *sparse);

#endif
