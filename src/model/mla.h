/* mla.h -- multi-head latent attention (DeepSeek-AI 2024, "DeepSeek-V2").
 *
 *     c = norm(x Wc) [rows, C],   r = rope(x Wr) [rows, R]          what is kept of the past: C + R values a token
 *     q = x Wq, or norm(x Wa) Wb                                    [rows, N, P + R]: P are matched with the latent
 *
 * Written out, head h has keys [c Uk_h^T | r] and values c Uv_h^T. But (q.(c Uk^T)) = ((q Uk).c), so the
 * matrices that would expand the past go into the query and into the output instead:
 *
 *     q'_h = [q_h Uk_h | rope(q_h)] [C + R]       y_h = sum_j p_j c_j [C]       out += concat_h(y_h Uv_h^T) Wo
 *
 * and attention is that of N queries over one kv head, whose values are the first C values of its keys. Nothing of the
 * past is expanded. Prefill goes the same way, so that a prompt has the same bits however it is cut into steps;
 * tests/test_mla.c holds it against the expanded form.
 */
#ifndef MODEL_MLA_H
#define MODEL_MLA_H

#include "model/decoder.h"

typedef struct MlaShape {
    int32_t D, N;
    int32_t P, R, V;             /* widths of a head: matched with the latent, turned, of its values */
    int32_t C, A;                /* of the latent; of the query's latent, 0: none */
    Attend how;
    int32_t rope;                /* which table, or ROPE_NONE: r is kept as it is */
    bool rope_interleaved;
    bool bias;                   /* of the latents and of o */
    float eps;                   /* of the norms of latents */
    float q_factor, c_factor;    /* of the query, of the normed latent */
    bool gguf_whole;             /* a GGUF of the family holds Uk and Uv in one, as checkpoints do */
    const char *prefix;          /* "model.layers.%d.self_attn." */
} MlaShape;

typedef struct MlaWeights {
    Linear q, q_turned, a, latent, o;    /* q: of x, or of the query's latent */
    Norm a_norm, latent_norm;
    Tensor up_k, up_v;                   /* [N, C, P], [N, V, C] */
} MlaWeights;

extern const Part part_mla;

/* What a family means where its config says nothing. */
typedef struct MlaUsual {
    int32_t P, R, V, C, A;
    float theta;
    bool half_split;             /* rotary values i and i + R/2 are a pair */
    bool no_rope;
    bool gguf_whole;
    bool mixed;                  /* other layers are something else: the family says in a GGUF which ones */
} MlaUsual;

/* Reads the widths, adds the rotary table, makes every layer's attention this one. For decoder_read() with
 * own_heads and no_rope. */
Err mla_read(const Keys *, Arena *, ModelShape *, const MlaUsual *, MlaShape **out, Error *);

#endif
