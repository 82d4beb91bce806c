/* model.h -- a model that is ready to run: its shape, its weights on a device, its forward pass.
 *
 *     file -> Arch (by name) -> read_shape -> kv_layout -> declare -> the binder finds, checks, uploads
 *
 * A Model is immutable once opened: any number of engines may run it, each with a cache of its own.
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/arena.h"
#include "core/device.h"
#include "core/step.h"
#include "model/kv_layout.h"

/* The letters of the literature. What a family does not have is 0. */
typedef struct ModelShape {
    char family[32];           /* as the file calls it: "llama", "qwen3" */
    int32_t D;                 /* width of the residual stream */
    int32_t F;                 /* width of the feed-forward layer */
    int32_t N, K, H;           /* query heads, key/value heads, width of a head */
    int32_t L, V;              /* layers, vocabulary */
    int32_t context;           /* positions that it was trained for */
    int32_t positions_max;     /* no sequence can be longer: there is a table of positions; 0: any can */
    float eps;                 /* of the norms */
    bool tied;                 /* the output matrix is the embedding */
    bool length_matters;       /* rotation depends on the whole length (dynamic NTK, LongRoPE) */
    bool bidirectional;        /* diffusion: a row sees later rows as well */
    int32_t mask_id;           /* diffusion: the token that stands where none is known yet */
    bool logits_shift;         /* diffusion: row i - 1 predicts the token at i, not row i */
    void *own;                 /* what only its family knows */
} ModelShape;

typedef struct Arch Arch;
typedef struct Store Store;

typedef struct Model {
    const Arch *arch;
    ModelShape shape;
    KvLayout kv;
    Device *device;            /* where the weights are; not owned */
    void *weights;             /* the family's struct of tensors */
    Arena *arena;              /* shape.own, weights, names */
    double weight_bytes;       /* of all weights that a token reads */
    int64_t parameters;
} Model;

/* Logits ([outs, V] F32) of the rows that the step asks for. */
void model_forward(const Model *, Device *, const Step *, Tensor logits);

#endif
