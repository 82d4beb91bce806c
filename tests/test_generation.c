/* The way of an answer through the server, from a body to JSON or events, with the default model: what the engine's
 * tests show of tokens must still be true of the texts that clients see. */
#include "service_words.h"

#include <unistd.h>

#include "base/buf.h"
#include "server/answer_guard.h"
#include "server/choice_run.h"

static json_t *complete(const char *body) { return post("/v1/completions", body); }

/* What the events of a stream say together: the text of choice `index`, how many chunks, whether [DONE] came. */
typedef struct Streamed { Buf text, arguments; int chunks; bool done; char finish[32]; json_t *usage; } Streamed;

static void take_chunk(Streamed *s, const char *data, int index)
{
    json_t *chunk = json_loads(data, 0, NULL), *choice, *usage;
    size_t i;
    assert_non_null(chunk);
    usage = at(chunk, "usage");
    if (json_is_object(usage)) {
        json_decref(s->usage);
        s->usage = json_incref(usage);
    }
    json_array_foreach(at(chunk, "choices"), i, choice)
    {
        if (json_integer_value(at(choice, "index")) != index)
            continue;
        json_t *text = at(choice, "text") ? at(choice, "text") : at(choice, "delta/content");
        if (json_is_string(text))
            buf_put_text(&s->text, json_string_value(text));
        json_t *arguments = at(choice, "delta/tool_calls/0/function/arguments");
        if (arguments)
            buf_put_text(&s->arguments, json_string_value(arguments));
        if (json_is_string(at(choice, "finish_reason")))
            snprintf(s->finish, sizeof s->finish, "%s", json_string_value(at(choice, "finish_reason")));
        s->chunks++;
    }
    json_decref(chunk);
}

static Streamed read_stream(const char *events, int index)
{
    Streamed s = {0};
    buf_init(&s.text, 1 << 20);
    buf_init(&s.arguments, 1 << 20);
    buf_put_text(&s.text, "");
    buf_put_text(&s.arguments, "");
    char *copy = strdup(events), *rest = copy, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (!strcmp(line, "data: [DONE]"))
            s.done = true;
        else if (!strncmp(line, "data: ", 6))
            take_chunk(&s, line + 6, index);
    }
    free(copy);
    return s;
}

static void streamed_end(Streamed *s)
{
    buf_deinit(&s->text);
    buf_deinit(&s->arguments);
    json_decref(s->usage);
}

/* ---- completions ---- */

/* A stream says the same as the whole answer, in order, and tells usage when asked. */
static void streams_say_the_same(void **state)
{
    (void)state;
    json_t *whole = complete("{\"prompt\": \"Once upon a time\", \"max_tokens\": 24, \"seed\": 7, \"temperature\": 0.8, \"n\": 2}");
    AidCall *c = aid_begin(aid, "POST", "/v1/completions",
                           "{\"prompt\": \"Once upon a time\", \"max_tokens\": 24, \"seed\": 7, \"temperature\": 0.8, \"n\": 2, "
                           "\"stream\": true, \"stream_options\": {\"include_usage\": true}}", NULL);
    const char *events = aid_finish(c);
    for (int i = 0; i < 2; i++) {
        Streamed s = read_stream(events, i);
        assert_string_equal(s.text.data, text_at(whole, i ? "choices/1/text" : "choices/0/text"));
        assert_string_equal(s.finish, text_at(whole, i ? "choices/1/finish_reason" : "choices/0/finish_reason"));
        assert_true(s.done && s.chunks > 10);
        assert_int_equal(json_integer_value(at(s.usage, "completion_tokens")),
                         json_integer_value(at(whole, "usage/completion_tokens")));
        streamed_end(&s);
    }
    assert_string_not_equal(text_at(whole, "choices/0/text"), text_at(whole, "choices/1/text"));
    aid_end(c);
    json_decref(whole);
}

/* The same request gives the same text alone and among others: what users may rely on when they give a seed. */
static void company_changes_nothing(void **state)
{
    (void)state;
    enum { OTHERS = 12 };
    const char *body = "{\"prompt\": \"The old man\", \"max_tokens\": 20, \"seed\": 11, \"temperature\": 1, \"logprobs\": 3}";
    json_t *alone = complete(body);
    AidCall *others[OTHERS];
    char other[256];
    for (int i = 0; i < OTHERS; i++) {
        snprintf(other, sizeof other, "{\"prompt\": \"The old%d\", \"max_tokens\": %d, \"seed\": %d, \"stream\": true}", i % 3, 5 + i, i);
        others[i] = aid_begin(aid, "POST", "/v1/completions", other, NULL);
    }
    for (int k = 0; k < 3; k++) {
        json_t *among = complete(body);
        assert_true(json_equal(at(alone, "choices"), at(among, "choices")));
        json_decref(among);
    }
    for (int i = 0; i < OTHERS; i++) {
        aid_finish(others[i]);
        aid_end(others[i]);
    }
    json_decref(alone);
}

/* A stop text ends its own sample only, is left out unless it is wanted, and what came behind it does not count. */
static void stops_end_a_sample(void **state)
{
    (void)state;
    json_t *free_answer = complete("{\"prompt\": \"1, 2, 3, 4,\", \"max_tokens\": 16, \"temperature\": 0}");
    const char *text = text_at(free_answer, "choices/0/text");
    assert_true(strlen(text) > 6);
    char stop[8] = {0}, body[256];
    memcpy(stop, text + 3, 3);
    snprintf(body, sizeof body, "{\"prompt\": \"1, 2, 3, 4,\", \"max_tokens\": 16, \"temperature\": 0, \"stop\": [\"%s\"]}", stop);
    json_t *stopped = complete(body);
    size_t before = (size_t)(strstr(text, stop) - text);
    assert_int_equal(strlen(text_at(stopped, "choices/0/text")), before);
    assert_memory_equal(text_at(stopped, "choices/0/text"), text, before);
    assert_string_equal(text_at(stopped, "choices/0/finish_reason"), "stop");
    assert_string_equal(text_at(stopped, "choices/0/stop_reason"), stop);
    assert_true(json_integer_value(at(stopped, "usage/completion_tokens")) < 16);
    body[strlen(body) - 1] = 0;
    strcat(body, ", \"include_stop_str_in_output\": true}");
    json_t *kept = complete(body);
    assert_int_equal(strlen(text_at(kept, "choices/0/text")), before + strlen(stop));
    json_decref(free_answer);
    json_decref(stopped);
    json_decref(kept);
}

/* Where so many tokens must come, no text ends them before, and the one that does is told as what it was: text or id. */
static void stops_wait_for_their_time(void **state)
{
    (void)state;
    char body[320];
    json_t *free_answer = complete("{\"prompt\": \"Once upon a\", \"max_tokens\": 16, \"temperature\": 0, \"return_token_ids\": true}");
    int id = (int)json_integer_value(at(free_answer, "choices/0/token_ids/3"));
    const char *text = text_at(free_answer, "choices/0/text");
    snprintf(body, sizeof body, "{\"prompt\": \"Once upon a\", \"max_tokens\": 16, \"temperature\": 0, \"min_tokens\": 16, \"stop\": "
             "[\"%.3s\"]}", text + 2);
    json_t *late = complete(body);
    assert_string_equal(text_at(late, "choices/0/text"), text);
    snprintf(body, sizeof body, "{\"prompt\": \"Once upon a\", \"max_tokens\": 16, \"temperature\": 0, \"stop_token_ids\": [%d]}", id);
    json_t *stopped = complete(body);
    assert_string_equal(text_at(stopped, "choices/0/finish_reason"), "stop");
    assert_int_equal(json_integer_value(at(stopped, "choices/0/stop_reason")), id);
    json_decref(free_answer);
    json_decref(late);
    json_decref(stopped);
    refused("/v1/messages", "{\"model\": \"base\", \"max_tokens\": 1, \"messages\": [{\"role\": \"user\", \"content\": \"x\"}], "
            "\"tools\": [{\"name\": \"f\", \"input_schema\": {}}, {\"name\": \"f\", \"input_schema\": {}}]}", 400, NULL, "tools.1.name:");
}

/* echo and log-probabilities: of each token of prompt and answer, and where its text begins. */
static void echo_scores_the_prompt(void **state)
{
    (void)state;
    json_t *a = complete("{\"prompt\": \"The cat sat on\", \"max_tokens\": 4, \"temperature\": 0, \"echo\": true, \"logprobs\": 2}");
    json_t *tokens = at(a, "choices/0/logprobs/tokens"), *offsets = at(a, "choices/0/logprobs/text_offset");
    const char *text = text_at(a, "choices/0/text");
    size_t i, count = json_array_size(tokens);
    assert_true(!strncmp(text, "The cat sat on", 14) && strlen(text) > 14);
    assert_int_equal(count, (size_t)json_integer_value(at(a, "usage/total_tokens")));
    for (i = 0; i < count; i++) {
        const char *token = json_string_value(json_array_get(tokens, i));
        size_t offset = (size_t)json_integer_value(json_array_get(offsets, i));
        assert_memory_equal(text + offset, token, strlen(token));
        json_t *logprob = json_array_get(at(a, "choices/0/logprobs/token_logprobs"), i);
        assert_true(i == 0 ? json_is_null(logprob) : json_real_value(logprob) <= 0);
    }
    json_t *scored = complete("{\"prompt\": \"The cat sat on\", \"max_tokens\": 0, \"echo\": true, \"logprobs\": 2}");
    assert_string_equal(text_at(scored, "choices/0/text"), "The cat sat on");
    assert_int_equal(json_integer_value(at(scored, "usage/completion_tokens")), 0);
    for (i = 0; i < json_array_size(at(scored, "choices/0/logprobs/tokens")); i++)
        assert_true(json_equal(json_array_get(at(scored, "choices/0/logprobs/token_logprobs"), i),
                               json_array_get(at(a, "choices/0/logprobs/token_logprobs"), i)));
    json_decref(a);
    json_decref(scored);
}

static double mean_logprob(json_t *choice)
{
    json_t *list = at(choice, "logprobs/token_logprobs"), *value;
    size_t i;
    double sum = 0;
    json_array_foreach(list, i, value)
        sum += json_real_value(value);
    return sum / (double)json_array_size(list);
}

/* Several prompts: answers in order. best_of: those that are given are the best of those that are made. */
static void many_answers(void **state)
{
    (void)state;
    json_t *two = complete("{\"prompt\": [\"One two\", [40, 41, 42]], \"n\": 2, \"max_tokens\": 3, \"seed\": 1, \"ignore_eos\": true}");
    assert_int_equal(json_array_size(at(two, "choices")), 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(json_integer_value(at(json_array_get(at(two, "choices"), i), "index")), i);
    assert_int_equal(json_integer_value(at(two, "usage/completion_tokens")), 12);
#define DOG "\"prompt\": \"A dog\", \"max_tokens\": 6, \"seed\": 5, \"logprobs\": 0, \"temperature\": 1.2, \"ignore_eos\": true"
    json_t *all = complete("{" DOG ", \"n\": 6}"), *best = complete("{" DOG ", \"n\": 2, \"best_of\": 6}");
    double top = -1e9;
    for (size_t i = 0; i < 6; i++)
        top = mean_logprob(json_array_get(at(all, "choices"), i)) > top ? mean_logprob(json_array_get(at(all, "choices"), i)) : top;
    assert_int_equal(json_array_size(at(best, "choices")), 2);
    assert_true(mean_logprob(at(best, "choices/0")) == top);
    assert_true(mean_logprob(at(best, "choices/1")) <= top);
    assert_int_equal(json_integer_value(at(best, "usage/completion_tokens")), 36);
    json_decref(two);
    json_decref(all);
    json_decref(best);
}

/* ---- conversations ---- */

static void chats(void **state)
{
    (void)state;
    json_t *a = post("/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}], "
                     "\"temperature\": 0, \"max_tokens\": 32, \"logprobs\": true, \"top_logprobs\": 2}");
    assert_non_null(strstr(text_at(a, "choices/0/message/content"), "Paris"));
    assert_string_equal(text_at(a, "choices/0/finish_reason"), "stop");
    Buf spelled;
    buf_init(&spelled, 1 << 16);
    json_t *entry, *byte;
    size_t i, k;
    json_array_foreach(at(a, "choices/0/logprobs/content"), i, entry)
    {
        assert_int_equal(json_array_size(at(entry, "top_logprobs")), 2);
        json_array_foreach(at(entry, "bytes"), k, byte)
            buf_put_char(&spelled, (char)json_integer_value(byte));
    }
    assert_string_equal(spelled.data, text_at(a, "choices/0/message/content"));
    buf_deinit(&spelled);
    json_t *again = post("/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
                         "\"What is the capital of France?\"}]}], \"temperature\": 0, \"max_tokens\": 32}");
    assert_string_equal(text_at(again, "choices/0/message/content"), text_at(a, "choices/0/message/content"));
    json_decref(a);
    json_decref(again);
}

#define WEATHER "\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"Get the weather for a " \
    "city\", \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}]"
#define ASKS_WEATHER "\"messages\": [{\"role\": \"user\", \"content\": \"What is the weather in Rome?\"}], \"temperature\": 0"

/* A model whose template knows no tools calls them all the same, and a stream gives the same arguments in parts. */
static void tools_are_called(void **state)
{
    (void)state;
    json_t *a = post("/v1/chat/completions", "{" ASKS_WEATHER ", " WEATHER "}");
    assert_string_equal(text_at(a, "choices/0/finish_reason"), "tool_calls");
    assert_string_equal(text_at(a, "choices/0/message/tool_calls/0/function/name"), "get_weather");
    json_t *arguments = json_loads(text_at(a, "choices/0/message/tool_calls/0/function/arguments"), 0, NULL);
    assert_string_equal(text_at(arguments, "city"), "Rome");
    AidCall *c = aid_begin(aid, "POST", "/v1/chat/completions", "{" ASKS_WEATHER ", " WEATHER ", \"stream\": true}", NULL);
    Streamed s = read_stream(aid_finish(c), 0);
    assert_string_equal(s.arguments.data, text_at(a, "choices/0/message/tool_calls/0/function/arguments"));
    assert_string_equal(s.finish, "tool_calls");
    assert_string_equal(s.text.data, "");
    streamed_end(&s);
    aid_end(c);
    json_t *none = post("/v1/chat/completions", "{" ASKS_WEATHER ", " WEATHER ", \"tool_choice\": \"none\", \"max_tokens\": 16}");
    assert_null(at(none, "choices/0/message/tool_calls"));
    json_decref(none);
    json_decref(arguments);
    json_decref(a);
}

/* ---- the form of an answer ---- */

static bool all_of(const char *text, const char *letters, size_t bytes)
{
    return strlen(text) == bytes && strspn(text, letters) == bytes;
}

/* Whatever the model would rather say, an answer has the form that was asked for, in each sample of its own. */
static void forms_are_kept(void **state)
{
    (void)state;
#define FORM "{\"prompt\": \"Once upon\", \"max_tokens\": 64, \"seed\": 3, \"temperature\": 1.5, \"n\": 4, "
    json_t *digits = complete(FORM "\"regex\": \"[0-9]{7}\"}"), *choice = complete(FORM "\"choice\": [\"left\", \"right\"]}");
    json_t *object = complete(FORM "\"response_format\": {\"type\": \"json_schema\", \"json_schema\": {\"name\": \"x\", \"schema\": "
                              "{\"type\": \"object\", \"properties\": {\"ok\": {\"type\": \"boolean\"}}, \"required\": [\"ok\"]}}}}");
    json_t *rules = complete(FORM "\"grammar\": \"root ::= [ab]+ \\\"!\\\"\", \"best_of\": 6}");
    for (size_t i = 0; i < 4; i++) {
        const char *text = text_at(json_array_get(at(digits, "choices"), i), "text");
        assert_true(all_of(text, "0123456789", 7));
        text = text_at(json_array_get(at(choice, "choices"), i), "text");
        assert_true(!strcmp(text, "left") || !strcmp(text, "right"));
        json_t *value = json_loads(text_at(json_array_get(at(object, "choices"), i), "text"), 0, NULL);
        assert_true(json_is_boolean(at(value, "ok")) && json_object_size(value) == 1);
        json_decref(value);
        json_t *one = json_array_get(at(rules, "choices"), i);
        size_t letters = strspn(text_at(one, "text"), "ab");
        assert_true(!strcmp(text_at(one, "finish_reason"), "length") || !strcmp(text_at(one, "text") + letters, "!"));
    }
    json_decref(digits);
    json_decref(choice);
    json_decref(object);
    json_decref(rules);
    refused("/v1/completions", "{\"prompt\": \"x\", \"regex\": \"(a\"}", 400, "regex", "");
    refused("/v1/completions", "{\"prompt\": \"x\", \"regex\": \"a\", \"choice\": [\"b\"]}", 400, "choice", "another field");
}

/* A call that must come is one of the tools with arguments by its schema, however unlikely the model finds it. */
static void calls_can_be_required(void **state)
{
    (void)state;
#define HELLO "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}], \"seed\": 1, \"max_tokens\": 200, " WEATHER
    static const char *const choices[] = {"\"required\"", "{\"type\": \"function\", \"function\": {\"name\": \"get_weather\"}}"};
    for (size_t i = 0; i < COUNT_OF(choices); i++) {
        char body[1024];
        snprintf(body, sizeof body, HELLO ", \"parallel_tool_calls\": false, \"tool_choice\": %s}", choices[i]);
        json_t *a = post("/v1/chat/completions", body);
        if (!strcmp(text_at(a, "choices/0/finish_reason"), "length")) {
            json_decref(a);
            continue;
        }
        assert_int_equal(json_array_size(at(a, "choices/0/message/tool_calls")), 1);
        json_t *arguments = json_loads(text_at(a, "choices/0/message/tool_calls/0/function/arguments"), 0, NULL);
        assert_true(json_is_string(at(arguments, "city")));
        json_decref(arguments);
        json_decref(a);
    }
}

/* Of two tools the one that is allowed is called, in the form of either API. */
static void calls_can_be_allowed(void **state)
{
    (void)state;
#define TIMER_TOO "{\"type\": \"function\", \"name\": \"set_timer\", \"parameters\": {\"type\": \"object\", \"properties\": {}}}"
#define ALLOWED(tools) "\"tool_choice\": {\"type\": \"allowed_tools\", \"mode\": \"required\", \"tools\": " tools "}"
#define ASKS_RESPONSE "{\"input\": \"What is the weather in Rome?\", \"temperature\": 0, \"tools\": [{\"type\": \"function\", " \
    "\"name\": \"get_weather\"}, " TIMER_TOO "], "
    json_t *a = post("/v1/responses", ASKS_RESPONSE ALLOWED("[{\"type\": \"function\", \"name\": \"set_timer\"}]") "}");
    assert_string_equal(text_at(a, "output/0/name"), "set_timer");
    assert_int_equal(json_array_size(at(a, "tools")), 2);
    refused("/v1/responses", ASKS_RESPONSE ALLOWED("[{\"type\": \"function\", \"name\": \"x\"}]") "}", 400,
            "tool_choice.tools[0].name", "none of the tools");
    refused("/v1/chat/completions", "{" ASKS_WEATHER ", " WEATHER ", \"tool_choice\": {\"type\": \"allowed_tools\", "
            "\"allowed_tools\": {\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"x\"}}]}}}", 400,
            "tool_choice.allowed_tools.tools[0].function.name", "none of the tools");
    json_t *b = post("/v1/chat/completions", "{" ASKS_WEATHER ", " WEATHER ", \"tool_choice\": {\"type\": \"allowed_tools\", "
                     "\"allowed_tools\": {\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"get_weather\"}}]}}}");
    assert_string_equal(text_at(b, "choices/0/message/tool_calls/0/function/name"), "get_weather");
    json_decref(a);
    json_decref(b);
}

/* The best of several beams comes first, and is at least as likely as the greedy answer. */
static void beams_come_best_first(void **state)
{
    (void)state;
#define KING "\"prompt\": \"The king\", \"max_tokens\": 6, \"temperature\": 0, \"logprobs\": 0, \"ignore_eos\": true"
    json_t *greedy = complete("{" KING "}"), *beams = complete("{" KING ", \"use_beam_search\": true, \"n\": 3, \"best_of\": 5}");
    assert_int_equal(json_array_size(at(beams, "choices")), 3);
    assert_true(mean_logprob(at(beams, "choices/0")) >= mean_logprob(at(greedy, "choices/0")));
    assert_true(mean_logprob(at(beams, "choices/0")) >= mean_logprob(at(beams, "choices/1")));
    assert_true(mean_logprob(at(beams, "choices/1")) >= mean_logprob(at(beams, "choices/2")));
    json_decref(greedy);
    json_decref(beams);
}

/* ---- reasoning ---- */

static void feed(ChoiceRun *r, const char *text)
{
    Encoding ids;
    Error err;
    assert_int_equal(tokenizer_encode(service_aid_service(aid)->tokenizer, span_text(text), 0, &ids, &err), OK);
    for (size_t i = 0; i < ids.count; i++)
        choice_run_take(r, &(Event){.kind = EVENT_TOKEN, .token = {.id = ids.ids[i]}});
    encoding_deinit(&ids);
    choice_run_take(r, &(Event){.kind = EVENT_END, .reason = END_STOP, .token = {.id = 2}});
}

/* A section of reasoning that the prompt has opened is kept apart from the answer, and its tokens are counted. */
static void reasoning_is_told_apart(void **state)
{
    (void)state;
    Error err;
    ChoiceRun r = {0};
    GenerationSpec spec;
    generation_spec_init(&spec, service_aid_service(aid));
    spec.dialect = dialect_find("hermes");
    spec.reads_reasoning = spec.reasoning_open = true;
    assert_int_equal(choice_run_init(&r, &spec, service_aid_service(aid)->tokenizer, NULL, &err), OK);
    feed(&r, "It is in France.</think>Paris");
    assert_string_equal(r.choice.reasoning.data, "It is in France.");
    assert_string_equal(r.choice.text.data, "Paris");
    assert_int_equal(r.choice.finish, FINISH_STOP);
    assert_true(r.reasoning_tokens > 4 && r.reasoning_tokens < r.choice.token_count);
    choice_run_deinit(&r);
    generation_spec_deinit(&spec);
}

static void accept_text(Constraint c, const char *text)
{
    Encoding ids;
    Error err;
    assert_int_equal(tokenizer_encode(service_aid_service(aid)->tokenizer, span_text(text), 0, &ids, &err), OK);
    for (size_t i = 0; i < ids.count; i++)
        c.accept(c.with, 0, ids.ids[i]);
    encoding_deinit(&ids);
}

static AnswerGuardOptions thinking_guard(Grammar *grammar, bool open, int32_t budget)
{
    const Service *s = service_aid_service(aid);
    return (AnswerGuardOptions){.grammar = grammar, .vocab = s->vocab, .tokenizer = s->tokenizer,
                                .vocabulary = service_vocabulary(s), .begin = span_text("<think>"), .end = span_text("</think>"),
                                .open = open, .budget = budget, .samples = 2};
}

/* Reasoning is free, and the form holds for what comes after it, in each sample by itself. */
static void forms_wait_for_reasoning(void **state)
{
    (void)state;
    const Service *s = service_aid_service(aid);
    Grammar *grammar;
    AnswerGuard *guard;
    Error err;
    assert_int_equal(grammar_from_regex(span_text("[0-9]+"), &grammar, &err), OK);
    AnswerGuardOptions o = thinking_guard(grammar, true, THINKING_ANY);
    assert_int_equal(answer_guard_new(&guard, &o, &err), OK);
    Constraint c = answer_guard_constraint(guard);
    accept_text(c, "Seven? </thin</think");
    assert_null(c.allowed(c.with, 0));
    accept_text(c, ">");
    const uint32_t *allowed = c.allowed(c.with, 0);
    assert_non_null(allowed);
    int32_t digit = tokenizer_find(s->tokenizer, span_text("7")), letter = tokenizer_find(s->tokenizer, span_text("x"));
    assert_true(allowed[digit / 32] >> digit % 32 & 1);
    assert_false(allowed[letter / 32] >> letter % 32 & 1);
    assert_null(c.allowed(c.with, 1));
    c.copy(c.with, 1, 0);
    assert_non_null(c.allowed(c.with, 1));
    answer_guard_free(guard);
    grammar_free(grammar);
}

static int32_t only_one_allowed(const uint32_t *allowed)
{
    int32_t id = -1, count = 0;
    for (int32_t i = 0; i < service_vocabulary(service_aid_service(aid)); i++)
        if (allowed[i / 32] >> i % 32 & 1) {
            id = i;
            count++;
        }
    assert_int_equal(count, 1);
    return id;
}

/* Takes what the guard forces, until it lets go. */
static void take_forced(Constraint c, int32_t sample, Buf *text)
{
    const uint32_t *allowed;
    for (int tokens = 0; (allowed = c.allowed(c.with, sample)) && tokens < 16; tokens++) {
        int32_t id = only_one_allowed(allowed);
        buf_put_span(text, tokenizer_piece_bytes(service_aid_service(aid)->tokenizer, id));
        c.accept(c.with, sample, id);
    }
}

/* Of a section of reasoning only so many tokens come; then the end does, and nothing else can. One that the model opens
 * by itself counts as one of the prompt's does, and a second one finds nothing left. */
static void reasoning_is_bounded(void **state)
{
    (void)state;
    AnswerGuard *guard;
    Error err;
    Buf text;
    buf_init(&text, 64);
    int32_t letter = tokenizer_find(service_aid_service(aid)->tokenizer, span_text("x"));
    AnswerGuardOptions o = thinking_guard(NULL, false, 3);
    assert_int_equal(answer_guard_new(&guard, &o, &err), OK);
    Constraint c = answer_guard_constraint(guard);
    for (int i = 0; i < 9; i++)
        c.accept(c.with, 0, letter);
    accept_text(c, "<think>");
    for (int i = 0; i < 3; i++) {
        assert_null(c.allowed(c.with, 0));
        c.accept(c.with, 0, letter);
    }
    assert_null(c.allowed(c.with, 1));
    c.copy(c.with, 1, 0);
    for (int32_t sample = 0; sample < 2; sample++) {
        buf_clear(&text);
        take_forced(c, sample, &text);
        assert_string_equal(text.data, "</think>");
    }
    accept_text(c, "so <think>");
    assert_non_null(c.allowed(c.with, 0));
    answer_guard_free(guard);
    buf_deinit(&text);
}

/* The same through the API: what was thought is as long as it may be, in each of the answers, and the form holds for what
 * comes after it. */
static void thinking_budgets_hold(void **state)
{
    (void)state;
    Error err;
    Service *s = service_aid_service(aid);
    ChatTemplate *before = s->chat;
    const Dialect *dialect = s->dialect;
    static const char source[] = "{% for m in messages %}{{ m.content }}{% endfor %}<think>";
    assert_int_equal(chat_template_new(&s->chat, span_text(source), "thinks", &err), OK);
    s->dialect = dialect_find("think");
    static const char *const fields[] = {"\"thinking_token_budget\": 7", "\"thinking_budget_tokens\": 7",
                                         "\"reasoning_effort\": \"none\""};
    for (int i = 0; i < 3; i++) {
        char body[256];
        snprintf(body, sizeof body, "{\"messages\": [{\"role\": \"user\", \"content\": \"Count\"}], \"n\": 2, \"max_tokens\": 80, "
                 "\"ignore_eos\": true, \"regex\": \"[0-9]{30}\", %s}", fields[i]);
        json_t *answer = post("/v1/chat/completions", body);
        json_int_t thought = json_integer_value(at(answer, "usage/completion_tokens_details/reasoning_tokens"));
        int32_t least = i < 2 ? 2 * 7 : 0;
        assert_in_range(thought, least, least + 2 * 8);
        assert_int_equal(at(answer, "choices/1/message/reasoning_content") != NULL, i < 2);
        assert_int_equal(strlen(text_at(answer, "choices/1/message/content")), 30);
        json_decref(answer);
    }
    json_t *silent = post("/v1/messages", "{\"model\": \"base\", \"messages\": [{\"role\": \"user\", \"content\": \"Count\"}], "
                          "\"max_tokens\": 20, \"thinking\": {\"type\": \"disabled\"}}");
    assert_string_equal(text_at(silent, "content/0/type"), "text");
    json_decref(silent);
    chat_template_free(s->chat);
    s->chat = before;
    s->dialect = dialect;
    refused("/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"thinking_token_budget\": -2}", 400,
            "thinking_token_budget", "from -1");
}

/* ---- embeddings ---- */

static void embeds(void **state)
{
    (void)state;
    json_t *one = post("/v1/embeddings", "{\"input\": \"The cat sat.\"}");
    json_t *many = post("/v1/embeddings", "{\"input\": [\"A dog ran.\", \"The cat sat.\"], \"pooling\": \"mean\"}"), *x;
    double length = 0;
    size_t i;
    assert_int_equal(json_array_size(at(one, "data/0/embedding")), 512);
    assert_true(json_equal(at(one, "data/0/embedding"), at(many, "data/1/embedding")));
    assert_false(json_equal(at(many, "data/0/embedding"), at(many, "data/1/embedding")));
    json_array_foreach(at(one, "data/0/embedding"), i, x)
        length += json_real_value(x) * json_real_value(x);
    assert_true(length > 0.999 && length < 1.001);
    json_t *base64 = post("/v1/embeddings", "{\"input\": \"The cat sat.\", \"encoding_format\": \"base64\"}");
    assert_int_equal(strlen(text_at(base64, "data/0/embedding")), (512 * 4 + 2) / 3 * 4);
    json_decref(one);
    json_decref(many);
    json_decref(base64);
}

/* ---- who goes away, what is refused ---- */

/* A hung up call gives everything back: no sequence runs, no block is held. */
static void hanging_up_frees_all(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        AidCall *c = aid_begin(aid, "POST", "/v1/completions", "{\"prompt\": [\"The sea\", \"The sky\"], \"n\": 2, \"max_tokens\": 400, "
                               "\"stream\": true, \"ignore_eos\": true}", NULL);
        if (i % 2)
            aid_read(c, 64);
        aid_end(c);
    }
    assert_true(aid_idle(aid));
}

static void look(void *resting, const Engine *engine) { *(int32_t *)resting = engine_stats(engine).resting; }

/* A reader who is slow makes his own answer rest, no other one, and loses nothing of it. */
static void slow_readers_lose_nothing(void **state)
{
    (void)state;
#define LONG "\"prompt\": \"The sea\", \"seed\": 2, \"temperature\": 1, \"max_tokens\": 160, \"ignore_eos\": true, \"logprobs\": 20, \"n\": 4"
    AidCall *slow = aid_begin(aid, "POST", "/v1/completions", "{" LONG ", \"stream\": true}", NULL);
    int32_t resting = 0;
    for (int tries = 0; tries < 2000 && !resting; tries++) {
        assert_true(service_between_steps(service_aid_service(aid), look, &resting));
        json_decref(complete("{\"prompt\": \"Meanwhile\", \"max_tokens\": 1}"));
    }
    assert_true(resting > 0);
    Streamed s = read_stream(aid_finish(slow), 3);
    json_t *whole = complete("{" LONG "}");
    assert_string_equal(s.text.data, text_at(whole, "choices/3/text"));
    assert_true(s.done);
    streamed_end(&s);
    aid_end(slow);
    json_decref(whole);
}

/* What does not end within its time ends with what it has, and says why; with nothing, it is refused. */
static void time_limits_cut(void **state)
{
    (void)state;
    int status;
    json_t *cut = aid_post(aid, "/v1/completions", "{\"prompt\": \"The sea\", \"max_tokens\": 480, \"ignore_eos\": true, \"n\": 8, "
                           "\"total_seconds\": 0.1}", &status);
    assert_string_equal(text_at(cut, status == 200 ? "choices/7/stop_reason" : "error/code"), "expired");
    assert_true(status == 200 || status == 503);
    json_decref(cut);
}

/* More prompts than may wait are fed as places become free, and answered in order; one that can never fit is refused
 * before any of them is begun. */
static void many_prompts_take_turns(void **state)
{
    (void)state;
    enum { PROMPTS = 100 };
    json_t *body = json_pack("{s:[], s:i, s:i, s:b}", "prompt", "max_tokens", 3, "temperature", 0, "ignore_eos", 1), *alone;
    for (int i = 0; i < PROMPTS; i++)
        json_array_append_new(at(body, "prompt"), json_sprintf("%d and", i));
    char *text = json_dumps(body, 0), path[32];
    json_t *all = complete(text);
    free(text);
    assert_int_equal(json_array_size(at(all, "choices")), PROMPTS);
    for (int i = 3; i < PROMPTS; i += 32) {
        char one[96];
        snprintf(one, sizeof one, "{\"prompt\": \"%d and\", \"max_tokens\": 3, \"temperature\": 0, \"ignore_eos\": true}", i);
        alone = complete(one);
        snprintf(path, sizeof path, "choices/%d/text", i);
        assert_string_equal(text_at(all, path), text_at(alone, "choices/0/text"));
        json_decref(alone);
    }
    json_array_append_new(at(body, "prompt"), json_sprintf("%0600d", 7));
    json_object_set_new(body, "stream", json_true());
    text = json_dumps(body, 0);
    refused("/v1/completions", text, 400, "max_tokens", "512 fit");
    free(text);
    json_decref(all);
    json_decref(body);
    assert_true(aid_idle(aid));
}

static void bad_fields_are_named(void **state)
{
    (void)state;
    static const struct { const char *body, *param, *part; int status; } cases[] = {
        {"{\"prompt\": \"x\", \"n\": 1000000000}", "n", "from 1 to 128", 400},
        {"{\"prompt\": \"x\", \"n\": 1e30}", "n", "from 1 to 128", 400},
        {"{\"prompt\": \"x\", \"n\": 100000000000000000000000}", "n", "from 1 to 128", 400},
        {"{\"prompt\": \"x\", \"n\": 64}", "n", "samples", 400},
        {"{\"prompt\": \"x\", \"n\": 3, \"best_of\": 2}", "best_of", "at least n", 400},
        {"{\"prompt\": \"x\", \"temperature\": -1}", "temperature", "from 0 to 2", 400},
        {"{\"prompt\": \"x\", \"temperature\": NaN}", NULL, "not valid JSON", 400},
        {"{\"prompt\": \"x\", \"max_tokens\": -5}", "max_tokens", "whole number", 400},
        {"{\"prompt\": \"x\", \"max_tokens\": 100000}", "max_tokens", "512", 400},
        {"{\"prompt\": [1, 99999]}", "prompt", "token id", 400},
        {"{\"prompt\": [[1], [2, -1]]}", "prompt[1]", "token id", 400},
        {"{\"prompt\": {}}", "prompt", "must be a text", 400},
        {"{}", "prompt", "must be a text", 400},
        {"{\"prompt\": \"\"}", "prompt", "empty", 400},
        {"{\"prompt\": \"x\", \"stop\": [\"\"]}", "stop", "entry 0", 400},
        {"{\"prompt\": \"x\", \"stop\": 7}", "stop", "a list of strings", 400},
        {"{\"prompt\": \"x\", \"min_tokens\": 9, \"max_tokens\": 8}", "min_tokens", "9 tokens at least", 400},
        {"{\"prompt\": \"x\", \"logit_bias\": {\"a\": 1}}", "logit_bias", "token id", 400},
        {"{\"prompt\": \"x\", \"logit_bias\": {\"5\": 101}}", "logit_bias", "token 5", 400},
        {"{\"prompt\": [5], \"suffix\": \"y\"}", "suffix", "of text", 400},
        {"{\"prompt\": \"x\", \"logprobs\": 21}", "logprobs", "from 0 to 20", 400},
        {"{\"prompt\": \"x\", \"model\": \"gpt-9\"}", "model", "'base' is", 404},
        {"{\"prompt\": \"x\", \"stream_options\": {}}", "stream_options", "streams only", 400},
        {"{\"prompt\": \"\\u0000\"}", NULL, "not valid JSON", 400},
        {"{\"prompt\": \"\xff\"}", NULL, "not valid JSON", 400},
        {"{\"prompt\": 1, \"prompt\": 2}", NULL, "not valid JSON", 400},
        {"", NULL, "empty", 400},
        {"[]", NULL, "object", 400},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refused("/v1/completions", cases[i].body, cases[i].status, cases[i].param, cases[i].part);
}

static void bad_conversations_are_named(void **state)
{
    (void)state;
#define USER "{\"role\": \"user\", \"content\": \"x\"}"
    static const struct { const char *body, *param, *part; } cases[] = {
        {"{\"messages\": []}", "messages", "a message"},
        {"{\"messages\": [" USER ", 5]}", "messages[1]", "object"},
        {"{\"messages\": [{\"role\": \"king\", \"content\": \"x\"}]}", "messages[0].role", "'king'"},
        {"{\"messages\": [{\"role\": \"user\"}]}", "messages[0].content", "missing"},
        {"{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}", "messages[0].content[0].type", "image_url"},
        {"{\"messages\": [{\"role\": \"assistant\", \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": \"[\"}}]}]}",
         "messages[0].tool_calls[0].function.arguments", "JSON object"},
        {"{\"messages\": [" USER "], \"tool_choice\": \"required\"}", "tool_choice", "no tools"},
        {"{\"messages\": [" USER "], \"tools\": [{\"type\": \"web\"}]}", "tools[0].type", "'web'"},
        {"{\"messages\": [" USER "], \"tools\": [{\"function\": {\"name\": \"a b\"}}]}", "tools[0].function.name", "letters"},
        {"{\"messages\": [" USER "], " WEATHER ", \"tool_choice\": {\"type\": \"function\", \"function\": {\"name\": \"g\"}}}",
         "tool_choice.function.name", "none of the tools"},
        {"{\"messages\": [" USER "], \"top_logprobs\": 3}", "top_logprobs", "logprobs"},
        {"{\"messages\": [" USER "], \"response_format\": {\"type\": \"xml\"}}", "response_format.type", "'xml'"},
        {"{\"messages\": [" USER "], \"response_format\": {\"type\": \"json_schema\"}}", "response_format.json_schema", "missing"},
        {"{\"messages\": [" USER "], \"n\": 0}", "n", "from 1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refused("/v1/chat/completions", cases[i].body, 400, cases[i].param, cases[i].part);
    refused("/v1/embeddings", "{\"input\": \"x\", \"dimensions\": 3}", 400, "dimensions", "512");
    refused("/v1/responses", "{\"input\": \"x\", \"prompt\": {\"id\": \"p\"}}", 400, "prompt", "not supported");
    refused("/v1/responses", "{\"input\": \"x\", \"truncation\": \"auto\"}", 400, "truncation", "not done here");
    refused("/v1/responses", "{\"input\": \"x\", \"metadata\": \"m\"}", 400, "metadata", "an object");
    refused("/v1/responses", "{\"input\": [{\"type\": \"item_reference\"}]}", 400, "input[0].type", "item_reference");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_say_the_same), cmocka_unit_test(company_changes_nothing), cmocka_unit_test(stops_end_a_sample),
        cmocka_unit_test(stops_wait_for_their_time),
        cmocka_unit_test(echo_scores_the_prompt), cmocka_unit_test(many_answers), cmocka_unit_test(many_prompts_take_turns),
        cmocka_unit_test(chats),
        cmocka_unit_test(tools_are_called), cmocka_unit_test(forms_are_kept), cmocka_unit_test(calls_can_be_required),
        cmocka_unit_test(calls_can_be_allowed),
        cmocka_unit_test(beams_come_best_first), cmocka_unit_test(reasoning_is_told_apart),
        cmocka_unit_test(forms_wait_for_reasoning), cmocka_unit_test(reasoning_is_bounded), cmocka_unit_test(thinking_budgets_hold),
        cmocka_unit_test(embeds),
        cmocka_unit_test(hanging_up_frees_all), cmocka_unit_test(slow_readers_lose_nothing),
        cmocka_unit_test(time_limits_cut), cmocka_unit_test(bad_fields_are_named),
        cmocka_unit_test(bad_conversations_are_named),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);    /* one of them */
    return cmocka_run_group_tests(tests, open_aid, close_aid);
}
