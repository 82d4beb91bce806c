#include "model/model_open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/bind.h"
#include "model/text_half.h"

static const size_t CONFIG_BYTES_MAX = 16 << 20;
static const double LET_GO_BYTES = 256 << 20;
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
    TRY(text_half_take(&c->config, c->store, c->config_path, err));
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

static Err open_store(Checkpoint *c, const char *path, Error *err)
{
    if (!synth_memory_names(path))
        return store_open(path, &c->store, err);
    TRY(synth_memory_open(path, &c->made, err));
    return store_open_bytes(synth_memory_file(c->made), path, &c->store, err);
}

Err checkpoint_open(Checkpoint *c, const char *path, Error *err)
{
    *c = (Checkpoint){0};
    Err result = open_store(c, path, err);
    if (result == OK) {
        c->keys.store = c->store;
        result = store_gguf(c->store) ? read_metadata(c, err) : read_config(c, path, err);
    }
    if (result == OK)
        result = packing_read(&c->keys, &c->packing, err);
    if (result != OK)
        checkpoint_close(c);
    return result;
}

void checkpoint_close(Checkpoint *c)
{
    store_free(c->store);
    synth_memory_close(c->made);
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
        result = weights_check(c, m, list, err);
    }
    if (result != OK) {
        weight_list_deinit(list);
        arena_free(arena);
        return result;
    }
    *out = m;
    return OK;
}

static Err bind(const Checkpoint *c, Device *d, Workbench *b, const WeightDecl *decl, double *bytes, Error *err)
{
    WeightSource s;
    TRY(weight_find(c, decl, &s, err));
    Err result = weight_bind(&s, d, b, err);
    *bytes += weight_bytes_as(&s, s.format);
    weight_source_deinit(&s);
    return result;
}

/* What was uploaded lies with the device, and need not count here as well. */
static void let_go(void *context, int index, int count)
{
    const Checkpoint *c = context;
    if (!c->made)
        store_let_go(c->store, index, count);
    else if (index == 0)
        synth_memory_let_go(c->made);
}

/* Before anything is uploaded. */
static Err check_room(const Checkpoint *c, const Device *d, double bytes, Error *err)
{
    static const double GIB = 1 << 30, BYTE_BITS = 8.5, HALF_BITS = 4.5;      /* a weight, with its block's scale */
    double room = (double)device_left(d), weights = 0;
    if (bytes <= room)
        return OK;
    for (size_t i = 0; i < store_count(c->store); i++)
        weights += (double)store_tensor_elems(store_at(c->store, i));
    return fail(err, NO_MEMORY, "%s: weights of %.2f GiB do not fit into the %.2f GiB that the device has left. In a format "
                "of a byte a weight they are %.2f GiB, of half a byte %.2f GiB (ridge convert --format)%s",
                c->keys.where, bytes / GIB, room / GIB, weights * BYTE_BITS / 8 / GIB, weights * HALF_BITS / 8 / GIB,
                device_is_apart(d) ? "; or use --device cpu" : "");
}

static Err bind_all(const Checkpoint *c, Device *d, const WeightList *list, const Progress *progress, Error *err)
{
    Workbench bench = {0};
    double done = 0, total = 0, gone = 0;
    for (size_t i = 0; i < store_count(c->store); i++)
        total += (double)store_at(c->store, i)->bytes.bytes;
    if (d) {
        TRY(check_room(c, d, total, err));
        TRY(team_new(&bench.team, 0, false, err));
        store_expect(c->store);
    }
    Err result = OK;
    for (int i = 0; i < list->count && result == OK; i++) {
        result = bind(c, d, &bench, &list->items[i], &done, err);
        if (d && done - gone > LET_GO_BYTES) {
            team_run(bench.team, team_threads(bench.team), let_go, (void *)c);
            gone = done;
        }
        if (progress && progress->report)
            progress->report(progress->context, done < total ? done : total, total);
    }
    if (d)
        team_run(bench.team, team_threads(bench.team), let_go, (void *)c);
    if (progress && progress->report && result == OK)
        progress->report(progress->context, total, total);
    team_free(bench.team);
    workbench_deinit(&bench);
    return result;
}

static Err open_on(const Checkpoint *c, Device *d, const Progress *progress, Model **out, Error *err)
{
    WeightList list;
    Model *m;
    TRY(model_declare(c, &m, &list, err));
    m->device = d;
    Err result = bind_all(c, d, &list, progress, err);
    weight_list_deinit(&list);
    if (result == OK)
        *out = m;
    else
        model_close(m);
    return result;
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
