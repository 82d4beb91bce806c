#include "model/keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The value at a path like "rope_parameters.factor"; NULL: absent, or null. */
static const json_t *config_at(const Keys *k, const char *path)
{
    const json_t *value = k->config;
    for (const char *dot; value && path; path = dot ? dot + 1 : NULL) {
        dot = strchr(path, '.');
        value = json_object_getn(value, path, dot ? (size_t)(dot - path) : strlen(path));
    }
    return json_is_null(value) ? NULL : value;
}

/* The name of a key in GGUF, behind the family's; false: there is none. */
static bool gguf_key(const Keys *k, const char *gguf, char out[192])
{
    if (!k->gguf || !gguf)
        return false;
    snprintf(out, 192, "%s.%s", k->family, gguf);
    return gguf_has(k->gguf, out);
}

bool keys_have(const Keys *k, const char *hf, const char *gguf)
{
    char key[192];
    return k->config ? hf && config_at(k, hf) : gguf_key(k, gguf, key);
}

const char *keys_name(const Keys *k, const char *hf, const char *gguf, char out[128])
{
    if (k->config)
        snprintf(out, 128, "%s", hf ? hf : "(nothing)");
    else
        snprintf(out, 128, "%s.%s", k->family, gguf ? gguf : "(nothing)");
    return out;
}

/* The name to record under; false: nobody listens, or GGUF has no name for it. */
static bool record_key(const Keys *k, const char *gguf, char out[192])
{
    if (!k->record || !gguf)
        return false;
    snprintf(out, 192, "%s.%s", k->record_family, gguf);
    return true;
}

void keys_record_int(const Keys *k, const char *gguf, int32_t value)
{
    char key[192];
    if (record_key(k, gguf, key))
        gguf_put_u32(k->record, key, (uint32_t)value);
}

void keys_record_float(const Keys *k, const char *gguf, float value)
{
    char key[192];
    if (record_key(k, gguf, key))
        gguf_put_f32(k->record, key, value);
}

void keys_record_text(const Keys *k, const char *gguf, const char *value)
{
    char key[192];
    if (record_key(k, gguf, key))
        gguf_put_text(k->record, key, value);
}

Err keys_record_nothing(const Keys *k, const char *what, Error *err)
{
    if (!k->record)
        return OK;
    return fail(err, UNSUPPORTED,
                "%s: %s: GGUF has no word for it in family '%s', and the file would compute something else; use the "
                "checkpoint as it is",
                k->where, what, k->record_family);
}

static Err missing(const Keys *k, const char *hf, const char *gguf, Error *err)
{
    char name[128];
    return fail(err, BAD_FILE, "%s: %s is missing; family '%s' needs it", k->where, keys_name(k, hf, gguf, name),
                k->family);
}

static Err wrong_type(const Keys *k, const char *hf, const char *gguf, const char *wanted, Error *err)
{
    char name[128];
    return fail(err, BAD_FILE, "%s: %s must be %s", k->where, keys_name(k, hf, gguf, name), wanted);
}

/* Some GGUF keys hold one value a layer where a family could have different ones: all must agree. */
static Err same_for_all_layers(const Keys *k, const char *key, int64_t *out, Error *err)
{
    GgufArray values;
    TRY(gguf_integers(k->gguf, key, &values, err));
    if (values.count == 0)
        return fail(err, BAD_FILE, "%s: %s is an empty list", k->where, key);
    *out = gguf_array_i64(&values, 0);
    for (uint64_t i = 1; i < values.count; i++)
        if (gguf_array_i64(&values, i) != *out)
            return fail(err, UNSUPPORTED, "%s: %s differs from layer to layer, which family '%s' does not do", k->where,
                        key, k->family);
    return OK;
}

Err keys_int(const Keys *k, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t *out, Error *err)
{
    char key[192];
    int64_t value;
    if (k->config) {
        const json_t *found = hf ? config_at(k, hf) : NULL;
        if (!found)
            return missing(k, hf, gguf, err);
        double real = json_real_value(found); /* 0 for what is no real number */
        if (json_is_real(found) && real == floor(real) && fabs(real) < 1e15)
            value = (int64_t)real;
        else if (json_is_integer(found))
            value = json_integer_value(found);
        else
            return wrong_type(k, hf, gguf, "an integer", err);
    } else {
        if (!gguf_key(k, gguf, key))
            return missing(k, hf, gguf, err);
        if (gguf_find(k->gguf, key)->type == GGUF_ARRAY)
            TRY(same_for_all_layers(k, key, &value, err));
        else
            TRY(gguf_i64(k->gguf, key, &value, err));
    }
    if (value < min || value > max)
        return fail(err, BAD_FILE, "%s: %s is %lld; ridge takes %lld to %lld", k->where, keys_name(k, hf, gguf, key),
                    (long long)value, (long long)min, (long long)max);
    *out = (int32_t)value;
    keys_record_int(k, gguf, *out);
    return OK;
}

Err keys_int_or(const Keys *k, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                int32_t *out, Error *err)
{
    if (keys_have(k, hf, gguf))
        return keys_int(k, hf, gguf, min, max, out, err);
    *out = otherwise;
    keys_record_int(k, gguf, *out);
    return OK;
}

Err keys_float(const Keys *k, const char *hf, const char *gguf, double min, double max, float *out, Error *err)
{
    char key[192];
    double value;
    if (k->config) {
        const json_t *found = hf ? config_at(k, hf) : NULL;
        if (!found)
            return missing(k, hf, gguf, err);
        if (!json_float(found, &value))
            return wrong_type(k, hf, gguf, "a number", err);
    } else {
        if (!gguf_key(k, gguf, key))
            return missing(k, hf, gguf, err);
        TRY(gguf_f64(k->gguf, key, &value, err));
    }
    if (!(value >= min && value <= max))
        return fail(err, BAD_FILE, "%s: %s is %g; ridge takes %g to %g", k->where, keys_name(k, hf, gguf, key), value,
                    min, max);
    *out = (float)value;
    keys_record_float(k, gguf, *out);
    return OK;
}

Err keys_float_or(const Keys *k, const char *hf, const char *gguf, double min, double max, float otherwise, float *out,
                  Error *err)
{
    if (keys_have(k, hf, gguf))
        return keys_float(k, hf, gguf, min, max, out, err);
    *out = otherwise;
    keys_record_float(k, gguf, *out);
    return OK;
}

Err keys_bool_or(const Keys *k, const char *hf, const char *gguf, bool otherwise, bool *out, Error *err)
{
    char key[192];
    *out = otherwise;
    if (!keys_have(k, hf, gguf))
        return OK;
    if (!k->config)
        return gguf_key(k, gguf, key) ? gguf_bool(k->gguf, key, out, err) : OK;
    const json_t *found = config_at(k, hf);
    if (!json_is_boolean(found))
        return wrong_type(k, hf, gguf, "true or false", err);
    *out = json_is_true(found);
    return OK;
}

Err keys_text_or(const Keys *k, const char *hf, const char *gguf, const char *otherwise, char *out, size_t bytes,
                 Error *err)
{
    char key[192];
    Span text = span_text(otherwise ? otherwise : "");
    if (!keys_have(k, hf, gguf)) {
        if (!otherwise)
            return missing(k, hf, gguf, err);
    } else if (k->config) {
        const json_t *found = config_at(k, hf);
        if (!json_is_string(found))
            return wrong_type(k, hf, gguf, "a text", err);
        text = span_of(json_string_value(found), json_string_length(found));
    } else if (gguf_key(k, gguf, key)) {
        TRY(gguf_string(k->gguf, key, &text, err));
    }
    if (text.bytes >= bytes || (text.bytes && memchr(text.data, 0, text.bytes)))
        return fail(err, BAD_FILE, "%s: %s is longer than %zu characters or holds a zero byte", k->where,
                    keys_name(k, hf, gguf, key), bytes - 1);
    memcpy(out, text.data, text.bytes);
    out[text.bytes] = 0;
    return OK;
}
