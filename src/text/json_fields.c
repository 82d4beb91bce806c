#include "text/json_fields.h"

static Err wrong(const char *where, const char *key, const char *wanted, Error *err)
{
    return fail(err, BAD_FILE, "%s: '%s' should be %s", where, key, wanted);
}

static const json_t *present(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

Err field_bool(const json_t *object, const char *key, bool absent, const char *where, bool *out, Error *err)
{
    const json_t *value = present(object, key);
    *out = value ? json_is_true(value) : absent;
    return !value || json_is_boolean(value) ? OK : wrong(where, key, "true or false", err);
}

Err field_int(const json_t *object, const char *key, int64_t absent, const char *where, int64_t *out, Error *err)
{
    const json_t *value = present(object, key);
    *out = value ? json_integer_value(value) : absent;
    return !value || json_is_integer(value) ? OK : wrong(where, key, "a whole number", err);
}

Err field_text(const json_t *object, const char *key, const char *where, Span *out, Error *err)
{
    const json_t *value = present(object, key);
    *out = json_span(value);
    return !value || json_is_string(value) ? OK : wrong(where, key, "a string", err);
}

Err field_array(const json_t *object, const char *key, const char *where, const json_t **out, Error *err)
{
    *out = present(object, key);
    return !*out || json_is_array(*out) ? OK : wrong(where, key, "a list", err);
}
