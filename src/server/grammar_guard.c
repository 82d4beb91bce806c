#include "server/grammar_guard.h"

#include <stdlib.h>

typedef struct Guarded {
    GrammarMatcher *matcher;
    bool is_free;                              /* `after` has not come yet */
    uint8_t tail[GUARD_AFTER_BYTES_MAX];       /* the end of what came so far */
    size_t tail_bytes;
} Guarded;

struct GrammarGuard {
    Grammar *grammar;
    const Tokenizer *tokenizer;
    uint8_t after[GUARD_AFTER_BYTES_MAX];
    size_t after_bytes;
    int32_t samples;
    Guarded sample[];
};

Err grammar_guard_new(GrammarGuard **out, Grammar *grammar, const GrammarVocab *vocab, const Tokenizer *tokenizer, Span after,
                      int32_t samples, Error *err)
{
    ASSERT(after.bytes <= GUARD_AFTER_BYTES_MAX);
    GrammarGuard *g = calloc(1, sizeof *g + (size_t)samples * sizeof *g->sample);
    if (!g)
        return fail(err, NO_MEMORY, "no memory for a grammar over %d samples", samples);
    g->grammar = grammar_share(grammar);
    g->tokenizer = tokenizer;
    span_copy((char *)g->after, after);
    g->after_bytes = after.bytes;
    Err result = OK;
    for (; g->samples < samples && result == OK; g->samples++) {
        g->sample[g->samples].is_free = after.bytes > 0;
        result = grammar_matcher_new(&g->sample[g->samples].matcher, grammar, vocab, err);
    }
    if (result != OK)
        grammar_guard_free(g);
    else
        *out = g;
    return result;
}

void grammar_guard_free(GrammarGuard *g)
{
    if (!g)
        return;
    for (int32_t i = 0; i < g->samples; i++)
        grammar_matcher_free(g->sample[i].matcher);
    grammar_free(g->grammar);
    free(g);
}

/* ---- on the engine's thread ---- */

static const uint32_t *allowed(void *with, int32_t sample)
{
    Guarded *s = &((GrammarGuard *)with)->sample[sample];
    return s->is_free ? NULL : grammar_matcher_allowed(s->matcher);
}

/* Byte by byte, so that what follows `after` in the same token is held to the grammar already. */
static void watch_for_end(const GrammarGuard *g, Guarded *s, Span text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (s->tail_bytes == g->after_bytes)
            memmove(s->tail, s->tail + 1, --s->tail_bytes);
        s->tail[s->tail_bytes++] = text.data[i];
        if (span_equal(span_of(s->tail, s->tail_bytes), span_of(g->after, g->after_bytes))) {
            s->is_free = false;
            grammar_matcher_accept_text(s->matcher, span_from(text, i + 1));
            return;
        }
    }
}

static void accept(void *with, int32_t sample, int32_t id)
{
    GrammarGuard *g = with;
    Guarded *s = &g->sample[sample];
    if (s->is_free)
        watch_for_end(g, s, tokenizer_piece_bytes(g->tokenizer, id));
    else
        grammar_matcher_accept(s->matcher, id);
}

static void copy(void *with, int32_t to, int32_t from)
{
    GrammarGuard *g = with;
    Guarded *a = &g->sample[to], *b = &g->sample[from];
    a->is_free = b->is_free;
    a->tail_bytes = b->tail_bytes;
    memcpy(a->tail, b->tail, sizeof a->tail);
    grammar_matcher_copy(a->matcher, b->matcher);
}

Constraint grammar_guard_constraint(GrammarGuard *g)
{
    return (Constraint){.allowed = allowed, .accept = accept, .copy = copy, .with = g};
}
