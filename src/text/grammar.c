#include "text/grammar.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "text/grammar_mask.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"

struct Grammar {
    atomic_int references;
    GrammarProgram program;
    pthread_mutex_t lock;        /* of all below: matchers of one grammar may be on several threads */
    const GrammarVocab *vocab;   /* NULL: no matcher was made yet */
    GrammarStates states;
    GrammarMasks masks;
};

struct GrammarMatcher {
    Grammar *grammar;
    StatePin pin;
    bool ended;                  /* a token that ends the answer came */
    uint32_t mask[];             /* a copy, which no other matcher changes */
};

static Err compile(Span gbnf, bool control, const char *what, Grammar **out, Error *err)
{
    GrammarRules rules;
    Grammar *g = calloc(1, sizeof *g);
    if (!g)
        return fail(err, NO_MEMORY, "%s: no memory to compile it", what);
    grammar_rules_init(&rules);
    Err result = grammar_rules_read(&rules, gbnf, control, what, err);
    if (result == OK)
        result = grammar_program_make(&g->program, &rules, what, err);
    grammar_rules_deinit(&rules);
    if (result != OK) {
        free(g);
        return result;
    }
    atomic_init(&g->references, 1);
    pthread_mutex_init(&g->lock, NULL);
    *out = g;
    return OK;
}

Err grammar_from_gbnf(Span text, Grammar **out, Error *err) { return compile(text, true, "grammar", out, err); }

/* What was written as GBNF by one of the front ends is compiled, unless writing it failed. */
static Err compile_written(Err result, Buf *gbnf, const char *what, Grammar **out, Error *err)
{
    if (result == OK && gbnf->full)
        result = fail(err, LIMIT_REACHED, "%s: it is too large: its rules take more than %d bytes", what,
                      (int)GRAMMAR_TEXT_MAX);
    if (result == OK)
        result = compile(buf_span(gbnf), false, what, out, err);
    buf_deinit(gbnf);
    return result;
}

Err grammar_from_regex(Span pattern, Grammar **out, Error *err)
{
    Buf gbnf;
    buf_init(&gbnf, GRAMMAR_TEXT_MAX);
    buf_put_text(&gbnf, "root ::= ");
    return compile_written(grammar_regex_rule(pattern, &gbnf, err), &gbnf, "regex", out, err);
}

Err grammar_from_schema(json_t *schema, Grammar **out, Error *err)
{
    Buf gbnf;
    buf_init(&gbnf, GRAMMAR_TEXT_MAX);
    return compile_written(grammar_schema_rules(schema, "root", &gbnf, err), &gbnf, "schema", out, err);
}

Err grammar_from_choices(const Span *choices, size_t count, Grammar **out, Error *err)
{
    Buf gbnf;
    buf_init(&gbnf, GRAMMAR_TEXT_MAX);
    buf_put_text(&gbnf, "root ::= ");
    Err result = count ? OK : fail(err, BAD_ARGUMENT, "choice: the list is empty");
    for (size_t i = 0; i < count && result == OK; i++) {
        if (!choices[i].bytes)
            result = fail(err, BAD_ARGUMENT, "choice: number %zu is an empty text", i);
        buf_put_text(&gbnf, i ? " | " : "");
        if (result == OK)
            result = grammar_literal(choices[i], "choice", &gbnf, err);
    }
    return compile_written(result, &gbnf, "choice", out, err);
}

Err grammar_json_object(Grammar **out, Error *err)
{
    json_t *schema = json_pack("{s:s}", "type", "object");
    Err result = schema ? grammar_from_schema(schema, out, err) : fail(err, NO_MEMORY, "json_object: no memory");
    json_decref(schema);
    return result;
}

Grammar *grammar_share(Grammar *g)
{
    atomic_fetch_add(&g->references, 1);
    return g;
}

void grammar_free(Grammar *g)
{
    if (!g || atomic_fetch_sub(&g->references, 1) != 1)
        return;
    if (g->vocab) {
        grammar_masks_deinit(&g->masks);
        grammar_states_deinit(&g->states);
    }
    grammar_program_deinit(&g->program);
    pthread_mutex_destroy(&g->lock);
    free(g);
}

GrammarStats grammar_stats(Grammar *g)
{
    pthread_mutex_lock(&g->lock);
    GrammarStats out = {g->masks.asked, g->masks.walked};
    pthread_mutex_unlock(&g->lock);
    return out;
}

/* ---- matchers ---- */

/* Memory for states and masks, when the first matcher is made. */
static Err meet_vocab(Grammar *g, const GrammarVocab *v, Error *err)
{
    if (g->vocab == v)
        return OK;
    if (g->vocab)
        return fail(err, BAD_ARGUMENT, "a grammar is used with one vocabulary only");
    TRY(grammar_states_init(&g->states, &g->program, err));
    /* of a vocabulary only its classes change, under a lock of their own */
    Err result = grammar_masks_init(&g->masks, &g->states, (GrammarVocab *)v, err);
    if (result != OK)
        grammar_states_deinit(&g->states);
    else
        g->vocab = v;
    return result;
}

Err grammar_matcher_new(GrammarMatcher **out, Grammar *g, const GrammarVocab *v, Error *err)
{
    GrammarMatcher *m = calloc(1, sizeof *m + v->words * sizeof *m->mask);
    if (!m)
        return fail(err, NO_MEMORY, "no memory for a matcher of %d tokens", (int)v->count);
    pthread_mutex_lock(&g->lock);
    Err result = meet_vocab(g, v, err);
    if (result == OK)
        states_pin(&g->states, &m->pin);
    pthread_mutex_unlock(&g->lock);
    if (result != OK) {
        free(m);
        return result;
    }
    m->grammar = grammar_share(g);
    *out = m;
    return OK;
}

void grammar_matcher_free(GrammarMatcher *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&m->grammar->lock);
    states_unpin(&m->pin);
    pthread_mutex_unlock(&m->grammar->lock);
    grammar_free(m->grammar);
    free(m);
}

void grammar_matcher_reset(GrammarMatcher *m)
{
    pthread_mutex_lock(&m->grammar->lock);
    m->pin.state = m->grammar->states.start;
    m->ended = false;
    pthread_mutex_unlock(&m->grammar->lock);
}

void grammar_matcher_copy(GrammarMatcher *to, const GrammarMatcher *from)
{
    ASSERT(to->grammar == from->grammar);
    pthread_mutex_lock(&to->grammar->lock);
    to->pin.state = from->pin.state;
    to->ended = from->ended;
    pthread_mutex_unlock(&to->grammar->lock);
}

static bool is_end(const GrammarVocab *v, int32_t id)
{
    for (size_t i = 0; i < v->end_count; i++)
        if (v->ends[i] == id)
            return true;
    return false;
}

const uint32_t *grammar_matcher_allowed(GrammarMatcher *m)
{
    Grammar *g = m->grammar;
    size_t bytes = g->vocab->words * sizeof *m->mask;
    if (m->ended) {
        memset(m->mask, 0, bytes);
        for (size_t i = 0; i < g->vocab->end_count; i++)
            m->mask[g->vocab->ends[i] / 32] |= 1u << g->vocab->ends[i] % 32;
        return m->mask;
    }
    pthread_mutex_lock(&g->lock);
    memcpy(m->mask, grammar_mask(&g->masks, &m->pin), bytes);
    pthread_mutex_unlock(&g->lock);
    return m->mask;
}

/* Steps over the bytes; the pin moves only if all of them may come. */
static bool take_bytes(GrammarMatcher *m, Span text)
{
    Grammar *g = m->grammar;
    GrammarStates *s = &g->states;
    pthread_mutex_lock(&g->lock);
    s->walk[0] = m->pin.state;
    s->walk_count = 1;
    bool taken = true;
    for (size_t i = 0; i < text.bytes && taken; i++) {
        uint16_t to = states_step(s, &s->walk[0], text.data[i]);
        taken = to != STATE_DEAD;
        s->walk[0] = taken ? to : s->walk[0];
    }
    if (taken)
        m->pin.state = s->walk[0];
    s->walk_count = 0;
    pthread_mutex_unlock(&g->lock);
    return taken;
}

bool grammar_matcher_accept(GrammarMatcher *m, int32_t id)
{
    const GrammarVocab *v = m->grammar->vocab;
    if (id < 0 || id >= v->count)
        return false;
    if (is_end(v, id)) {
        m->ended |= grammar_matcher_complete(m);
        return m->ended;
    }
    Span text = vocab_token(v, id);
    return text.bytes && !m->ended && take_bytes(m, text);
}

bool grammar_matcher_accept_text(GrammarMatcher *m, Span text)
{
    if (!text.bytes)
        return true;
    return !m->ended && !memchr(text.data, BYTE_CONTROL, text.bytes) && take_bytes(m, text);
}

bool grammar_matcher_complete(const GrammarMatcher *m)
{
    pthread_mutex_lock(&m->grammar->lock);
    bool complete = m->ended || states_complete(&m->grammar->states, m->pin.state);
    pthread_mutex_unlock(&m->grammar->lock);
    return complete;
}
