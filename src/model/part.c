#include "model/part.h"

void *part_weights(WeightList *list, size_t bytes)
{
    static _Alignas(64) char spare[4096];
    ASSERT(bytes <= sizeof spare);
    void *w = arena_take(list->arena, bytes);
    if (w)
        return w;
    list->failed = true;
    return spare;
}
