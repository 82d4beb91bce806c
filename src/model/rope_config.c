#include "model/rope_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct Scaling {
    const Keys *keys;
    const char *group; /* "rope_parameters", as transformers 5 nests them */
    float theta, factor;
    int32_t dims, original, context;
    bool exact, tempered, proportional; /* see RopeConfig */
    Arena *arena;
    RopeConfig *out;
} Scaling;

enum { LENGTH_MAX = 1 << 28 };
#define ORIGINAL "original_max_position_embeddings"
static const double THETA_MAX = 1e12, FACTOR_MAX = 1e6;
static const float STANDS_STILL = 1e30f; /* what a frequency is divided by, so that a pair does not turn */

/* A scaling's field: transformers 5 nests it in the group, most published configs in rope_scaling. */
static const char *scaling_path(const Scaling *s, const char *field, char out[128])
{
    snprintf(out, 128, "%s.%s", s->group, field);
    if (!keys_are_gguf(s->keys) && !keys_have(s->keys, out, NULL))
        snprintf(out, 128, "rope_scaling.%s", field);
    return out;
}

static Err field_float(const Scaling *s, const char *field, const char *gguf, double min, double max, float otherwise,
                       float *out, Error *err)
{
    char path[128];
    return keys_float_or(s->keys, scaling_path(s, field, path), gguf, min, max, otherwise, out, err);
}

static Err scale_none(Scaling *s, Error *err)
{
    (void)s, (void)err;
    return OK;
}

static Err scale_linear(Scaling *s, Error *err)
{
    (void)err;
    for (int i = 0; i < s->dims / 2; i++)
        s->out->inv_freq[i] /= s->factor;
    return OK;
}

static Err scale_dynamic(Scaling *s, Error *err)
{
    if (s->dims <= 2)
        return fail(err, UNSUPPORTED, "%s: rope type 'dynamic' needs heads of which more than %d values turn", s->keys->where,
                    s->dims);
    s->out->angles.kind = ROPE_DYNAMIC;
    s->out->angles.base = s->theta;
    s->out->angles.factor = s->factor;
    return OK;
}

static Err scale_llama3(Scaling *s, Error *err)
{
    float low, high;
    TRY(field_float(s, "low_freq_factor", NULL, 1e-3, 1e3, 1, &low, err));
    TRY(field_float(s, "high_freq_factor", NULL, 1e-3, 1e3, 4, &high, err));
    if (high <= low)
        return fail(err, BAD_FILE, "%s: high_freq_factor %g must be larger than low_freq_factor %g", s->keys->where,
                    high, low);
    s->out->divisors = ARENA_ARRAY(s->arena, float, (size_t)s->dims / 2);
    if (!s->out->divisors)
        return fail(err, NO_MEMORY, "%s: no memory for the rotary table", s->keys->where);
    for (int i = 0; i < s->dims / 2; i++) {
        float freq = s->out->inv_freq[i], wavelength = (float)(2 * M_PI) / freq;
        float smooth = ((float)s->original / wavelength - low) / (high - low);
        float scaled = (1 - smooth) * freq / s->factor + smooth * freq;
        if (wavelength < (float)s->original / high)
            scaled = freq;
        if (wavelength > (float)s->original / low)
            scaled = freq / s->factor;
        s->out->inv_freq[i] = scaled;
        s->out->divisors[i] = freq / scaled;
    }
    return OK;
}

/* Some of the pairs turn, with the frequencies that they would have if all did. */
static Err scale_proportional(Scaling *s, Error *err)
{
    float part, factor;
    if (!s->proportional)
        return fail(err, UNSUPPORTED, "%s: rope type 'proportional' is not something that ridge knows of family '%s'",
                    s->keys->where, s->keys->family);
    TRY(field_float(s, "partial_rotary_factor", NULL, 0, 1, 1, &part, err));
    TRY(field_float(s, "factor", NULL, 1e-6, FACTOR_MAX, 1, &factor, err));
    s->out->divisors = ARENA_ARRAY(s->arena, float, (size_t)s->dims / 2);
    if (!s->out->divisors)
        return fail(err, NO_MEMORY, "%s: no memory for the rotary table", s->keys->where);
    int turning = (int)(part * (float)s->dims / 2);
    for (int i = 0; i < s->dims / 2; i++) {
        s->out->divisors[i] = i < turning ? factor : STANDS_STILL;
        s->out->inv_freq[i] = i < turning ? s->out->inv_freq[i] / factor : 0;
    }
    return OK;
}

static double yarn_magnitude(double factor, double mscale) { return factor <= 1 ? 1 : 0.1 * mscale * log(factor) + 1; }

/* The index whose frequency turns `rotations` times within the original length. */
static double yarn_index(const Scaling *s, double rotations)
{
    return s->dims * log(s->original / (rotations * 2 * M_PI)) / (2 * log(s->theta));
}

/* A GGUF says mscale_all_dim as yarn_log_multiplier; mscale is 1 then, or, where scores are tempered, the same. */
static Err usual_of_gguf(const Scaling *s, double *usual, Error *err)
{
    float all;
    if (!keys_are_gguf(s->keys))
        return OK;
    TRY(keys_float_or(s->keys, NULL, "rope.scaling.yarn_log_multiplier", 0, 100, 0, &all, err));
    *usual = yarn_magnitude(s->factor, 1);
    if (all != 0)
        *usual = s->tempered ? 1 : *usual / yarn_magnitude(s->factor, all);
    return OK;
}

static Err scale_yarn(Scaling *s, Error *err)
{
    float fast, slow, mscale, mscale_all, magnitude;
    bool truncate;
    char path[128];
    TRY(field_float(s, "beta_fast", "rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32, &fast, err));
    TRY(field_float(s, "beta_slow", "rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1, &slow, err));
    TRY(field_float(s, "mscale", NULL, 0, 100, 0, &mscale, err));
    TRY(field_float(s, "mscale_all_dim", NULL, 0, 100, 0, &mscale_all, err));
    TRY(keys_bool_or(s->keys, scaling_path(s, "truncate", path), NULL, !s->exact, &truncate, err));
    if (truncate == s->exact)
        TRY(keys_record_nothing(s->keys, "rope type yarn with an unusual truncate", err));
    double usual = mscale != 0 && mscale_all != 0
                       ? yarn_magnitude(s->factor, mscale) / yarn_magnitude(s->factor, mscale_all)
                       : yarn_magnitude(s->factor, 1);
    TRY(usual_of_gguf(s, &usual, err));
    TRY(field_float(s, "attention_factor", NULL, 0, 1000, (float)usual, &magnitude, err));
    if (keys_have(s->keys, NULL, "rope.scaling.attn_factor")) { /* there it multiplies the usual one */
        TRY(keys_float(s->keys, NULL, "rope.scaling.attn_factor", 0, 1000, &magnitude, err));
        magnitude *= (float)usual;
    }
    double low = yarn_index(s, fast), high = yarn_index(s, slow);
    if (truncate)
        low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, s->dims - 1);
    if (low == high)
        high += 0.001;
    for (int i = 0; i < s->dims / 2; i++) {
        float ramp = fminf(fmaxf((float)((i - low) / (high - low)), 0), 1);
        float freq = s->out->inv_freq[i];
        s->out->inv_freq[i] = freq / s->factor * ramp + freq * (1 - ramp);
    }
    s->out->angles.magnitude = magnitude;
    double theirs = s->tempered && mscale_all != 0 ? 1 : yarn_magnitude(s->factor, 1);
    if (!keys_are_gguf(s->keys))
        keys_record_float(s->keys, "rope.scaling.attn_factor", magnitude / (float)theirs);
    return OK;
}

/* One of the two lists: in config.json an array, in a GGUF a tensor. */
static Err long_factors(const Scaling *s, const char *name, const char *tensor, float *out, Error *err)
{
    char path[128];
    int32_t n = s->dims / 2;
    const StoreTensor *t = keys_are_gguf(s->keys) ? store_find(s->keys->store, tensor) : NULL;
    snprintf(path, sizeof path, "%s.%s|rope_scaling.%s", s->group, name, name);
    if (!t && !keys_are_list(s->keys, path, NULL))
        return fail(err, BAD_FILE, "%s: rope type 'longrope' needs a list %s of %d numbers", s->keys->where,
                    keys_are_gguf(s->keys) ? tensor : path, n);
    if (!t)
        return keys_floats_or(s->keys, path, NULL, 1e-3, FACTOR_MAX, 1, out, n, err);
    if (store_tensor_elems(t) != n || t->format != &format_f32)
        return fail(err, BAD_FILE, "%s: tensor '%s' must hold %d F32 values, one per pair that turns", s->keys->where, tensor,
                    n);
    memcpy(out, t->bytes.data, (size_t)n * sizeof *out);
    for (int32_t i = 0; i < n; i++)
        if (!(out[i] > 0 && out[i] < FACTOR_MAX))
            return fail(err, BAD_FILE, "%s: tensor '%s' holds %g at %d", s->keys->where, tensor, out[i], i);
    return OK;
}

static Err scale_long(Scaling *s, Error *err)
{
    int32_t n = s->dims / 2;
    float *inv_freq = ARENA_ARRAY(s->arena, float, 2 * (size_t)n), *factors = ARENA_ARRAY(s->arena, float, 2 * (size_t)n);
    if (!inv_freq || !factors)
        return fail(err, NO_MEMORY, "%s: no memory for the rotary table", s->keys->where);
    TRY(long_factors(s, "short_factor", "rope_factors_short.weight", factors, err));
    TRY(long_factors(s, "long_factor", "rope_factors_long.weight", factors + n, err));
    for (int32_t i = 0; i < 2 * n; i++)
        inv_freq[i] = s->out->inv_freq[i % n] / factors[i];
    float stretch, magnitude = 1;
    TRY(field_float(s, "factor", NULL, 1e-6, FACTOR_MAX, (float)s->context / (float)s->original, &stretch, err));
    if (stretch > 1 && s->original > 1)
        magnitude = (float)sqrt(1 + log(stretch) / log(s->original));
    TRY(field_float(s, "attention_factor", "rope.scaling.attn_factor", 0, 1000, magnitude, &magnitude, err));
    s->out->tables = 2;
    s->out->inv_freq = inv_freq;
    s->out->factors = factors;
    s->out->angles.kind = ROPE_LONG;
    s->out->angles.magnitude = s->out->angles.magnitude_long = magnitude;
    return OK;
}

static const struct {
    const char *name, *gguf; /* NULL: GGUF says it by a tensor, or by saying nothing */
    Err (*apply)(Scaling *, Error *);
    bool needs_factor, names_length; /* transformers' dynamic stretches from the model's own length */
} kinds[] = {
    {"default", NULL, scale_none, false, true},     {"none", NULL, scale_none, false, true},
    {"linear", "linear", scale_linear, true, true}, {"dynamic", "dynamic", scale_dynamic, true, false},
    {"llama3", NULL, scale_llama3, true, true},     {"yarn", "yarn", scale_yarn, true, true},
    {"proportional", NULL, scale_proportional, false, true},
    {"longrope", "longrope", scale_long, false, true}, {"su", "longrope", scale_long, false, true},
};

/* GGUF says llama3 by a tensor of divisors beside the weights. */
static Err apply_divisors(Scaling *s, Error *err)
{
    const StoreTensor *t = keys_are_gguf(s->keys) ? store_find(s->keys->store, "rope_freqs.weight") : NULL;
    if (!t)
        return OK;
    if (store_tensor_elems(t) != s->dims / 2 || t->format != &format_f32)
        return fail(err, BAD_FILE, "%s: tensor 'rope_freqs.weight' must hold %d F32 values, one per pair that turns",
                    s->keys->where, s->dims / 2);
    s->out->divisors = ARENA_ARRAY(s->arena, float, (size_t)s->dims / 2); /* for the file that is made of this one */
    if (!s->out->divisors)
        return fail(err, NO_MEMORY, "%s: no memory for the rotary table", s->keys->where);
    for (int i = 0; i < s->dims / 2; i++) {
        float divisor;
        memcpy(&divisor, t->bytes.data + sizeof(float) * (size_t)i, sizeof divisor);
        if (!(divisor > 0 && (divisor < FACTOR_MAX || divisor == STANDS_STILL)))
            return fail(err, BAD_FILE, "%s: tensor 'rope_freqs.weight' holds %g at %d", s->keys->where, divisor, i);
        s->out->divisors[i] = divisor;
        s->out->inv_freq[i] /= divisor;
    }
    return OK;
}

Err rope_config_plain(RopeConfig *out, int32_t dims, float theta, Arena *arena, Error *err)
{
    *out = (RopeConfig){.tables = 1, .inv_freq = ARENA_ARRAY(arena, float, (size_t)dims / 2)};
    if (!out->inv_freq)
        return fail(err, NO_MEMORY, "no memory for a rotary table of %d values", dims);
    out->angles = (RopeAngles){.kind = ROPE_FIXED, .dims = dims, .magnitude = 1, .magnitude_long = 1};
    for (int i = 0; i < dims / 2; i++)
        out->inv_freq[i] = 1.0f / powf(theta, (float)(2 * i) / (float)dims);
    return OK;
}

/* Hunyuan calls "dynamic" what does not change with the length: a base that is stretched once, by alpha. */
static Err stretch_base(Scaling *s, char type[32], Error *err)
{
    char path[128];
    scaling_path(s, "alpha", path);
    if (strcmp(type, "dynamic") || !keys_have(s->keys, path, NULL))
        return OK;
    float alpha;
    TRY(keys_float(s->keys, path, NULL, 1e-3, FACTOR_MAX, &alpha, err));
    if (s->dims <= 2)
        return fail(err, UNSUPPORTED, "%s: rope type 'dynamic' needs heads of which more than %d values turn", s->keys->where,
                    s->dims);
    s->theta = (float)(s->theta * pow(alpha, s->dims / (s->dims - 2.0)));
    snprintf(type, 32, "default");
    return OK;
}

Err rope_config_read(const Keys *k, const char *group, int32_t dims, float theta, int32_t context, Arena *arena,
                     RopeConfig *out, Error *err)
{
    Scaling s = {.keys = k, .group = group, .dims = dims, .context = context, .exact = out->exact, .tempered = out->tempered,
                 .proportional = out->proportional,
                 .arena = arena, .out = out};
    char path[192], type[32];
    snprintf(path, sizeof path, "%s.rope_theta|rope_theta|rotary_emb_base", group);
    Keys quiet = *k;
    quiet.record = NULL;
    TRY(keys_float_or(&quiet, path, "rope.freq_base", 1, THETA_MAX, theta ? theta : 10000, &s.theta, err));
    const char *field = keys_have(k, scaling_path(&s, "rope_type", path), NULL) ? "rope_type" : "type";
    TRY(keys_text_or(k, scaling_path(&s, field, path), "rope.scaling.type", "default", type, sizeof type, err));
    if (keys_are_gguf(k) && store_find(k->store, "rope_factors_long.weight"))
        snprintf(type, sizeof type, "longrope"); /* llama.cpp's files say it by the tensor alone */
    TRY(stretch_base(&s, type, err));
    keys_record_float(k, "rope.freq_base", s.theta);
    size_t kind = 0;
    while (kind < COUNT_OF(kinds) && strcmp(kinds[kind].name, type))
        kind++;
    if (kind == COUNT_OF(kinds))
        return fail(err, UNSUPPORTED,
                    "%s: rope type '%s' is unknown; ridge knows default, linear, dynamic, llama3, yarn, longrope and "
                    "proportional", k->where, type);
    const char *gguf = kinds[kind].gguf;
    if (gguf)
        keys_record_text(k, "rope.scaling.type", gguf);
    s.factor = 1;
    if (kinds[kind].needs_factor)
        TRY(keys_float(k, scaling_path(&s, "factor", path), gguf ? "rope.scaling.factor" : NULL, 1e-6, FACTOR_MAX,
                       &s.factor, err));
    bool all = !strchr(group, '.'); /* layers: then the length beside the group counts more */
    int32_t usual = out->original && !keys_are_gguf(k) ? out->original : context;
    snprintf(path, sizeof path, "%s%s.%s|rope_scaling.%s%s", all ? ORIGINAL "|" : "", group, ORIGINAL, ORIGINAL,
             all ? "" : "|" ORIGINAL);
    TRY(keys_int_or(k, !kinds[kind].names_length ? NULL : out->original ? ORIGINAL : path,
                    gguf ? "rope.scaling.original_context_length" : NULL, 1, LENGTH_MAX, usual, &s.original, err));

    TRY(rope_config_plain(out, dims, s.theta, arena, err));
    out->angles.original_length = s.original;
    TRY(kinds[kind].apply(&s, err));
    return apply_divisors(&s, err);
}
