/* dense.h -- the decoder block that most families share (Vaswani et al. 2017; Touvron et al. 2023).
 *
 *     x = embed(tokens)                                              [rows, D]
 *     for each layer:
 *         x += o(attend(rope(q(norm(x))), rope(k(norm(x))), v(norm(x))))
 *         x += down(act(gate(norm(x))) * up(norm(x)))
 *     logits = head(norm(x))                                         [outs, V]
 *
 * What a family has or has not (biases, norms on heads, windows) it says by values and by the weights
 * that it declares; a weight that is not there is NONE, and the line that would use it does nothing.
 */
#ifndef MODEL_DENSE_H
#define MODEL_DENSE_H

#include "model/arch.h"
#include "model/rope_config.h"

/* ModelShape.own of the families that are made of this block. */
typedef struct DenseShape {
    RopeConfig rope;
    bool rope_interleaved;
    bool gguf_interleaves;                         /* a GGUF of the family holds q and k turned for it */
    bool qkv_bias, o_bias, mlp_bias, head_norms;   /* which optional weights exist */
    float scale;                                   /* of q.k */
    Activation activation;
    int32_t window[LAYERS_MAX];                    /* 0: the layer sees everything */
} DenseShape;

typedef struct DenseLayer {
    Tensor attn_norm, q, k, v, q_bias, k_bias, v_bias, q_norm, k_norm, o, o_bias;
    Tensor mlp_norm, gate, up, down, gate_bias, up_bias, down_bias;
} DenseLayer;

typedef struct DenseWeights {
    Tensor embed, inv_freq, norm, head;
    DenseLayer *layer;
} DenseWeights;

/* The fields that all these families spell alike: widths, heads, layers, norms, rope, activation, ties.
 * A family whose heads have a width of their own where none is given sets s->H before. */
Err dense_read_shape(const Keys *, Arena *, ModelShape *, Error *);
DenseShape *dense_shape(const ModelShape *);
/* Windows as transformers says them: sliding_window, layer_types, max_window_layers, use_sliding_window.
 * first: the layer from which on there is one, where max_window_layers is not given. */
Err dense_read_windows(const Keys *, ModelShape *, bool used_by_default, int32_t first, Error *);
void dense_kv_layout(const ModelShape *, KvLayout *);
void *dense_declare(const ModelShape *, WeightList *);
void dense_forward(const Model *, Device *, const Step *, Tensor logits);

/* "silu", "gelu_pytorch_tanh", ... as config.json calls them; unknown ones are refused by name. */
Err activation_read(const Keys *, const char *hf, Activation otherwise, Activation *out, Error *err);

#endif
