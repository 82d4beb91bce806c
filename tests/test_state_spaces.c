/* S4D, H3 and Hyena: no reference values of these exist, so each model is computed in two forms that have nothing in
 * common. The engine goes from row to row with a state; here the kernels of the convolutions are written out, as long
 * as the text, and a row is a sum over all rows before it, in f64. Weights are made up. */
#include "test.h"

#include <complex.h>
#include <math.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/prng.h"
#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"
#include "store/safetensors_write.h"

enum { T = 70, D = 24, F = 40, V = 31, LAYERS = 2, MODES = 5, TENSORS_MAX = 80, NEW_TOKENS = 12 };

/* ---- a checkpoint ---- */

typedef struct Weight {
    char name[96];
    int dims;
    int64_t dim[4];
    float *data;
} Weight;

typedef struct World {
    const char *config;
    char folder[64];
    int32_t prompt[T];
} World;

static Weight weights[TENSORS_MAX];
static int weight_count;
static uint64_t drawn;

static double uniform(void)
{
    PhiloxBlock at = {{(uint32_t)drawn++, 0, 0, PRNG_WORLD}};
    return (double)philox(7, at).word[0] * 0x1p-32;
}
static double normal(void) { return sqrt(-2 * log(uniform() + 1e-12)) * cos(2 * M_PI * uniform()); }

/* Of mean and deviation. dims: up to four, the rest 0. */
static float *add(double mean, double deviation, int64_t d0, int64_t d1, int64_t d2, int64_t d3, const char *name, int layer)
{
    Weight *w = &weights[weight_count++];
    assert_true(weight_count <= TENSORS_MAX);
    snprintf(w->name, sizeof w->name, name, layer);
    int64_t dim[4] = {d0, d1, d2, d3}, n = 1;
    for (w->dims = 0; w->dims < 4 && dim[w->dims]; w->dims++)
        n *= w->dim[w->dims] = dim[w->dims];
    w->data = malloc((size_t)n * sizeof *w->data);
    for (int64_t i = 0; i < n; i++)
        w->data[i] = (float)(mean + deviation * normal());
    return w->data;
}

static void add_linear(const char *name, int layer, int64_t out, int64_t in, bool bias)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    add(0, 1 / sqrt((double)in), out, in, 0, 0, full, layer);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        add(0, 0.3, out, 0, 0, 0, full, layer);
}

static void add_norm(const char *name, int layer)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    add(1, 0.2, D, 0, 0, 0, full, layer);
    snprintf(full, sizeof full, "%s.bias", name);
    add(0, 0.2, D, 0, 0, 0, full, layer);
}

static const float *find(const char *name, int layer)
{
    char full[96];
    snprintf(full, sizeof full, name, layer);
    for (int i = 0; i < weight_count; i++)
        if (!strcmp(weights[i].name, full))
            return weights[i].data;
    print_error("there is no %s\n", full);
    assert_true(false);
    return NULL;
}

static void must(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

static void write_checkpoint(World *w)
{
    char path[96];
    Error err;
    SafetensorsItem items[TENSORS_MAX];
    for (int i = 0; i < weight_count; i++) {
        items[i] = (SafetensorsItem){.name = weights[i].name, .format = &format_f32, .dims = weights[i].dims,
                                     .data = weights[i].data};
        memcpy(items[i].dim, weights[i].dim, sizeof weights[i].dim);
    }
    snprintf(w->folder, sizeof w->folder, "/tmp/ridge-spaces-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(path, sizeof path, "%s/model.safetensors", w->folder);
    must(safetensors_write(path, items, (size_t)weight_count, NULL, 0, &err), &err);
    snprintf(path, sizeof path, "%s/config.json", w->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(w->config, file);
    fclose(file);
}

static void clean_up(World *w)
{
    char path[96];
    snprintf(path, sizeof path, "%s/model.safetensors", w->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/config.json", w->folder);
    unlink(path);
    rmdir(w->folder);
    while (weight_count)
        free(weights[--weight_count].data);
}

/* ---- the pieces, in f64 ---- */

static double *rows(int64_t width) { return calloc((size_t)(T * width), sizeof(double)); }

static double *embed(const World *w, const char *table)
{
    double *x = rows(D);
    for (int t = 0; t < T; t++)
        for (int i = 0; i < D; i++)
            x[t * D + i] = find(table, 0)[w->prompt[t] * D + i];
    return x;
}

/* Rows [first, first + out) of a matrix whose rows have `in` numbers; stride: see WeightPart. */
static double *product(const double *x, const char *name, int layer, WeightPart part, int out, int in, bool bias)
{
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    const float *w = find(full, layer), *b = NULL;
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        b = find(full, layer);
    double *y = rows(out);
    for (int o = 0; o < out; o++) {
        int row = part.stride ? o / part.take * part.stride + part.first + o % part.take : o;
        for (int t = 0; t < T; t++) {
            double sum = b ? b[row] : 0;
            for (int i = 0; i < in; i++)
                sum += (double)w[row * in + i] * x[t * in + i];
            y[t * out + o] = sum;
        }
    }
    return y;
}

/* With a bias: a layer norm; without: RMS. */
static double *normed(const double *x, const float *gain, const float *bias, double eps)
{
    double *y = rows(D);
    for (int t = 0; t < T; t++) {
        double mean = 0, square = 0;
        for (int i = 0; i < D && bias; i++)
            mean += x[t * D + i] / D;
        for (int i = 0; i < D; i++)
            square += (x[t * D + i] - mean) * (x[t * D + i] - mean) / D;
        for (int i = 0; i < D; i++)
            y[t * D + i] = (x[t * D + i] - mean) / sqrt(square + eps) * gain[i] + (bias ? bias[i] : 0);
    }
    return y;
}

static double *layer_normed(const double *x, const char *name, int layer)
{
    char gain[96], bias[96];
    snprintf(gain, sizeof gain, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    return normed(x, find(gain, layer), find(bias, layer), 1e-5);
}

/* y[t] = sum_j K[j] x[t - j] + skip x[t], channel by channel; K: [D, T]. In place. */
static void convolve(double *x, const double *kernel, const float *skip)
{
    for (int i = 0; i < D; i++)
        for (int t = T - 1; t >= 0; t--) {
            double sum = skip ? skip[i] * x[t * D + i] : 0;
            for (int j = 0; j <= t; j++)
                sum += kernel[i * T + j] * x[(t - j) * D + i];
            x[t * D + i] = sum;
        }
}

static void times(double *x, const double *by)
{
    for (int i = 0; i < T * D; i++)
        x[i] *= by[i];
}
static void plus(double *x, double *more, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += more[i];
    free(more);
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double gelu(double x) { return x / 2 * erfc(-x / sqrt(2)); }
static double gelu_tanh(double x) { return x * sigmoid(2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }
static void map(double *x, int64_t n, double (*f)(double))
{
    for (int64_t i = 0; i < n; i++)
        x[i] = f(x[i]);
}

/* Softmax attention of `heads` heads over kv heads, from one tensor of q, k and v; the first `turned` values of a head
 * turn in halves. */
static double *attention(const double *x, const char *name, int layer, int heads, int kv, int turned, double base, bool bias)
{
    int H = D / heads, all = (heads + 2 * kv) * H;
    double *qkv = product(x, name, layer, (WeightPart){0}, all, D, bias), *y = rows(D);
    for (int t = 0; t < T; t++)
        for (int h = 0; h < heads + kv; h++)
            for (int i = 0; i < turned / 2; i++) {
                double *a = &qkv[t * all + h * H + i], *b = a + turned / 2, angle = t * pow(base, -2.0 * i / turned), was = *a;
                *a = was * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + was * sin(angle);
            }
    for (int t = 0; t < T; t++)
        for (int h = 0; h < heads; h++) {
            int g = h / (heads / kv);
            double total = 0;
            for (int j = 0; j <= t; j++) {
                double score = 0;
                for (int i = 0; i < H; i++)
                    score += qkv[t * all + h * H + i] * qkv[j * all + (heads + g) * H + i] / sqrt(H);
                total += exp(score);
                for (int i = 0; i < H; i++)
                    y[t * D + h * H + i] += exp(score) * qkv[j * all + (heads + kv + g) * H + i];
            }
            for (int i = 0; i < H; i++)
                y[t * D + h * H + i] /= total;
        }
    free(qkv);
    return y;
}

static World *current;

/* ---- S4D ---- */

/* K[t] = 2 Re sum_m b c gain lambda^t, in continuous time. */
static double *diagonal_kernel(const char *prefix, const char *real, int layer, bool bilinear, int spaces)
{
    char name[96];
    const float *p[5];
    const char *const what[] = {"log_dt", real, "A_imag", "C", "B"};
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "%s.%s", prefix, what[i]);
        p[i] = i == 4 && !bilinear ? NULL : find(name, layer);
    }
    double *kernel = calloc((size_t)D * T, sizeof *kernel);
    for (int i = 0; i < D; i++)
        for (int m = 0; m < MODES; m++) {
            int of = i % spaces * MODES + m, own = i * MODES + m;
            double dt = exp(p[0][i]);
            double complex a = -exp(p[1][of]) + p[2][of] * I, z = dt * a, c = p[3][2 * own] + p[3][2 * own + 1] * I;
            double complex lambda = bilinear ? (1 + z / 2) / (1 - z / 2) : cexp(z);
            c *= bilinear ? dt / (1 - z / 2) : (cexp(z) - 1) / a;
            if (p[4])
                c *= p[4][2 * of] + p[4][2 * of + 1] * I;
            for (int t = 0; t < T; t++)
                kernel[i * T + t] += 2 * creal(c * cpow(lambda, t));
        }
    return kernel;
}

static void add_diagonal(const char *prefix, const char *real, int layer, bool input, int spaces)
{
    char name[96];
    snprintf(name, sizeof name, "%s.log_dt", prefix);
    add(-3, 1, D, 0, 0, 0, name, layer);
    snprintf(name, sizeof name, "%s.%s", prefix, real);
    add(-0.7, 0.3, spaces, MODES, 0, 0, name, layer);
    snprintf(name, sizeof name, "%s.A_imag", prefix);
    add(0, 8, spaces, MODES, 0, 0, name, layer);
    snprintf(name, sizeof name, "%s.C", prefix);
    if (input)
        add(0, 0.5, 1, D, MODES, 2, name, layer);
    else
        add(0, 0.5, D, MODES, 2, 0, name, layer);
    snprintf(name, sizeof name, "%s.B", prefix);
    if (input)
        add(0, 1, spaces, MODES, 2, 0, name, layer);
}

static void make_s4d(void)
{
    add(0, 1, V, D, 0, 0, "encoder.weight", 0);
    add_linear("decoder", 0, V, D, true);
    for (int l = 0; l < LAYERS; l++) {
        add_norm("norms.%d", l);
        add(0, 1, D, 0, 0, 0, "s4_layers.%d.D", l);
        add(0, 0.2, 2 * D, D, 1, 0, "s4_layers.%d.output_linear.0.weight", l);
        add(0, 0.2, 2 * D, 0, 0, 0, "s4_layers.%d.output_linear.0.bias", l);
        add_diagonal("s4_layers.%d.kernel", "log_A_real", l, false, D);
    }
}

static double *s4d_layer(const double *x, int l)
{
    double *u = rows(D), *kernel = diagonal_kernel("s4_layers.%d.kernel", "log_A_real", l, false, D);
    memcpy(u, x, sizeof(double) * T * D);
    convolve(u, kernel, find("s4_layers.%d.D", l));
    map(u, T * D, gelu);
    double *value = product(u, "s4_layers.%d.output_linear.0", l, (WeightPart){2 * D, 0, D}, D, D, true);
    double *gate = product(u, "s4_layers.%d.output_linear.0", l, (WeightPart){2 * D, D, D}, D, D, true);
    map(gate, T * D, sigmoid);
    times(value, gate);
    free(u), free(kernel), free(gate);
    return value;
}

static double *s4d_forward(bool before)
{
    double *x = embed(current, "encoder.weight");
    for (int l = 0; l < LAYERS; l++) {
        double *in = before ? layer_normed(x, "norms.%d", l) : x;
        plus(x, s4d_layer(in, l), T * D);
        double *out = before ? in : layer_normed(x, "norms.%d", l);
        if (!before)
            memcpy(x, out, sizeof(double) * T * D);
        free(out);
    }
    double *logits = product(x, "decoder", 0, (WeightPart){0}, V, D, true);
    free(x);
    return logits;
}

static double *s4d_before(void) { return s4d_forward(true); }
static double *s4d_behind(void) { return s4d_forward(false); }

/* ---- H3 ---- */

enum { PLACES = 2 * MODES, SPACES = D / 3, HEADS = 3, TURNED = 4 };

#define H3_LAYER "backbone.layers.%d."

static void make_h3(void)
{
    add(0, 1, V + 1, D, 0, 0, "backbone.embeddings.word_embeddings.weight", 0);   /* filled up to a multiple of 4 */
    add_norm("backbone.ln_f", 0);
    for (int l = 0; l < LAYERS; l++) {
        add_norm(H3_LAYER "norm1", l);
        add_norm(H3_LAYER "norm2", l);
        add_linear(H3_LAYER "mlp.fc1", l, F, D, true);
        add_linear(H3_LAYER "mlp.fc2", l, D, F, true);
        if (l == 1) {
            add_linear(H3_LAYER "mixer.Wqkv", l, 3 * D, D, true);
            add_linear(H3_LAYER "mixer.out_proj", l, D, D, true);
            continue;
        }
        const char *const linear[] = {"q_proj", "k_proj", "v_proj", "output_linear"};
        for (int i = 0; i < 4; i++) {
            char name[96];
            snprintf(name, sizeof name, H3_LAYER "mixer.%s", l, linear[i]);
            add_linear(name, l, D, D, true);
        }
        add(0, 0.4, D, PLACES, 0, 0, H3_LAYER "mixer.ssm_k_kernel.kernel.B", l);
        add(0, 0.4, 1, D, PLACES, 0, H3_LAYER "mixer.ssm_k_kernel.kernel.C", l);
        add(0, 1, D, 0, 0, 0, H3_LAYER "mixer.ssm_k_D", l);
        add(0, 1, D, 0, 0, 0, H3_LAYER "mixer.D", l);
        add_diagonal(H3_LAYER "mixer.kernel.kernel", "inv_A_real", l, true, SPACES);
    }
}

static double *shift_kernel(int l)
{
    const float *b = find(H3_LAYER "mixer.ssm_k_kernel.kernel.B", l), *c = find(H3_LAYER "mixer.ssm_k_kernel.kernel.C", l);
    double *kernel = calloc((size_t)D * T, sizeof *kernel);
    for (int i = 0; i < D; i++)
        for (int t = 0; t < PLACES; t++)
            for (int n = 0; n + t < PLACES; n++)
                kernel[i * T + t] += (double)b[i * PLACES + n] * c[i * PLACES + n + t];
    return kernel;
}

static double *h3_mixer(const double *x, int l)
{
    double *q = product(x, H3_LAYER "mixer.q_proj", l, (WeightPart){0}, D, D, true);
    double *k = product(x, H3_LAYER "mixer.k_proj", l, (WeightPart){0}, D, D, true);
    double *v = product(x, H3_LAYER "mixer.v_proj", l, (WeightPart){0}, D, D, true);
    double *shift = shift_kernel(l), *kernel = diagonal_kernel(H3_LAYER "mixer.kernel.kernel", "inv_A_real", l, true, SPACES);
    convolve(k, shift, find(H3_LAYER "mixer.ssm_k_D", l));
    times(v, k);
    convolve(v, kernel, find(H3_LAYER "mixer.D", l));
    times(v, q);
    double *y = product(v, H3_LAYER "mixer.output_linear", l, (WeightPart){0}, D, D, true);
    free(q), free(k), free(v), free(shift), free(kernel);
    return y;
}

static double *h3_forward(void)
{
    double *x = embed(current, "backbone.embeddings.word_embeddings.weight");
    for (int l = 0; l < LAYERS; l++) {
        double *in = layer_normed(x, H3_LAYER "norm1", l);
        if (l == 1) {
            double *seen = attention(in, H3_LAYER "mixer.Wqkv", l, HEADS, HEADS, TURNED, 10000, true);
            plus(x, product(seen, H3_LAYER "mixer.out_proj", l, (WeightPart){0}, D, D, true), T * D);
            free(seen);
        } else {
            plus(x, h3_mixer(in, l), T * D);
        }
        free(in);
        in = layer_normed(x, H3_LAYER "norm2", l);
        double *h = product(in, H3_LAYER "mlp.fc1", l, (WeightPart){0}, F, D, true);
        map(h, T * F, gelu_tanh);
        plus(x, product(h, H3_LAYER "mlp.fc2", l, (WeightPart){0}, D, F, true), T * D);
        free(in), free(h);
    }
    double *last = layer_normed(x, "backbone.ln_f", 0);
    double *logits = product(last, "backbone.embeddings.word_embeddings", 0, (WeightPart){0}, V + 1, D, false);
    free(x), free(last);
    return logits;
}

/* ---- Hyena ---- */

enum { TAPS = 3, KV_HEADS = 1 };

#define HYENA_LAYER "backbone.blocks.%d."

static void make_poles(int l)
{
    float *poles = add(0, 1, D, MODES, 1, 2, HYENA_LAYER "filter.poles", l);
    for (int i = 0; i < D * MODES; i++) {
        double size = 0.5 + 0.49 * uniform(), angle = M_PI * uniform();
        poles[2 * i] = (float)(size * cos(angle));
        poles[2 * i + 1] = (float)(size * sin(angle));
    }
}

static void make_hyena(void)
{
    add(0, 1, V, D, 0, 0, "backbone.embedding_layer.weight", 0);
    add(0, 0.2, V, D, 0, 0, "backbone.unembed.weight", 0);
    add(1, 0.2, D, 0, 0, 0, "backbone.norm.scale", 0);
    for (int l = 0; l < LAYERS; l++) {
        add(1, 0.2, D, 0, 0, 0, HYENA_LAYER "pre_norm.scale", l);
        add(1, 0.2, D, 0, 0, 0, HYENA_LAYER "post_norm.scale", l);
        add_linear(HYENA_LAYER "mlp.l1", l, F, D, false);
        add_linear(HYENA_LAYER "mlp.l2", l, F, D, false);
        add_linear(HYENA_LAYER "mlp.l3", l, D, F, false);
        if (l == 1) {
            add_linear(HYENA_LAYER "inner_mha_cls.Wqkv", l, D + 2 * KV_HEADS * D / HEADS, D, false);
            add_linear(HYENA_LAYER "inner_mha_cls.out_proj", l, D, D, false);
            continue;
        }
        add_linear(HYENA_LAYER "projections", l, 3 * D, D, true);
        add_linear(HYENA_LAYER "out_filter_dense", l, D, D, true);
        add(0, 0.6, 3 * D, 1, TAPS, 0, HYENA_LAYER "filter.short_filter_weight", l);
        add(0, 0.3, 3 * D, 0, 0, 0, HYENA_LAYER "filter.short_filter_bias", l);
        add(0, 1, D, 0, 0, 0, HYENA_LAYER "filter.D", l);
        add(0, 0.4, D, MODES, 1, 2, HYENA_LAYER "filter.residues", l);
        make_poles(l);
    }
}

/* One of three: first 0 is q, 1 is k, 2 is v; head by head in the tensors. */
static double *hyena_input(const double *x, int l, int third)
{
    WeightPart part = {3 * D / HEADS, third * D / HEADS, D / HEADS};
    double *y = product(x, HYENA_LAYER "projections", l, part, D, D, true), *kernel = calloc((size_t)D * T, sizeof *kernel);
    const float *taps = find(HYENA_LAYER "filter.short_filter_weight", l), *bias = find(HYENA_LAYER "filter.short_filter_bias", l);
    for (int i = 0; i < D; i++)
        for (int j = 0; j < TAPS; j++)
            kernel[i * T + j] = taps[(i / part.take * part.stride + part.first + i % part.take) * TAPS + TAPS - 1 - j];
    convolve(y, kernel, NULL);
    for (int i = 0; i < T * D; i++)
        y[i] += bias[i % D / part.take * part.stride + part.first + i % D % part.take];
    free(kernel);
    return y;
}

static double *hyena_mixer(const double *x, int l)
{
    double *q = hyena_input(x, l, 0), *k = hyena_input(x, l, 1), *v = hyena_input(x, l, 2);
    const float *poles = find(HYENA_LAYER "filter.poles", l), *residues = find(HYENA_LAYER "filter.residues", l);
    double *kernel = calloc((size_t)D * T, sizeof *kernel);
    for (int i = 0; i < D * MODES; i++)
        for (int t = 0; t < T; t++)
            kernel[i / MODES * T + t] +=
                creal((residues[2 * i] + residues[2 * i + 1] * I) * cpow(poles[2 * i] + poles[2 * i + 1] * I, t));
    times(v, k);
    convolve(v, kernel, find(HYENA_LAYER "filter.D", l));
    times(v, q);
    double *y = product(v, HYENA_LAYER "out_filter_dense", l, (WeightPart){0}, D, D, true);
    free(q), free(k), free(v), free(kernel);
    return y;
}

static double *hyena_forward(void)
{
    double *x = embed(current, "backbone.embedding_layer.weight");
    for (int l = 0; l < LAYERS; l++) {
        double *in = normed(x, find(HYENA_LAYER "pre_norm.scale", l), NULL, 1e-5);
        if (l == 1) {
            double *seen = attention(in, HYENA_LAYER "inner_mha_cls.Wqkv", l, HEADS, KV_HEADS, D / HEADS, 500, false);
            plus(x, product(seen, HYENA_LAYER "inner_mha_cls.out_proj", l, (WeightPart){0}, D, D, false), T * D);
            free(seen);
        } else {
            plus(x, hyena_mixer(in, l), T * D);
        }
        free(in);
        in = normed(x, find(HYENA_LAYER "post_norm.scale", l), NULL, 1e-5);
        double *gate = product(in, HYENA_LAYER "mlp.l1", l, (WeightPart){0}, F, D, false);
        double *up = product(in, HYENA_LAYER "mlp.l2", l, (WeightPart){0}, F, D, false);
        for (int i = 0; i < T * F; i++)
            up[i] *= gate[i] * sigmoid(gate[i]);
        plus(x, product(up, HYENA_LAYER "mlp.l3", l, (WeightPart){0}, D, F, false), T * D);
        free(in), free(gate), free(up);
    }
    double *last = normed(x, find("backbone.norm.scale", 0), NULL, 1e-5);
    double *logits = product(last, "backbone.unembed", 0, (WeightPart){0}, V, D, false);
    free(x), free(last);
    return logits;
}

/* ---- the engine ---- */

typedef struct Run {
    float *logits;                       /* [count, V of the model] */
    int32_t V, tokens[NEW_TOKENS], count;
} Run;

/* The logits of all of the prompt and what greedy decoding says behind it, with so many rows a step. */
static Run run(const World *w, CpuTier tier, int32_t step_rows, const int32_t *prompt, int32_t count)
{
    Run r = {0};
    Package package;
    Device *device;
    Model *model;
    Engine *engine;
    Request *request;
    Event event;
    Error err;
    must(package_open(&package, w->folder, &err), &err);
    must(cpu_device_open(&(CpuOptions){.tier = tier, .threads = 2}, &device, &err), &err);
    must(model_open(&package.checkpoint, device, NULL, &model, &err), &err);
    EngineOptions options = engine_options_default();
    options.rows = step_rows;
    options.cache_format = &format_f32;
    EngineModel runs = engine_model(model);
    must(engine_new(&engine, &options, &runs, device, &err), &err);
    r.V = model->shape.V;
    r.logits = malloc(sizeof(float) * (size_t)count * (size_t)r.V);
    RequestOptions ask = {.prompt = prompt, .prompt_count = count, .max_tokens = NEW_TOKENS, .logits = r.logits,
                          .prompt_logprobs = true, .sampling = sampler_options_greedy()};
    must(engine_submit(engine, &ask, &request, &err), &err);
    while (!request_ended(request)) {
        engine_step(engine);
        while (request_next(request, &event))
            if (event.kind == EVENT_TOKEN)
                r.tokens[r.count++] = event.token.id;
    }
    request_close(request);
    engine_free(engine);
    model_close(model);
    device_close(device);
    package_close(&package);
    return r;
}

static void compare_forms(World *w, double *(*forward)(void))
{
    current = w;
    double *exact = forward(), largest = 0;
    for (int tier = TIER_REFERENCE; tier <= (int)cpu_best_tier(); tier++) {
        Run got = run(w, (CpuTier)tier, 64, w->prompt, T);
        double worst = 0;
        for (int i = 0; i < T * got.V; i++) {
            largest = fmax(largest, fabs(exact[i]));
            worst = fmax(worst, fabs(exact[i] - got.logits[i]));
        }
        if (!(worst < 2e-5 * largest))
            print_error("%s: %g apart, of %g\n", w->config, worst, largest);
        assert_true(worst < 2e-5 * largest && largest > 1);
        free(got.logits);
    }
    free(exact);
}

static int best_of(const float *logits, int32_t n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* Row by row, and many at once; and each greedy token is what the whole text gives in its place. */
static void compare_steps(World *w)
{
    int32_t text[T / 2 + NEW_TOKENS];
    Run whole = run(w, TIER_BEST, 64, w->prompt, T / 2), steps = run(w, TIER_BEST, 1, w->prompt, T / 2);
    assert_memory_equal(whole.logits, steps.logits, sizeof(float) * (size_t)(T / 2) * (size_t)whole.V);
    assert_int_equal(whole.count, NEW_TOKENS);
    assert_memory_equal(whole.tokens, steps.tokens, sizeof whole.tokens);
    memcpy(text, w->prompt, sizeof(int32_t) * (T / 2));
    memcpy(text + T / 2, whole.tokens, sizeof whole.tokens);
    Run again = run(w, TIER_BEST, 64, text, T / 2 + NEW_TOKENS);
    for (int i = 0; i < NEW_TOKENS; i++)
        assert_int_equal(best_of(again.logits + (T / 2 - 1 + i) * whole.V, whole.V), whole.tokens[i]);
    free(whole.logits), free(steps.logits), free(again.logits);
}

static void check(const char *config, void (*make)(void), double *(*forward)(void))
{
    World w = {.config = config};
    drawn = 0;
    for (int i = 0; i < T; i++)
        w.prompt[i] = (int32_t)(uniform() * V);
    make();
    write_checkpoint(&w);
    compare_forms(&w, forward);
    compare_steps(&w);
    clean_up(&w);
}

static void s4d_by_recurrence_is_s4d_by_convolution(void **state)
{
    (void)state;
    check("{\"model_type\": \"s4d\", \"d_model\": 24, \"n_layers\": 2, \"vocab_size\": 31, \"d_state\": 10}", make_s4d, s4d_behind);
    check("{\"model_type\": \"s4d\", \"d_model\": 24, \"n_layers\": 2, \"vocab_size\": 31, \"d_state\": 10, \"prenorm\": true}",
          make_s4d, s4d_before);
}

static void h3_by_recurrence_is_h3_by_convolution(void **state)
{
    (void)state;
    check("{\"model_type\": \"h3\", \"d_model\": 24, \"n_layer\": 2, \"vocab_size\": 31, \"d_inner\": 40,"
          " \"pad_vocab_size_multiple\": 4, \"ssm_cfg\": {\"mode\": \"diag\", \"d_state\": 10, \"n_ssm\": 8},"
          " \"attn_layer_idx\": [1], \"attn_cfg\": {\"num_heads\": 3, \"rotary_emb_dim\": 4}}",
          make_h3, h3_forward);
}

static void hyena_by_recurrence_is_hyena_by_convolution(void **state)
{
    (void)state;
    check("{\"model_type\": \"stripedhyena\", \"hidden_size\": 24, \"num_layers\": 2, \"vocab_size\": 31, \"inner_mlp_size\": 40,"
          " \"num_attention_heads\": 3, \"proj_groups\": 3, \"state_size\": 5, \"short_filter_length\": 3, \"eps\": 1e-5,"
          " \"attn_layer_idxs\": [1], \"rotary_emb_base\": 500, \"qkv_proj_bias\": false, \"mha_out_proj_bias\": false,"
          " \"tie_embeddings\": false, \"max_seqlen\": 512}",
          make_hyena, hyena_forward);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s4d_by_recurrence_is_s4d_by_convolution),
        cmocka_unit_test(h3_by_recurrence_is_h3_by_convolution),
        cmocka_unit_test(hyena_by_recurrence_is_hyena_by_convolution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
