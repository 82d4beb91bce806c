#include "server/grammar_cache.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct CachedGrammar {
    GrammarKind kind;
    uint8_t *text;
    size_t bytes;
    Grammar *grammar;        /* NULL: the place is free */
    uint64_t used;           /* when last: greater is later */
} CachedGrammar;

struct GrammarCache {
    pthread_mutex_t lock;
    CachedGrammar entry[GRAMMAR_CACHE_ENTRIES];
    size_t bytes;
    uint64_t turn;
};

Err grammar_cache_new(GrammarCache **out, Error *err)
{
    GrammarCache *c = calloc(1, sizeof *c);
    if (!c)
        return fail(err, NO_MEMORY, "no memory for grammars");
    pthread_mutex_init(&c->lock, NULL);
    *out = c;
    return OK;
}

static void drop(GrammarCache *c, CachedGrammar *e)
{
    grammar_free(e->grammar);
    free(e->text);
    c->bytes -= e->bytes;
    *e = (CachedGrammar){0};
}

void grammar_cache_free(GrammarCache *c)
{
    if (!c)
        return;
    for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++)
        drop(c, &c->entry[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static CachedGrammar *find(GrammarCache *c, GrammarKind kind, Span text)
{
    for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++) {
        CachedGrammar *e = &c->entry[i];
        if (e->grammar && e->kind == kind && span_equal(span_of(e->text, e->bytes), text))
            return e;
    }
    return NULL;
}

/* ---- compiling ---- */

static Err from_schema(Span text, Grammar **out, Error *err)
{
    json_t *schema;
    TRY(json_read(text, GRAMMAR_TEXT_BYTES_MAX, "schema", &schema, err));
    Err result = grammar_from_schema(schema, out, err);
    json_decref(schema);
    return result;
}

static Err from_choices(Span text, Grammar **out, Error *err)
{
    json_t *list;
    TRY(json_read(text, GRAMMAR_TEXT_BYTES_MAX, "choice", &list, err));
    size_t count = json_array_size(list);
    Span *choices = calloc(count ? count : 1, sizeof *choices);
    for (size_t i = 0; choices && i < count; i++)
        choices[i] = span_of(json_string_value(json_array_get(list, i)), json_string_length(json_array_get(list, i)));
    Err result = choices ? grammar_from_choices(choices, count, out, err) : fail(err, NO_MEMORY, "no memory for choices");
    free(choices);
    json_decref(list);
    return result;
}

static Err compile(GrammarKind kind, Span text, Grammar **out, Error *err)
{
    switch (kind) {
    case GRAMMAR_GBNF: return grammar_from_gbnf(text, out, err);
    case GRAMMAR_REGEX: return grammar_from_regex(text, out, err);
    case GRAMMAR_SCHEMA: return from_schema(text, out, err);
    case GRAMMAR_CHOICES: return from_choices(text, out, err);
    case GRAMMAR_JSON_OBJECT: return grammar_json_object(out, err);
    }
    return fail(err, BAD_ARGUMENT, "no such kind of grammar");
}

/* ---- taking ---- */

/* The place of the least recently used one, or a free one. */
static CachedGrammar *oldest(GrammarCache *c)
{
    CachedGrammar *best = &c->entry[0];
    for (int i = 1; i < GRAMMAR_CACHE_ENTRIES; i++)
        if (c->entry[i].used < best->used)
            best = &c->entry[i];
    return best;
}

static CachedGrammar *oldest_held(GrammarCache *c)
{
    CachedGrammar *best = NULL;
    for (int i = 0; i < GRAMMAR_CACHE_ENTRIES; i++)
        if (c->entry[i].grammar && (!best || c->entry[i].used < best->used))
            best = &c->entry[i];
    return best;
}

static void keep(GrammarCache *c, GrammarKind kind, Span text, Grammar *grammar)
{
    uint8_t *copy = malloc(text.bytes + 1);
    if (!copy)
        return;
    span_copy((char *)copy, text);
    while (c->bytes + text.bytes > GRAMMAR_CACHE_BYTES_MAX && oldest_held(c))
        drop(c, oldest_held(c));
    CachedGrammar *e = oldest(c);
    drop(c, e);
    *e = (CachedGrammar){kind, copy, text.bytes, grammar_share(grammar), ++c->turn};
    c->bytes += text.bytes;
}

static Grammar *look_up(GrammarCache *c, GrammarKind kind, Span text)
{
    CachedGrammar *e = find(c, kind, text);
    if (e)
        e->used = ++c->turn;
    return e ? grammar_share(e->grammar) : NULL;
}

Err grammar_cache_take(GrammarCache *c, GrammarKind kind, Span text, Grammar **out, Error *err)
{
    if (text.bytes > GRAMMAR_TEXT_BYTES_MAX)
        return fail(err, LIMIT_REACHED, "it has %zu bytes; at most %d are compiled", text.bytes, GRAMMAR_TEXT_BYTES_MAX);
    pthread_mutex_lock(&c->lock);
    *out = look_up(c, kind, text);
    pthread_mutex_unlock(&c->lock);
    if (*out)
        return OK;
    TRY(compile(kind, text, out, err));
    pthread_mutex_lock(&c->lock);
    Grammar *meanwhile = look_up(c, kind, text);    /* somebody else has compiled it too: one of them is enough */
    if (!meanwhile)
        keep(c, kind, text, *out);
    pthread_mutex_unlock(&c->lock);
    if (meanwhile) {
        grammar_free(*out);
        *out = meanwhile;
    }
    return OK;
}
