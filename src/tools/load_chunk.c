#include "tools/load_chunk.h"

#include <stdio.h>

#include "base/json.h"
#include "text/json_pull.h"

/* There is a chunk for each token, read beside the server that is measured: so in place, and without a tree of objects. */
typedef struct Reading {
    LoadChunk *out;
    Buf *text;                 /* of the first choice; NULL: nobody wants it */
    int choices;
    bool error;
} Reading;

typedef bool MemberReader(JsonPull *, Span name, Reading *);

/* All members; what is no object says nothing. */
static bool read_object(JsonPull *p, MemberReader *member, Reading *r)
{
    Span name;
    if (!pull_mark(p, '{'))
        return pull_skip(p, &name);
    if (pull_mark(p, '}'))
        return true;
    do {
        if (!pull_string(p, &name) || !pull_mark(p, ':') || !member(p, name, r))
            return false;
    } while (pull_mark(p, ','));
    return pull_mark(p, '}');
}

static bool read_text(JsonPull *p, Buf *text, Reading *r)
{
    Span value;
    if (!pull_string(p, &value))
        return pull_skip(p, &value);
    r->out->has_text |= value.bytes > 0;
    return !text || buf_put_span(text, value);
}

static bool read_count(JsonPull *p, int64_t *count)
{
    Span other;
    return pull_integer(p, count) || pull_skip(p, &other);
}

static Buf *text_of_choice(const Reading *r) { return r->choices == 1 ? r->text : NULL; }

/* Reasoning and calls are tokens too, but a conversation goes on with the content. */
static bool read_delta(JsonPull *p, Span name, Reading *r)
{
    Span value;
    if (span_is(name, "content"))
        return read_text(p, text_of_choice(r), r);
    if (span_is(name, "reasoning_content") || span_is(name, "reasoning"))
        return read_text(p, NULL, r);
    bool calls = span_is(name, "tool_calls"), good = pull_skip(p, &value);
    r->out->has_text |= good && calls && value.data[0] == '[' && value.bytes > 2;
    return good;
}

static bool read_choice(JsonPull *p, Span name, Reading *r)
{
    Span value;
    if (span_is(name, "text"))
        return read_text(p, text_of_choice(r), r);
    if (span_is(name, "delta"))
        return read_object(p, read_delta, r);
    bool finish = span_is(name, "finish_reason"), word = finish && pull_string(p, &value);
    r->out->finished |= word;
    return word || pull_skip(p, &value);
}

static bool read_choices(JsonPull *p, Reading *r)
{
    Span other;
    if (!pull_mark(p, '['))
        return pull_skip(p, &other);
    if (pull_mark(p, ']'))
        return true;
    do {
        r->choices++;
        if (!read_object(p, read_choice, r))
            return false;
    } while (pull_mark(p, ','));
    return pull_mark(p, ']');
}

static bool read_details(JsonPull *p, Span name, Reading *r)
{
    int64_t other;
    return read_count(p, span_is(name, "cached_tokens") ? &r->out->cached_tokens : &other);
}

static bool read_usage(JsonPull *p, Span name, Reading *r)
{
    int64_t other;
    r->out->has_usage = true;
    if (span_is(name, "prompt_tokens_details"))
        return read_object(p, read_details, r);
    return read_count(p, span_is(name, "prompt_tokens")       ? &r->out->prompt_tokens
                         : span_is(name, "completion_tokens") ? &r->out->output_tokens
                                                              : &other);
}

static bool read_chunk(JsonPull *p, Span name, Reading *r)
{
    Span value;
    if (span_is(name, "choices"))
        return read_choices(p, r);
    if (span_is(name, "usage"))
        return read_object(p, read_usage, r);
    bool error = span_is(name, "error"), good = pull_skip(p, &value);
    r->error |= good && error && !span_is(value, "null");
    return good;
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
    Reading r = {.out = out, .text = text};
    JsonPull p;
    *out = (LoadChunk){0};
    if (span_is(data, "[DONE]")) {
        out->done = true;
        return OK;
    }
    json_pull_init(&p, data, data.bytes);
    bool object = pull_mark(&p, '{');
    p.at = 0;
    bool good = object && read_object(&p, read_chunk, &r) && pull_at_end(&p);
    json_pull_deinit(&p);
    if (!good)
        return fail(err, BAD_FILE, "a chunk of the stream is no JSON object: %.*s", data.bytes < 200 ? (int)data.bytes : 200,
                    (const char *)data.data);
    char message[400];
    if (!r.error)
        return OK;
    load_error_text(data, message, sizeof message);
    return fail(err, BAD_FILE, "%s", message);
}
