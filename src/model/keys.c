#include "model/keys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The value at a path like "rope_parameters.factor", which ends at `end`; NULL: absent, or null. What should lie in
 * something that is no object is found, as something of a type that no key has: so the reader refuses it. */
static const json_t *value_at(const Keys *k, const char *path, const char *end)
{
    const json_t *value = k->config;
    for (const char *dot; value && path; path = dot ? dot + 1 : NULL) {
        dot = memchr(path, '.', (size_t)(end - path));
        if (!json_is_object(value) && !json_is_null(value))
            return k->config;
        value = json_object_getn(value, path, (size_t)((dot ? dot : end) - path));
    }
    return json_is_null(value) ? NULL : value;
}

/* The first of "hidden_size|n_embd" that is there, and where its name ends; else the first of all. */
static const char *present_path(const Keys *k, const char *paths, const char **end)
{
    for (const char *path = paths; path; path = **end ? *end + 1 : NULL) {
        *end = strchrnul(path, '|');
        if (value_at(k, path, *end))
            return path;
    }
    *end = strchrnul(paths, '|');
    return paths;
}

static const json_t *config_at(const Keys *k, const char *paths)
{
    const char *end, *path = present_path(k, paths, &end);
    return value_at(k, path, end);
}

/* A key in GGUF: behind the family's name, but for whole ones. */
static void gguf_name(const char *family, const char *gguf, char out[192])
{
    if (*gguf == '/')
        snprintf(out, 192, "%s", gguf + 1);
    else
        snprintf(out, 192, "%s.%s", family, gguf);
}

/* The name of a key in GGUF; false: there is none. */
static bool gguf_key(const Keys *k, const char *gguf, char out[192])
{
    if (!k->gguf || !gguf)
        return false;
    gguf_name(k->family, gguf, out);
    return gguf_has(k->gguf, out);
}

bool keys_have(const Keys *k, const char *hf, const char *gguf)
{
    char key[192];
    return k->config ? hf && config_at(k, hf) : gguf_key(k, gguf, key);
}

bool keys_are_list(const Keys *k, const char *hf, const char *gguf)
{
    char key[192];
    if (k->config)
        return hf && json_is_array(config_at(k, hf));
    return gguf_key(k, gguf, key) && gguf_find(k->gguf, key)->type == GGUF_ARRAY;
}

bool keys_null(const Keys *k, const char *hf) { return k->config && json_is_null(json_object_get(k->config, hf)); }

const char *keys_name(const Keys *k, const char *hf, const char *gguf, char out[128])
{
    const char *end, *path = hf && k->config ? present_path(k, hf, &end) : NULL;
    char key[192] = "(nothing)";
    if (path)
        snprintf(key, sizeof key, "%.*s", (int)(end - path), path);
    else if (!k->config)
        gguf_name(k->family, gguf ? gguf : "(nothing)", key);
    snprintf(out, 128, "%.127s", key);
    return out;
}

/* The name to record under; false: nobody listens, or GGUF has no name for it. */
static bool record_key(const Keys *k, const char *gguf, char out[192])
{
    if (!k->record || !gguf)
        return false;
    gguf_name(k->record_family, gguf, out);
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

void keys_record_bool(const Keys *k, const char *gguf, bool value)
{
    char key[192];
    if (record_key(k, gguf, key))
        gguf_put_bool(k->record, key, value);
}

void keys_record_ints(const Keys *k, const char *gguf, const int32_t *values, int n)
{
    char key[192];
    int same = 1;
    while (same < n && values[same] == values[0])
        same++;
    if (n > 0 && same == n)
        keys_record_int(k, gguf, values[0]);
    else if (record_key(k, gguf, key))
        gguf_put_array(k->record, key, GGUF_I32, values, (uint64_t)n);
}

void keys_record_floats(const Keys *k, const char *gguf, const float *values, int n)
{
    char key[192];
    int same = 1;
    while (same < n && values[same] == values[0])
        same++;
    if (n > 0 && same == n)
        keys_record_float(k, gguf, values[0]);
    else if (record_key(k, gguf, key))
        gguf_put_array(k->record, key, GGUF_F32, values, (uint64_t)n);
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

/* "n_embd|hidden_size": each would do, so each is said. */
static Err missing(const Keys *k, const char *hf, const char *gguf, Error *err)
{
    char name[256];
    size_t used = 0;
    for (const char *at = k->config && hf ? hf : ""; *at && used + 5 < sizeof name; at++)
        used += (size_t)snprintf(name + used, sizeof name - used, *at == '|' ? " or " : "%c", *at);
    if (!used)
        keys_name(k, hf, gguf, name);
    return fail(err, BAD_FILE, "%s: %s is missing; family '%s' needs it", k->where, name, k->family);
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

static bool json_whole(const json_t *found, int64_t *out)
{
    double real = json_real_value(found); /* 0 for what is no real number */
    *out = json_is_real(found) ? (int64_t)(fabs(real) < 1e15 ? real : 0) : json_integer_value(found);
    return json_is_integer(found) || (json_is_real(found) && real == floor(real) && fabs(real) < 1e15);
}

/* at: in a list; -1: alone. */
static Err check_int(const Keys *k, const char *name, int at, int64_t value, int64_t min, int64_t max, Error *err)
{
    char place[16] = "";
    if (value >= min && value <= max)
        return OK;
    if (at >= 0)
        snprintf(place, sizeof place, "[%d]", at);
    return fail(err, BAD_FILE, "%s: %s%s is %lld; ridge takes %lld to %lld", k->where, name, place, (long long)value,
                (long long)min, (long long)max);
}

static Err check_float(const Keys *k, const char *name, int at, double value, double min, double max, Error *err)
{
    char place[16] = "";
    if (value >= min && value <= max)
        return OK;
    if (at >= 0)
        snprintf(place, sizeof place, "[%d]", at);
    return fail(err, BAD_FILE, "%s: %s%s is %g; ridge takes %g to %g", k->where, name, place, value, min, max);
}

Err keys_int(const Keys *k, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t *out, Error *err)
{
    char key[192];
    int64_t value;
    if (!keys_have(k, hf, gguf))
        return missing(k, hf, gguf, err);
    if (k->config) {
        if (!json_whole(config_at(k, hf), &value))
            return wrong_type(k, hf, gguf, "an integer", err);
    } else {
        gguf_key(k, gguf, key);
        if (gguf_find(k->gguf, key)->type == GGUF_ARRAY)
            TRY(same_for_all_layers(k, key, &value, err));
        else
            TRY(gguf_i64(k->gguf, key, &value, err));
    }
    TRY(check_int(k, keys_name(k, hf, gguf, key), -1, value, min, max, err));
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

Err keys_int_or_auto(const Keys *k, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                     int32_t *out, Error *err)
{
    const char *word = k->config && hf ? json_string_value(config_at(k, hf)) : NULL;
    if (!word || strcmp(word, "auto"))
        return keys_int_or(k, hf, gguf, min, max, otherwise, out, err);
    *out = otherwise;
    keys_record_int(k, gguf, *out);
    return OK;
}

Err keys_float(const Keys *k, const char *hf, const char *gguf, double min, double max, float *out, Error *err)
{
    char key[192];
    double value;
    if (!keys_have(k, hf, gguf))
        return missing(k, hf, gguf, err);
    if (k->config) {
        if (!json_float(config_at(k, hf), &value))
            return wrong_type(k, hf, gguf, "a number", err);
    } else {
        gguf_key(k, gguf, key);
        TRY(gguf_f64(k->gguf, key, &value, err));
    }
    TRY(check_float(k, keys_name(k, hf, gguf, key), -1, value, min, max, err));
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

/* ---- lists ---- */

/* A list as it lies in either kind of file. */
typedef struct Numbers {
    const json_t *json;
    GgufArray array;
} Numbers;

/* A GGUF's lists go on for the layers that guess ahead, which the model is not said to have. */
static uint64_t draft_layers(const Keys *k)
{
    char key[192];
    int64_t drafts;
    Error ignored;
    if (!gguf_key(k, "nextn_predict_layers", key) || gguf_i64(k->gguf, key, &drafts, &ignored) != OK)
        return 0;
    return drafts > 0 ? (uint64_t)drafts : 0;
}

/* The list behind a key; false in *is_list: one number. */
static Err find_list(const Keys *k, const char *hf, const char *gguf, bool whole, int n, Numbers *out, bool *is_list,
                     Error *err)
{
    char key[192];
    uint64_t count;
    if (k->config) {
        out->json = config_at(k, hf);
        *is_list = json_is_array(out->json);
        count = json_array_size(out->json);
    } else {
        gguf_key(k, gguf, key);
        *is_list = gguf_find(k->gguf, key)->type == GGUF_ARRAY;
        if (*is_list)
            TRY(whole ? gguf_integers(k->gguf, key, &out->array, err) : gguf_floats(k->gguf, key, &out->array, err));
        count = out->array.count;
        if (count > (uint64_t)n && count - (uint64_t)n == draft_layers(k))
            count = (uint64_t)n;
    }
    if (*is_list && count != (uint64_t)n)
        return fail(err, BAD_FILE, "%s: %s has %llu numbers; %d are wanted", k->where, keys_name(k, hf, gguf, key),
                    (unsigned long long)count, n);
    return OK;
}

Err keys_ints_or(const Keys *k, const char *hf, const char *gguf, int64_t min, int64_t max, int32_t otherwise,
                 int32_t *out, int n, Error *err)
{
    char name[128];
    Numbers list = {0};
    bool is_list = false;
    if (keys_have(k, hf, gguf))
        TRY(find_list(k, hf, gguf, true, n, &list, &is_list, err));
    if (!is_list) {
        int32_t one;
        TRY(keys_int_or(k, hf, gguf, min, max, otherwise, &one, err));
        for (int i = 0; i < n; i++)
            out[i] = one;
        return OK;
    }
    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(list.json, (size_t)i); /* NULL in a GGUF */
        int64_t value = json_is_true(item);
        if (!list.json)
            value = gguf_array_i64(&list.array, (uint64_t)i);
        else if (!json_is_boolean(item) && !json_whole(item, &value))
            return wrong_type(k, hf, gguf, "a list of integers", err);
        TRY(check_int(k, keys_name(k, hf, gguf, name), i, value, min, max, err));
        out[i] = (int32_t)value;
    }
    keys_record_ints(k, gguf, out, n);
    return OK;
}

Err keys_floats_or(const Keys *k, const char *hf, const char *gguf, double min, double max, float otherwise, float *out,
                   int n, Error *err)
{
    char name[128];
    Numbers list = {0};
    bool is_list = false;
    if (keys_have(k, hf, gguf))
        TRY(find_list(k, hf, gguf, false, n, &list, &is_list, err));
    if (!is_list) {
        float one;
        TRY(keys_float_or(k, hf, gguf, min, max, otherwise, &one, err));
        for (int i = 0; i < n; i++)
            out[i] = one;
        return OK;
    }
    for (int i = 0; i < n; i++) {
        double value;
        if (!list.json)
            value = gguf_array_f64(&list.array, (uint64_t)i);
        else if (!json_float(json_array_get(list.json, (size_t)i), &value))
            return wrong_type(k, hf, gguf, "a list of numbers", err);
        TRY(check_float(k, keys_name(k, hf, gguf, name), i, value, min, max, err));
        out[i] = (float)value;
    }
    keys_record_floats(k, gguf, out, n);
    return OK;
}

static Err unknown_kind(const Keys *k, const char *hf, int at, const char *kind, const char *const names[], int n,
                        Error *err)
{
    char known[256] = "";
    for (int i = 0; i < n; i++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    return fail(err, UNSUPPORTED, "%s: %s[%d] is '%s', a kind of layer that family '%s' does not have here; it has: %s",
                k->where, hf, at, kind, k->family, known);
}

Err keys_layer_kinds(const Keys *k, const char *hf, const char *const names[], int n, int *out, int layers, Error *err)
{
    const json_t *list = k->config ? config_at(k, hf) : NULL;
    if (!list)
        return missing(k, hf, NULL, err);
    if (!json_is_array(list))
        return wrong_type(k, hf, NULL, "a list of names", err);
    if (json_array_size(list) != (size_t)layers)
        return fail(err, BAD_FILE, "%s: %s names %zu layers; the model has %d", k->where, hf, json_array_size(list),
                    layers);
    for (int l = 0; l < layers; l++) {
        const char *kind = json_string_value(json_array_get(list, (size_t)l));
        if (!kind)
            return wrong_type(k, hf, NULL, "a list of names", err);
        for (out[l] = 0; out[l] < n && strcmp(names[out[l]], kind); out[l]++)
            ;
        if (out[l] == n)
            return unknown_kind(k, hf, l, kind, names, n, err);
    }
    return OK;
}

/* ---- truth and text ---- */

Err keys_layers_listed(const Keys *k, const char *hf, int first, bool *out, int layers, Error *err)
{
    const json_t *list = k->config ? config_at(k, hf) : NULL, *number;
    char name[128];
    size_t i;
    if (list && !json_is_array(list))
        return wrong_type(k, hf, NULL, "a list of layers", err);
    memset(out, 0, (size_t)layers * sizeof *out);
    json_array_foreach(list, i, number) {
        json_int_t l = json_is_integer(number) ? json_integer_value(number) : -1;
        if (l < first || l >= first + layers)
            return fail(err, BAD_FILE, "%s: %s[%zu] is not one of %d layers, of which the first is %d", k->where,
                        keys_name(k, hf, NULL, name), i, layers, first);
        out[l - first] = true;
    }
    return OK;
}

Err keys_bool_or(const Keys *k, const char *hf, const char *gguf, bool otherwise, bool *out, Error *err)
{
    char key[192];
    *out = otherwise;
    if (keys_have(k, hf, gguf)) {
        if (k->config) {
            const json_t *found = config_at(k, hf);
            if (!json_is_boolean(found))
                return wrong_type(k, hf, gguf, "true or false", err);
            *out = json_is_true(found);
        } else if (gguf_key(k, gguf, key)) {
            TRY(gguf_bool(k->gguf, key, out, err));
        }
    }
    keys_record_bool(k, gguf, *out);
    return OK;
}

Err keys_only(const Keys *k, const char *hf, bool value, Error *err)
{
    bool is;
    TRY(keys_bool_or(k, hf, NULL, value, &is, err));
    if (is == value)
        return OK;
    return fail(err, UNSUPPORTED, "%s: %s is %s, which ridge does not do for family '%s'", k->where, hf,
                is ? "true" : "false", k->family);
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

Err keys_tensor_floats(const Keys *k, const char *tensor, float *out, int n, Error *err)
{
    const StoreTensor *t = store_find(k->store, tensor);
    if (!t)
        return fail(err, BAD_FILE, "%s: tensor '%s' is missing beside it", k->where, tensor);
    if (store_tensor_elems(t) != n || t->format->block_elems != 1 || !t->format->decode)
        return fail(err, BAD_FILE, "%s: tensor '%s' has %lld values of %s; %d plain numbers are wanted", t->file->path, tensor,
                    (long long)store_tensor_elems(t), t->format->name, n);
    t->format->decode(out, t->bytes.data, (size_t)n);
    return OK;
}
