/* mamba2.h -- the layer of Mamba-2 (Dao & Gu 2024, "Transformers are SSMs").
 *
 *     z, u, B, C, dt = x W_in                       [rows, heads P], the same, [rows, groups N] twice, [rows, heads]
 *     u, B, C        = silu(conv(u, B, C))
 *     dt             = clamp(softplus(dt + b))
 *     S              = exp(dt A) S + B (dt u)^T     decay_scan, head by head; a group of heads shares B and C
 *     y              = C^T S + D u
 *     out           += norm(y silu(z)) W_out        the norm, by groups, may stand before the gate, or be missing
 *
 * What is kept of a sequence: the last K - 1 rows of u, B, C before the convolution, and S.
 */
#ifndef MODEL_MAMBA2_H
#define MODEL_MAMBA2_H

#include "model/keys.h"
#include "model/linear_weights.h"
#include "model/model.h"
#include "model/part.h"

typedef enum Mamba2Norm { MAMBA2_GATE_NORM, MAMBA2_NORM_GATE, MAMBA2_GATE_ONLY } Mamba2Norm;   /* what comes first */

typedef struct Mamba2Shape {
    int32_t D, heads, P, groups, states, taps;
    int32_t norm_groups;               /* that the norm takes apart; 0 in mamba2_read: the groups */
    bool conv_bias, in_bias, out_bias;
    Mamba2Norm norm;
    float norm_eps;
    float dt_min, dt_max;              /* of softplus */
    bool least_step;                   /* a config's time_step_min is dt_min, and its time_step_limit nothing */
    Activation activation;             /* behind the convolution */
    const char *prefix;                /* "backbone.layers.%d.mixer." */
} Mamba2Shape;

typedef struct Mamba2Weights {
    Linear in, out;
    Tensor conv, conv_bias, dt_bias, A, D, norm;
} Mamba2Weights;

extern const Part part_mamba2;

/* The sizes as Mamba-2's configs call them (num_heads), those of hybrids (mamba_n_heads), and GGUF. `activation` is
 * the key of the convolution's. norm, norm_groups, norm_eps, least_step and the prefix stay as they are; in a GGUF the shape of
 * the norm's weight says norm_groups. */
Err mamba2_read(const Keys *, const ModelShape *, const char *activation, Mamba2Shape *, Error *);

#endif
