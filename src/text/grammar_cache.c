#include "text/grammar_cache.h"

#include <pthread.h>
#include <stdlib.h>

enum { CACHE_ENTRIES_MAX = 4096 };

typedef struct CacheEntry {
    Grammar *grammar;            /* NULL: free */
    GrammarKind kind;
    uint64_t hash, used;         /* used: when last, in look-ups */
    uint8_t *source;
    size_t bytes;
} CacheEntry;

struct GrammarCache {
    pthread_mutex_t lock;
    int32_t count;
    uint64_t now;
    GrammarCacheStats stats;
    CacheEntry entries[];
};

Err grammar_cache_new(GrammarCache **out, int32_t entries, Error *err)
{
    if (entries < 1 || entries > CACHE_ENTRIES_MAX)
        return fail(err, BAD_ARGUMENT, "a cache of %d grammars: 1 to %d are possible", (int)entries, (int)CACHE_ENTRIES_MAX);
    GrammarCache *c = calloc(1, sizeof *c + (size_t)entries * sizeof c->entries[0]);
    if (!c)
        return fail(err, NO_MEMORY, "no memory for a cache of %d grammars", (int)entries);
    pthread_mutex_init(&c->lock, NULL);
    c->count = entries;
    *out = c;
    return OK;
}

static void entry_clear(CacheEntry *e)
{
    grammar_free(e->grammar);
    free(e->source);
    *e = (CacheEntry){0};
}

void grammar_cache_free(GrammarCache *c)
{
    if (!c)
        return;
    for (int32_t i = 0; i < c->count; i++)
        entry_clear(&c->entries[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint64_t hash_of(GrammarKind kind, Span source)
{
    uint64_t hash = 1469598103934665603u ^ (uint64_t)kind;
    for (size_t i = 0; i < source.bytes; i++)
        hash = (hash ^ source.data[i]) * 1099511628211u;
    return hash;
}

/* With the lock. */
static CacheEntry *find(GrammarCache *c, GrammarKind kind, Span source, uint64_t hash)
{
    for (int32_t i = 0; i < c->count; i++) {
        CacheEntry *e = &c->entries[i];
        if (e->grammar && e->hash == hash && e->kind == kind && span_equal(span_of(e->source, e->bytes), source)) {
            e->used = ++c->now;
            return e;
        }
    }
    return NULL;
}

/* With the lock: a free entry, or the one that was not used for longest. */
static CacheEntry *oldest(GrammarCache *c)
{
    CacheEntry *old = &c->entries[0];
    for (int32_t i = 0; i < c->count; i++) {
        CacheEntry *e = &c->entries[i];
        if (!e->grammar)
            return e;
        if (e->used < old->used)
            old = e;
    }
    return old;
}

static Err compile_choices(json_t *list, Grammar **out, Error *err)
{
    size_t count = json_array_size(list), i;
    json_t *one;
    if (!json_is_array(list) || !count)
        return fail(err, BAD_ARGUMENT, "choice: is not a list of texts with at least one of them");
    Span *choices = calloc(count, sizeof *choices);
    Err result = choices ? OK : fail(err, NO_MEMORY, "choice: no memory to compile it");
    for (i = 0; i < count && result == OK; i++) {
        one = json_array_get(list, i);
        choices[i] = span_of(json_string_value(one), json_string_length(one));
        if (!json_is_string(one))
            result = fail(err, BAD_ARGUMENT, "choice: number %zu is not a text", i);
    }
    if (result == OK)
        result = grammar_from_choices(choices, count, out, err);
    free(choices);
    return result;
}

static Err compile(GrammarKind kind, Span source, Grammar **out, Error *err)
{
    if (kind == GRAMMAR_GBNF)
        return grammar_from_gbnf(source, out, err);
    if (kind == GRAMMAR_REGEX)
        return grammar_from_regex(source, out, err);
    if (kind == GRAMMAR_JSON_OBJECT)
        return grammar_json_object(out, err);
    json_t *value;
    TRY(json_read(source, GRAMMAR_SOURCE_BYTES_MAX, kind == GRAMMAR_SCHEMA ? "schema" : "choice", &value, err));
    Err result = kind == GRAMMAR_SCHEMA ? grammar_from_schema(value, out, err) : compile_choices(value, out, err);
    json_decref(value);
    return result;
}

Err grammar_cache_get(GrammarCache *c, GrammarKind kind, Span source, Grammar **out, Error *err)
{
    if (source.bytes > GRAMMAR_SOURCE_BYTES_MAX)
        return fail(err, LIMIT_REACHED, "a grammar of %zu bytes: at most %d are read", source.bytes,
                    (int)GRAMMAR_SOURCE_BYTES_MAX);
    uint64_t hash = hash_of(kind, source);
    pthread_mutex_lock(&c->lock);
    CacheEntry *e = find(c, kind, source, hash);
    *(e ? &c->stats.hits : &c->stats.misses) += 1;
    Grammar *g = e ? grammar_share(e->grammar) : NULL;
    pthread_mutex_unlock(&c->lock);
    if (g) {
        *out = g;
        return OK;
    }
    TRY(compile(kind, source, out, err));
    uint8_t *copy = malloc(source.bytes + 1);
    if (!copy)
        return OK;               /* it is only not remembered */
    span_copy((char *)copy, source);
    CacheEntry gone = {.source = copy};
    pthread_mutex_lock(&c->lock);
    if (!find(c, kind, source, hash)) {
        e = oldest(c);
        gone = *e;
        *e = (CacheEntry){grammar_share(*out), kind, hash, ++c->now, copy, source.bytes};
    }
    pthread_mutex_unlock(&c->lock);
    entry_clear(&gone);          /* freeing may take long, so it is done without the lock */
    return OK;
}

GrammarCacheStats grammar_cache_stats(GrammarCache *c)
{
    pthread_mutex_lock(&c->lock);
    GrammarCacheStats out = c->stats;
    for (int32_t i = 0; i < c->count; i++)
        out.entries += c->entries[i].grammar != NULL;
    pthread_mutex_unlock(&c->lock);
    return out;
}
