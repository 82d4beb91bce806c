#include "server/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- the body ---- */

static bool too_deep(Span body)
{
    bool in_string = false;
    int depth = 0;
    for (size_t i = 0; i < body.bytes; i++) {
        uint8_t c = body.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            if (++depth > FIELDS_DEPTH_MAX)
                return true;
        if (!in_string && (c == '}' || c == ']'))
            depth--;
    }
    return false;
}

/* A whole number beyond 64 bits is read as a float: then the field that it stands in can refuse it by name. */
static json_t *parse(Span body, json_error_t *at)
{
    json_t *value = json_loadb((const char *)body.data, body.bytes, JSON_REJECT_DUPLICATES, at);
    if (!value && json_error_code(at) == json_error_numeric_overflow)
        value = json_loadb((const char *)body.data, body.bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, at);
    return value;
}

bool fields_open(Fields *f, Span body, ApiError *error)
{
    json_error_t at;
    *f = (Fields){.error = error};
    if (body.bytes == 0)
        return api_refuse(error, 400, NULL, "the body is empty; a JSON object belongs there");
    if (too_deep(body))
        return api_refuse(error, 400, NULL, "the body has lists or objects within each other deeper than %d", FIELDS_DEPTH_MAX);
    f->object = parse(body, &at);
    f->owns = true;
    if (!f->object)
        return api_refuse(error, 400, NULL, "the body is not valid JSON: line %d, column %d: %s", at.line, at.column, at.text);
    if (json_is_object(f->object))
        return true;
    fields_close(f);
    return api_refuse(error, 400, NULL, "the body must be a JSON object");
}

void fields_close(Fields *f)
{
    if (f->owns)
        json_decref(f->object);
    f->object = NULL;
    f->owns = false;
}

Fields fields_of(json_t *object, const char *path, ApiError *error)
{
    Fields f = {.object = object, .error = error};
    snprintf(f.path, sizeof f.path, "%s", path);
    return f;
}

Fields fields_within(const Fields *outer, json_t *object, const char *path, ...)
{
    Fields f = fields_of(object, outer->path, outer->error);
    size_t at = strlen(f.path);
    va_list list;
    va_start(list, path);
    vsnprintf(f.path + at, sizeof f.path - at, path, list);
    va_end(list);
    return f;
}

bool fields_ok(const Fields *f) { return f->error->status == 0; }

/* ---- what is wrong with a field ---- */

void fields_refuse(Fields *f, const char *name, const char *format, ...)
{
    char param[sizeof f->error->param], text[ERROR_TEXT_BYTES];
    va_list list;
    if (!fields_ok(f))
        return;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    snprintf(param, sizeof param, "%s%s", f->path, name ? name : "");
    size_t bytes = strlen(param);
    if (bytes > 0 && param[bytes - 1] == '.')    /* the object itself is meant */
        param[bytes - 1] = 0;
    api_refuse(f->error, 400, param, "%s: %s", param, text);
}

/* "a string", "-3", for messages; `room` holds it if it must be written. */
static const char *described(const json_t *value, char room[32])
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    case JSON_INTEGER: snprintf(room, 32, "%lld", (long long)json_integer_value(value)); return room;
    case JSON_REAL: snprintf(room, 32, "%.15g", json_real_value(value)); return room;
    }
    return "something else";
}

static void refuse_type(Fields *f, const char *name, const json_t *value, const char *wanted)
{
    char room[32];
    fields_refuse(f, name, "must be %s, but is %s", wanted, described(value, room));
}

/* ---- readers ---- */

json_t *fields_any(const Fields *f, const char *name)
{
    json_t *value = json_object_get(f->object, name);
    return json_is_null(value) ? NULL : value;
}

bool fields_has(const Fields *f, const char *name) { return fields_any(f, name) != NULL; }

/* NULL: absent, or an error came before. */
static json_t *wanted(const Fields *f, const char *name) { return fields_ok(f) ? fields_any(f, name) : NULL; }

void fields_bool(Fields *f, const char *name, bool *value)
{
    json_t *v = wanted(f, name);
    if (v && json_is_boolean(v))
        *value = json_is_true(v);
    else if (v)
        refuse_type(f, name, v, "true or false");
}

/* 3 and 3.0 are whole numbers; 3.5, "3" and true are none. Beyond 2^53 a float is no exact number. */
static bool whole_number(const json_t *v, int64_t *out)
{
    const double exact = 9007199254740992.0;
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    double x = json_is_real(v) ? json_real_value(v) : NAN;
    if (!(x == trunc(x) && fabs(x) <= exact))
        return false;
    *out = (int64_t)x;
    return true;
}

void fields_long(Fields *f, const char *name, int64_t min, int64_t max, int64_t *value)
{
    json_t *v = wanted(f, name);
    char room[32];
    int64_t n;
    if (!v)
        return;
    if (whole_number(v, &n) && n >= min && n <= max)
        *value = n;
    else
        fields_refuse(f, name, "must be a whole number from %lld to %lld, but is %s", (long long)min, (long long)max,
                      described(v, room));
}

void fields_int(Fields *f, const char *name, int64_t min, int64_t max, int32_t *value)
{
    int64_t n = *value;
    fields_long(f, name, min < INT32_MIN ? INT32_MIN : min, max > INT32_MAX ? INT32_MAX : max, &n);
    *value = (int32_t)n;
}

static void read_number(Fields *f, const char *name, double min, double max, double *value)
{
    json_t *v = wanted(f, name);
    char room[32];
    if (!v)
        return;
    double x = json_is_number(v) ? json_number_value(v) : NAN;
    if (x >= min && x <= max)    /* false for NaN */
        *value = x;
    else
        fields_refuse(f, name, "must be a number from %g to %g, but is %s", min, max, described(v, room));
}

void fields_float(Fields *f, const char *name, double min, double max, float *value)
{
    double x = NAN;
    read_number(f, name, min, max, &x);
    if (!isnan(x))
        *value = (float)x;
}

void fields_seconds(Fields *f, const char *name, double max, double *value) { read_number(f, name, 0, max, value); }

void fields_text(Fields *f, const char *name, size_t bytes_max, const char **value)
{
    json_t *v = wanted(f, name);
    if (!v)
        return;
    if (!json_is_string(v))
        refuse_type(f, name, v, "a string");
    else if (json_string_length(v) > bytes_max)
        fields_refuse(f, name, "has %zu bytes; at most %zu are allowed", json_string_length(v), bytes_max);
    else if (strlen(json_string_value(v)) != json_string_length(v))
        fields_refuse(f, name, "holds a zero byte");
    else
        *value = json_string_value(v);
}

static void list_names(char *out, size_t bytes, const char *const *names, int count)
{
    size_t at = 0;
    for (int i = 0; i < count && at < bytes; i++)
        at += (size_t)snprintf(out + at, bytes - at, "%s'%s'", i == 0 ? "" : i + 1 == count ? " or " : ", ", names[i]);
}

int fields_choice(Fields *f, const char *name, const char *const *names, int count, int otherwise)
{
    json_t *v = wanted(f, name);
    char list[256] = "", room[32];
    if (!v)
        return otherwise;
    for (int i = 0; i < count; i++)
        if (json_is_string(v) && !strcmp(json_string_value(v), names[i]))
            return i;
    list_names(list, sizeof list, names, count);
    if (json_is_string(v))
        fields_refuse(f, name, "must be %s, but is '%.64s'", list, json_string_value(v));
    else
        fields_refuse(f, name, "must be %s, but is %s", list, described(v, room));
    return otherwise;
}

json_t *fields_array(Fields *f, const char *name, size_t most)
{
    json_t *v = wanted(f, name);
    if (!v)
        return NULL;
    if (!json_is_array(v))
        refuse_type(f, name, v, "a list");
    else if (json_array_size(v) > most)
        fields_refuse(f, name, "has %zu entries; at most %zu are allowed", json_array_size(v), most);
    return fields_ok(f) ? v : NULL;
}

json_t *fields_object(Fields *f, const char *name)
{
    json_t *v = wanted(f, name);
    if (v && !json_is_object(v))
        refuse_type(f, name, v, "an object");
    return fields_ok(f) ? v : NULL;
}
