#include "model/bind.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

const WeightPlace *weight_place(const Checkpoint *c, const WeightDecl *decl)
{
    return keys_are_gguf(&c->keys) ? &decl->gguf : &decl->hf;
}

/* The `expert`-th tensor of a weight. */
static Err find_tensor(const Checkpoint *c, const WeightDecl *decl, int64_t expert, PackedTensor *out, Error *err)
{
    char name[WEIGHT_NAME_BYTES + 16];
    const WeightPlace *place = weight_place(c, decl);
    *out = (PackedTensor){.together = 1};
    if (decl->constant || decl->same_as || !place->name[0])
        return OK;
    weight_expert_name(place, expert, name);
    return packing_find(&c->packing, c->store, name, out, err);
}

void weight_source_deinit(WeightSource *s)
{
    free(s->expert);
    *s = (WeightSource){0};
}

/* ---- checks ---- */

static Err missing(const Checkpoint *c, const WeightDecl *decl, int64_t expert, Error *err)
{
    char name[WEIGHT_NAME_BYTES + 16];
    const WeightPlace *place = weight_place(c, decl);
    weight_expert_name(place->name[0] ? place : &decl->hf, expert, name); /* a GGUF may have no name for it */
    return fail(err, BAD_FILE, "%s: tensor '%s' is missing; family '%s' needs it for the shape that %s gives",
                store_file(c->store, 0)->path, name, c->keys.family, c->keys.where);
}

/* The last dimension, but for ones behind it: a convolution of one tap, [out, in, 1], is a matrix. */
static int64_t row_width(const StoreTensor *t)
{
    int n = t->dims;
    while (n > 1 && t->dim[n - 1] == 1)
        n--;
    return n ? t->dim[n - 1] : 1;
}

/* A tensor of `elems` values in rows of `width`. A vector, or a matrix of one column, has no rows to keep apart. */
static Err check_shape(const Checkpoint *c, const StoreTensor *t, int64_t elems, int64_t width, Error *err)
{
    if (store_tensor_elems(t) == elems && (width == 1 || store_tensor_width(t) == width || row_width(t) == width))
        return OK;
    if (width == 1)
        return fail(err, BAD_FILE, "%s: tensor '%s' has %lld values; by %s it should have %lld", t->file->path, t->name,
                    (long long)store_tensor_elems(t), c->keys.where, (long long)elems);
    return fail(err, BAD_FILE, "%s: tensor '%s' has %lld values in rows of %lld; by %s it should have %lld in rows of %lld",
                t->file->path, t->name, (long long)store_tensor_elems(t), (long long)store_tensor_width(t),
                c->keys.where, (long long)elems, (long long)width);
}

static Err check_format(const WeightSource *s, const StoreTensor *t, Error *err)
{
    const Format *f = t->format;
    if (!f->activation && f != &format_f32)
        return fail(err, UNSUPPORTED, "%s: tensor '%s' is %s, which ridge cannot compute with", t->file->path, t->name,
                    f->name);
    if (f != s->format)
        return fail(err, UNSUPPORTED, "%s: tensor '%s' is %s, but '%s' is %s; the experts of a layer must be alike",
                    t->file->path, t->name, f->name, s->tensor->name, s->format->name);
    bool as_it_lies = weight_is_whole(s->place) && !weight_maps(s->place) && s->together == 1;
    if (f->block_elems > 1 && !as_it_lies && !weight_rows_stay(s->decl, s->place))
        return fail(err, UNSUPPORTED,
                    "%s: tensor '%s' is %s, but its single values lie in another order than its use wants, and blocks "
                    "cannot be cut; it must be F32, F16 or BF16",
                    t->file->path, t->name, f->name);
    return OK;
}

static Err find_experts(const Checkpoint *c, WeightSource *s, Error *err)
{
    bool apart = weight_experts_apart(s->place);
    int64_t elems = s->there.rows * s->there.width;
    int64_t width = !s->decl->rows ? 1 : s->place->transposed ? s->there.rows : s->there.width;
    PackedTensor t;
    for (int64_t e = 0; e < s->slot.experts; e++) {
        if (apart || e == 0) {
            TRY(find_tensor(c, s->decl, e, &t, err));
            if (!t.stored)
                return missing(c, s->decl, e, err);
            TRY(check_shape(c, &t.view, apart ? elems : elems * s->slot.experts, width, err));
            TRY(check_format(s, &t.view, err));
        }
        s->expert[e] = (WeightPiece){t.stored, apart ? 0 : e * elems, t.scales};
    }
    return OK;
}

static bool is_scaled(const WeightSource *s) { return s->tensor && s->expert[0].scales.tensor && s->together == 1; }

static Err find_pieces(const Checkpoint *c, WeightSource *s, Error *err)
{
    s->expert = malloc((size_t)s->slot.experts * sizeof *s->expert);
    if (!s->expert)
        return fail(err, NO_MEMORY, "no memory for '%s'", s->place->name);
    TRY(find_experts(c, s, err));
    s->becomes = weight_maps(s->place) ? &format_f32 : is_scaled(s) ? format_find("BF16") : s->format;
    return OK;
}

Err weight_find(const Checkpoint *c, const WeightDecl *decl, WeightSource *out, Error *err)
{
    WeightSource s = {.decl = decl, .place = weight_place(c, decl)};
    PackedTensor first;
    *out = s;
    if (decl->same_as)
        return OK;
    if (!weight_fits(decl, s.place))
        return fail(err, BAD_FILE,
                    "%s: '%s' cannot be %d matrices of [%d, %d] whose rows lie in parts of %d of %d", c->keys.where,
                    s.place->name, decl->experts, decl->rows, decl->width, s.place->part.take, s.place->part.stride);
    s.slot = weight_shape(decl);
    s.there = weight_shape_there(decl, s.place);
    TRY(find_tensor(c, decl, 0, &first, err));
    s.tensor = first.stored;
    s.together = first.together;
    s.becomes = s.format = s.tensor ? first.view.format : decl->constant ? &format_f32 : NULL;
    if (!s.tensor && !decl->optional && !decl->constant)
        return missing(c, decl, 0, err);
    Err result = s.tensor ? find_pieces(c, &s, err) : OK;
    if (result != OK) {
        weight_source_deinit(&s);
        return result;
    }
    *out = s;
    return OK;
}

/* ---- all of a model ---- */

/* "model.layers.61.x" or "blk.61.x" of a model with 61 layers, if that layer guesses ahead: it joins the embedding of the
 * next token to the hidden state, which no other layer does. Some have names of their own: "mtp.layers.0.x",
 * "model.mtp_block.0.x". */
static bool is_draft_layer(const Store *store, const char *name, int32_t layers)
{
    int layer = 0, end = 0;
    char mark[64];
    if (!strncmp(name, "mtp.", 4) || !strncmp(name, "model.mtp", 9))
        return true;
    if (sscanf(name, "model.layers.%7d.%n", &layer, &end) >= 1)
        snprintf(mark, sizeof mark, "model.layers.%d.eh_proj.weight", layer);
    else if (sscanf(name, "blk.%7d.%n", &layer, &end) >= 1)
        snprintf(mark, sizeof mark, "blk.%d.nextn.eh_proj.weight", layer);
    return end > 0 && layer >= layers && store_find(store, mark);
}

static bool is_ignored(const Checkpoint *c, const Model *m, const char *name)
{
    if ((m->shape.tied && !strcmp(name, "lm_head.weight")) || packing_ignores(&c->packing, name))
        return true;
    for (size_t g = 0; g < COUNT_OF(m->arch->ignores) && m->arch->ignores[g]; g++) {
        size_t bytes = strlen(name), end = strlen(m->arch->ignores[g]);
        if (bytes >= end && !strcmp(name + bytes - end, m->arch->ignores[g]))
            return true;
    }
    return m->arch->draft_layers && is_draft_layer(c->store, name, m->shape.L);
}

/* A tensor that nobody declared, or of which nobody declared a part, would change the answer if the model needs it,
 * so it is not passed over. */
static Err check_leftovers(const Checkpoint *c, const Model *m, const int64_t *used, Error *err)
{
    for (size_t i = 0; i < store_count(c->store); i++) {
        const StoreTensor *t = store_at(c->store, i);
        int64_t elems = store_tensor_elems(t), known = used[store_number(c->store, t)];
        if (known >= elems || (!known && is_ignored(c, m, t->name)))
            continue;
        if (known)
            return fail(err, UNSUPPORTED,
                        "%s: tensor '%s' has %lld values, of which family '%s' uses %lld; the model is a variant that "
                        "ridge does not know",
                        t->file->path, t->name, (long long)elems, c->keys.family, (long long)known);
        return fail(err, UNSUPPORTED,
                    "%s: tensor '%s' is not one that family '%s' has; the model is a variant that "
                    "ridge does not know",
                    t->file->path, t->name, c->keys.family);
    }
    return OK;
}

static void count_weight(const Checkpoint *c, Model *m, const WeightSource *s, int64_t *used)
{
    int64_t elems = s->slot.rows * s->slot.width, all = elems * s->slot.experts;
    float share = s->decl->read_share > 0 ? s->decl->read_share : 1;
    bool needed = s->decl->slot; /* else a file may hold it, and nobody reads it */
    m->parameters += needed ? all : 0;
    /* A gathered table is read one row a token: as good as nothing. */
    if (needed && s->decl->use != USE_TABLE)
        m->weight_bytes += weight_bytes_as(s, s->becomes) * share;
    for (int64_t e = 0; e < s->slot.experts; e++) {
        const StoreTensor *scales = s->expert[e].scales.tensor;
        used[store_number(c->store, s->expert[e].tensor)] += elems / s->together;
        if (scales)
            used[store_number(c->store, scales)] = store_tensor_elems(scales);
    }
}

/* What follows from the shape is not read again, though a GGUF may hold it: its reader had it before (rope_freqs). */
static void count_constant(const Checkpoint *c, const WeightDecl *decl, int64_t *used)
{
    const WeightPlace *place = weight_place(c, decl);
    const StoreTensor *t = place->name[0] ? store_find(c->store, place->name) : NULL;
    if (t)
        used[store_number(c->store, t)] = store_tensor_elems(t);
}

static Err check_list(const Checkpoint *c, Model *m, const WeightList *list, int64_t *used, Error *err)
{
    if (list->failed || !used)
        return fail(err, NO_MEMORY, "%s: no memory for the list of its weights", c->keys.where);
    for (int i = 0; i < list->count; i++) {
        WeightSource s;
        TRY(weight_find(c, &list->items[i], &s, err));
        if (s.tensor)
            count_weight(c, m, &s, used);
        else if (s.decl->constant)
            count_constant(c, s.decl, used);
        weight_source_deinit(&s);
    }
    return check_leftovers(c, m, used, err);
}

Err weights_check(const Checkpoint *c, Model *m, const WeightList *list, Error *err)
{
    int64_t *used = calloc(store_count(c->store) + 1, sizeof *used); /* values of each tensor that somebody wants */
    Err result = check_list(c, m, list, used, err);
    free(used);
    return result;
}

/* ---- reading ---- */

static inline void copy_element(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (bytes == 2)
        memcpy(to, from, 2);
    else if (bytes == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, bytes);
}

/* Of a value, or a row's first, in the tensor of its expert. */
static int64_t number_of(const WeightSource *s, int64_t expert, int64_t row, int64_t column)
{
    int64_t r = weight_row_there(s->place, s->slot.rows, row), c = weight_column_there(s->place, column);
    return s->expert[expert].first + (s->place->transposed ? c * s->there.rows + r : r * s->there.width + c);
}

static const uint8_t *bytes_at(const WeightSource *s, int64_t expert, int64_t number)
{
    size_t offset = s->together > 1 ? (size_t)(number / s->together) : format_row_bytes(s->format, number);
    return s->expert[expert].tensor->bytes.data + offset;
}

/* Whole blocks in a line, from the value of this number on. */
static void read_blocks(const WeightSource *s, int64_t expert, int64_t number, int64_t elems, void *out)
{
    const uint8_t *bytes = bytes_at(s, expert, number);
    const Scales *scales = &s->expert[expert].scales;
    if (s->together > 1)
        s->format->join(out, bytes, scales->tensor->bytes.data + scales_number(scales, number), (size_t)elems);
    else
        memcpy(out, bytes, format_row_bytes(s->format, elems));
}

void weight_row(const WeightSource *s, int64_t expert, int64_t row, void *out)
{
    if (weight_rows_stay(s->decl, s->place)) {
        read_blocks(s, expert, number_of(s, expert, row, 0), s->slot.width, out);
        return;
    }
    for (int64_t c = 0; c < s->slot.width; c++)
        copy_element((uint8_t *)out + (size_t)c * (size_t)s->format->block_bytes,
                     bytes_at(s, expert, number_of(s, expert, row, c)), (size_t)s->format->block_bytes);
}

/* Values in a line as numbers; elements of a format without blocks, or whole blocks. */
static void decode_line(const WeightSource *s, int64_t expert, int64_t number, int64_t elems, float *out)
{
    uint8_t block[PACKED_BLOCK_BYTES_MAX];
    int64_t step = s->format->block_elems;
    if (s->together == 1) {
        s->format->decode(out, bytes_at(s, expert, number), (size_t)elems);
        if (is_scaled(s))
            scales_apply(&s->expert[expert].scales, number, out, elems);
        return;
    }
    for (int64_t i = 0; i < elems; i += step) {
        read_blocks(s, expert, number + i, step, block);
        s->format->decode(out + i, block, (size_t)step);
    }
}

float weight_value(const WeightSource *s, int64_t expert, int64_t row, int64_t column)
{
    float stored;
    if (s->decl->constant)
        return s->decl->constant[row * s->slot.width + column];
    decode_line(s, expert, number_of(s, expert, row, column), 1, &stored);
    return weight_read(s->place, row, stored);
}

void weight_values(const WeightSource *s, int64_t expert, int64_t row, float *out)
{
    if (s->decl->constant || !weight_rows_stay(s->decl, s->place)) {
        for (int64_t c = 0; c < s->slot.width; c++)
            out[c] = weight_value(s, expert, row, c);
        return;
    }
    decode_line(s, expert, number_of(s, expert, row, 0), s->slot.width, out);
    if (weight_maps(s->place))
        for (int64_t c = 0; c < s->slot.width; c++)
            out[c] = weight_read(s->place, row, out[c]);
}

/* ---- binding ---- */

static Tensor host_tensor(const WeightSource *s, const void *data, const Format *format)
{
    const WeightDecl *d = s->decl;
    if (d->experts)
        return d->rows ? tensor_3d((void *)data, format, d->experts, d->rows, d->width)
                       : tensor_of((void *)data, format, d->experts, d->width);
    return d->rows ? tensor_of((void *)data, format, d->rows, d->width)
                   : tensor_vector((void *)data, format, d->width);
}

/* Where the weight lies in one piece, as the slot wants it; NULL: nowhere. */
static const uint8_t *in_one_piece(const WeightSource *s)
{
    WeightPlace rest = *s->place;
    bool one_run = s->slot.experts == 1 && s->slot.rows == rest.part.take; /* of rows, or of a vector's elements */
    if (one_run)
        rest.part = (WeightPart){0};
    if (!weight_is_whole(&rest) || weight_maps(&rest) || s->expert[0].scales.tensor)
        return NULL;
    return s->expert[0].tensor->bytes.data + (one_run ? format_row_bytes(s->format, s->place->part.first * s->slot.width) : 0);
}

bool weight_stays(const WeightSource *s) { return s->tensor && !weight_maps(s->place) && !is_scaled(s); }

typedef struct Gather {
    const WeightSource *s;
    float *wide;                 /* a row of numbers for each thread */
    uint8_t *out;
} Gather;

/* Rows one after another, as they are stored or through numbers; each thread takes a stretch of them. */
static void gather_task(void *context, int index, int count)
{
    const Gather *g = context;
    const WeightSource *s = g->s;
    size_t row_bytes = format_row_bytes(s->becomes, s->slot.width);
    int64_t rows = s->slot.experts * s->slot.rows;
    float *wide = g->wide + (size_t)index * (size_t)s->slot.width;
    for (int64_t i = rows * index / count; i < rows * (index + 1) / count; i++) {
        int64_t e = i / s->slot.rows, r = i % s->slot.rows;
        uint8_t *out = g->out + (size_t)i * row_bytes;
        if (weight_stays(s)) {
            weight_row(s, e, r, out);
            continue;
        }
        weight_values(s, e, r, wide);
        s->becomes->encode(out, wide, (size_t)s->slot.width, NULL);
    }
}

void workbench_deinit(Workbench *b)
{
    free(b->rows);
    free(b->wide);
    *b = (Workbench){0};
}

static bool make_room(void **memory, size_t *room, size_t bytes)
{
    if (bytes <= *room)
        return true;
    free(*memory);
    *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    *room = *memory ? bytes : 0;
    return *memory != NULL;
}

/* Kernels may read words, and a safetensors file aligns nothing: what is not aligned there is copied as well. */
static Err upload_copy(const WeightSource *s, Device *d, Workbench *b, Tensor host, const uint8_t *piece, Error *err)
{
    size_t bytes = tensor_bytes(host);
    int threads = b->team ? team_threads(b->team) : 1;
    if (!make_room(&b->rows, &b->rows_bytes, bytes) ||
        !make_room(&b->wide, &b->wide_bytes, (size_t)s->slot.width * (size_t)threads * sizeof(float)))
        return fail(err, NO_MEMORY, "tensor '%s': no memory for %zu bytes", s->tensor->name, bytes);
    host.data = b->rows;
    if (piece)
        memcpy(host.data, piece, bytes);
    else if (b->team)
        team_run(b->team, threads, gather_task, &(Gather){s, b->wide, b->rows});
    else
        gather_task(&(Gather){s, b->wide, b->rows}, 0, 1);
    return d->calls->upload(d, s->tensor->name, host, s->decl->use, s->decl->slot, err);
}

Err weight_bind(const WeightSource *s, Device *d, Workbench *b, Error *err)
{
    const WeightDecl *decl = s->decl;
    if (decl->same_as)
        *decl->slot = *decl->same_as;
    if (!decl->slot || !s->format)
        return OK;
    Tensor host = host_tensor(s, decl->constant, s->becomes);
    if (!d) {
        host.data = NULL;
        *decl->slot = host;
        return OK;
    }
    if (decl->constant)
        return d->calls->upload(d, "(constant)", host, decl->use, decl->slot, err);
    const uint8_t *piece = in_one_piece(s);
    if (!piece || (uintptr_t)piece % 8)
        return upload_copy(s, d, b, host, piece, err);
    host.data = (void *)piece;
    return d->calls->upload(d, s->tensor->name, host, decl->use, decl->slot, err);
}
