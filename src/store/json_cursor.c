#include "store/json_cursor.h"

#include "base/number_text.h"

static int peek(JsonCursor *c)   /* the next byte that is no space; -1 at the end */
{
    while (c->at < c->text.bytes && memchr(" \t\r\n", c->text.data[c->at], 4))
        c->at++;
    return c->at < c->text.bytes ? c->text.data[c->at] : -1;
}

static Err refuse(const JsonCursor *c, const char *wanted, Error *err)
{
    return fail(err, BAD_FILE, "%s: byte %s of the JSON: %s expected%s", c->what,
                number_text(c->at).text, wanted,
                c->at == c->text.bytes ? ", but it ends here" : "");
}

static Err step_over(JsonCursor *c, char byte, Error *err)
{
    if (peek(c) != byte)
        return refuse(c, (char[]){'\'', byte, '\'', 0}, err);
    c->at++;
    return OK;
}

Err json_cursor_enter(JsonCursor *c, Error *err)
{
    TRY(step_over(c, '{', err));
    c->fresh = true;
    return OK;
}

Err json_cursor_value(JsonCursor *c, size_t bytes_max, json_t **value, Error *err)
{
    peek(c);
    Span rest = span_from(c->text, c->at);
    json_error_t at;
    *value = json_loadb((const char *)rest.data, rest.bytes < bytes_max ? rest.bytes : bytes_max,
                        JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &at);
    if (!*value && rest.bytes > bytes_max && (size_t)at.position >= bytes_max)
        return fail(err, LIMIT_REACHED, "%s: byte %s of the JSON: a value of more than %s bytes",
                    c->what, number_text(c->at).text, number_text(bytes_max).text);
    if (!*value)
        return fail(err, BAD_FILE, "%s: byte %s of the JSON: %s", c->what,
                    number_text(c->at + (size_t)at.position).text, at.text);
    c->at += (size_t)at.position;
    c->fresh = false;
    return OK;
}

Err json_cursor_key(JsonCursor *c, json_t **key, Error *err)
{
    *key = NULL;
    int next = peek(c);
    if (next == '}') {
        c->at++;
        c->fresh = false;
        return OK;
    }
    if (!c->fresh) {
        if (next != ',')
            return refuse(c, "',' or '}'", err);
        c->at++;
    }
    if (peek(c) != '"')
        return refuse(c, "a name in quotes", err);
    TRY(json_cursor_value(c, JSON_KEY_BYTES_MAX, key, err));
    Err result = step_over(c, ':', err);
    if (result != OK) {
        json_decref(*key);
        *key = NULL;
    }
    return result;
}

Err json_cursor_end(JsonCursor *c, Error *err)
{
    return peek(c) < 0 ? OK : refuse(c, "the end", err);
}
