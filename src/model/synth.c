#include "model/synth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/prng.h"
#include "model/synth_parts.h"
#include "model/synth_vocabulary.h"

enum { CONFIG_BYTES_MAX = 1 << 20, PIECE_BYTES = 4 << 20 };
static const size_t SHAPE_BYTES_MAX = (size_t)1 << 30;   /* of addresses: shapes, slots, names */
static const float BIAS_DEVIATION = 0.02f;

/* ---- numbers ---- */

/* Two independent Gaussians of variance 1 from 64 even bits (Box and Muller 1958). */
static void gaussian_pair(uint32_t a, uint32_t b, float out[2])
{
    float radius = sqrtf(-2 * logf(((float)(a >> 8) + 1) * 0x1p-24f));
    float angle = (float)(b >> 8) * (float)(2 * M_PI * 0x1p-24);
    out[0] = radius * cosf(angle);
    out[1] = radius * sinf(angle);
}

void synth_values(float *x, int64_t width, float mean, float deviation, uint64_t seed, size_t tensor, int64_t line)
{
    for (int64_t i = 0; i < width; i += 4) {
        float four[4];
        PhiloxBlock at = {{(uint32_t)(i / 4), (uint32_t)line, (uint32_t)tensor, PRNG_WORLD}};
        PhiloxBlock bits = philox(seed, at);
        gaussian_pair(bits.word[0], bits.word[1], four);
        gaussian_pair(bits.word[2], bits.word[3], four + 2);
        for (int64_t j = 0; j < 4 && i + j < width; j++)
            x[i + j] = mean + deviation * four[j];
    }
}

/* ---- what is in the file ---- */

static bool in_file(const WeightDecl *w) { return w->gguf.name[0] && !w->same_as; }
static bool is_matrix(const WeightDecl *w) { return w->rows && !w->constant && w->use != USE_VECTOR; }

bool synth_is_matrix(const TensorPlan *t) { return is_matrix(t->decl); }

const Format *synth_format(const Synth *s, const TensorPlan *t)
{
    return is_matrix(t->decl) && t->decl->use != USE_EXACT_MATRIX ? s->options->format : &format_f32;
}

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), tail = strlen(end);
    return bytes >= tail && !strcmp(text + bytes - tail, end);
}

static Err read_shape(Synth *s, Error *err)
{
    static const char empty_safetensors[] = "\2\0\0\0\0\0\0\0{}";
    Keys keys = {.where = s->options->config, .record = s->writer};
    TRY(json_read_file(s->options->config, CONFIG_BYTES_MAX, &s->config, err));
    TRY(store_open_bytes(span_of(empty_safetensors, sizeof empty_safetensors - 1), "nothing", &s->nothing, err));
    keys.config = s->config;
    keys.store = s->nothing;
    TRY(keys_text_or(&keys, "model_type", NULL, NULL, keys.family, sizeof keys.family, err));
    const Arch *arch = arch_find(keys.family);
    if (!arch || !arch_gguf_name(arch, keys.family))
        return fail(err, UNSUPPORTED, "%s: model family '%s' is one that ridge cannot write a GGUF of", keys.where,
                    keys.family);
    keys.record_family = arch_gguf_name(arch, keys.family);
    gguf_put_text(s->writer, "general.architecture", arch_gguf_name(arch, keys.family));
    gguf_put_text(s->writer, "general.name", s->options->name);
    TRY(arch->read_shape(&keys, s->arena, &s->shape, err));
    s->list.arena = s->arena;
    arch->declare(&s->shape, &s->list);
    return s->list.failed ? fail(err, NO_MEMORY, "%s: no memory for its list of weights", keys.where) : OK;
}

static bool is_there(const Synth *s, const char *name)
{
    for (size_t i = 0; i < s->tensors; i++)
        if (!strcmp(s->tensor[i].name, name))
            return true;
    return false;
}

static Err announce(Synth *s, Error *err)
{
    s->tensor = arena_take_array(s->arena, (size_t)s->list.count, sizeof *s->tensor);
    if (!s->tensor)
        return fail(err, NO_MEMORY, "%s: no memory for its list of weights", s->options->config);
    for (int i = 0; i < s->list.count; i++) {
        const WeightDecl *w = &s->list.items[i];
        if (!in_file(w) || is_there(s, w->gguf.name))
            continue;
        TensorPlan *t = &s->tensor[s->tensors++];
        *t = tensor_plan_of(w);
        gguf_put_tensor(s->writer, t->name, synth_format(s, t), t->dims, t->dim);
        s->total += (double)t->lines * (double)format_row_bytes(synth_format(s, t), t->width);
    }
    return OK;
}

/* ---- the bytes ---- */

/* Some lines of a tensor. */
typedef struct Piece {
    const Synth *synth;
    size_t tensor;
    int64_t first, count;
    float *values;               /* a line for each thread */
    uint8_t *out;
} Piece;

static bool is_bias(const TensorPlan *t) { return ends_with(t->name, ".bias"); }

float synth_deviation(const TensorPlan *t)
{
    return synth_is_matrix(t) ? 1 / sqrtf((float)t->width) : is_bias(t) ? BIAS_DEVIATION : 0;
}

static float mean_of(const TensorPlan *t)
{
    bool decays = t->decl->hf.map == MAP_MINUS_EXP;      /* of a state: it must not grow */
    return synth_is_matrix(t) || is_bias(t) ? 0 : decays ? -1 : 1;
}

static void piece_task(void *context, int index, int count)
{
    const Piece *p = context;
    const Synth *s = p->synth;
    const TensorPlan *t = &s->tensor[p->tensor];
    const Format *f = synth_format(s, t);
    const float *constant = t->decl->constant;
    float *x = p->values + (size_t)index * (size_t)t->width;
    for (int64_t r = index; r < p->count; r += count) {
        if (constant)
            memcpy(x, constant + (p->first + r) * t->width, sizeof(float) * (size_t)t->width);
        else
            synth_values(x, t->width, mean_of(t), synth_deviation(t), s->options->seed, p->tensor, p->first + r);
        f->encode(p->out + (size_t)r * format_row_bytes(f, t->width), x, (size_t)t->width, NULL);
    }
}

Err synth_lines(const Synth *s, size_t tensor, int64_t first, int64_t count, uint8_t *out, Error *err)
{
    const TensorPlan *t = &s->tensor[tensor];
    int threads = team_threads(s->options->team);
    Piece piece = {.synth = s, .tensor = tensor, .first = first, .count = count, .out = out};
    piece.values = malloc(sizeof(float) * (size_t)t->width * (size_t)threads);
    if (!piece.values)
        return fail(err, NO_MEMORY, "no memory for tensor '%s'", t->name);
    team_run(s->options->team, threads, piece_task, &piece);
    free(piece.values);
    return OK;
}

/* All lines go through a buffer, some at a time. */
static Err fill(void *context, size_t tensor, FileOut *out, Error *err)
{
    Synth *s = context;
    const TensorPlan *t = &s->tensor[tensor];
    size_t row_bytes = format_row_bytes(synth_format(s, t), t->width);
    int64_t rows_max = max_i64(1, min_i64(t->lines, (int64_t)(PIECE_BYTES / row_bytes)));
    uint8_t *bytes = malloc(row_bytes * (size_t)rows_max);
    Err result = bytes ? OK : fail(err, NO_MEMORY, "no memory for tensor '%s'", t->name);
    for (int64_t first = 0, rows; result == OK && first < t->lines; first += rows) {
        rows = min_i64(rows_max, t->lines - first);
        result = synth_lines(s, tensor, first, rows, bytes, err);
        if (result == OK)
            result = file_out_put(out, bytes, row_bytes * (size_t)rows, err);
        s->done += (double)row_bytes * (double)rows;
        if (s->options->report)
            s->options->report(s->options->report_context, s->done, s->total);
    }
    free(bytes);
    return result;
}

Err synth_begin(Synth *s, const SynthOptions *options, uint32_t alignment, Error *err)
{
    const Format *f = options->format;
    *s = (Synth){.options = options};
    if (!f->encode || f->gguf_id < 0)
        return fail(err, UNSUPPORTED, "format %s is one that ridge cannot write a GGUF in", f->name);
    s->arena = arena_new(SHAPE_BYTES_MAX);
    s->writer = gguf_writer_new();
    if (!s->arena || !s->writer)
        return fail(err, NO_MEMORY, "no memory for a model's shape");
    if (alignment)
        gguf_put_u32(s->writer, "general.alignment", alignment);
    TRY(read_shape(s, err));
    TRY(synth_vocabulary_put(s->writer, s->shape.V, err));
    return announce(s, err);
}

void synth_end(Synth *s)
{
    weight_list_deinit(&s->list);
    gguf_writer_free(s->writer);
    store_free(s->nothing);
    json_decref(s->config);
    arena_free(s->arena);
}

Err synth_write(const SynthOptions *options, const char *path, Error *err)
{
    Synth s;
    Err result = synth_begin(&s, options, 0, err);
    if (result == OK)
        result = gguf_write(s.writer, path, fill, &s, err);
    synth_end(&s);
    return result;
}
