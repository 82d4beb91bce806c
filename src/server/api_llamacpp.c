/* api_llamacpp.c -- the API of llama.cpp's server, as far as it is no other's: completions, tokens, templates, state. */
#include <stdlib.h>

#include "server/conversation.h"
#include "server/engine_thread.h"
#include "server/llamacpp_answer.h"
#include "server/llamacpp_prompt.h"
#include "server/routes.h"
#include "text/json_fields.h"
#include "text/utf8.h"

enum { TOKENS_MAX = 1 << 24 };

/* True: refused, since the model knows no texts. */
static bool refuses_text(Exchange *x)
{
    ApiError error;
    if (exchange_service(x)->tokenizer)
        return false;
    api_refuse(&error, 501, NULL, "the model has no tokenizer, so it can neither read nor write text");
    exchange_refuse(x, &error);
    return true;
}

/* ---- completions ---- */

/* More than fits beside the only prompt: until the context is full, as `truncated` then says. */
static void bound_tokens(const Service *s, GenerationSpec *spec)
{
    if (spec->prompt_count == 1 && spec->max_tokens > engine_longest(s->engine) - spec->prompts[0].count)
        spec->max_tokens = TOKENS_ALL;
}

static bool begin(Exchange *x, Fields *f, GenerationSpec *spec, void (*read)(Fields *, GenerationSpec *, const Service *),
                  ApiError *error)
{
    const Service *s = exchange_service(x);
    LlamacppOptions *l = llamacpp_answer_new();
    if (!l)
        return api_refuse(error, 500, NULL, "no memory for an answer");
    llamacpp_options_read(f, l, spec, s);
    if (fields_ok(f))
        read(f, spec, s);
    if (fields_ok(f)) {
        bound_tokens(s, spec);
        return generation_begin(x, spec, &llamacpp_wire, l, error);
    }
    llamacpp_answer_free(l);
    return false;
}

static void answer(Exchange *x, void (*read)(Fields *, GenerationSpec *, const Service *))
{
    ApiError error = {0};
    GenerationSpec spec;
    Fields f;
    if (refuses_text(x))
        return;
    generation_spec_init(&spec, exchange_service(x));
    bool good = fields_open(&f, exchange_body(x), &error) && begin(x, &f, &spec, read, &error);
    generation_spec_deinit(&spec);
    fields_close(&f);
    if (!good)
        exchange_refuse(x, &error);
}

static void complete(Exchange *x) { answer(x, llamacpp_prompts_read); }
static void infill(Exchange *x) { answer(x, llamacpp_gap_read); }

/* ---- tokens ---- */

/* Bytes that are no text are told as numbers. */
static json_t *piece_of(const Tokenizer *t, int32_t id)
{
    Span piece = tokenizer_piece_bytes(t, id);
    json_t *out = json_stringn(piece.bytes ? (const char *)piece.data : "", piece.bytes);
    for (size_t i = 0; (i == 0 && !out && (out = json_array())) || (i < piece.bytes && json_is_array(out)); i++)
        json_array_append_new(out, json_integer(piece.data[i]));
    return out;
}

static json_t *tokens_json(const Tokenizer *t, const TokenList *l, bool with_pieces)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < l->count; i++)
        json_array_append_new(list, with_pieces ? json_pack("{s:i, s:o}", "id", (int)l->ids[i], "piece", piece_of(t, l->ids[i]))
                                                : json_integer(l->ids[i]));
    return json_pack("{s:o}", "tokens", list);
}

static json_t *tokenize(const Service *s, Fields *f)
{
    TokenList l = {0};
    json_t *out = NULL;
    bool adds = false, parses = true, pieces = false;
    fields_bool(f, "add_special", &adds);
    fields_bool(f, "parse_special", &parses);
    fields_bool(f, "with_pieces", &pieces);
    if (fields_ok(f) && !fields_has(f, "content"))
        fields_refuse(f, "content", "is missing");
    unsigned flags = (adds ? ENCODE_ADD_SPECIAL : 0) | (parses ? ENCODE_PARSE_SPECIAL : 0);
    if (llamacpp_ids_read(f, "content", fields_any(f, "content"), s, flags, &l))
        out = tokens_json(s->tokenizer, &l, pieces);
    token_list_deinit(&l);
    return out;
}

static json_t *detokenize(const Service *s, Fields *f)
{
    TokenList l = {0};
    json_t *text = NULL, *tokens = fields_array(f, "tokens", TOKENS_MAX);
    if (fields_ok(f) && !tokens)
        fields_refuse(f, "tokens", "is missing");
    if (llamacpp_ids_read(f, "tokens", tokens, s, ENCODE_PARSE_SPECIAL, &l))
        text = llamacpp_text(s->tokenizer, l.ids, l.count);
    token_list_deinit(&l);
    return text ? json_pack("{s:o}", "content", text) : NULL;
}

/* ---- templates ---- */

static void read_conversation(Fields *f, Conversation *c)
{
    json_t *messages = fields_array(f, "messages", MESSAGES_MAX);
    if (fields_ok(f) && !messages)
        fields_refuse(f, "messages", "is missing");
    conversation_add_messages(c, f, "messages", messages);
    conversation_set_tools(c, f, "tools[%zu].", "function.", fields_array(f, "tools", TOOLS_MAX));
    fields_bool(f, "add_generation_prompt", &c->add_generation_prompt);
    c->extra = json_incref(fields_object(f, "chat_template_kwargs"));
}

static json_t *apply_template(const Service *s, Fields *f)
{
    Conversation c;
    Buf text;
    json_t *out = NULL;
    conversation_init(&c);
    buf_init(&text, (size_t)1 << 28);
    read_conversation(f, &c);
    if (fields_ok(f) && conversation_render(&c, s, &text, "messages", f->error))
        out = json_pack("{s:s%}", "prompt", text.data, text.bytes);
    buf_deinit(&text);
    conversation_deinit(&c);
    return out;
}

/* ---- one question, one answer ---- */

static void reply(Exchange *x, json_t *(*work)(const Service *, Fields *))
{
    ApiError error = {0};
    Fields f;
    json_t *out = NULL;
    if (refuses_text(x))
        return;
    if (fields_open(&f, exchange_body(x), &error)) {
        out = work(exchange_service(x), &f);
        fields_close(&f);
    }
    if (error.status)
        exchange_refuse(x, &error);
    else
        exchange_json(x, 200, out);
}

static void handle_tokenize(Exchange *x) { reply(x, tokenize); }
static void handle_detokenize(Exchange *x) { reply(x, detokenize); }
static void handle_template(Exchange *x) { reply(x, apply_template); }

/* ---- state ---- */

static json_t *default_settings(const Service *s)
{
    GenerationSpec spec;
    generation_spec_init(&spec, s);
    json_t *settings = llamacpp_settings(&spec, s);
    json_object_set_new(settings, "seed", json_integer(UINT32_MAX));      /* each call its own */
    generation_spec_deinit(&spec);
    return settings;
}

static json_t *slot_json(const Service *s, int32_t id, bool is_processing)
{
    return json_pack("{s:i, s:i, s:i, s:b, s:b}", "id", (int)id, "id_task", is_processing ? (int)id : -1, "n_ctx",
                     s->engine ? (int)engine_longest(s->engine) : 0, "speculative", 0, "is_processing", is_processing);
}

static void props(Exchange *x)
{
    const Service *s = exchange_service(x);
    const ChatSource *chat = s->package ? package_chat(s->package, NULL, false) : NULL;
    json_t *defaults = slot_json(s, 0, false);
    json_object_set_new(defaults, "params", default_settings(s));
    json_object_set_new(defaults, "prompt", json_string(""));
    exchange_json(x, 200,
                  json_pack("{s:o, s:i, s:s, s:s, s:s, s:s, s:s, s:{s:b, s:b}, s:s, s:b}", "default_generation_settings",
                            defaults, "total_slots", s->engine ? (int)engine_options(s->engine)->sequences : 0, "model_alias",
                            s->model_name, "model_path", s->package ? s->package->path : "", "chat_template",
                            chat ? chat->text : "", "bos_token", s->package && s->package->bos_text ? s->package->bos_text : "",
                            "eos_token", s->package && s->package->eos_text ? s->package->eos_text : "", "modalities", "vision",
                            0, "audio", 0, "build_info", "ridge " RIDGE_VERSION, "is_sleeping", 0));
}

/* The engine knows no slots: as many are busy as sequences run. */
static void slots(Exchange *x)
{
    const Service *s = exchange_service(x);
    const char *must = exchange_query(x, "fail_on_no_slot");
    EngineNow now = s->thread ? engine_thread_now(s->thread) : (EngineNow){0};
    int32_t all = s->engine ? engine_options(s->engine)->sequences : 0, busy = now.stats.running;
    json_t *list = json_array();
    for (int32_t i = 0; i < all; i++)
        json_array_append_new(list, slot_json(s, i, i < busy));
    if (!must || busy < all) {
        exchange_json(x, 200, list);
        return;
    }
    ApiError e;
    json_decref(list);
    api_refuse(&e, 503, NULL, "no slot is free: %d requests run", busy);
    exchange_refuse(x, &e);
}

static const Route routes[] = {
    {"POST", "/completion", ACCESS_KEY, complete},
    {"POST", "/completions", ACCESS_KEY, complete},
    {"POST", "/infill", ACCESS_KEY, infill},
    {"POST", "/tokenize", ACCESS_KEY, handle_tokenize},
    {"POST", "/detokenize", ACCESS_KEY, handle_detokenize},
    {"POST", "/apply-template", ACCESS_KEY, handle_template},
    {"GET", "/props", ACCESS_KEY, props},
    {"GET", "/slots", ACCESS_ADMIN, slots},
};
const RouteList routes_llamacpp = {.routes = routes, .count = COUNT_OF(routes), .error_json = llamacpp_error_json,
                                .error_event = llamacpp_error_event};
