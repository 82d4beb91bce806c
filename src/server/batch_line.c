#include "server/batch_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/random_id.h"

const char *const batch_endpoints[] = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses",
                                       "/v1/messages", NULL};

bool batch_may_call(const char *url)
{
    for (int i = 0; batch_endpoints[i]; i++)
        if (!strcmp(batch_endpoints[i], url))
            return true;
    return false;
}

/* ---- requests ---- */

void batch_line_refuse(BatchLine *line, const char *code, const char *param, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(line->bad, sizeof line->bad, format, values);
    va_end(values);
    line->bad_code = code;
    line->bad_param = param;
}

/* A text of the line that must be there; NULL: refused. */
static const char *text_of(BatchLine *line, const char *name)
{
    json_t *value = json_object_get(line->object, name);
    const char *text = json_string_value(value);
    if (!value)
        batch_line_refuse(line, "missing_required_parameter", name, "the line has no \"%s\"", name);
    else if (!text || !*text || strlen(text) != json_string_length(value))
        batch_line_refuse(line, "invalid_type", name, "\"%s\" is not a text with at least one letter", name);
    else
        return text;
    return NULL;
}

static void check_url(BatchLine *line, const char *endpoint)
{
    if (!batch_may_call(line->url))
        batch_line_refuse(line, "invalid_url", "url", "\"%.100s\" is nothing that a batch may call", line->url);
    else if (endpoint && strcmp(line->url, endpoint) != 0)
        batch_line_refuse(line, "mismatched_url", "url", "the line calls %s, its batch %s", line->url, endpoint);
}

static void read_object(BatchLine *line, const char *endpoint)
{
    const char *custom_id = text_of(line, "custom_id"), *method;
    if (!custom_id)
        return;
    if (strlen(custom_id) > CUSTOM_ID_BYTES_MAX) {
        batch_line_refuse(line, "invalid_value", "custom_id", "it has more than %d bytes", CUSTOM_ID_BYTES_MAX);
        return;
    }
    line->custom_id = custom_id;
    if (!(method = text_of(line, "method")) || !(line->url = text_of(line, "url")))
        return;
    line->body = json_object_get(line->object, "body");
    if (strcmp(method, "POST") != 0)
        batch_line_refuse(line, "invalid_method", "method", "the method is \"%.20s\"; it must be POST", method);
    else if (!json_is_object(line->body))
        batch_line_refuse(line, "invalid_type", "body", "the line has no \"body\" that is an object");
    else if (json_is_true(json_object_get(line->body, "stream")))
        batch_line_refuse(line, "invalid_value", "body.stream", "the answer of a line cannot be streamed: leave it out");
    else
        check_url(line, endpoint);
}

void batch_line_read(BatchLine *line, Span text, const char *endpoint)
{
    json_error_t at;
    size_t flags = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL;
    *line = (BatchLine){.object = json_loadb((const char *)text.data, text.bytes, flags, &at)};
    if (!json_is_object(line->object))
        batch_line_refuse(line, "invalid_json_line", NULL, "the line is not a JSON object%s%s", line->object ? "" : ": ",
                          line->object ? "" : at.text);
    else
        read_object(line, endpoint);
}

void batch_line_deinit(BatchLine *line)
{
    json_decref(line->object);
    *line = (BatchLine){0};
}

static bool is_blank(Span s)
{
    for (size_t i = 0; i < s.bytes; i++)
        if (!memchr(" \t\r", s.data[i], 3))
            return false;
    return true;
}

bool batch_line_next(Span *rest, Span *line, int64_t *number)
{
    while (rest->bytes) {
        const uint8_t *end = memchr(rest->data, '\n', rest->bytes);
        *line = span_first(*rest, end ? (size_t)(end - rest->data) : rest->bytes);
        *rest = span_from(*rest, line->bytes + 1);
        ++*number;
        if (!is_blank(*line))
            return true;
    }
    return false;
}

/* ---- answers ---- */

json_t *batch_response(const char *custom_id, int status, const char *request_id, json_t *body)
{
    return json_pack("{s:s, s:s, s:{s:i, s:s, s:o}, s:n}", "id", random_id("batch_req_").text, "custom_id", custom_id,
                     "response", "status_code", status, "request_id", request_id, "body", body, "error");
}

json_t *batch_refusal(const char *custom_id, int64_t number, const char *code, const char *param, const char *message)
{
    return json_pack("{s:s, s:s?, s:n, s:{s:s, s:s, s:I, s:s?}}", "id", random_id("batch_req_").text, "custom_id",
                     custom_id, "response", "error", "code", code, "message", message, "line", (json_int_t)number, "param",
                     param);
}

bool batch_is_answer(const json_t *answer)
{
    const json_t *id = json_object_get(answer, "custom_id");
    return json_is_string(json_object_get(answer, "id")) && (json_is_string(id) || json_is_null(id)) &&
           (json_is_object(json_object_get(answer, "response")) || json_is_object(json_object_get(answer, "error")));
}

bool batch_went_well(const json_t *answer)
{
    return json_integer_value(json_object_get(json_object_get(answer, "response"), "status_code")) == 200;
}
