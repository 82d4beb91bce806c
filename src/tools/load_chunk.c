#include "tools/load_chunk.h"

#include <stdio.h>

#include "base/json.h"

static bool has_text(const json_t *value, Buf *text)
{
    if (!json_string_length(value))
        return false;
    if (text)
        buf_put_span(text, span_of(json_string_value(value), json_string_length(value)));
    return true;
}

/* Reasoning and calls are tokens too, but a conversation goes on with the content. */
static bool delta_has_text(const json_t *delta, Buf *text)
{
    bool content = has_text(json_object_get(delta, "content"), text);
    return content || has_text(json_object_get(delta, "reasoning_content"), NULL) ||
           has_text(json_object_get(delta, "reasoning"), NULL) || json_array_size(json_object_get(delta, "tool_calls"));
}

static void read_choices(const json_t *choices, LoadChunk *out, Buf *text)
{
    for (size_t i = 0; i < json_array_size(choices); i++) {
        const json_t *choice = json_array_get(choices, i);
        Buf *wanted = i == 0 ? text : NULL;
        out->has_text |= has_text(json_object_get(choice, "text"), wanted) ||
                         delta_has_text(json_object_get(choice, "delta"), wanted);
        out->finished |= json_is_string(json_object_get(choice, "finish_reason"));
    }
}

static void read_usage(const json_t *usage, LoadChunk *out)
{
    if (!json_is_object(usage))
        return;
    out->has_usage = true;
    out->prompt_tokens = json_integer_value(json_object_get(usage, "prompt_tokens"));
    out->output_tokens = json_integer_value(json_object_get(usage, "completion_tokens"));
    out->cached_tokens =
        json_integer_value(json_object_get(json_object_get(usage, "prompt_tokens_details"), "cached_tokens"));
}

static const char *message_of(const json_t *body)
{
    const json_t *error = json_object_get(body, "error");
    const char *inner = json_string_value(json_object_get(error, "message"));
    const char *outer = json_string_value(json_object_get(body, "message"));
    const char *plain = json_string_value(error);
    return inner ? inner : plain ? plain : outer;
}

static void put_line(Span text, char *out, size_t bytes)
{
    size_t n = text.bytes < bytes - 1 ? text.bytes : bytes - 1;
    for (size_t i = 0; i < n; i++)
        out[i] = text.data[i] < ' ' || text.data[i] == 0x7F ? ' ' : (char)text.data[i];
    out[n] = 0;
}

void load_error_text(Span body, char *out, size_t bytes)
{
    json_t *json = json_loadb((const char *)body.data, body.bytes, 0, NULL);
    const char *message = message_of(json);
    put_line(message ? span_text(message) : body, out, bytes);
    json_decref(json);
}

Err load_chunk_read(Span data, LoadChunk *out, Buf *text, Error *err)
{
    *out = (LoadChunk){0};
    if (span_is(data, "[DONE]")) {
        out->done = true;
        return OK;
    }
    json_t *chunk = json_loadb((const char *)data.data, data.bytes, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(chunk)) {
        json_decref(chunk);
        return fail(err, BAD_FILE, "a chunk of the stream is no JSON object: %.*s", data.bytes < 200 ? (int)data.bytes : 200,
                    (const char *)data.data);
    }
    const char *message = json_is_null(json_object_get(chunk, "error")) ? NULL : message_of(chunk);
    Err result = message ? fail(err, BAD_FILE, "%.400s", message) : OK;
    read_choices(json_object_get(chunk, "choices"), out, text);
    read_usage(json_object_get(chunk, "usage"), out);
    json_decref(chunk);
    return result;
}
