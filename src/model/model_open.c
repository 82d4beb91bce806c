#include "model/model_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t CONFIG_BYTES_MAX = 16 << 20;
static const size_t SHAPE_BYTES_MAX = (size_t)1 << 30; /* of addresses: shapes, slots, tables */

static Err read_config(Checkpoint *c, const char *path, Error *err)
{
    const char *slash = strrchr(path, '/');
    int directory = directory_exists(path) ? (int)strlen(path) : slash ? (int)(slash - path) : 0;
    if (asprintf(&c->config_path, "%.*s/config.json", directory ? directory : 1, directory ? path : ".") < 0) {
        c->config_path = NULL;
        return fail(err, NO_MEMORY, "%s: no memory for a path", path);
    }
    TRY(json_read_file(c->config_path, CONFIG_BYTES_MAX, &c->config, err));
    if (!json_is_object(c->config))
        return fail(err, BAD_FILE, "%s: must be an object", c->config_path);
    c->keys.config = c->config;
    c->keys.where = c->config_path;
    return keys_text_or(&c->keys, "model_type", NULL, NULL, c->keys.family, sizeof c->keys.family, err);
}

static Err read_metadata(Checkpoint *c, Error *err)
{
    Span family;
    c->keys.gguf = store_gguf(c->store);
    c->keys.where = store_file(c->store, 0)->path;
    TRY(gguf_string(c->keys.gguf, "general.architecture", &family, err));
    if (family.bytes == 0 || family.bytes >= sizeof c->keys.family || memchr(family.data, 0, family.bytes))
        return fail(err, BAD_FILE, "%s: general.architecture must have 1 to %zu characters", c->keys.where,
                    sizeof c->keys.family - 1);
    memcpy(c->keys.family, family.data, family.bytes);
    return OK;
}

Err checkpoint_open(Checkpoint *c, const char *path, Error *err)
{
    *c = (Checkpoint){0};
    Err result = store_open(path, &c->store, err);
    if (result == OK) {
        c->keys.store = c->store;
        result = store_gguf(c->store) ? read_metadata(c, err) : read_config(c, path, err);
    }
    if (result != OK)
        checkpoint_close(c);
    return result;
}

void checkpoint_close(Checkpoint *c)
{
    store_free(c->store);
    json_decref(c->config);
    free(c->config_path);
    *c = (Checkpoint){0};
}

static Err find_arch(const Keys *k, const Arch **out, Error *err)
{
    char nearest[256];
    *out = arch_find(k->family);
    if (*out)
        return OK;
    arch_nearest(k->family, nearest, sizeof nearest);
    return fail(err, UNSUPPORTED, "%s: model family '%s' is unknown; the nearest that ridge runs: %s", k->where,
                k->family, nearest);
}

const WeightPlace *weight_place(const Checkpoint *c, const WeightDecl *decl)
{
    return keys_are_gguf(&c->keys) ? &decl->gguf : &decl->hf;
}

const StoreTensor *weight_source(const Checkpoint *c, const WeightDecl *decl)
{
    return decl->constant || decl->same_as ? NULL : store_find(c->store, weight_place(c, decl)->name);
}

static Err check_shape(const Checkpoint *c, const WeightDecl *decl, const StoreTensor *t, Error *err)
{
    int64_t rows = decl->rows ? decl->rows : 1;
    bool fits = store_tensor_width(t) == decl->width && store_tensor_elems(t) == rows * decl->width;
    if (!fits)
        return fail(err, BAD_FILE,
                    "%s: tensor '%s' has %lld values in rows of %lld; by %s it should have %lld in rows of %d",
                    t->file->path, t->name, (long long)store_tensor_elems(t), (long long)store_tensor_width(t),
                    c->keys.where, (long long)(rows * decl->width), decl->width);
    if (!t->format->activation && t->format != &format_f32)
        return fail(err, UNSUPPORTED, "%s: tensor '%s' is %s, which ridge cannot compute with", t->file->path, t->name,
                    t->format->name);
    return OK;
}

/* A tensor that nobody declared would change the answer if the model needs it, so it is not passed over. */
static Err check_leftovers(const Checkpoint *c, const Arch *arch, const WeightList *list, const ModelShape *shape,
                           Error *err)
{
    for (size_t i = 0; i < store_count(c->store); i++) {
        const StoreTensor *t = store_at(c->store, i);
        bool known = shape->tied && !strcmp(t->name, "lm_head.weight");
        for (int w = 0; w < list->count && !known; w++)
            known = !strcmp(t->name, weight_place(c, &list->items[w])->name);
        for (size_t g = 0; g < COUNT_OF(arch->ignores) && arch->ignores[g] && !known; g++) {
            size_t bytes = strlen(t->name), end = strlen(arch->ignores[g]);
            known = bytes >= end && !strcmp(t->name + bytes - end, arch->ignores[g]);
        }
        if (!known)
            return fail(err, UNSUPPORTED,
                        "%s: tensor '%s' is not one that family '%s' has; the model is a variant that "
                        "ridge does not know",
                        t->file->path, t->name, c->keys.family);
    }
    return OK;
}

static Err check_weights(const Checkpoint *c, Model *m, const WeightList *list, Error *err)
{
    if (list->failed)
        return fail(err, NO_MEMORY, "%s: no memory for the list of its weights", c->keys.where);
    for (int i = 0; i < list->count; i++) {
        const WeightDecl *decl = &list->items[i];
        const StoreTensor *t = weight_source(c, decl);
        if (t) {
            TRY(check_shape(c, decl, t, err));
            m->parameters += store_tensor_elems(t);
            /* A gathered table is read one row a token: as good as nothing. */
            m->weight_bytes += decl->use == USE_TABLE ? 0 : (double)t->bytes.bytes;
        } else if (!decl->optional && !decl->constant && !decl->same_as) {
            return fail(err, BAD_FILE, "%s: tensor '%s' is missing; family '%s' with %d layers needs it",
                        store_file(c->store, 0)->path, weight_place(c, decl)->name, c->keys.family,
                        m->shape.L);
        }
    }
    return check_leftovers(c, m->arch, list, &m->shape, err);
}

Err model_declare(const Checkpoint *c, Model **out, WeightList *list, Error *err)
{
    const Arch *arch;
    TRY(find_arch(&c->keys, &arch, err));
    Arena *arena = arena_new(SHAPE_BYTES_MAX);
    Model *m = arena ? ARENA_NEW(arena, Model) : NULL;
    if (!m) {
        arena_free(arena);
        return fail(err, NO_MEMORY, "%s: no memory for a model", c->keys.where);
    }
    *m = (Model){.arch = arch, .arena = arena};
    snprintf(m->shape.family, sizeof m->shape.family, "%.31s", c->keys.family);
    *list = (WeightList){.arena = arena};
    Err result = arch->read_shape(&c->keys, arena, &m->shape, err);
    if (result == OK) {
        arch->kv_layout(&m->shape, &m->kv);
        m->weights = arch->declare(&m->shape, list);
        result = check_weights(c, m, list, err);
    }
    if (result != OK) {
        weight_list_deinit(list);
        arena_free(arena);
        return result;
    }
    *out = m;
    return OK;
}

/* Kernels may read words, and a safetensors file aligns nothing: such a tensor goes through a copy. */
static Err upload_aligned(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    if ((uintptr_t)host.data % 8 == 0)
        return d->calls->upload(d, name, host, use, out, err);
    void *copy = aligned_alloc(64, (tensor_bytes(host) + 63) / 64 * 64);
    if (!copy)
        return fail(err, NO_MEMORY, "tensor '%s': no memory for %zu bytes", name, tensor_bytes(host));
    memcpy(copy, host.data, tensor_bytes(host));
    host.data = copy;
    Err result = d->calls->upload(d, name, host, use, out, err);
    free(copy);
    return result;
}

static Tensor host_tensor(const WeightDecl *decl, const void *data, const Format *format)
{
    return decl->rows ? tensor_of((void *)data, format, decl->rows, decl->width)
                      : tensor_vector((void *)data, format, decl->width);
}

static Err bind(const Checkpoint *c, Device *d, const WeightDecl *decl, Error *err)
{
    const StoreTensor *t = weight_source(c, decl);
    if (decl->same_as) {
        *decl->slot = *decl->same_as;
        return OK;
    }
    if (!decl->slot || (!t && !decl->constant))
        return OK;
    Tensor host = host_tensor(decl, t ? (const void *)t->bytes.data : decl->constant, t ? t->format : &format_f32);
    if (!d) {
        *decl->slot = host;
        decl->slot->data = NULL;
        return OK;
    }
    return upload_aligned(d, t ? t->name : "(constant)", host, decl->use, decl->slot, err);
}

static Err open_on(const Checkpoint *c, Device *d, const Progress *progress, Model **out, Error *err)
{
    WeightList list;
    Model *m;
    TRY(model_declare(c, &m, &list, err));
    m->device = d;
    double done = 0, total = 0;
    for (int i = 0; i < list.count; i++)
        total += weight_source(c, &list.items[i]) ? (double)weight_source(c, &list.items[i])->bytes.bytes : 0;
    Err result = OK;
    for (int i = 0; i < list.count && result == OK; i++) {
        const StoreTensor *t = weight_source(c, &list.items[i]);
        result = bind(c, d, &list.items[i], err);
        done += t ? (double)t->bytes.bytes : 0;
        if (progress && progress->report)
            progress->report(progress->context, done, total);
    }
    weight_list_deinit(&list);
    if (result != OK) {
        model_close(m);
        return result;
    }
    *out = m;
    return OK;
}

Err model_open(const Checkpoint *c, Device *d, const Progress *progress, Model **out, Error *err)
{
    ASSERT(d);
    return open_on(c, d, progress, out, err);
}

Err model_describe(const Checkpoint *c, Model **out, Error *err) { return open_on(c, NULL, NULL, out, err); }

void model_close(Model *m)
{
    if (m)
        arena_free(m->arena);
}

void model_forward(const Model *m, Device *d, const Step *step, Tensor logits) { m->arch->forward(m, d, step, logits); }
