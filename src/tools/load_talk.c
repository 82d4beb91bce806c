#include "tools/load_talk.h"

void load_talk_begin(LoadTalk *t, int64_t number)
{
    *t = (LoadTalk){.number = number};
    buf_init(&t->text, LOAD_TALK_BYTES_MAX);
}

void load_talk_end(LoadTalk *t)
{
    json_decref(t->messages);
    buf_deinit(&t->text);
    *t = (LoadTalk){0};
}

static json_t *text_json(Span text) { return json_stringn((const char *)text.data, text.bytes); }

static void say(LoadTalk *t, const char *role, json_t *content)
{
    json_array_append_new(t->messages, json_pack("{s:s, s:o}", "role", role, "content", content));
}

/* What the user says in this turn, as text. */
static bool put_turn(const LoadTalk *t, const LoadPlan *plan, Buf *out)
{
    const LoadPrompt *given = load_prompt(plan, t->number, t->turn);
    if (!given)
        return load_words(plan, t->number, t->turn, out);
    return buf_put(out, json_string_value(given->prompt), json_string_length(given->prompt));
}

static Err ask_chat(LoadTalk *t, const LoadPlan *plan, json_t *body, Error *err)
{
    const LoadPrompt *given = load_prompt(plan, t->number, t->turn);
    if (!t->messages)
        t->messages = json_array();
    if (given && given->is_messages) {
        json_array_extend(t->messages, given->prompt);
    } else if (given && !json_is_string(given->prompt)) {
        return fail(err, BAD_ARGUMENT, "a prompt of token ids cannot be said in a chat: use --endpoint completions");
    } else {
        Buf text;
        buf_init(&text, LOAD_TALK_BYTES_MAX);
        bool good = put_turn(t, plan, &text);
        if (good)
            say(t, "user", text_json(buf_span(&text)));
        buf_deinit(&text);
        if (!good)
            return fail(err, NO_MEMORY, "no memory for a prompt");
    }
    json_object_set(body, "messages", t->messages);
    return OK;
}

static Err ask_completion(LoadTalk *t, const LoadPlan *plan, json_t *body, Error *err)
{
    const LoadPrompt *given = load_prompt(plan, t->number, t->turn);
    if (given && given->is_messages)
        return fail(err, BAD_ARGUMENT, "messages cannot be completed: use --endpoint chat");
    if (given && json_is_array(given->prompt)) {
        json_object_set(body, "prompt", given->prompt);
    } else if (!given && !plan->words) {
        json_object_set_new(body, "prompt", load_ids(plan, t->number, t->turn));
    } else {
        if (t->turn && !buf_put_char(&t->text, '\n'))
            return fail(err, NO_MEMORY, "no memory for a prompt");
        if (!put_turn(t, plan, &t->text))
            return fail(err, NO_MEMORY, "no memory for a prompt");
        json_object_set_new(body, "prompt", text_json(buf_span(&t->text)));
    }
    return OK;
}

Err load_talk_ask(LoadTalk *t, const LoadPlan *plan, const LoadWire *wire, LoadAsk *ask, Buf *body, Error *err)
{
    json_t *object = wire->extra ? json_copy(wire->extra) : json_object();
    *ask = load_ask(plan, t->number, t->turn);
    if (t->turn == 0)
        ask->prompt_tokens += plan->prompts ? 0 : plan->shared_prefix;
    json_object_set_new(object, "model", json_string(wire->model));
    json_object_set_new(object, "stream", json_true());
    json_object_set_new(object, "stream_options", json_pack("{s:b}", "include_usage", 1));
    json_object_set_new(object, "max_tokens", json_integer(ask->output_tokens));
    if (wire->temperature >= 0)
        json_object_set_new(object, "temperature", json_real(wire->temperature));
    if (wire->ignore_eos)
        json_object_set_new(object, "ignore_eos", json_true());
    Err result = (wire->chat ? ask_chat : ask_completion)(t, plan, object, err);
    if (result == OK && !buf_put_json(body, object, JSON_REAL_PRECISION(9)))
        result = fail(err, LIMIT_REACHED, "a request has more than %zu bytes", body->bytes_max);
    json_decref(object);
    t->turn++;
    return result;
}

Err load_talk_answer(LoadTalk *t, Span text, Error *err)
{
    json_t *said = text_json(text);
    if (!said)
        return fail(err, BAD_FILE, "the answer is not UTF-8");
    if (t->messages)
        say(t, "assistant", said);
    else
        json_decref(said);
    if (!t->messages && !buf_put_span(&t->text, text))
        return fail(err, LIMIT_REACHED, "a conversation has more than %d bytes", LOAD_TALK_BYTES_MAX);
    return OK;
}
