#include "tools/score_lines.h"

#include <stdio.h>

static Span next_line(ScoreLines *lines)
{
    const uint8_t *end = lines->rest.bytes ? memchr(lines->rest.data, '\n', lines->rest.bytes) : NULL;
    Span line = span_first(lines->rest, end ? (size_t)(end - lines->rest.data) : lines->rest.bytes);
    lines->rest = span_from(lines->rest, line.bytes + 1);
    lines->number++;
    return line;
}

static bool is_blank(Span line)
{
    for (size_t i = 0; i < line.bytes; i++)
        if (!strchr(" \t\r", line.data[i]) || !line.data[i])
            return false;
    return true;
}

static bool text_field(const json_t *object, const char *key, Span *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return false;
    *out = span_of(json_string_value(value), json_string_length(value));
    return true;
}

static Err read_fields(ScoreLine *line, const char *where, Error *err)
{
    bool continues = json_object_get(line->object, "continuation"), asks = json_object_get(line->object, "expected");
    if (!json_is_object(line->object))
        return fail(err, BAD_FILE, "%s: not a JSON object", where);
    if (!text_field(line->object, "prompt", &line->prompt))
        return fail(err, BAD_FILE, "%s: \"prompt\" is missing, or not a text", where);
    if (continues == asks)
        return fail(err, BAD_FILE, "%s: one of \"continuation\" and \"expected\" belongs beside \"prompt\"", where);
    line->is_question = asks;
    if (!text_field(line->object, asks ? "expected" : "continuation", &line->text) || !line->text.bytes)
        return fail(err, BAD_FILE, "%s: \"%s\" is not a text, or empty", where, asks ? "expected" : "continuation");
    return OK;
}

Err score_lines_next(ScoreLines *lines, ScoreLine *out, bool *more, Error *err)
{
    Span text = {0};
    char where[512];
    *more = false;
    while (lines->rest.bytes && is_blank(text))
        text = next_line(lines);
    if (is_blank(text))
        return OK;
    ScoreLine line = {.number = lines->number};
    snprintf(where, sizeof where, "%s: line %lld", lines->name, (long long)lines->number);
    TRY(json_read(text, SCORE_LINE_BYTES_MAX, where, &line.object, err));
    Err code = read_fields(&line, where, err);
    if (code != OK) {
        score_line_deinit(&line);
        return code;
    }
    *more = true;
    *out = line;
    return OK;
}

void score_line_deinit(ScoreLine *line)
{
    json_decref(line->object);
    line->object = NULL;
}
