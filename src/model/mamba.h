/* mamba.h -- the layer of Mamba (Gu & Dao 2023, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces").
 *
 *     u, z     = x W_in                                     [rows, width] each
 *     u        = silu(conv(u))
 *     dt, B, C = u W_x                                      [rows, rank], [rows, N], [rows, N]; each may be normed
 *     dt       = softplus(dt W_dt + b)                      [rows, width]
 *     h        = exp(dt A) h + dt B u;  y = C.h + D u       selective_scan, channel by channel
 *     out     += (y silu(z)) W_out
 *
 * Several heads (Zamba) divide the width; each has W_x and W_dt of its own, and its own B and C.
 * What is kept of a sequence: the last K - 1 rows of u before the convolution, and h.
 */
#ifndef MODEL_MAMBA_H
#define MODEL_MAMBA_H

#include "model/decoder.h"

enum { MAMBA_HEADS_MAX = 16 };

typedef enum MambaNorm { MAMBA_NORM_NONE, MAMBA_NORM_PLAIN, MAMBA_NORM_GAIN } MambaNorm;   /* of dt, B, C; PLAIN: no weights */

typedef struct MambaShape {
    int32_t D, width, states, rank, taps, heads;
    bool conv_bias, proj_bias;
    bool in_interleaved;               /* W_in has the rows of u and z in turns */
    bool head_names;                   /* x_proj_weight, dt_proj_bias: [heads, ...], as Zamba calls them */
    MambaNorm norm;
    float norm_eps;
    Activation activation;             /* behind the convolution */
    const char *prefix;                /* "backbone.layers.%d.mixer." */
} MambaShape;

typedef struct MambaWeights {
    Linear in, out, x[MAMBA_HEADS_MAX], dt[MAMBA_HEADS_MAX];
    Tensor conv, conv_bias, A, D;
    Tensor dt_norm, b_norm, c_norm;
} MambaWeights;

extern const Part part_mamba;

/* How Jamba and its kin call things: feed_forward, pre_ff_layernorm, final_layernorm. */
extern const DecoderNames mamba_hybrid_names;

/* The sizes as Mamba's configs call them (state_size), those of hybrids (mamba_d_state), and GGUF. `activation` is
 * the key of the convolution's. The rest stays as it is, and width where a family has set it. */
Err mamba_read(const Keys *, const ModelShape *, const char *activation, MambaShape *, Error *);

#endif
