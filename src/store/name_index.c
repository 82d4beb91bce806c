#include "store/name_index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/* Drawn once; any fixed value would be as correct, only easier to attack. */
static uint64_t secret(void)
{
    static _Atomic uint64_t drawn;
    uint64_t value = atomic_load_explicit(&drawn, memory_order_relaxed), none = 0;
    if (value)
        return value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != (ssize_t)sizeof value)
        value = (uint64_t)(uintptr_t)&drawn;
    value |= 1;
    return atomic_compare_exchange_strong(&drawn, &none, value) ? value : none;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_name(Span name)
{
    uint64_t key = secret(), h = fold(name.bytes + 1, key);
    while (name.bytes) {
        uint64_t word = 0;
        size_t n = name.bytes < sizeof word ? name.bytes : sizeof word;
        memcpy(&word, name.data, n);
        h = fold(h ^ word ^ key, key);
        name = span_from(name, n);
    }
    return h;
}

void name_index_deinit(NameIndex *x)
{
    free(x->names);
    free(x->slots);
    *x = (NameIndex){0};
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *find_slot(const NameIndex *x, Span name)
{
    size_t mask = x->slot_count - 1, at = hash_name(name) & mask;
    while (x->slots[at] && !span_equal(x->names[x->slots[at] - 1], name))
        at = (at + 1) & mask;
    return &x->slots[at];
}

static bool grow(NameIndex *x)
{
    size_t capacity = x->capacity ? 2 * x->capacity : 64;
    uint32_t *slots = calloc(2 * capacity, sizeof *slots);
    Span *names = slots ? realloc(x->names, capacity * sizeof *names) : NULL;
    if (!names) {
        free(slots);
        return false;
    }
    free(x->slots);
    *x = (NameIndex){names, slots, x->count, capacity, 2 * capacity};
    for (size_t i = 0; i < x->count; i++)
        *find_slot(x, names[i]) = (uint32_t)i + 1;
    return true;
}

int64_t name_index_put(NameIndex *x, Span name, bool *is_new)
{
    int64_t known = name_index_find(x, name);
    *is_new = known < 0;
    if (known >= 0)
        return known;
    if (x->count == NAMES_MAX || (x->count == x->capacity && !grow(x)))
        return -1;
    x->names[x->count] = name;
    *find_slot(x, name) = (uint32_t)x->count + 1;
    return (int64_t)x->count++;
}

int64_t name_index_find(const NameIndex *x, Span name)
{
    return x->count ? (int64_t)*find_slot(x, name) - 1 : -1;
}
