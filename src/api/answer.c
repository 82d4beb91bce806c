#include "api/answer.h"

#include <stdlib.h>

static const size_t TEXT_BYTES_MAX = (size_t)1 << 30;

Err answer_init(Answer *a, const Tokenizer *tokenizer, const char *const *stops, int stop_count, Error *err)
{
    Span strings[STOP_STRINGS_MAX];
    *a = (Answer){0};
    if (stop_count > STOP_STRINGS_MAX)
        return fail(err, LIMIT_REACHED, "%d stop texts are more than the limit of %d", stop_count, STOP_STRINGS_MAX);
    for (int i = 0; i < stop_count; i++)
        strings[i] = span_text(stops[i]);
    detokenizer_init(&a->detokenizer, tokenizer, DECODE_SKIP_SPECIAL | DECODE_CONTINUES);
    buf_init(&a->whole, TEXT_BYTES_MAX);
    buf_init(&a->text, TEXT_BYTES_MAX);
    return stop_matcher_new(strings, (size_t)stop_count, &a->stops, err);
}

void answer_deinit(Answer *a)
{
    if (!a->detokenizer.tokenizer)
        return;
    stop_matcher_free(a->stops);
    buf_deinit(&a->whole);
    buf_deinit(&a->text);
    free(a->tokens);
    *a = (Answer){0};
}

static Err keep_token(Answer *a, const Sampled *token, Error *err)
{
    if (a->count == a->capacity) {
        int32_t capacity = a->capacity ? 2 * a->capacity : 64;
        Sampled *tokens = realloc(a->tokens, (size_t)capacity * sizeof *tokens);
        if (!tokens)
            return fail(err, NO_MEMORY, "no memory for an answer of %d tokens", a->count);
        a->tokens = tokens;
        a->capacity = capacity;
    }
    a->tokens[a->count++] = *token;
    return OK;
}

/* Passes what is whole on to the stops. */
static Err pass_on(Answer *a, bool last, Error *err)
{
    int stopped = -1;
    bool fits = stop_matcher_put(a->stops, buf_span(&a->whole), &a->text, &stopped);
    if (last && stopped < 0)
        fits = stop_matcher_finish(a->stops, &a->text) && fits;
    buf_clear(&a->whole);
    a->stopped = stopped >= 0;
    return fits ? OK : fail(err, NO_MEMORY, "no memory for an answer of %zu bytes", a->text.bytes);
}

Err answer_take(Answer *a, const Event *event, Error *err)
{
    bool fits = true;
    if (event->kind == EVENT_PROMPT || (a->stopped && event->kind == EVENT_TOKEN))
        return OK;
    if (event->kind == EVENT_TOKEN) {
        TRY(keep_token(a, &event->token, err));
        fits = detokenizer_put(&a->detokenizer, event->token.id, &a->whole);
    } else {
        if (event->reason == END_STOP && event->token.id >= 0) /* the token that ended it has no text, but it was chosen */
            TRY(keep_token(a, &event->token, err));
        a->ended = true;
        a->reason = a->stopped ? END_STOP : event->reason;
        a->times = event->times;
        fits = a->stopped || detokenizer_finish(&a->detokenizer, &a->whole);
    }
    if (!fits)
        return fail(err, NO_MEMORY, "no memory for an answer of %zu bytes", a->text.bytes);
    return a->stopped ? OK : pass_on(a, event->kind == EVENT_END, err);
}

Span answer_fresh(Answer *a)
{
    Span fresh = span_from(buf_span(&a->text), a->taken);
    a->taken = a->text.bytes;
    return fresh;
}

const char *end_reason_name(EndReason reason)
{
    static const char *const names[] = {
        [END_STOP] = "stop", [END_LENGTH] = "length", [END_CANCELLED] = "cancelled", [END_ERROR] = "error"};
    return names[reason];
}

json_t *piece_json(const Tokenizer *t, int32_t id)
{
    Span piece = tokenizer_piece_bytes(t, id);
    json_t *text = json_stringn((const char *)piece.data, piece.bytes);
    if (text)
        return text;
    Buf spelled;
    buf_init(&spelled, 64 + 4 * piece.bytes);
    for (size_t i = 0; i < piece.bytes; i++)
        buf_printf(&spelled, "\\x%02x", piece.data[i]);
    text = json_stringn(spelled.data, spelled.bytes);
    buf_deinit(&spelled);
    return text;
}

static json_t *logprobs_json(const Tokenizer *t, const Sampled *token)
{
    json_t *best = json_array();
    for (int32_t i = 0; i < token->best_count; i++)
        json_array_append_new(best,
                              json_pack("{s:i, s:o, s:f}", "id", token->best[i].id, "token",
                                        piece_json(t, token->best[i].id), "logprob", (double)token->best[i].logprob));
    return json_pack("{s:i, s:o, s:f, s:o}", "id", token->id, "token", piece_json(t, token->id), "logprob",
                     (double)token->logprob, "top_logprobs", best);
}

json_t *answer_json(const Answer *a, bool logprobs)
{
    json_t *ids = json_array(), *list = json_array();
    for (int32_t i = 0; i < a->count; i++) {
        json_array_append_new(ids, json_integer(a->tokens[i].id));
        if (logprobs)
            json_array_append_new(list, logprobs_json(a->detokenizer.tokenizer, &a->tokens[i]));
    }
    json_t *out = json_pack("{s:o, s:o, s:s}", "text", json_stringn(a->text.data, a->text.bytes), "ids", ids,
                            "finish_reason", end_reason_name(a->reason));
    if (out && logprobs)
        json_object_set(out, "logprobs", list);
    json_decref(list);
    return out;
}
