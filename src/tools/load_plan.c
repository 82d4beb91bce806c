#include "tools/load_plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- prompts of a file ---- */

static bool is_ids(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_integer(json_array_get(list, i)))
            return false;
    return json_array_size(list) > 0;
}

static Err read_json_line(LoadPrompt *p, Span line, const char *where, Error *err)
{
    json_t *object;
    TRY(json_read(line, LOAD_PROMPT_FILE_BYTES_MAX, where, &object, err));
    json_t *prompt = json_object_get(object, "prompt"), *messages = json_object_get(object, "messages");
    json_t *most = json_object_get(object, "max_tokens");
    Err result = OK;
    if (!(json_is_string(prompt) || is_ids(prompt)) && !json_array_size(messages))
        result = fail(err, BAD_FILE, "%s: \"prompt\" (a text, or a list of ids) or \"messages\" belongs there", where);
    else if (most && (!json_is_integer(most) || json_integer_value(most) < 1 || json_integer_value(most) > LOAD_TOKENS_MAX))
        result = fail(err, BAD_FILE, "%s: \"max_tokens\" is no whole number from 1 to %d", where, LOAD_TOKENS_MAX);
    else
        *p = (LoadPrompt){.prompt = json_incref(prompt ? prompt : messages), .is_messages = !prompt,
                          .output_tokens = (int32_t)json_integer_value(most)};
    json_decref(object);
    return result;
}

static Err read_plain_line(LoadPrompt *p, Span line, const char *where, Error *err)
{
    *p = (LoadPrompt){.prompt = json_stringn((const char *)line.data, line.bytes)};
    return p->prompt ? OK : fail(err, BAD_FILE, "%s: not UTF-8", where);
}

static Span next_line(Span *rest)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->bytes);
    Span line = span_first(*rest, end ? (size_t)(end - rest->data) : rest->bytes);
    *rest = span_from(*rest, line.bytes + 1);
    while (line.bytes && strchr(" \t\r", line.data[line.bytes - 1]) && line.data[line.bytes - 1])
        line.bytes--;
    return line;
}

static Err add_line(LoadPrompts *p, Span line, bool is_json, const char *where, Error *err)
{
    if (p->count == LOAD_PROMPTS_MAX)
        return fail(err, LIMIT_REACHED, "%s: more than %d prompts", where, LOAD_PROMPTS_MAX);
    if ((p->count & (p->count - 1)) == 0) {   /* full at each power of two */
        LoadPrompt *grown = realloc(p->item, (size_t)(p->count ? 2 * p->count : 1) * sizeof *p->item);
        if (!grown)
            return fail(err, NO_MEMORY, "%s: no memory for so many prompts", where);
        p->item = grown;
    }
    TRY((is_json ? read_json_line : read_plain_line)(&p->item[p->count], line, where, err));
    p->count++;
    return OK;
}

Err load_prompts_read(LoadPrompts *p, Span text, const char *name, Error *err)
{
    *p = (LoadPrompts){0};
    Err result = OK;
    bool is_json = text.bytes && text.data[0] == '{';
    for (int64_t number = 1; text.bytes && result == OK; number++) {
        char where[512];
        Span line = next_line(&text);
        snprintf(where, sizeof where, "%s: line %lld", name, (long long)number);
        if (line.bytes)
            result = add_line(p, line, is_json, where, err);
    }
    if (result == OK && !p->count)
        result = fail(err, BAD_FILE, "%s: there is no prompt in it", name);
    if (result != OK)
        load_prompts_deinit(p);
    return result;
}

void load_prompts_deinit(LoadPrompts *p)
{
    for (int32_t i = 0; i < p->count; i++)
        json_decref(p->item[i].prompt);
    free(p->item);
    *p = (LoadPrompts){0};
}

const LoadPrompt *load_prompt(const LoadPlan *plan, int64_t conversation, int32_t turn)
{
    return plan->prompts ? &plan->prompts->item[(conversation * plan->turns + turn) % plan->prompts->count] : NULL;
}

/* ---- arrivals ---- */

enum { STREAM_ARRIVALS = 0xFFFFFFFF, STREAM_PREFIX = 0xFFFFFFFE };   /* conversations have the numbers below */

static PrngStream stream_of(const LoadPlan *plan, uint32_t of, uint32_t part)
{
    return (PrngStream){.seed = prng_bits((PrngPlace){plan->seed, of, part, PRNG_WORLD})};
}

LoadArrivals load_arrivals(const LoadPlan *plan)
{
    double gap = plan->rate > 0 ? plan->burst * plan->turns / plan->rate : 0;
    return (LoadArrivals){.random = stream_of(plan, STREAM_ARRIVALS, 0), .mean_gap = gap, .burst = plan->burst,
                          .left = plan->burst};
}

double load_arrivals_next(LoadArrivals *a)
{
    if (a->left == 0) {
        a->at += -a->mean_gap * log(1 - stream_unit(&a->random));
        a->left = a->burst;
    }
    a->left--;
    return a->at;
}

/* ---- made-up prompts ---- */

static const char *const WORDS[] = {
    "time",  "year",  "people", "way",    "day",   "man",   "thing", "woman", "life",   "child", "world",  "school", "state",
    "family", "group", "country", "problem", "hand", "part", "place", "case", "week",   "company", "system", "program",
    "question", "work", "number", "night", "point", "home", "water", "room",  "mother", "area",  "money",  "story",  "fact",
    "month", "right", "study",  "book",   "eye",   "job",   "word",  "business", "issue", "side", "kind",  "head",   "house",
    "service", "friend", "father", "power", "hour", "game", "line",  "end",   "law",    "car",   "city",   "name",   "team",
};

static PrngStream stream_of_lengths(const LoadPlan *plan, int64_t conversation, int32_t turn)
{
    return stream_of(plan, (uint32_t)conversation, 2 * (uint32_t)turn);
}

static PrngStream stream_of_text(const LoadPlan *plan, int64_t conversation, int32_t turn)
{
    return stream_of(plan, (uint32_t)conversation, 2 * (uint32_t)turn + 1);
}

LoadAsk load_ask(const LoadPlan *plan, int64_t conversation, int32_t turn)
{
    PrngStream random = stream_of_lengths(plan, conversation, turn);
    LoadAsk ask = {.prompt_tokens = load_lengths_draw(&plan->prompt, &random)};
    ask.output_tokens = load_lengths_draw(&plan->output, &random);
    const LoadPrompt *given = load_prompt(plan, conversation, turn);
    if (given) {
        ask.prompt_tokens = given->is_messages || !json_is_array(given->prompt) ? 0 : (int32_t)json_array_size(given->prompt);
        ask.output_tokens = given->output_tokens ? given->output_tokens : ask.output_tokens;
    }
    return ask;
}

static void put_ids(const LoadPlan *plan, PrngStream random, int32_t count, json_t *out)
{
    uint32_t choice = (uint32_t)(plan->id_high - plan->id_low);
    for (int32_t i = 0; i < count; i++)
        json_array_append_new(out, json_integer(plan->id_low + (int32_t)stream_below(&random, choice)));
}

json_t *load_ids(const LoadPlan *plan, int64_t conversation, int32_t turn)
{
    json_t *out = json_array();
    if (turn == 0)
        put_ids(plan, stream_of(plan, STREAM_PREFIX, 0), plan->shared_prefix, out);
    put_ids(plan, stream_of_text(plan, conversation, turn), load_ask(plan, conversation, turn).prompt_tokens, out);
    return out;
}

static void put_words(PrngStream random, int32_t count, Buf *out)
{
    for (int32_t i = 0; i < count; i++) {
        if (out->bytes)
            buf_put_char(out, ' ');
        buf_put_text(out, WORDS[stream_below(&random, COUNT_OF(WORDS))]);
    }
}

bool load_words(const LoadPlan *plan, int64_t conversation, int32_t turn, Buf *out)
{
    if (turn == 0)
        put_words(stream_of(plan, STREAM_PREFIX, 0), plan->shared_prefix, out);
    put_words(stream_of_text(plan, conversation, turn), load_ask(plan, conversation, turn).prompt_tokens, out);
    return !out->full;
}
