#include "server/answer_guard.h"

#include <stdlib.h>

typedef struct Guarded {
    GrammarMatcher *matcher;                   /* NULL: no grammar */
    bool inside;                               /* of a section of reasoning */
    int32_t spent;                             /* tokens of all sections so far */
    int32_t forced;                            /* which token of the end must come; -1: none */
    uint8_t tail[GUARD_MARK_BYTES_MAX];        /* the end of what came since the last mark */
    size_t tail_bytes;
} Guarded;

struct AnswerGuard {
    Grammar *grammar;
    const Tokenizer *tokenizer;
    uint8_t begin[GUARD_MARK_BYTES_MAX], end[GUARD_MARK_BYTES_MAX];
    size_t begin_bytes, end_bytes;
    int32_t budget;
    int32_t end_ids[GUARD_END_TOKENS_MAX], end_count;
    uint32_t *only;                            /* a mask of one token: */
    int32_t only_id;
    int32_t samples;
    Guarded sample[];
};

/* ---- birth ---- */

/* The end as the model's own tokens write it. */
static Err read_end(AnswerGuard *g, const AnswerGuardOptions *o, Error *err)
{
    Encoding e;
    Err result = tokenizer_encode(o->tokenizer, o->end, ENCODE_PARSE_SPECIAL, &e, err);
    if (result == OK && (e.count < 1 || e.count > GUARD_END_TOKENS_MAX))
        result = fail(err, UNSUPPORTED, "the model's tokens cannot write '%.*s', so its reasoning cannot be ended by force",
                      (int)o->end.bytes, (const char *)o->end.data);
    for (size_t i = 0; result == OK && i < e.count; i++)
        g->end_ids[g->end_count++] = e.ids[i];
    encoding_deinit(&e);
    if (result == OK && !(g->only = calloc((size_t)o->vocabulary / 32 + 1, sizeof *g->only)))
        result = fail(err, NO_MEMORY, "no memory for a bound on reasoning");
    return result;
}

static Err fill(AnswerGuard *g, const AnswerGuardOptions *o, Error *err)
{
    span_copy((char *)g->begin, o->begin);
    span_copy((char *)g->end, o->end);
    if (o->budget != THINKING_ANY)
        TRY(read_end(g, o, err));
    for (; g->samples < o->samples; g->samples++) {
        Guarded *s = &g->sample[g->samples];
        s->inside = o->open;
        s->forced = o->open && o->budget == 0 ? 0 : -1;
        if (o->grammar)
            TRY(grammar_matcher_new(&s->matcher, o->grammar, o->vocab, err));
    }
    return OK;
}

Err answer_guard_new(AnswerGuard **out, const AnswerGuardOptions *o, Error *err)
{
    ASSERT(o->begin.bytes <= GUARD_MARK_BYTES_MAX && o->end.bytes <= GUARD_MARK_BYTES_MAX);
    ASSERT(o->end.bytes > 0 || (!o->open && o->budget == THINKING_ANY));
    AnswerGuard *g = calloc(1, sizeof *g + (size_t)o->samples * sizeof *g->sample);
    if (!g)
        return fail(err, NO_MEMORY, "no memory for what %d samples may write", o->samples);
    g->grammar = o->grammar ? grammar_share(o->grammar) : NULL;
    g->tokenizer = o->tokenizer;
    g->begin_bytes = o->begin.bytes;
    g->end_bytes = o->end.bytes;
    g->budget = o->budget;
    Err result = fill(g, o, err);
    if (result != OK)
        answer_guard_free(g);
    else
        *out = g;
    return result;
}

void answer_guard_free(AnswerGuard *g)
{
    if (!g)
        return;
    for (int32_t i = 0; i < g->samples; i++)
        grammar_matcher_free(g->sample[i].matcher);
    grammar_free(g->grammar);
    free(g->only);
    free(g);
}

/* ---- on the engine's thread ---- */

static const uint32_t *only(AnswerGuard *g, int32_t id)
{
    g->only[g->only_id / 32] = 0;
    g->only[id / 32] = 1u << id % 32;
    g->only_id = id;
    return g->only;
}

static const uint32_t *allowed(void *with, int32_t sample)
{
    AnswerGuard *g = with;
    Guarded *s = &g->sample[sample];
    if (s->forced >= 0)
        return only(g, g->end_ids[s->forced]);
    return s->inside || !s->matcher ? NULL : grammar_matcher_allowed(s->matcher);
}

static bool tail_is(const Guarded *s, const uint8_t *mark, size_t bytes)
{
    return bytes > 0 && s->tail_bytes >= bytes && !memcmp(s->tail + s->tail_bytes - bytes, mark, bytes);
}

/* Byte by byte, so that what follows the end in the same token is held to the grammar already. */
static void watch_for_marks(const AnswerGuard *g, Guarded *s, Span text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (s->tail_bytes == sizeof s->tail)
            memmove(s->tail, s->tail + 1, --s->tail_bytes);
        s->tail[s->tail_bytes++] = text.data[i];
        if (!tail_is(s, s->inside ? g->end : g->begin, s->inside ? g->end_bytes : g->begin_bytes))
            continue;
        s->inside = !s->inside;
        s->tail_bytes = 0;
        if (s->matcher) {
            grammar_matcher_accept_text(s->matcher, span_from(text, i + 1));
            return;
        }
    }
}

static void take_forced(const AnswerGuard *g, Guarded *s)
{
    if (++s->forced < g->end_count)
        return;
    s->forced = -1;
    s->inside = false;
    s->tail_bytes = 0;
}

static void accept(void *with, int32_t sample, int32_t id)
{
    AnswerGuard *g = with;
    Guarded *s = &g->sample[sample];
    if (s->forced >= 0) {
        take_forced(g, s);
        return;
    }
    if (!s->inside && s->matcher) {
        grammar_matcher_accept(s->matcher, id);
        return;
    }
    s->spent += s->inside;
    watch_for_marks(g, s, tokenizer_piece_bytes(g->tokenizer, id));
    if (s->inside && g->budget != THINKING_ANY && s->spent >= g->budget)
        s->forced = 0;
}

static void copy(void *with, int32_t to, int32_t from)
{
    AnswerGuard *g = with;
    GrammarMatcher *matcher = g->sample[to].matcher;
    g->sample[to] = g->sample[from];
    g->sample[to].matcher = matcher;
    if (matcher)
        grammar_matcher_copy(matcher, g->sample[from].matcher);
}

Constraint answer_guard_constraint(AnswerGuard *g)
{
    return (Constraint){.allowed = allowed, .accept = accept, .copy = copy, .with = g};
}
