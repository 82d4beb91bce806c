#include "server/llamacpp_options.h"

#include <math.h>
#include <stdlib.h>

#include "server/llamacpp_prompt.h"
#include "server/sampling_fields.h"
#include "text/json_fields.h"

enum { SEED_RANDOM = -1, BIAS_ENTRIES_MAX = 4096 };
static const int64_t SEED_RANDOM_32 = UINT32_MAX;     /* the same, as clients that know 32 bits say it */

/* ---- what is not there ---- */

static void refuse_absent(Fields *f)
{
    static const struct { const char *name; double off; } absent[] = {
        {"dynatemp_range", 0}, {"dry_multiplier", 0}, {"xtc_probability", 0}, {"mirostat", 0}, {"n_indent", 0},
        {"top_n_sigma", 0},    {"min_keep", 1},
    };
    for (size_t i = 0; i < COUNT_OF(absent); i++) {
        json_t *value = fields_any(f, absent[i].name);
        if (value && !(json_is_number(value) && json_number_value(value) <= absent[i].off))
            fields_refuse(f, absent[i].name, "this server does not have it; leave it out, or switch it off with %g",
                          absent[i].off);
    }
    if (json_array_size(fields_array(f, "lora", 64)) > 0)
        fields_refuse(f, "lora", "this server has no adapters");
}

/* ---- samplers ---- */

static bool lists(json_t *samplers, const char *name, const char *other)
{
    json_t *entry;
    size_t i;
    json_array_foreach(samplers, i, entry)
        if (!strcmp(json_string_value(entry), name) || !strcmp(json_string_value(entry), other))
            return true;
    return false;
}

static void check_samplers(Fields *f, json_t *samplers)
{
    static const char *const names[] = {"penalties", "dry", "top_n_sigma", "top_k", "typ_p", "typical_p", "top_p", "min_p",
                                        "xtc", "temperature", "infill", "adaptive_p"};
    json_t *entry;
    size_t i;
    json_array_foreach(samplers, i, entry)
    {
        bool known = false;
        for (size_t k = 0; k < COUNT_OF(names); k++)
            known |= json_is_string(entry) && !strcmp(json_string_value(entry), names[k]);
        if (!known)
            fields_refuse(f, "samplers", "entry %zu is no name of a sampler", i);
    }
}

/* What the list leaves out does not act. */
static void read_samplers(Fields *f, SamplerOptions *o)
{
    json_t *samplers = fields_array(f, "samplers", 64);
    const SamplerOptions off = sampler_options_greedy();
    if (!samplers)
        return;
    check_samplers(f, samplers);
    if (!fields_ok(f))
        return;
    if (!lists(samplers, "temperature", "temperature") && !sampler_is_greedy(o))
        o->temperature = 1;
    if (!lists(samplers, "top_k", "top_k"))
        o->top_k = off.top_k;
    if (!lists(samplers, "top_p", "top_p"))
        o->top_p = off.top_p;
    if (!lists(samplers, "min_p", "min_p"))
        o->min_p = off.min_p;
    if (!lists(samplers, "typ_p", "typical_p"))
        o->typical_p = off.typical_p;
    if (lists(samplers, "penalties", "penalties"))
        return;
    o->repeat_penalty = off.repeat_penalty;
    o->presence_penalty = off.presence_penalty;
    o->frequency_penalty = off.frequency_penalty;
}

static void read_sampling(Fields *f, SamplerOptions *o)
{
    int64_t seed = SEED_RANDOM;
    fields_float(f, "temperature", -1, TEMPERATURE_MOST, &o->temperature);
    o->temperature = o->temperature < 0 ? 0 : o->temperature;
    fields_int(f, "top_k", INT32_MIN, INT32_MAX, &o->top_k);
    o->top_k = o->top_k < 0 ? 0 : o->top_k;
    fields_float(f, "top_p", 0, 1, &o->top_p);
    fields_float(f, "min_p", 0, 1, &o->min_p);
    fields_float(f, "typical_p", 0, 1, &o->typical_p);
    fields_float(f, "repeat_penalty", REPEAT_PENALTY_LEAST, REPEAT_PENALTY_MOST, &o->repeat_penalty);
    fields_int(f, "repeat_last_n", REPEAT_ALL, INT32_MAX, &o->repeat_last_n);
    fields_float(f, "presence_penalty", -PENALTY_MOST, PENALTY_MOST, &o->presence_penalty);
    fields_float(f, "frequency_penalty", -PENALTY_MOST, PENALTY_MOST, &o->frequency_penalty);
    fields_long(f, "seed", SEED_RANDOM, INT64_MAX, &seed);
    /* A random one is short, so that it can be told and given again in any client's numbers. */
    o->seed = seed == SEED_RANDOM || seed == SEED_RANDOM_32 ? o->seed & INT32_MAX : (uint64_t)seed;
    fields_bool(f, "ignore_eos", &o->ignore_eos);
    read_samplers(f, o);
}

/* ---- bias ---- */

static void add_bias(Fields *f, SamplerOptions *o, int32_t id, json_t *value)
{
    double bias = json_is_false(value) ? -BIAS_MOST : json_is_number(value) ? json_number_value(value) : NAN;
    if (!(fabs(bias) <= BIAS_MOST))
        fields_refuse(f, "logit_bias", "a bias is false or a number from %g to %g", -BIAS_MOST, BIAS_MOST);
    else if (o->biases == LOGIT_BIASES_MAX)
        fields_refuse(f, "logit_bias", "names more than %d tokens", LOGIT_BIASES_MAX);
    else
        o->bias[o->biases++] = (LogitBias){id, (float)bias};
}

/* A token, or each of the tokens of a text. */
static void read_bias(Fields *f, SamplerOptions *o, json_t *token, json_t *value, const Service *s)
{
    TokenList l = {0};
    json_t *list = json_is_string(token) ? json_incref(token) : json_pack("[O]", token);
    llamacpp_ids_read(f, "logit_bias", list, s, ENCODE_PARSE_SPECIAL, &l);
    for (int32_t i = 0; fields_ok(f) && i < l.count; i++)
        add_bias(f, o, l.ids[i], value);
    token_list_deinit(&l);
    json_decref(list);
}

/* "15043" is a token; every other key is a text. */
static void read_bias_object(Fields *f, SamplerOptions *o, json_t *object, const Service *s)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        char *end;
        long long id = strtoll(key, &end, 10);
        json_t *token = *key && !*end ? json_integer(id) : json_string(key);
        read_bias(f, o, token, value, s);
        json_decref(token);
    }
}

static void read_biases(Fields *f, SamplerOptions *o, const Service *s)
{
    json_t *biases = fields_any(f, "logit_bias"), *pair;
    size_t i;
    if (!biases || !fields_ok(f))
        return;
    o->biases = 0;
    if (json_is_object(biases)) {
        read_bias_object(f, o, biases, s);
        return;
    }
    biases = fields_array(f, "logit_bias", BIAS_ENTRIES_MAX);
    json_array_foreach(biases, i, pair)
    {
        if (!json_is_array(pair) || json_array_size(pair) != 2)
            fields_refuse(f, "logit_bias", "entry %zu is no pair of a token and a bias", i);
        if (fields_ok(f))
            read_bias(f, o, json_array_get(pair, 0), json_array_get(pair, 1), s);
    }
}

/* ---- probabilities ---- */

/* Whether a choice is made among all tokens with the chances that the model itself gives them. */
static bool leaves_all(const GenerationSpec *spec)
{
    const SamplerOptions *o = &spec->sampling;
    return o->temperature == 1 && o->top_k == 0 && o->top_p >= 1 && o->min_p <= 0 && o->typical_p >= 1 &&
           o->repeat_penalty == 1 && o->presence_penalty == 0 && o->frequency_penalty == 0 && o->biases == 0 &&
           !o->ignore_eos && !spec->grammar;
}

static void read_probs(Fields *f, LlamacppOptions *l, GenerationSpec *spec)
{
    fields_int(f, "n_probs", 0, LOGPROBS_MAX, &l->probs);
    fields_bool(f, "post_sampling_probs", &l->tells_chosen);
    if (l->probs > 0)
        spec->sampling.logprobs = l->probs;
    if (l->tells_chosen && l->probs > 0 && !sampler_is_greedy(&spec->sampling) && !leaves_all(spec))
        fields_refuse(f, "post_sampling_probs", "this server tells what the model says, before samplers; it knows what is left "
                      "behind them only at temperature 0, or at temperature 1 with all other samplers off");
}

/* ---- all of them ---- */

/* An empty grammar is none, as clients send it. */
static void read_form(Fields *f, GenerationSpec *spec, const Service *s)
{
    if (json_is_string(fields_any(f, "grammar")) && json_string_length(fields_any(f, "grammar")) == 0)
        json_object_del(f->object, "grammar");
    output_form_read(f, spec, s);
}

void llamacpp_options_read(Fields *f, LlamacppOptions *l, GenerationSpec *spec, const Service *s)
{
    bool reuses = true;
    *l = (LlamacppOptions){0};
    refuse_absent(f);
    spec->max_tokens = TOKENS_ALL;
    fields_int(f, fields_has(f, "n_predict") ? "n_predict" : "max_tokens", TOKENS_ALL, INT32_MAX, &spec->max_tokens);
    fields_int(f, fields_has(f, "n_cmpl") ? "n_cmpl" : "n", 1, SAMPLES_MAX, &spec->n);
    read_sampling(f, &spec->sampling);
    read_biases(f, &spec->sampling, s);
    sampling_fields_stop(f, "stop", spec);
    read_form(f, spec, s);
    read_probs(f, l, spec);
    fields_bool(f, "stream", &spec->stream);
    fields_bool(f, "return_tokens", &l->returns_tokens);
    fields_bool(f, "timings_per_token", &l->times_each);
    fields_bool(f, "cache_prompt", &reuses);
    if (!reuses) {
        l->salt = random_id("");
        spec->cache_salt = l->salt.text;
    }
    l->fields = json_incref(fields_array(f, "response_fields", RESPONSE_FIELDS_MAX));
    l->settings = llamacpp_settings(spec, s);
}

void llamacpp_options_deinit(LlamacppOptions *l)
{
    json_decref(l->settings);
    json_decref(l->fields);
    *l = (LlamacppOptions){0};
}

/* ---- telling ---- */

/* 0.8 rather than 0.800000011920929: the shortest text that is this float. */
static json_t *number(float x)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return json_real(strtod(text, NULL));
}

static json_t *stops_json(const GenerationSpec *spec)
{
    json_t *list = json_array();
    for (int i = 0; i < spec->stop_count; i++)
        json_array_append_new(list, json_string(spec->stop[i]));
    return list;
}

static json_t *biases_json(const SamplerOptions *o)
{
    json_t *list = json_array();
    for (int32_t i = 0; i < o->biases; i++)
        json_array_append_new(list, json_pack("{s:i, s:o}", "token", (int)o->bias[i].id, "bias", number(o->bias[i].bias)));
    return list;
}

json_t *llamacpp_settings(const GenerationSpec *spec, const Service *s)
{
    const SamplerOptions *o = &spec->sampling;
    json_t *settings = json_pack(
        "{s:s, s:i, s:i, s:i, s:I, s:o, s:i, s:o, s:o, s:o}", "model", s->model_name, "n_ctx",
        s->engine ? (int)engine_longest(s->engine) : 0, "n_predict", (int)spec->max_tokens, "max_tokens", (int)spec->max_tokens,
        "seed", (json_int_t)o->seed, "temperature", number(o->temperature), "top_k", (int)o->top_k, "top_p", number(o->top_p),
        "min_p", number(o->min_p), "typical_p", number(o->typical_p));
    json_t *penalties = json_pack(
        "{s:i, s:o, s:o, s:o, s:o, s:b}", "repeat_last_n", (int)o->repeat_last_n, "repeat_penalty", number(o->repeat_penalty),
        "presence_penalty", number(o->presence_penalty), "frequency_penalty", number(o->frequency_penalty), "logit_bias",
        biases_json(o), "ignore_eos", o->ignore_eos);
    json_t *more = json_pack(
        "{s:f, s:f, s:f, s:i, s:i, s:i, s:o, s:b, s:i, s:[s, s, s, s, s, s]}", "dynatemp_range", 0.0, "xtc_probability", 0.0,
        "dry_multiplier", 0.0, "mirostat", 0, "n_keep", 0, "min_keep", 0, "stop", stops_json(spec), "stream", spec->stream,
        "n_probs", o->logprobs > 0 ? (int)o->logprobs : 0, "samplers", "penalties", "temperature", "top_k", "typ_p", "top_p",
        "min_p");
    json_object_update_missing(settings, penalties);
    json_object_update_missing(settings, more);
    json_decref(penalties);
    json_decref(more);
    return settings;
}
