#include "model/text_half.h"

#include <stdio.h>
#include <string.h>

static const struct { const char *from, *to; } prefixes[] = {
    {"language_model.model.", "model."},
    {"language_model.lm_head.", "lm_head."},
    {"model.language_model.", "model."},
    {"lm_head.", "lm_head."},
};

static bool text_name(const char *name, char out[STORE_NAME_BYTES_MAX + 1])
{
    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        size_t bytes = strlen(prefixes[i].from);
        if (strncmp(name, prefixes[i].from, bytes))
            continue;
        int put = snprintf(out, STORE_NAME_BYTES_MAX + 1, "%s%s", prefixes[i].to, name + bytes);
        return put <= STORE_NAME_BYTES_MAX;
    }
    return false;
}

static bool has_half(const Store *s)
{
    for (size_t i = 0; i < store_count(s); i++)
        if (strstr(store_at(s, i)->name, "language_model."))
            return true;
    return false;
}

/* What the whole says of tokens, ties and packing holds for the half as well, unless that says it itself. */
static json_t *inherit(json_t *half, const json_t *whole)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)whole, key, value) {
        bool shared = !json_is_object(value) || !strcmp(key, "quantization_config");
        if (shared && strcmp(key, "model_type") && !json_object_get(half, key) && json_object_set(half, key, value))
            return NULL;
    }
    return half;
}

Err text_half_take(json_t **config, Store *s, const char *where, Error *err)
{
    json_t *half = json_object_get(*config, "text_config");
    if (!json_is_object(half) || !json_is_string(json_object_get(half, "model_type")))
        return OK;
    if (!inherit(half, *config))
        return fail(err, NO_MEMORY, "%s: no memory for its text_config", where);
    if (has_half(s))
        TRY(store_rename(s, text_name, err));
    json_incref(half);
    json_decref(*config);
    *config = half;
    return OK;
}
