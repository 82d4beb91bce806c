#include "engine/sampler_options.h"

#include <math.h>

SamplerOptions sampler_options_greedy(void)
{
    return (SamplerOptions){
        .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .repeat_last_n = REPEAT_ALL, .logprobs = LOGPROBS_NONE,
    };
}

/* The valid range of every plain field. */
typedef struct NumberField { const char *name; size_t offset; double least, most; } NumberField;
#define FIELD(name, least, most) {#name, offsetof(SamplerOptions, name), least, most}

static const NumberField float_fields[] = {
    FIELD(temperature, 0, TEMPERATURE_MOST),
    FIELD(top_p, 0, 1),
    FIELD(min_p, 0, 1),
    FIELD(typical_p, 0, 1),
    FIELD(repeat_penalty, REPEAT_PENALTY_LEAST, REPEAT_PENALTY_MOST),
    FIELD(presence_penalty, -PENALTY_MOST, PENALTY_MOST),
    FIELD(frequency_penalty, -PENALTY_MOST, PENALTY_MOST),
};

static const NumberField int_fields[] = {
    FIELD(top_k, -1, INT32_MAX),
    FIELD(repeat_last_n, REPEAT_ALL, INT32_MAX),
    FIELD(min_tokens, 0, INT32_MAX),
    FIELD(logprobs, LOGPROBS_NONE, LOGPROBS_MAX),
    FIELD(end.count, 0, STOP_IDS_MAX),
    FIELD(stop.count, 0, STOP_IDS_MAX),
    FIELD(biases, 0, LOGIT_BIASES_MAX),
};

static Err check_range(const NumberField *f, double value, Error *err)
{
    if (value >= f->least && value <= f->most)    /* false for NaN */
        return OK;
    return fail(err, BAD_ARGUMENT, "%s is %g; valid is %.10g to %.10g", f->name, value, f->least, f->most);
}

static Err check_ids(const TokenIds *ids, const char *name, int32_t vocabulary, Error *err)
{
    for (int i = 0; i < ids->count; i++)
        if (ids->id[i] < 0 || ids->id[i] >= vocabulary)
            return fail(err, BAD_ARGUMENT, "%s: token id %d; valid is 0 to %d", name, ids->id[i], vocabulary - 1);
    return OK;
}

static Err check_biases(const SamplerOptions *o, int32_t vocabulary, Error *err)
{
    for (int i = 0; i < o->biases; i++) {
        LogitBias b = o->bias[i];
        if (b.id < 0 || b.id >= vocabulary)
            return fail(err, BAD_ARGUMENT, "logit_bias: token id %d; valid is 0 to %d", b.id, vocabulary - 1);
        if (!(fabs((double)b.bias) <= BIAS_MOST))
            return fail(err, BAD_ARGUMENT, "logit_bias of token %d is %g; valid is %g to %g", b.id, (double)b.bias,
                        -BIAS_MOST, BIAS_MOST);
    }
    return OK;
}

Err sampler_options_check(const SamplerOptions *o, int32_t vocabulary, Error *err)
{
    for (size_t i = 0; i < COUNT_OF(float_fields); i++)
        TRY(check_range(&float_fields[i], (double)*(const float *)((const char *)o + float_fields[i].offset), err));
    for (size_t i = 0; i < COUNT_OF(int_fields); i++)
        TRY(check_range(&int_fields[i], *(const int32_t *)((const char *)o + int_fields[i].offset), err));
    TRY(check_ids(&o->end, "end", vocabulary, err));
    TRY(check_ids(&o->stop, "stop", vocabulary, err));
    return check_biases(o, vocabulary, err);
}

bool token_ids_have(const TokenIds *ids, int32_t id)
{
    for (int i = 0; i < ids->count; i++)
        if (ids->id[i] == id)
            return true;
    return false;
}

bool token_ids_add(TokenIds *ids, int32_t id)
{
    if (token_ids_have(ids, id))
        return true;
    if (ids->count >= STOP_IDS_MAX)
        return false;
    ids->id[ids->count++] = id;
    return true;
}

bool sampler_ends_at(const SamplerOptions *o, int32_t id)
{
    return (!o->ignore_eos && token_ids_have(&o->end, id)) || token_ids_have(&o->stop, id);
}
