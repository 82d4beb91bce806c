#include "text/aligned.h"

#include <stdlib.h>

#include "base/error.h"
#include "text/utf8.h"

AlignedView aligned_slice(const AlignedView *v, size_t begin, size_t end)
{
    return (AlignedView){.text = span_of(v->text.data + begin, end - begin),
                         .origin = v->origin ? v->origin + begin : NULL,
                         .base = v->base + (uint32_t)begin,
                         .end = origin_at(v, end)};
}

void aligned_init(Aligned *a, bool tracks, size_t bytes_max)
{
    *a = (Aligned){.tracks = tracks, .bytes_max = bytes_max};
}

void aligned_deinit(Aligned *a)
{
    free(a->data);
    free(a->origin);
    *a = (Aligned){0};
}

void aligned_clear(Aligned *a) { a->bytes = 0; }
void aligned_cut(Aligned *a, size_t bytes)
{
    ASSERT(bytes <= a->bytes);
    a->bytes = bytes;
}

AlignedView aligned_view(const Aligned *a, uint32_t end)
{
    return (AlignedView){.text = span_of(a->data, a->bytes), .origin = a->tracks ? a->origin : NULL, .end = end};
}

static bool reserve(Aligned *a, size_t more)
{
    if (a->failed || more > a->bytes_max - a->bytes) {
        a->failed = true;
        return false;
    }
    if (a->bytes + more <= a->capacity)
        return true;
    size_t capacity = a->capacity ? a->capacity : 256;
    while (capacity < a->bytes + more)
        capacity *= 2;
    uint8_t *data = realloc(a->data, capacity);
    if (data)
        a->data = data;
    uint32_t *origin = data && a->tracks ? realloc(a->origin, capacity * sizeof *origin) : NULL;
    if (origin)
        a->origin = origin;
    if (!data || (a->tracks && !origin)) {
        a->failed = true;
        return false;
    }
    a->capacity = capacity;
    return true;
}

bool aligned_put(Aligned *a, const void *data, size_t bytes, uint32_t origin)
{
    if (!reserve(a, bytes))
        return false;
    if (bytes)
        memcpy(a->data + a->bytes, data, bytes);
    for (size_t i = 0; a->tracks && i < bytes; i++)
        a->origin[a->bytes + i] = origin;
    a->bytes += bytes;
    return true;
}

bool aligned_put_code(Aligned *a, uint32_t code, uint32_t origin)
{
    uint8_t bytes[4];
    return aligned_put(a, bytes, utf8_write(code, bytes), origin);
}

bool aligned_copy(Aligned *a, const AlignedView *from, size_t begin, size_t end)
{
    if (!reserve(a, end - begin))
        return false;
    if (end > begin)
        memcpy(a->data + a->bytes, from->text.data + begin, end - begin);
    for (size_t i = begin; a->tracks && i < end; i++)
        a->origin[a->bytes + (i - begin)] = origin_at(from, i);
    a->bytes += end - begin;
    return true;
}
