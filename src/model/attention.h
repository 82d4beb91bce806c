/* attention.h -- softmax attention over a cache of keys and values (Vaswani et al. 2017).
 *
 *     q, k, v = x Wq, x Wk, x Wv                    [rows, N, H], [rows, K, H], [rows, K, V]
 *     q, k    = rope(norm(q)), rope(norm(k))        either may be missing, or the norm may come behind
 *     y      += (attend(q, past k, past v) * sigmoid(gate)) Wo
 *
 * K = N is multi-head, 1 multi-query, between them grouped attention (Shazeer 2019; Ainslie et al. 2023).
 * A layer that shares another's keys and values (Brandon et al. 2024, CLA) has a query only.
 *
 * Where the sharing layer norms the shared keys with a weight of its own (Hunyuan), the norm's scale is
 * the same for all of them, so the cache holds keys normed without a weight, and each layer multiplies
 * its query by its own: (q * g).k = q.(g * k).
 */
#ifndef MODEL_ATTENTION_H
#define MODEL_ATTENTION_H

#include "model/linear_weights.h"
#include "model/norm.h"
#include "model/part.h"

/* How q, k and v stand in a checkpoint. */
typedef enum QkvLayout {
    QKV_APART,           /* q_proj, k_proj, v_proj */
    QKV_FUSED,           /* one tensor: q, then k, then v */
    QKV_PER_HEAD,        /* one tensor: q, k, v of head 0, of head 1, ...       (N = K) */
    QKV_PER_GROUP,       /* one tensor: the queries of kv head 0, its key, its value, then those of kv head 1 */
    QKV_GIVEN,           /* q_part, k_part, v_part say it */
} QkvLayout;

typedef enum HeadNorm {
    HEAD_NORM_NONE,
    HEAD_NORM_EACH,      /* of each head, with one gain for all of them */
    HEAD_NORM_APART,     /* of each head, with a gain for each of them; in one tensor, or "%e" in the name: one each */
    HEAD_NORM_ALL,       /* of all heads as one row */
} HeadNorm;
typedef enum OutGate {
    GATE_NONE,
    GATE_APART,          /* a matrix of its own */
    GATE_WITH_Q,         /* q_proj holds for each head its query, then its gate */
} OutGate;

typedef struct AttentionNames {    /* behind the prefix */
    const char *q, *k, *v, *qkv, *o, *q_norm, *k_norm, *gate, *sinks;
} AttentionNames;

extern const AttentionNames attention_names;    /* self_attn.q_proj, ... as most families spell them */

typedef struct AttentionShape {
    int32_t D, N, K, H, V;             /* D: of x; V: width of a head's values */
    int32_t out;                       /* width of what it adds to; 0: D */
    Attend how;
    int32_t rope;                      /* which table, or ROPE_NONE */
    bool rope_interleaved;
    bool gguf_turned;                  /* a GGUF holds the rows of q and k turned; the binder turns them back */
    bool q_bias, k_bias, v_bias, o_bias;
    QkvLayout hf_layout, gguf_layout;
    WeightPart q_part, k_part, v_part; /* QKV_GIVEN, of the checkpoint */
    bool hf_transposed;
    HeadNorm head_norm;
    NormShape norm;                    /* of q and k */
    bool norm_after_rope, v_norm;      /* v_norm: weightless, of each head */
    bool k_norm_in_query;              /* see above */
    bool v_is_k;                       /* values are the keys' projection (before norm and rope) */
    bool shares;                       /* keys and values are layer alias_of's */
    int32_t alias_of;
    bool spare_keys;                   /* a file may hold keys' and values' weights all the same; nobody reads them */
    float clip;                        /* q, k, v are kept within [-clip, clip]; 0: not */
    float value_factor;                /* of the values; 0 means 1 */
    float q_growth; int32_t q_floor, q_offset;   /* q *= 1 + growth ln(1 + (position + offset) / floor); 0: not */
    OutGate gate;
    bool sinks;
    const float *slopes;               /* ALiBi, [N] in the arena; NULL: none */
    const char *prefix;                /* "model.layers.%d." */
    const AttentionNames *names;
} AttentionShape;

typedef struct AttentionWeights {
    Linear q, k, v, o, gate;
    Norm q_norm, k_norm;
    Tensor sinks, slopes;
    LowRank q_low, k_low, v_low;       /* what a family that has them declares itself: see archs/zamba.c */
} AttentionWeights;

extern const Part part_attention;

/* The slopes of Press et al. 2022 for `heads` heads, as bloom and falcon compute them; bias_max 8 there. */
Err alibi_slopes(Arena *, int32_t heads, float bias_max, const float **out, Error *);

#endif
