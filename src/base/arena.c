#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

enum { ARENA_ALIGN = 64 };

struct Arena {
    uint8_t *base;
    size_t used, dirty, bytes_max;   /* bytes below `dirty` may hold old content */
    bool sealed;
};

Arena *arena_new(size_t bytes_max)
{
    Arena *a = calloc(1, sizeof *a);
    if (!a || !round_up_fits(bytes_max ? bytes_max : 1, 4096, &a->bytes_max))
        goto failed;
    a->base = mmap(NULL, a->bytes_max, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (a->base == MAP_FAILED)
        goto failed;
    return a;
failed:
    free(a);
    return NULL;
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    munmap(a->base, a->bytes_max);
    free(a);
}

void *arena_take(Arena *a, size_t bytes)
{
    ASSERT(!a->sealed);
    size_t end;
    if (!add_fits(a->used, bytes, &end) || !round_up_fits(end, ARENA_ALIGN, &end) || end > a->bytes_max)
        return NULL;
    void *out = a->base + a->used;
    if (a->used < a->dirty)
        memset(out, 0, (end < a->dirty ? end : a->dirty) - a->used);
    a->used = end;
    if (end > a->dirty)
        a->dirty = end;
    return out;
}

void *arena_take_array(Arena *a, size_t count, size_t element_bytes)
{
    size_t bytes;
    return mul_fits(count, element_bytes, &bytes) ? arena_take(a, bytes) : NULL;
}

char *arena_copy_text(Arena *a, const char *text, size_t bytes)
{
    size_t with_zero;
    char *out = add_fits(bytes, 1, &with_zero) ? arena_take(a, with_zero) : NULL;
    if (out && bytes)
        memcpy(out, text, bytes);
    return out;
}

size_t arena_used(const Arena *a) { return a->used; }

void arena_rewind(Arena *a, size_t used)
{
    ASSERT(used <= a->used);
    a->used = used;
}

void arena_seal(Arena *a) { a->sealed = true; }
