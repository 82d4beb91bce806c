#include "server/llamacpp_answer.h"

#include <math.h>
#include <stdlib.h>

#include "server/llamacpp_prompt.h"
#include "server/openai_parts.h"

LlamacppOptions *llamacpp_answer_new(void) { return calloc(1, sizeof(LlamacppOptions)); }

void llamacpp_answer_free(void *with)
{
    if (with)
        llamacpp_options_deinit(with);
    free(with);
}

/* ---- probabilities ---- */

static json_t *token_json(const Tokenizer *t, int32_t id, const char *name, json_t *chance)
{
    return json_pack("{s:i, s:o, s:o, s:o}", "id", (int)id, "token", openai_token_text(t, id), "bytes",
                     openai_token_bytes(t, id), name, chance);
}

/* At temperature 0 the chosen token is all that is left; with all samplers off, what the model says. */
static json_t *chance_json(const LlamacppOptions *l, const GenerationSpec *spec, float logprob)
{
    if (!l->tells_chosen)
        return openai_number(logprob);
    return json_real(sampler_is_greedy(&spec->sampling) ? 1 : exp((double)logprob));
}

static json_t *probs_json(const LlamacppOptions *l, const GenerationSpec *spec, const Tokenizer *t, const KeptToken *tokens,
                          int32_t count)
{
    const char *name = l->tells_chosen ? "prob" : "logprob", *tops = l->tells_chosen ? "top_probs" : "top_logprobs";
    json_t *list = json_array();
    for (int32_t i = 0; i < count; i++) {
        const KeptToken *s = &tokens[i];
        bool only_one = l->tells_chosen && sampler_is_greedy(&spec->sampling);
        json_t *entry = token_json(t, s->id, name, chance_json(l, spec, s->logprob)), *top = json_array();
        for (int32_t k = 0; k < s->best_count && k < (only_one ? 1 : l->probs); k++)
            json_array_append_new(top, token_json(t, s->best[k].id, name, chance_json(l, spec, s->best[k].logprob)));
        json_object_set_new(entry, tops, top);
        json_array_append_new(list, entry);
    }
    return list;
}

/* ---- the whole answer ---- */

static int32_t predicted(const Choice *c) { return c->token_count + (c->stop_token >= 0); }

static json_t *timings_json(const Generation *g)
{
    json_t *t = generation_timings(g);
    double ms = json_number_value(json_object_get(t, "prompt_ms")), n = json_number_value(json_object_get(t, "prompt_n"));
    json_object_set_new(t, "prompt_per_token_ms", json_real(n > 0 ? ms / n : 0));
    return t;
}

/* Cut short though more tokens were allowed: the context is used up. */
static bool is_truncated(const Choice *c, const GenerationSpec *spec)
{
    return c->finish == FINISH_LENGTH && (spec->max_tokens == TOKENS_ALL || predicted(c) < spec->max_tokens);
}

static const char *stop_type(const Choice *c)
{
    if (c->finish == FINISH_NONE)
        return "none";
    return c->finish != FINISH_STOP ? "limit" : c->stop_text ? "word" : "eos";
}

static json_t *ids_or_none(bool wanted, const KeptToken *tokens, int32_t count)
{
    return wanted ? openai_ids(tokens, count) : json_array();
}

static json_t *text_json(Span text) { return json_stringn(text.bytes ? (const char *)text.data : "", text.bytes); }

static json_t *final_json(Generation *g, const Choice *c, const Service *s, bool told)
{
    const LlamacppOptions *l = generation_with(g);
    const GenerationSpec *spec = generation_spec(g);
    const PromptIds *prompt = &spec->prompts[c->prompt];
    Span text = told ? (Span){0} : buf_span(&c->text);
    json_t *out = json_pack(
        "{s:i, s:o, s:o, s:i, s:b, s:s, s:i, s:i, s:O, s:o, s:b, s:b, s:s, s:s, s:i, s:o}", "index", (int)c->index, "content",
        text_json(text), "tokens", ids_or_none(l->returns_tokens && !told, c->tokens, c->token_count), "id_slot", 0, "stop", 1,
        "model", s->model_name, "tokens_predicted", (int)predicted(c), "tokens_evaluated", (int)prompt->count,
        "generation_settings", l->settings, "prompt", llamacpp_text(s->tokenizer, prompt->ids, prompt->count), "has_new_line",
        memchr(c->text.data, '\n', c->text.bytes) != NULL, "truncated", is_truncated(c, spec), "stop_type", stop_type(c),
        "stopping_word", c->stop_text ? c->stop_text : "", "tokens_cached", (int)c->times.reused_tokens, "timings",
        timings_json(g));
    if (l->probs > 0 && !told)
        json_object_set_new(out, "completion_probabilities", probs_json(l, spec, s->tokenizer, c->tokens, c->token_count));
    return out;
}

/* Only what response_fields names: "a/b" is b of a, on top. Takes the object over. */
static json_t *chosen_fields(const LlamacppOptions *l, json_t *whole)
{
    json_t *name, *out;
    size_t i;
    if (!l->fields)
        return whole;
    out = json_object();
    json_array_foreach(l->fields, i, name)
    {
        const char *path = json_is_string(name) ? json_string_value(name) : "", *slash;
        json_t *at = whole;
        for (; (slash = strchr(path, '/')); path = slash + 1)
            at = json_object_getn(at, path, (size_t)(slash - path));
        if (json_object_get(at, path))
            json_object_set(out, path, json_object_get(at, path));
    }
    json_decref(whole);
    return out;
}

/* ---- streams ---- */

static void begin_stream(Exchange *x)
{
    if (!exchange_is_stream(x))
        exchange_stream(x, "text/event-stream");
}

static void write_part(Exchange *x, Generation *g, const Delta *d)
{
    const LlamacppOptions *l = generation_with(g);
    const Choice *c = d->choice;
    const Service *s = exchange_service(x);
    json_t *part = json_pack("{s:i, s:o, s:o, s:b, s:i, s:i, s:i}", "index", (int)c->index, "content", text_json(d->text),
                             "tokens", openai_ids(d->tokens, d->token_count), "stop", 0, "id_slot", 0, "tokens_predicted",
                             (int)predicted(c), "tokens_evaluated", (int)generation_spec(g)->prompts[c->prompt].count);
    if (l->probs > 0)
        json_object_set_new(part, "completion_probabilities",
                            probs_json(l, generation_spec(g), s->tokenizer, d->tokens, d->token_count));
    if (l->times_each)
        json_object_set_new(part, "timings", timings_json(g));
    begin_stream(x);
    exchange_event(x, NULL, part);
}

static void write_delta(Exchange *x, Generation *g, const Delta *d)
{
    if (generation_failed(g, NULL))
        return;                /* done() tells it */
    if (d->text.bytes || d->token_count)
        write_part(x, g, d);
    if (d->kind != DELTA_END)
        return;
    begin_stream(x);
    exchange_event(x, NULL, chosen_fields(generation_with(g), final_json(g, d->choice, exchange_service(x), true)));
}

/* ---- ends ---- */

static void write_all(Exchange *x, Generation *g)
{
    ApiError error;
    if (generation_failed(g, &error)) {
        exchange_refuse(x, &error);
        return;
    }
    if (generation_spec(g)->stream) {
        begin_stream(x);
        exchange_done(x);
        return;
    }
    json_t *list = json_array();
    for (int32_t i = 0; i < generation_choices(g); i++)
        json_array_append_new(list, chosen_fields(generation_with(g),
                                                  final_json(g, generation_choice(g, i), exchange_service(x), false)));
    json_t *only = json_array_size(list) == 1 ? json_incref(json_array_get(list, 0)) : NULL;
    exchange_json(x, 200, only ? only : json_incref(list));
    json_decref(list);
}

const Wire llamacpp_wire = {.delta = write_delta, .done = write_all, .free_with = llamacpp_answer_free};

/* ---- errors ---- */

json_t *llamacpp_error_json(const ApiError *e)
{
    const char *type = e->status == 500 ? "server_error" : e->type;
    return json_pack("{s:{s:i, s:s, s:s}}", "error", "code", e->status, "message", e->message, "type", type);
}

void llamacpp_error_event(Exchange *x, const ApiError *e) { exchange_event(x, "error", llamacpp_error_json(e)); }
