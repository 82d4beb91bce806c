#include "server/sampling_fields.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double SECONDS_MAX = 86400;

/* ---- stops ---- */

void sampling_fields_stop(Fields *f, const char *name, GenerationSpec *s)
{
    json_t *stop = fields_any(f, name), *entry;
    size_t i, bytes = 0;
    if (!fields_ok(f) || !stop)
        return;
    s->stop_count = 0;
    if (json_is_string(stop)) {
        fields_text(f, name, STOP_BYTES_MAX, &s->stop[0]);
        s->stop_count = fields_ok(f) && s->stop[0][0] ? 1 : 0;    /* "" asks for none, as clients send it */
        return;
    }
    if (!json_is_array(stop))
        fields_refuse(f, name, "must be a string or a list of strings");
    if (!fields_array(f, name, STOP_STRINGS_MAX))
        return;
    json_array_foreach(stop, i, entry)
    {
        const char *text = json_string_value(entry);
        if (!text || !*text || strlen(text) != json_string_length(entry))
            fields_refuse(f, name, "entry %zu must be a string that is not empty and has no zero byte", i);
        else if ((bytes += strlen(text)) > STOP_BYTES_MAX)
            fields_refuse(f, name, "has more than %d bytes in all", STOP_BYTES_MAX);
        else
            s->stop[s->stop_count++] = text;
    }
}

static void read_stop_ids(Fields *f, GenerationSpec *s, const Service *service)
{
    json_t *list = fields_array(f, "stop_token_ids", STOP_IDS_MAX), *entry;
    size_t i;
    json_array_foreach(list, i, entry)
    {
        json_int_t id = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (id < 0 || id >= service_vocabulary(service))
            fields_refuse(f, "stop_token_ids", "entry %zu must be a token id from 0 to %d", i, service_vocabulary(service) - 1);
        else
            token_ids_add(&s->sampling.stop, (int32_t)id);
    }
}

/* ---- bias ---- */

static bool read_id(const char *text, int32_t limit, int32_t *id)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    *id = (int32_t)value;
    return *text >= '0' && *text <= '9' && *end == 0 && errno == 0 && value < limit;
}

static void read_bias(Fields *f, GenerationSpec *s, const Service *service)
{
    json_t *bias = fields_object(f, "logit_bias"), *value;
    const char *key;
    int32_t id;
    if (!bias)
        return;
    if (json_object_size(bias) > LOGIT_BIASES_MAX)
        fields_refuse(f, "logit_bias", "has %zu entries; at most %d are allowed", json_object_size(bias), LOGIT_BIASES_MAX);
    if (!fields_ok(f))
        return;
    s->sampling.biases = 0;
    json_object_foreach(bias, key, value)
    {
        double x = json_is_number(value) ? json_number_value(value) : 1e9;
        if (!read_id(key, service_vocabulary(service), &id))
            fields_refuse(f, "logit_bias", "'%.32s' is no token id from 0 to %d", key, service_vocabulary(service) - 1);
        else if (!(x >= -BIAS_MOST && x <= BIAS_MOST))
            fields_refuse(f, "logit_bias", "that of token %d must be a number from %g to %g", id, -BIAS_MOST, BIAS_MOST);
        else
            s->sampling.bias[s->sampling.biases++] = (LogitBias){id, (float)x};
    }
}

/* ---- all ---- */

static void read_numbers(Fields *f, GenerationSpec *s)
{
    SamplerOptions *o = &s->sampling;
    fields_float(f, "temperature", 0, 2, &o->temperature);
    fields_float(f, "top_p", 0, 1, &o->top_p);
    fields_float(f, "min_p", 0, 1, &o->min_p);
    fields_float(f, "typical_p", 0, 1, &o->typical_p);
    fields_int(f, "top_k", -1, INT32_MAX, &o->top_k);
    fields_float(f, "repetition_penalty", REPEAT_PENALTY_LEAST, REPEAT_PENALTY_MOST, &o->repeat_penalty);
    fields_int(f, "repeat_last_n", REPEAT_ALL, INT32_MAX, &o->repeat_last_n);
    fields_float(f, "presence_penalty", -PENALTY_MOST, PENALTY_MOST, &o->presence_penalty);
    fields_float(f, "frequency_penalty", -PENALTY_MOST, PENALTY_MOST, &o->frequency_penalty);
    fields_int(f, "min_tokens", 0, INT32_MAX, &o->min_tokens);
    fields_bool(f, "ignore_eos", &o->ignore_eos);
    int64_t seed = (int64_t)o->seed;
    fields_long(f, "seed", INT64_MIN, INT64_MAX, &seed);
    o->seed = (uint64_t)seed;
}

static void read_answers(Fields *f, GenerationSpec *s)
{
    fields_int(f, "n", 1, SAMPLES_MAX, &s->n);
    s->best_of = s->n;
    fields_int(f, "best_of", 1, SAMPLES_MAX, &s->best_of);
    fields_bool(f, "use_beam_search", &s->beam_search);
    fields_float(f, "length_penalty", -100, 100, &s->length_penalty);
    if (fields_ok(f) && s->best_of < s->n)
        fields_refuse(f, "best_of", "must be at least n, which is %d, but is %d", s->n, s->best_of);
}

static void read_limits(Fields *f, GenerationSpec *s)
{
    bool skips = !s->shows_special, per_token = false;
    fields_bool(f, "include_stop_str_in_output", &s->keeps_stop);
    fields_bool(f, "skip_special_tokens", &skips);
    s->shows_special = !skips;
    fields_int(f, "priority", INT32_MIN, INT32_MAX, &s->priority);
    fields_text(f, "cache_salt", 4096, &s->cache_salt);
    fields_seconds(f, "queue_seconds", SECONDS_MAX, &s->queue_seconds);
    fields_seconds(f, "total_seconds", SECONDS_MAX, &s->total_seconds);
    fields_bool(f, "stream", &s->stream);
    fields_bool(f, "include_timings", &s->timings);
    fields_bool(f, "timings_per_token", &per_token);
    s->timings |= per_token;
}

void sampling_fields_read(Fields *f, GenerationSpec *s, const Service *service)
{
    /* A checkpoint that says nothing of sampling leaves it to the API, where a temperature of 1 is the default. */
    if (service->package && !service->package->generation)
        s->sampling.temperature = 1;
    read_numbers(f, s);
    sampling_fields_stop(f, "stop", s);
    read_stop_ids(f, s, service);
    read_bias(f, s, service);
    read_answers(f, s);
    read_limits(f, s);
}

void model_field_check(Fields *f, const Service *s)
{
    const char *name = NULL;
    fields_text(f, "model", 512, &name);
    if (!fields_ok(f) || !name || s->o.any_model || !strcmp(name, s->model_name))
        return;
    fields_refuse(f, "model", "'%.128s' is not served here; '%s' is", name, s->model_name);
    f->error->status = 404;
    f->error->type = "invalid_request_error";
    f->error->code = "model_not_found";
}
