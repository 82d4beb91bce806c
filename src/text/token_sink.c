#include "text/token_sink.h"

#include <stdlib.h>

bool sink_reserve(TokenSink *s)
{
    Encoding *e = s->out;
    size_t capacity = e->capacity ? 2 * e->capacity : 64;
    int32_t *ids = s->failed ? NULL : realloc(e->ids, capacity * sizeof *ids);
    if (ids)
        e->ids = ids;
    TokenPlace *places = ids && s->places ? realloc(e->places, capacity * sizeof *places) : NULL;
    if (places)
        e->places = places;
    s->failed = !ids || (s->places && !places);
    if (!s->failed)
        e->capacity = capacity;
    return !s->failed;
}

void encoding_deinit(Encoding *e)
{
    free(e->ids);
    free(e->places);
    *e = (Encoding){0};
}
