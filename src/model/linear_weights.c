#include "model/linear_weights.h"

#include <stdio.h>

WeightName weight_name(const char *before, const char *after)
{
    WeightName name = {""};
    int bytes = before[0] ? snprintf(name.text, sizeof name.text, "%s%s", before, after) : 0;
    ASSERT(bytes < WEIGHT_NAME_BYTES);
    return name;
}

static void place(WeightDecl *decl, const LinearName *n)
{
    decl->hf.part = n->hf_part;
    decl->hf.groups = n->hf_groups;
    decl->gguf.part = n->gguf_part;
    decl->gguf.turned_heads = n->gguf_turned_heads;
}

WeightDecl *linear_declare(WeightList *list, Linear *w, LinearName n, int layer, int32_t out, int32_t in, bool bias)
{
    WeightName base = weight_name(n.hf_before, n.hf);
    if (bias)
        place(weight_vector(list, &w->bias, weight_name(base.text, ".bias").text, weight_name(n.gguf, ".bias").text,
                            layer, out), &n);
    WeightDecl *decl = weight_matrix(list, &w->w, weight_name(base.text, ".weight").text,
                                     weight_name(n.gguf, ".weight").text, layer, out, in);
    place(decl, &n);
    decl->hf.transposed = n.hf_transposed;
    return decl;
}

void low_rank_add(Device *d, Tensor y, Tensor x, const LowRank *w)
{
    if (tensor_is_none(w->down))
        return;
    Tensor low = device_f32(d, x.dim[0], w->down.dim[0]);
    op_linear(d, low, x, w->down, NONE);
    op_linear_add(d, y, low, w->up, NONE);
}
