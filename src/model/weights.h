/* weights.h -- the weights that a family declares, each once.
 *
 * One line says all that anybody needs to know of a weight: its shape, what it is used for, where its
 * Tensor goes, and where it lies in both kinds of file. The binder, the planner, the converter and the
 * table of `ridge inspect` read the same list.
 *
 * In a file a weight is often not a tensor of its own. A WeightPlace says how to get from one to the other:
 *
 *     query_key_value [3 N H, D]      rows q k v | q k v | ...      part {3 H, 0, H} is q, {3 H, H, H} is k
 *     c_attn [D, 3 D]                 transposed, part {3 D, D, D}: its columns D to 2 D - 1 are the rows of k
 *     experts.%e.up_proj [F, D]       one tensor for each expert; in the slot they are stacked, [E, F, D]
 *     experts.gate_up [E, D, 2 F]     experts of one tensor, transposed, part {2, 0, 1}: every other column is gate
 *     kv_b_proj [N (P + V), C]        for heads as experts: part {P + V, P, V} is [N, V, C]; transposed with width_part
 *                                     {P + V, 0, P}, it is [N, C, P]
 *     norm.weight                     MAP_PLUS_ONE: 1 is added to what is stored
 *
 * A file's tensor fits if it has the right number of values and the right rows; [C, 1, K] is fine where [C, K] is
 * declared. It may be named by several weights, and all of it must belong to one of them.
 */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "base/arena.h"
#include "core/device.h"

enum { WEIGHT_NAME_BYTES = 128, WEIGHT_EXPERTS_MAX = 1 << 16 };

/* Which rows of the file's tensor (of each expert in it): of every `stride` rows, `take` from `first` on; the others
 * are other weights'. stride 0: all rows. */
typedef struct WeightPart {
    int32_t stride, first, take;
} WeightPart;

typedef enum WeightMap {
    MAP_NONE,
    MAP_PLUS_ONE,    /* stored + 1: norms that were trained around 0 */
    MAP_MINUS_EXP,   /* -exp(stored): A of state spaces, stored as its logarithm */
} WeightMap;

typedef struct WeightGroups {            /* lie there as [heads, groups, width], and in the slot as [groups, heads, width] */
    int32_t groups, heads, width;        /* groups 0: they do not */
    bool columns;                        /* those of each row; else rows */
} WeightGroups;

typedef struct WeightPlace {             /* where a weight lies in one kind of file */
    char name[WEIGHT_NAME_BYTES];        /* "": not in such files. In a checkpoint "%e" stands for the expert: one
                                            tensor for each */
    WeightPart part, width_part;         /* of the rows; of the columns */
    bool transposed;                     /* the file holds [width, rows] (of each expert); `part` stays that of the slot's
                                            rows, which are columns there, and width_part becomes one of rows */
    WeightMap map;
    float scale;                         /* value = map(stored) * scale; 0: 1 */
    const float *row_scale;              /* and times this, a number for each row of the slot; NULL: 1. Not of GGUFs */
    int32_t turned_heads;                /* rows of each of so many heads lie there in pairs: 0, half, 1, half + 1, ... */
    WeightGroups groups;
    int32_t dim[3];                      /* what a written file calls its dimensions; zeros: as it is, [rows, width] */
} WeightPlace;

typedef struct WeightDecl {
    Tensor *slot;                        /* filled by the binder; left without format when optional and absent */
    WeightPlace hf, gguf;
    int32_t experts;                     /* 0: none; else as many of [rows, width], one after another */
    int32_t rows, width;                 /* rows 0: a vector (of each expert) */
    WeightUse use;
    bool optional;
    float read_share;                    /* how much of it a token reads (experts used / experts); 0: all */
    const float *constant;               /* not in the file: follows from the shape. slot NULL: only a GGUF wants it */
    const Tensor *same_as;               /* not in the file: another slot's (tied embeddings) */
} WeightDecl;

typedef struct WeightList {
    Arena *arena;                        /* of the family's struct of slots */
    const char *hf_without;              /* this checkpoint's names lack this beginning ("transformer."); NULL: none */
    WeightDecl *items;
    int count, capacity;
    bool failed;                         /* no memory: looked at once, by the binder */
} WeightList;

void weight_list_deinit(WeightList *);

/* In the names %d stands for `layer`. The declaration may be refined: weight(...)->optional = true. */
WeightDecl *weight_matrix(WeightList *, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t rows, int32_t width);
WeightDecl *weight_vector(WeightList *, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t width);
/* slot: [experts, rows, width], or [experts, width] if rows is 0 (biases). */
WeightDecl *weight_experts(WeightList *, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t experts,
                           int32_t rows, int32_t width);
/* gguf: "" where a GGUF does not hold it either. */
WeightDecl *weight_constant(WeightList *, Tensor *slot, const char *gguf, const float *values, int32_t rows, int32_t width);
void weight_same(WeightList *, Tensor *slot, const Tensor *other);

/* ---- the arithmetic of places ----
 *
 * An element of a slot is (expert, row, column). A vector has as many rows as elements, of one column each.
 * Places are data of families, whose numbers come from files: weight_fits() is asked before all else.
 */

typedef struct WeightShape {
    int64_t experts, rows, width;        /* experts 1: one matrix, or none that says so */
} WeightShape;

bool weight_fits(const WeightDecl *, const WeightPlace *);   /* the parts divide the rows and columns; sizes can be had */
WeightShape weight_shape(const WeightDecl *);
/* Of the file's tensor, as the slot sees it: transposed, it is [width, rows] there. */
WeightShape weight_shape_there(const WeightDecl *, const WeightPlace *);
int weight_dims_there(const WeightDecl *, const WeightPlace *, int64_t dims[3]);   /* to write it with */

bool weight_is_whole(const WeightPlace *);      /* the tensor is the weight, value by value */
bool weight_rows_stay(const WeightDecl *, const WeightPlace *);   /* each row lies in one piece there */
/* Which row, which column there a row or column of the slot is. */
int64_t weight_row_there(const WeightPlace *, int64_t rows, int64_t row);
int64_t weight_column_there(const WeightPlace *, int64_t column);
bool weight_maps(const WeightPlace *);          /* a number means another than the stored one */
/* What a stored number means, and what must be stored for a number. */
float weight_read(const WeightPlace *, int64_t row, float stored);
float weight_store(const WeightPlace *, float value);
/* "experts.%e.up" -> "experts.7.up" */
void weight_expert_name(const WeightPlace *, int64_t expert, char out[WEIGHT_NAME_BYTES + 16]);
bool weight_experts_apart(const WeightPlace *);   /* a tensor for each */

#endif
