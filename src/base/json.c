#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/file_map.h"

/* Where a bare NaN or Infinity starts outside a string; NULL when there is none. */
static const char *find_bare_float(const char *at, const char *end, const char **literal)
{
    static const char *const literals[] = {"-Infinity", "Infinity", "NaN"};
    bool in_string = false;
    for (; at < end; at++) {
        if (in_string && *at == '\\')
            at++;
        else if (*at == '"')
            in_string = !in_string;
        else if (!in_string && (*at == 'N' || *at == 'I' || *at == '-'))
            for (size_t i = 0; i < COUNT_OF(literals); i++)
                if ((size_t)(end - at) >= strlen(literals[i]) && !memcmp(at, literals[i], strlen(literals[i]))) {
                    *literal = literals[i];
                    return at;
                }
    }
    return NULL;
}

static Err spell_floats(Span text, size_t bytes_max, Buf *out)
{
    const char *at = (const char *)text.data, *end = at + text.bytes, *found, *literal = NULL;
    buf_init(out, 2 * bytes_max);
    while ((found = find_bare_float(at, end, &literal))) {
        buf_put(out, at, (size_t)(found - at));
        buf_printf(out, "{\"__float__\": \"%s\"}", literal);
        at = found + strlen(literal);
    }
    buf_put(out, at, (size_t)(end - at));
    return out->full ? NO_MEMORY : OK;
}

Err json_read(Span text, size_t bytes_max, const char *what, json_t **out, Error *err)
{
    if (text.bytes > bytes_max)
        return fail(err, BAD_FILE, "%s: has %zu bytes of JSON; at most %zu are read", what, text.bytes, bytes_max);
    if (text.bytes == 0)
        return fail(err, BAD_FILE, "%s: is empty", what);
    const char *literal;
    const char *start = (const char *)text.data;
    Buf spelled;
    buf_init(&spelled, 0);
    if (find_bare_float(start, start + text.bytes, &literal)) {
        if (spell_floats(text, bytes_max, &spelled) != OK) {
            buf_deinit(&spelled);
            return fail(err, NO_MEMORY, "%s: no memory to read it", what);
        }
        text = buf_span(&spelled);
    }
    json_error_t at;
    json_t *value = json_loadb((const char *)text.data, text.bytes,
                                JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &at);
    buf_deinit(&spelled);
    if (!value)
        return fail(err, BAD_FILE, "%s: line %d, column %d: %s", what, at.line, at.column, at.text);
    *out = value;
    return OK;
}

Err json_read_file(const char *path, size_t bytes_max, json_t **out, Error *err)
{
    FileMap map;
    TRY(file_map_init(&map, path, err));
    Err result = json_read(map.span, bytes_max, path, out, err);
    file_map_deinit(&map);
    return result;
}

bool json_float(const json_t *value, double *out)
{
    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    const char *word = json_string_value(json_object_get(value, "__float__"));
    if (!word || (strcmp(word, "NaN") && strcmp(word, "Infinity") && strcmp(word, "-Infinity")))
        return false;
    *out = word[0] == 'N' ? NAN : word[0] == '-' ? -INFINITY : INFINITY;
    return true;
}

static int put_chunk(const char *text, size_t bytes, void *out) { return buf_put(out, text, bytes) ? 0 : -1; }

bool buf_put_json(Buf *out, const json_t *json, size_t flags)
{
    return json_dump_callback(json, put_chunk, out, JSON_COMPACT | flags) == 0;
}
