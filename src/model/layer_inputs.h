/* layer_inputs.h -- a token has an embedding for each layer, read behind the layer's other parts (Gemma 3n and 4).
 *
 *     e[l]  = (norm(x Wp / sqrt(D))[l] + sqrt(P) table[token][l]) / sqrt(2)         once a step: [rows, L P]
 *     out   = norm((act(h Wg) * e[l]) Wu)                                           in each layer: [rows, D]
 *
 * The table is most of a small model, and a token reads one row of it: it stays in the file's format, row by row.
 */
#ifndef MODEL_LAYER_INPUTS_H
#define MODEL_LAYER_INPUTS_H

#include "model/keys.h"
#include "model/model.h"
#include "model/norm.h"

typedef struct LayerInputsShape {
    int32_t D, L, P;                   /* P 0: the model has none */
    int32_t tokens;                    /* rows of the table */
    bool short_table;                  /* tokens beyond it have the embedding of token 0 */
    Activation activation;
    NormShape norm;
} LayerInputsShape;

typedef struct LayerInputs { Tensor table, project; Norm norm; } LayerInputs;     /* of the model */
typedef struct LayerInput { Tensor gate, up; Norm norm; } LayerInput;             /* of a layer */

/* hidden_size_per_layer_input, vocab_size_per_layer_input. Where the config gives none, P is `otherwise`. */
Err layer_inputs_read(const Keys *, const ModelShape *, int32_t otherwise, LayerInputsShape *, Error *);
void layer_inputs_declare(const LayerInputsShape *, WeightList *, LayerInputs *);
void layer_input_declare(const LayerInputsShape *, WeightList *, LayerInput *, int layer);

Tensor layer_inputs_begin(const LayerInputsShape *, const LayerInputs *, Device *, Tensor tokens, Tensor x);   /* e */
Tensor layer_input_read(const LayerInputsShape *, const LayerInput *, Device *, Tensor e, int layer, Tensor h);   /* out */

#endif
