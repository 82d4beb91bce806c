/* part.h -- what layers are made of: attention, a state space, an MLP, experts.
 *
 * A part is a constant with four functions; what makes one family's attention another's are its values
 * (`shape`: AttentionShape, MlpShape, ...). It reads normed rows and adds to others:
 *
 *     y += part(x)                                                   x, y: [rows, D]
 *
 * A part knows no family and no device. It keeps of the past what keep() declares, as layer `layer` of
 * the cache.
 */
#ifndef MODEL_PART_H
#define MODEL_PART_H

#include "core/ops.h"
#include "core/step.h"
#include "model/kv_layout.h"
#include "model/weights.h"

enum { ROPES_MAX = 4, ROPE_NONE = -1 };

/* One way of a step through the layers. */
typedef struct Pass {
    const Step *step;
    Tensor angles[ROPES_MAX];    /* [rows, dims] of each rotary table that the model has */
} Pass;

typedef struct Part {
    const char *label;                                             /* for watchers: "attn", "mlp" */
    void (*keep)(const void *shape, KvLayer *);                    /* NULL: nothing of the past */
    void *(*declare)(const void *shape, WeightList *, int layer);  /* its struct of weights, in the list's arena */
    void (*forward)(const void *shape, const void *weights, Device *, const Pass *, int layer, Tensor y, Tensor x);
} Part;

/* A zeroed struct in the list's arena; never NULL: where memory has failed the list says so, and what is
 * handed out is written and never read. */
void *part_weights(WeightList *, size_t bytes);

#endif
