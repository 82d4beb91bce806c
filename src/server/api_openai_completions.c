/* POST /v1/completions: text that goes on from a prompt.
 *
 *     prompt   "text"  |  ["text", ...]  |  [id, ...]  |  [[id, ...], ...]      n answers to each, in order
 *     suffix   what shall come after the answer, for models that were trained to fill a gap
 */
#include <stdio.h>

#include "server/openai_parts.h"
#include "server/prompt_fields.h"
#include "server/sampling_fields.h"

enum { MAX_TOKENS_DEFAULT = 16 };

static const char object[] = "text_completion";
static const OpenaiChunk text_chunk = {object, "\"text\":", ",\"logprobs\":null,\"finish_reason\":null,\"stop_reason\":null}"};

/* ---- the legacy form of log-probabilities ---- */

/* A part of a character, which no JSON text can hold, is spelled as its bytes. */
static json_t *token_name(const Tokenizer *t, int32_t id)
{
    Span piece = tokenizer_piece_bytes(t, id);
    json_t *text = json_stringn(piece.bytes ? (const char *)piece.data : "", piece.bytes);
    char name[128] = "bytes:";
    for (size_t i = 0, at = 6; !text && i < piece.bytes && at + 5 < sizeof name; i++)
        at += (size_t)snprintf(name + at, sizeof name - at, "\\x%02x", piece.data[i]);
    return text ? text : json_string(name);
}

static int64_t characters(Span piece)
{
    int64_t count = 0;
    for (size_t i = 0; i < piece.bytes; i++)
        count += (piece.data[i] & 0xC0) != 0x80;
    return count;
}

static json_t *candidates(const Tokenizer *t, const KeptToken *s)
{
    json_t *out = json_object();
    for (int32_t k = 0; k < s->best_count; k++) {
        json_t *name = token_name(t, s->best[k].id);
        json_object_set_new(out, json_string_value(name), openai_number(s->best[k].logprob));
        json_decref(name);
    }
    json_t *name = token_name(t, s->id);
    json_object_set_new(out, json_string_value(name), openai_number(s->logprob));
    json_decref(name);
    return out;
}

typedef struct Legacy { json_t *tokens, *logprobs, *top, *offsets; } Legacy;

/* `s` NULL: the first token of a prompt, of which the model thinks nothing. */
static void add_legacy(Legacy *l, const Tokenizer *t, int32_t id, const KeptToken *s, int32_t wanted, int64_t *offset)
{
    json_array_append_new(l->tokens, token_name(t, id));
    json_array_append_new(l->logprobs, s ? openai_number(s->logprob) : json_null());
    json_array_append_new(l->top, s && wanted > 0 ? candidates(t, s) : json_null());
    json_array_append_new(l->offsets, json_integer(*offset));
    *offset += characters(tokenizer_piece_bytes(t, id));
}

static json_t *legacy_logprobs(const Generation *g, OpenaiReply *r, const Choice *c, const KeptToken *tokens, int32_t count,
                               bool with_prompt)
{
    const GenerationSpec *s = generation_spec(g);
    const Tokenizer *t = r->service->tokenizer;
    int64_t *offset = &r->bytes[c->index];
    if (r->logprobs == LOGPROBS_NONE)
        return json_null();
    Legacy l = {json_array(), json_array(), json_array(), json_array()};
    if (with_prompt) {
        const PromptIds *p = &s->prompts[c->prompt];
        add_legacy(&l, t, p->ids[0], NULL, r->logprobs, offset);
        for (int32_t i = 0; i < c->prompt_token_count; i++)
            add_legacy(&l, t, c->prompt_tokens[i].id, &c->prompt_tokens[i], r->logprobs, offset);
    }
    for (int32_t i = 0; i < count; i++)
        add_legacy(&l, t, tokens[i].id, &tokens[i], r->logprobs, offset);
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", l.tokens, "token_logprobs", l.logprobs, "top_logprobs", l.top,
                     "text_offset", l.offsets);
}

/* ---- the answer ---- */

static json_t *choice_json(const Generation *g, OpenaiReply *r, const Choice *c, Span text, const KeptToken *tokens,
                           int32_t count, bool first)
{
    const GenerationSpec *s = generation_spec(g);
    json_t *out = json_pack("{s:i, s:o, s:o, s:o, s:o}", "index", (int)c->index, "text",
                            json_stringn(text.bytes ? (const char *)text.data : "", text.bytes), "logprobs",
                            legacy_logprobs(g, r, c, tokens, count, first && s->echo), "finish_reason", openai_finish_json(c),
                            "stop_reason", openai_stop_reason(g, c));
    if (r->returns_ids)
        json_object_set_new(out, "token_ids", openai_ids(tokens, count));
    return out;
}

static void tell_delta(Exchange *x, Generation *g, const Delta *d)
{
    OpenaiReply *r = generation_with(g);
    const Choice *c = d->choice;
    if (d->kind != DELTA_TEXT && d->kind != DELTA_END)
        return;
    if (openai_is_plain(r, d)) {
        openai_send_text(x, g, r, &text_chunk, c->index, d->text);
        return;
    }
    openai_send(x, g, r, object, choice_json(g, r, c, d->text, d->tokens, d->token_count, !r->opened[c->index]));
    r->opened[c->index] = true;
}

static void tell_all(Exchange *x, Generation *g)
{
    OpenaiReply *r = generation_with(g);
    json_t *choices = json_array();
    for (int32_t i = 0; i < generation_choices(g); i++) {
        const Choice *c = generation_choice(g, i);
        json_t *choice = choice_json(g, r, c, buf_span(&c->text), c->tokens, c->token_count, true);
        if (r->returns_prompt)
            json_object_set_new(choice, "prompt_logprobs", openai_prompt_logprobs(r->service->tokenizer, c));
        json_array_append_new(choices, choice);
    }
    json_t *answer = openai_frame(r, object, choices);
    openai_add_extras(answer, g);
    exchange_json(x, 200, answer);
}

static void done(Exchange *x, Generation *g)
{
    OpenaiReply *r = generation_with(g);
    if (generation_spec(g)->stream)
        openai_end_stream(x, g, r, object);
    else if (!openai_tell_failure(x, g))
        tell_all(x, g);
}

static const Wire wire = {.delta = tell_delta, .done = done, .free_with = openai_reply_free};

/* ---- the request ---- */

static void read_body(Fields *f, GenerationSpec *s, OpenaiReply *r, const Service *service)
{
    bool adds_special = true;
    int32_t logprobs = LOGPROBS_NONE;
    const char *suffix = NULL;
    model_field_check(f, service);
    sampling_fields_read(f, s, service);
    if (s->max_tokens < 0)
        s->max_tokens = MAX_TOKENS_DEFAULT;
    fields_int(f, "max_tokens", 0, INT32_MAX, &s->max_tokens);
    fields_bool(f, "echo", &s->echo);
    fields_int(f, "logprobs", 0, TOP_LOGPROBS_MAX, &logprobs);
    fields_int(f, "prompt_logprobs", 0, TOP_LOGPROBS_MAX, &s->prompt_logprobs);
    fields_bool(f, "return_token_ids", &r->returns_ids);
    fields_bool(f, "add_special_tokens", &adds_special);
    fields_text(f, "suffix", SIZE_MAX, &suffix);
    openai_read_stream_options(f, r, s->stream);
    r->returns_prompt = s->prompt_logprobs != LOGPROBS_NONE;
    if (s->stream && r->returns_prompt)
        fields_refuse(f, "prompt_logprobs", "is not given in streams");
    if (s->max_tokens == 0 && !s->echo && !r->returns_prompt)
        fields_refuse(f, "max_tokens", "must be at least 1 where neither echo nor prompt_logprobs is asked for");
    r->logprobs = s->sampling.logprobs = logprobs;
    if (s->echo && logprobs != LOGPROBS_NONE && s->prompt_logprobs < logprobs)
        s->prompt_logprobs = logprobs;
    PromptFields prompts = {.name = "prompt", .service = service, .suffix = suffix && *suffix ? suffix : NULL,
                            .flags = ENCODE_PARSE_SPECIAL | (adds_special ? ENCODE_ADD_SPECIAL : 0), .out = s->prompts,
                            .most = PROMPTS_MAX};
    prompt_fields_read(f, &prompts);
    s->prompt_count = prompts.count;
    output_form_read(f, s, service);
}

static bool begin(Exchange *x, Fields *f, GenerationSpec *spec, ApiError *error)
{
    OpenaiReply *r = openai_reply_new(x, "cmpl-", CHOICES_MAX);
    if (!r)
        return api_refuse(error, 500, NULL, "no memory for a request");
    read_body(f, spec, r, exchange_service(x));
    if (fields_ok(f))
        return generation_begin(x, spec, &wire, r, error);
    openai_reply_free(r);
    return false;
}

static void complete(Exchange *x) { openai_generate(x, begin); }

static const Route routes[] = {{"POST", "/v1/completions", ACCESS_KEY, complete}};
const RouteList routes_openai_completions = ROUTES(routes, api_error_json);
