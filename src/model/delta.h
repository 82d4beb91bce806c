/* delta.h -- linear attention by the gated delta rule (Yang et al. 2024, "Gated Delta Networks"; with a decay for each
 * channel of a key: Kimi Team 2025, "Kimi Linear").
 *
 *     q, k, v = act(conv(x Wq, x Wk, x Wv))             [rows, key heads, N] twice, [rows, heads, P]
 *     q, k    = q / |q| / sqrt N, k / |k|
 *     decay   = exp(A softplus(x Wa + b))               [rows, heads], or [rows, heads, N]
 *     beta    = factor sigmoid(x Wb)                    [rows, heads]; factor 2 lets a key turn over what it held
 *     S       = decay S;  S += k (beta (v - S^T k))^T   delta_scan, head by head; neighbours share a key head
 *     y      += (norm(S^T q) * act(x Wz)) Wout          a norm of each head, a gate for each value
 *
 * Wa and Wz may be products of two matrices of low rank. What is kept of a sequence: the last taps - 1 rows of q, k
 * and v before the convolution, and S.
 */
#ifndef MODEL_DELTA_H
#define MODEL_DELTA_H

#include "model/keys.h"
#include "model/linear_weights.h"
#include "model/model.h"
#include "model/part.h"

typedef enum DeltaInput { DELTA_Q, DELTA_K, DELTA_V, DELTA_Z, DELTA_B, DELTA_A, DELTA_INPUTS } DeltaInput;

enum { DELTA_CONVS = 3 };

/* What the tensors are called, in a checkpoint behind the prefix. Inputs of one name are one tensor, in the order of
 * DeltaInput. */
typedef struct DeltaNames {
    const char *input[DELTA_INPUTS], *low_a, *low_z, *out;      /* without ".weight" */
    bool by_head[DELTA_INPUTS];          /* in that tensor, key head by key head */
    const char *conv[DELTA_CONVS];       /* of q, k, v; or one for all of them */
    const char *norm, *dt_bias, *A;
    bool tiled;                          /* heads that share a key head are `key heads` apart there */
} DeltaNames;

typedef struct DeltaShape {
    int32_t D, key_heads, heads, N, P, taps;
    int32_t rank;                        /* of Wa and Wz; 0: they are one matrix each */
    int32_t conv_rows[DELTA_CONVS];      /* channels of each tensor of the convolution; 0: it is none */
    bool per_channel;                    /* decay */
    float norm_eps, beta_factor;
    Activation conv, gate;               /* conv: behind the convolution, usually SiLU */
    const char *prefix;                  /* "model.layers.%d.linear_attn." */
    const DeltaNames *hf, *gguf;         /* gguf NULL: there is no such file */
} DeltaShape;

typedef struct DeltaWeights {
    Linear input[DELTA_INPUTS], low_a, low_z, out;
    Tensor conv[DELTA_CONVS], norm, dt_bias, A;
} DeltaWeights;

extern const Part part_delta;

/* The sizes as most configs call them (linear_num_value_heads, ...). heads, N, P, ... that are set before are what is
 * meant where the config says nothing. One convolution for all channels, or one each for q, k and v. */
Err delta_read(const Keys *, const ModelShape *, DeltaShape *, Error *);
/* Checks the sizes of a shape that a family has filled itself, and cuts the channels into convolutions. */
Err delta_settle(const Keys *, DeltaShape *, Error *);
/* Which layers are linear, [L]: layer_types, or all but every full_attention_interval-th, `interval` where neither is
 * given. */
Err linear_layers_read(const Keys *, const ModelShape *, int32_t interval, bool *linear, Error *);
/* The channels of q, k and v together. */
int64_t delta_channels(const DeltaShape *);

#endif
