#include "model/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void weight_list_deinit(WeightList *list)
{
    free(list->items);
    *list = (WeightList){0};
}

static void put_name(char out[WEIGHT_NAME_BYTES], const char *pattern, int layer)
{
    const char *mark = strstr(pattern, "%d");
    int before = mark ? (int)(mark - pattern) : (int)strlen(pattern);
    int bytes = mark ? snprintf(out, WEIGHT_NAME_BYTES, "%.*s%d%s", before, pattern, layer, mark + 2)
                     : snprintf(out, WEIGHT_NAME_BYTES, "%s", pattern);
    ASSERT(bytes < WEIGHT_NAME_BYTES);
}

static WeightDecl *add(WeightList *list, WeightDecl decl)
{
    static WeightDecl spare; /* what is handed out once memory has failed: written, never read */
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 64;
        WeightDecl *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items) {
            list->failed = true;
            return &spare;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count] = decl;
    return &list->items[list->count++];
}

WeightDecl *weight_matrix(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t rows,
                          int32_t width)
{
    WeightDecl *decl = add(list, (WeightDecl){.slot = slot, .rows = rows, .width = width, .use = USE_MATRIX});
    put_name(decl->hf.name, hf, layer);
    put_name(decl->gguf.name, gguf, layer);
    return decl;
}

WeightDecl *weight_vector(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t width)
{
    WeightDecl *decl = weight_matrix(list, slot, hf, gguf, layer, 0, width);
    decl->use = USE_VECTOR;
    return decl;
}

WeightDecl *weight_experts(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t experts,
                           int32_t rows, int32_t width)
{
    WeightDecl *decl = weight_matrix(list, slot, hf, gguf, layer, rows, width);
    decl->experts = experts;
    decl->use = rows ? USE_EXPERTS : USE_VECTOR;
    return decl;
}

WeightDecl *weight_constant(WeightList *list, Tensor *slot, const char *gguf, const float *values, int32_t rows,
                            int32_t width)
{
    WeightDecl *decl =
        add(list, (WeightDecl){.slot = slot, .rows = rows, .width = width, .use = USE_VECTOR, .constant = values});
    put_name(decl->gguf.name, gguf, 0);
    return decl;
}

void weight_same(WeightList *list, Tensor *slot, const Tensor *other)
{
    add(list, (WeightDecl){.slot = slot, .same_as = other});
}
