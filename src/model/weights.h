/* weights.h -- the weights that a family declares, each once.
 *
 * One line says all that anybody needs to know of a weight: its names in both kinds of file, its
 * shape, what it is used for, where its Tensor goes. The binder, the planner, the converter and the
 * table of `ridge inspect` read the same list.
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "base/arena.h"
#include "core/device.h"

enum { WEIGHT_NAME_BYTES = 128 };

typedef struct WeightDecl {
    Tensor *slot;                        /* filled by the binder; left without format when optional and absent */
    char hf[WEIGHT_NAME_BYTES], gguf[WEIGHT_NAME_BYTES];
    int32_t rows, width;                 /* rows 0: a vector */
    WeightUse use;
    bool optional;
    int32_t turned_heads;                /* in a GGUF the rows of each of so many heads come in pairs (i, i + half) */
    const float *constant;               /* not in the file: follows from the shape. slot NULL: only a GGUF wants it */
    const Tensor *same_as;               /* not in the file: another slot's (tied embeddings) */
} WeightDecl;

typedef struct WeightList {
    Arena *arena;                        /* of the family's struct of slots */
    WeightDecl *items;
    int count, capacity;
    bool failed;                         /* no memory: looked at once, by the binder */
} WeightList;

void weight_list_deinit(WeightList *);

/* In the names %d stands for `layer`. The declaration may be refined: weight(...)->optional = true. */
WeightDecl *weight_matrix(WeightList *, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t rows, int32_t width);
WeightDecl *weight_vector(WeightList *, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t width);
/* gguf: "" where a GGUF does not hold it either. */
WeightDecl *weight_constant(WeightList *, Tensor *slot, const char *gguf, const float *values, int32_t rows, int32_t width);
void weight_same(WeightList *, Tensor *slot, const Tensor *other);

#endif
