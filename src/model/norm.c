#include "model/norm.h"

#include "core/ops.h"

void norm_declare(const NormShape *n, WeightList *list, Norm *w, const char *hf, const char *gguf, int layer, int32_t width)
{
    WeightName gain = weight_name(hf, n->gain_name ? n->gain_name : ".weight");
    if (!n->no_gain)
        weight_vector(list, &w->gain, gain.text, weight_name(gguf, ".weight").text, layer, width)->hf.map =
            n->minus_one ? MAP_PLUS_ONE : MAP_NONE;
    if (n->bias) /* of RMS norms not all of a model may have one */
        weight_vector(list, &w->bias, weight_name(hf, ".bias").text, weight_name(gguf, ".bias").text, layer, width)->optional =
            n->kind == NORM_RMS;
}

void norm_run(const NormShape *n, Device *d, Tensor y, Tensor x, const Norm *w)
{
    if (n->kind == NORM_RMS) {
        op_rms_norm(d, y, x, w->gain, n->eps);
        if (!tensor_is_none(w->bias))
            op_add(d, y, w->bias);
    } else {
        op_layer_norm(d, y, x, w->gain, w->bias, n->eps);
    }
}
