#include "engine/sampler_defaults.h"

#include <math.h>

typedef struct ConfigField {
    const char *key;
    bool whole;                 /* an int32_t, else a float */
    size_t offset;              /* in SamplerDefaults */
} ConfigField;

#define OPTION(field) offsetof(SamplerDefaults, options.field)
static const ConfigField fields[] = {
    {"temperature", false, OPTION(temperature)},
    {"top_k", true, OPTION(top_k)},
    {"top_p", false, OPTION(top_p)},
    {"min_p", false, OPTION(min_p)},
    {"typical_p", false, OPTION(typical_p)},
    {"repetition_penalty", false, OPTION(repeat_penalty)},
    {"min_new_tokens", true, OPTION(min_tokens)},
    {"max_new_tokens", true, offsetof(SamplerDefaults, max_tokens)},
};

static bool said(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return value && !json_is_null(value);
}

static Err read_field(const json_t *config, const char *what, const ConfigField *f, SamplerDefaults *out, Error *err)
{
    double x;
    if (!said(config, f->key))
        return OK;
    if (!json_float(json_object_get(config, f->key), &x))
        return fail(err, BAD_FILE, "%s: %s is not a number", what, f->key);
    if (f->whole && !(x == trunc(x) && fabs(x) <= INT32_MAX))
        return fail(err, BAD_FILE, "%s: %s is %g; a whole number belongs there", what, f->key, x);
    void *at = (char *)out + f->offset;
    if (f->whole)
        *(int32_t *)at = (int32_t)x;
    else
        *(float *)at = (float)x;
    return OK;
}

static Err add_end(const json_t *id, const char *what, int32_t vocabulary, TokenIds *ends, Error *err)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= vocabulary)
        return fail(err, BAD_FILE, "%s: eos_token_id must be a token id from 0 to %d, or a list of them", what,
                    vocabulary - 1);
    if (!token_ids_add(ends, (int32_t)json_integer_value(id)))
        return fail(err, LIMIT_REACHED, "%s: eos_token_id lists more than %d ids", what, STOP_IDS_MAX);
    return OK;
}

Err sampler_ends_read(const json_t *config, const char *what, int32_t vocabulary, TokenIds *ends, Error *err)
{
    const json_t *ids = json_object_get(config, "eos_token_id");
    if (!said(config, "eos_token_id"))
        return OK;
    if (!json_is_array(ids))
        return add_end(ids, what, vocabulary, ends, err);
    for (size_t i = 0; i < json_array_size(ids); i++)
        TRY(add_end(json_array_get(ids, i), what, vocabulary, ends, err));
    return OK;
}

static bool samples(const json_t *config, const SamplerDefaults *d)
{
    if (said(config, "do_sample"))
        return json_is_true(json_object_get(config, "do_sample"));
    return (said(config, "temperature") || said(config, "top_k") || said(config, "top_p")) && d->options.temperature != 0;
}

Err sampler_defaults_read(const json_t *config, const char *what, int32_t vocabulary, SamplerDefaults *out, Error *err)
{
    *out = (SamplerDefaults){sampler_options_greedy(), -1};
    if (!config)
        return OK;
    if (!json_is_object(config))
        return fail(err, BAD_FILE, "%s: not a JSON object", what);
    out->options.temperature = 1;       /* what sampling means when no temperature is said */
    for (size_t i = 0; i < COUNT_OF(fields); i++)
        TRY(read_field(config, what, &fields[i], out, err));
    TRY(sampler_ends_read(config, what, vocabulary, &out->options.end, err));
    if (!samples(config, out))
        out->options.temperature = 0;
    if (sampler_options_check(&out->options, vocabulary, err) != OK) {
        fail_within(err, "%s", what);
        return err ? (err->code = BAD_FILE) : BAD_FILE;
    }
    return OK;
}
