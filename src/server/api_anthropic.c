/* api_anthropic.c -- Anthropic's API: /v1/messages, streamed or not, and how many tokens one would be. */
#include "server/anthropic_answer.h"
#include "server/anthropic_request.h"
#include "server/routes.h"
#include "server/sampling_fields.h"

/* Reads what counts as input, as far as the prompt's ids. */
static bool read_input(Exchange *x, Fields *f, GenerationSpec *spec, ApiError *error)
{
    Conversation c;
    if (fields_ok(f) && !fields_has(f, "model"))
        fields_refuse(f, "model", "is missing");
    model_field_check(f, exchange_service(x));
    conversation_init(&c);
    anthropic_read_conversation(f, &c);
    bool good = fields_ok(f) && conversation_prompt(&c, exchange_service(x), spec, "messages", error);
    conversation_deinit(&c);
    return good;
}

/* More than fits beside the prompt: until the context is full, as stop_reason then says. */
static void bound_tokens(const Service *s, GenerationSpec *spec)
{
    if (spec->max_tokens > engine_longest(s->engine) - spec->prompts[0].count)
        spec->max_tokens = TOKENS_ALL;
}

static bool begin_answer(Exchange *x, GenerationSpec *spec, ApiError *error)
{
    bound_tokens(exchange_service(x), spec);
    void *answer = anthropic_answer_new();
    return answer ? generation_begin(x, spec, &anthropic_wire, answer, error)
                  : api_refuse(error, 500, NULL, "no memory for an answer");
}

static void answer(Exchange *x, bool counts_only)
{
    ApiError error = {0};
    GenerationSpec spec;
    Fields f;
    exchange_add_header(x, "request-id", exchange_id(x));      /* where the client's library looks for it */
    generation_spec_init(&spec, exchange_service(x));
    bool good = fields_open(&f, exchange_body(x), &error);
    if (good && !counts_only)
        anthropic_read_options(&f, &spec, exchange_service(x));
    good = good && read_input(x, &f, &spec, &error);
    if (good && counts_only)
        exchange_json(x, 200, json_pack("{s:i}", "input_tokens", (int)spec.prompts[0].count));
    else if (good)
        good = begin_answer(x, &spec, &error);
    generation_spec_deinit(&spec);
    fields_close(&f);
    if (!good)
        exchange_refuse(x, &error);
}

static void create_message(Exchange *x) { answer(x, false); }
static void count_tokens(Exchange *x) { answer(x, true); }

static const Route routes[] = {
    {"POST", "/v1/messages", ACCESS_KEY, create_message},
    {"POST", "/v1/messages/count_tokens", ACCESS_KEY, count_tokens},
};
const RouteList routes_anthropic = {.routes = routes, .count = COUNT_OF(routes), .error_json = anthropic_error_json,
                                    .error_event = anthropic_error_event};
