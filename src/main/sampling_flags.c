#include "main/sampling_flags.h"

#include <math.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* ID=BIAS, ID+BIAS or ID-BIAS (both as in llama.cpp), several with commas between. */
static Err take_one_bias(SamplingFlags *given, const char *text, Error *err)
{
    char id_text[32] = "";
    size_t digits = strspn(text, "0123456789");
    const char *number = text + digits + (text[digits] == '=' || text[digits] == '+');
    int64_t id;
    double bias;
    if (digits < sizeof id_text)
        memcpy(id_text, text, digits);
    if (!text[digits] || !strchr("=+-", text[digits]) || !integer_read(id_text, &id) || id > INT32_MAX ||
        !number_read(number, &bias))
        return fail(err, BAD_ARGUMENT, "--logit-bias: '%s' is not of the form ID=BIAS, as in 42=-1.5", text);
    if (!(fabs(bias) <= BIAS_MOST))
        return fail(err, BAD_ARGUMENT, "--logit-bias: %s is not between %g and %g", number, -BIAS_MOST, BIAS_MOST);
    if (given->sampler.biases == LOGIT_BIASES_MAX)
        return fail(err, LIMIT_REACHED, "--logit-bias: more than %d are given", LOGIT_BIASES_MAX);
    given->sampler.bias[given->sampler.biases++] = (LogitBias){(int32_t)id, (float)bias};
    return OK;
}

static Err take_biases(void *options, const char *value, Error *err)
{
    char one[64];
    for (;; value++) {
        size_t bytes = strcspn(value, ",");
        if (bytes >= sizeof one)
            return fail(err, BAD_ARGUMENT, "--logit-bias: '%.40s...' is not of the form ID=BIAS", value);
        memcpy(one, value, bytes);
        one[bytes] = 0;
        TRY(take_one_bias(options, one, err));
        value += bytes;
        if (!*value)
            return OK;
    }
}

#define AT(field) .offset = offsetof(SamplingFlags, field)
#define NUMBER(field, least, most) .kind = FLAG_FLOAT, AT(sampler.field), .min = least, .max = most
#define WHOLE(field, least, most) .kind = FLAG_INT, AT(field), .min = least, .max = most

const Flag sampling_flags[] = {
    {"--predict", "-n", "N", WHOLE(max_tokens, -1, INT32_MAX),
     .help = "tokens to generate at most; -1: until the model ends"},
    {"--temperature", "--temp", "T", NUMBER(temperature, 0, TEMPERATURE_MOST),
     .help = "0: always the most likely token; 1: the model's own distribution; more: flatter"},
    {"--top-k", NULL, "K", WHOLE(sampler.top_k, -1, INT32_MAX), .help = "only the K most likely tokens; 0: all"},
    {"--top-p", NULL, "P", NUMBER(top_p, 0, 1), .help = "only the most likely tokens that together reach P; 1: all"},
    {"--min-p", NULL, "P", NUMBER(min_p, 0, 1), .help = "only tokens at least P times as likely as the best; 0: all"},
    {"--typical", NULL, "P", NUMBER(typical_p, 0, 1),
     .help = "only the tokens of most typical information that together reach P; 1: all"},
    {"--repeat-penalty", NULL, "R", NUMBER(repeat_penalty, REPEAT_PENALTY_LEAST, REPEAT_PENALTY_MOST),
     .help = "divides the logits of tokens that were there already; 1: no penalty"},
    {"--repeat-last-n", NULL, "N", WHOLE(sampler.repeat_last_n, REPEAT_ALL, INT32_MAX),
     .help = "how far back --repeat-penalty looks, prompt included; -1: all the way; 0: not at all"},
    {"--presence-penalty", NULL, "X", NUMBER(presence_penalty, -PENALTY_MOST, PENALTY_MOST),
     .help = "taken from the logit of each token that the answer has already"},
    {"--frequency-penalty", NULL, "X", NUMBER(frequency_penalty, -PENALTY_MOST, PENALTY_MOST),
     .help = "the same, once for each time"},
    {"--logit-bias", NULL, "ID=BIAS", .kind = FLAG_CALL, .take = take_biases,
     .help = "added to the logit of a token; several with commas; -100 bans it"},
    {"--seed", NULL, "N", .kind = FLAG_SEED, AT(sampler.seed),
     .help = "the same seed gives the same text; default: another one each time"},
    {"--stop", NULL, "TEXT", .kind = FLAG_LIST, AT(stop), .help = "ends the answer before TEXT; may be given several times"},
    {"--ignore-eos", NULL, NULL, .kind = FLAG_SWITCH, AT(sampler.ignore_eos), .help = "never choose the model's own end"},
    {"--min-tokens", NULL, "N", WHOLE(sampler.min_tokens, 0, INT32_MAX), .help = "no end before N tokens"},
    {"--logprobs", NULL, "N", WHOLE(sampler.logprobs, 0, LOGPROBS_MAX),
     .help = "log-probability of each token, and of the N most likely ones in its place"},
    {"--samples", NULL, "N", WHOLE(samples, 1, SAMPLES_MOST), .help = "so many answers to the one prompt"},
};

_Static_assert(COUNT_OF(sampling_flags) == SAMPLING_FLAGS, "sampling_flags.h says how many there are");

/* What yields to the model's defaults where it was not given. */
static const size_t float_at[] = {
    offsetof(SamplerOptions, temperature), offsetof(SamplerOptions, top_p), offsetof(SamplerOptions, min_p),
    offsetof(SamplerOptions, typical_p), offsetof(SamplerOptions, repeat_penalty),
    offsetof(SamplerOptions, presence_penalty), offsetof(SamplerOptions, frequency_penalty),
};
static const size_t int_at[] = {
    offsetof(SamplerOptions, top_k), offsetof(SamplerOptions, repeat_last_n), offsetof(SamplerOptions, min_tokens),
    offsetof(SamplerOptions, logprobs),
};
static float *float_of(SamplerOptions *o, int i) { return (float *)((char *)o + float_at[i]); }
static int32_t *int_of(SamplerOptions *o, int i) { return (int32_t *)((char *)o + int_at[i]); }

static uint64_t seed_of_system(void)
{
    uint32_t seed = 0;                                  /* short enough to be typed again */
    ssize_t got = getrandom(&seed, sizeof seed, 0);     /* of so few bytes it gives all, or none */
    return got == sizeof seed ? seed : (uint32_t)time(NULL);
}

SamplingFlags sampling_flags_none(void)
{
    SamplingFlags given = {.max_tokens = NOT_GIVEN, .samples = 1, .sampler = {.seed = seed_of_system()}};
    for (int i = 0; i < (int)COUNT_OF(float_at); i++)
        *float_of(&given.sampler, i) = NAN;
    for (int i = 0; i < (int)COUNT_OF(int_at); i++)
        *int_of(&given.sampler, i) = NOT_GIVEN;
    return given;
}

Err sampling_options(const SamplingFlags *flags, const SamplerDefaults *defaults, int32_t vocabulary,
                     SamplingOptions *out, Error *err)
{
    SamplerOptions given = flags->sampler, *o = &out->sampler;
    *out = (SamplingOptions){
        .sampler = defaults->options, .samples = flags->samples,
        .max_tokens = flags->max_tokens == NOT_GIVEN ? defaults->max_tokens : flags->max_tokens,
    };
    for (int i = 0; i < (int)COUNT_OF(float_at); i++)
        if (!isnan(*float_of(&given, i)))
            *float_of(o, i) = *float_of(&given, i);
    for (int i = 0; i < (int)COUNT_OF(int_at); i++)
        if (*int_of(&given, i) != NOT_GIVEN)
            *int_of(o, i) = *int_of(&given, i);
    o->seed = given.seed;
    o->ignore_eos = given.ignore_eos;
    o->biases = given.biases;
    memcpy(o->bias, given.bias, sizeof o->bias);
    return sampler_options_check(o, vocabulary, err);
}
