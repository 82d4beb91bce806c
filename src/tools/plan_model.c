#include "tools/plan_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "model/bind.h"
#include "model/package.h"

enum { CONFIG_BYTES_MAX = 1 << 20, BLOCK_TOKENS = 16, NUMBERS_MAX = 1 << 26 };
static const size_t SHAPE_BYTES_MAX = (size_t)1 << 30;
static const double STEP_NUMBERS_MAX = NUMBERS_MAX;      /* rows of a step; and entries of its tables */
static char nowhere[64];                                 /* the address of all that has no data */

/* ---- weights that are only shapes ---- */

static Tensor slot_of(const WeightDecl *w, const Format *f)
{
    if (w->experts)
        return w->rows ? tensor_3d(nowhere, f, w->experts, w->rows, w->width) : tensor_of(nowhere, f, w->experts, w->width);
    return w->rows ? tensor_of(nowhere, f, w->rows, w->width) : tensor_vector(nowhere, f, w->width);
}

static bool is_matrix(const WeightDecl *w) { return w->rows && w->use != USE_VECTOR && !w->constant; }

/* As a device keeps it: vectors in F32, and matrices as they are or shall be. */
static Err put_weight(PlanModel *p, const WeightDecl *w, const Format *matrices, const Format *stored, Error *err)
{
    const Format *f = !is_matrix(w) ? &format_f32 : matrices && w->use != USE_EXACT_MATRIX ? matrices : stored;
    if (w->same_as) {
        *w->slot = *w->same_as;
        return OK;
    }
    if (w->width % f->block_elems)
        return fail(err, UNSUPPORTED, "%s: rows of %d values cannot be %s, whose blocks are of %d; choose another --format",
                    p->name, w->width, f->name, f->block_elems);
    *w->slot = slot_of(w, f);
    int64_t elems = tensor_elems(*w->slot);
    p->weight_bytes += (double)elems * f->block_bytes / f->block_elems;
    p->vector_parameters += is_matrix(w) || w->constant ? 0 : (double)elems;
    if (is_matrix(w) && w->use != USE_EXACT_MATRIX && !p->formats[0])
        snprintf(p->formats, sizeof p->formats, "%s", f->name);
    else if (is_matrix(w) && w->use != USE_EXACT_MATRIX && strncmp(p->formats, f->name, strlen(f->name)) &&
             !strstr(p->formats, " and"))
        snprintf(p->formats + strlen(p->formats), 16, " and others");
    return OK;
}

/* ---- shapes ---- */

static Err read_shape(PlanModel *p, Checkpoint *c, Error *err)
{
    static const char empty_safetensors[] = "\2\0\0\0\0\0\0\0{}";
    TRY(store_open_bytes(span_of(empty_safetensors, sizeof empty_safetensors - 1), "nothing", &c->store, err));
    c->keys = (Keys){.where = c->config_path, .config = c->config, .store = c->store};
    TRY(keys_text_or(&c->keys, "model_type", NULL, NULL, c->keys.family, sizeof c->keys.family, err));
    const Arch *arch = arch_find(c->keys.family);
    if (!arch) {
        char nearest[256];
        arch_nearest(c->keys.family, nearest, sizeof nearest);
        return fail(err, UNSUPPORTED, "%s: model family '%s' is unknown; the nearest that ridge runs: %s", c->config_path,
                    c->keys.family, nearest);
    }
    Arena *arena = arena_new(SHAPE_BYTES_MAX);
    p->model = arena ? ARENA_NEW(arena, Model) : NULL;
    if (!p->model) {
        arena_free(arena);
        return fail(err, NO_MEMORY, "%s: no memory for a model", c->config_path);
    }
    *p->model = (Model){.arch = arch, .arena = arena};
    snprintf(p->model->shape.family, sizeof p->model->shape.family, "%.31s", c->keys.family);
    TRY(arch->read_shape(&c->keys, arena, &p->model->shape, err));
    arch->kv_layout(&p->model->shape, &p->model->kv);
    return OK;
}

static Err imagine_weights(PlanModel *p, const Format *format, Error *err)
{
    WeightList list = {.arena = p->model->arena};
    p->model->weights = p->model->arch->declare(&p->model->shape, &list);
    Err result = list.failed ? fail(err, NO_MEMORY, "%s: no memory for its list of weights", p->name) : OK;
    for (int i = 0; i < list.count && result == OK; i++) {
        const WeightDecl *w = &list.items[i];
        if (!w->slot)
            continue;
        result = put_weight(p, w, format, &format_f32, err);
        if (result == OK && !w->same_as && !w->constant)
            p->model->parameters += tensor_elems(*w->slot);
    }
    weight_list_deinit(&list);
    return result;
}

static Err open_shape(PlanModel *p, const PlanModelOptions *o, char *path, const Format *format, Error *err)
{
    Checkpoint c = {.config_path = path};
    Err result = json_read_file(path, CONFIG_BYTES_MAX, &c.config, err);
    if (result == OK && !json_is_object(c.config))
        result = fail(err, BAD_FILE, "%s: must be an object", path);
    if (result == OK && o->kv_heads)
        json_object_set_new(c.config, "num_key_value_heads", json_integer(o->kv_heads));
    if (result == OK)
        result = read_shape(p, &c, err);
    if (result == OK)
        result = imagine_weights(p, format, err);
    store_free(c.store);
    json_decref(c.config);
    return result;
}

/* ---- checkpoints ---- */

static Err open_weights(PlanModel *p, const Checkpoint *c, const Format *format, Error *err)
{
    WeightList list;
    TRY(model_declare(c, &p->model, &list, err));
    Err result = OK;
    for (int i = 0; i < list.count && result == OK; i++) {
        const WeightDecl *w = &list.items[i];
        WeightSource s;
        result = weight_find(c, w, &s, err);
        if (result == OK && w->slot && (s.format || w->same_as))
            result = put_weight(p, w, format, s.becomes, err);
        weight_source_deinit(&s);
    }
    weight_list_deinit(&list);
    return result;
}

static Err open_checkpoint(PlanModel *p, const PlanModelOptions *o, const char *path, Error *err)
{
    Checkpoint c;
    if (o->kv_heads)
        return fail(err, BAD_ARGUMENT, "--kv-heads changes a shape; %s has its weights already", path);
    TRY(checkpoint_open(&c, path, err));
    Err result = open_weights(p, &c, o->format, err);
    checkpoint_close(&c);
    return result;
}

/* "synth:SHAPE:FORMAT" is the shape in that format. */
static Err open_synth(PlanModel *p, const PlanModelOptions *o, Error *err)
{
    char shape[PATH_MAX], path[PATH_MAX];
    const char *from = o->model + strlen("synth:"), *colon = strrchr(from, ':');
    const Format *format = colon ? format_find(colon + 1) : NULL;
    if (!format || colon - from >= PATH_MAX)
        return fail(err, BAD_ARGUMENT, "'%.200s': must be synth:SHAPE:FORMAT; `ridge synth --list` shows the shapes", o->model);
    snprintf(shape, sizeof shape, "%.*s", (int)(colon - from), from);
    TRY(shape_find(shape, path, p->name, err));
    return open_shape(p, o, path, o->format ? o->format : format, err);
}

static bool is_config(const char *model)
{
    size_t bytes = strlen(model);
    return bytes > 5 && !strcmp(model + bytes - 5, ".json") && !strstr(model, ".safetensors");
}

static Err open_named(PlanModel *p, const PlanModelOptions *o, Error *err)
{
    char path[PATH_MAX];
    const Format *format = o->format ? o->format : format_find("BF16");
    ASSERT(format);
    if (o->model && synth_memory_names(o->model))
        return open_synth(p, o, err);
    if (o->model && strchr(o->model, '/') && !file_exists(o->model))
        return fail(err, NOT_FOUND, "%.200s: there is no such file; give a checkpoint, a config.json, or the name of a shape "
                    "(`ridge synth --list`)", o->model);
    if (o->model && (is_config(o->model) || !file_exists(o->model))) {
        TRY(shape_find(o->model, path, p->name, err));
        return open_shape(p, o, path, format, err);
    }
    if (!o->model)
        TRY(default_model_path(path, sizeof path, err));
    else if (snprintf(path, sizeof path, "%s", o->model) >= (int)sizeof path)
        return fail(err, LIMIT_REACHED, "%.64s...: a path has fewer than %d bytes", o->model, PATH_MAX);
    const char *slash = strrchr(path, '/');
    snprintf(p->name, sizeof p->name, "%.255s", !o->model ? "default model" : slash && slash[1] ? slash + 1 : path);
    return open_checkpoint(p, o, path, err);
}

static Err open_devices(PlanModel *p, Error *err)
{
    TRY(paper_open(&p->paper, err));
    if (tally_open(p->paper, &p->tally, err) == OK)
        return OK;
    device_close(p->paper);
    return err->code;
}

Err plan_model_open(const PlanModelOptions *options, PlanModel *p, Error *err)
{
    *p = (PlanModel){0};
    Err result = open_devices(p, err);
    if (result == OK)
        result = open_named(p, options, err);
    if (result != OK)
        plan_model_close(p);
    return result;
}

Err plan_model_of(Model *model, PlanModel *p, Error *err)
{
    *p = (PlanModel){.model = model, .borrowed = true};
    return open_devices(p, err);
}

void plan_model_close(PlanModel *p)
{
    if (!p->borrowed)
        model_close(p->model);
    device_close(p->tally);
    *p = (PlanModel){0};
}

/* ---- a step ---- */

static Tensor numbers(int32_t **at, int32_t n)
{
    Tensor t = tensor_vector(*at, &format_i32, n);
    *at += n;
    return t;
}

static KvView view_of(const KvLayout *kv, int l, PlanStep s, const Format *cache, const Step *step, Tensor seqs)
{
    const KvLayer *own = &kv->layer[l], *layer = own->kind == KV_ALIAS ? &kv->layer[own->alias_of] : own;
    int32_t blocks = (int32_t)ceil_div((int64_t)s.past + s.rows, BLOCK_TOKENS);
    KvView v = {.positions = step->positions, .row_seq = step->row_seq, .state_from = seqs, .state_to = seqs};
    v.tables = tensor_of(nowhere, &format_i32, s.sequences, blocks);
    if (layer->heads > 0)
        v.k = tensor_4d(nowhere, cache, blocks, layer->heads, BLOCK_TOKENS, layer->key_width);
    if (layer->heads > 0 && layer->value_width > 0)
        v.v = tensor_4d(nowhere, cache, blocks, layer->heads, BLOCK_TOKENS, layer->value_width);
    if (own->state_width > 0)
        v.state = tensor_of(nowhere, &format_f32, s.sequences, own->state_width);
    return v;
}

/* Its tables are filled: what the past costs depends on positions. */
static Step step_of(PlanStep s, int32_t *at)
{
    int32_t rows = s.sequences * s.rows;
    Step step = {.rows = rows, .seqs = s.sequences, .outs = s.all_logits ? rows : s.sequences};
    step.tokens = tensor_vector(nowhere, &format_i32, rows);
    step.positions = numbers(&at, rows);
    step.row_seq = numbers(&at, rows);
    step.lengths = step.positions;
    step.out_rows = tensor_vector(nowhere, &format_i32, step.outs);
    for (int32_t r = 0; r < rows; r++) {
        tensor_i32(step.positions)[r] = s.past + r % s.rows;
        tensor_i32(step.row_seq)[r] = r / s.rows;
    }
    return step;
}

Err plan_step(PlanModel *p, PlanStep s, const Format *cache, const Tally **out, Error *err)
{
    const Model *m = p->model;
    ASSERT(s.sequences >= 1 && s.rows >= 1 && s.past >= 0);
    if ((double)s.sequences * s.rows > STEP_NUMBERS_MAX || (double)s.past + s.rows > STEP_NUMBERS_MAX)
        return fail(err, LIMIT_REACHED, "a step of %d x %d rows behind %d positions: at most %d rows, and as many positions, "
                    "can be planned", s.sequences, s.rows, s.past, NUMBERS_MAX);
    int32_t rows = s.sequences * s.rows;
    int32_t *table = malloc(2 * (size_t)rows * sizeof *table);
    KvView *views = malloc((size_t)m->kv.layers * sizeof *views + 1);
    if (!table || !views) {
        free(table);
        free(views);
        return fail(err, NO_MEMORY, "no memory for a step of %d rows", rows);
    }
    Step step = step_of(s, table);
    Tensor seqs = tensor_vector(nowhere, &format_i32, s.sequences);
    for (int l = 0; l < m->kv.layers; l++)
        views[l] = view_of(&m->kv, l, s, cache, &step, seqs);
    step.layers = views;
    tally_reset(p->tally);
    p->tally->calls->plan_begin(p->tally);
    size_t mark = device_mark(p->tally);
    model_forward(m, p->tally, &step, device_f32(p->tally, step.outs, m->shape.V));
    device_release(p->tally, mark);
    free(table);
    free(views);
    *out = tally_read(p->tally);
    return OK;
}

double plan_activation_bytes(const PlanModel *p) { return paper_activation_bytes(p->paper); }
