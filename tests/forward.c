#include "forward.h"

#include <stdlib.h>
#include <string.h>

enum { SPARE_BLOCKS = 3 };   /* unused blocks before the sequence's own, so that block 0 is nobody's */

static void *take(Device *d, size_t bytes)
{
    void *out;
    Error err;
    ASSERT(d->calls->take(d, bytes, &out, &err) == OK);
    return out;
}

static Tensor pool(Forward *f, const Format *cache, int32_t blocks, int32_t heads, int32_t width)
{
    Tensor t = tensor_4d(NULL, cache, blocks, heads, f->block_tokens, width);
    t.data = take(f->device, tensor_bytes(t));
    return t;
}

static void run(Forward *f, const int32_t *ids, const int32_t *positions, const int32_t *lengths, int32_t rows, float *logits)
{
    int32_t *out_rows = malloc((size_t)rows * sizeof *out_rows);
    for (int32_t i = 0; i < rows; i++)
        out_rows[i] = i;
    for (int l = 0; l < f->model->kv.layers; l++) {
        f->layers[l].positions = tensor_vector((void *)positions, &format_i32, rows);
        f->layers[l].row_seq = tensor_vector(f->row_seq, &format_i32, rows);
    }
    Step step = {
        .rows = rows, .seqs = 1, .outs = rows,
        .tokens = tensor_vector((void *)ids, &format_i32, rows),
        .positions = tensor_vector((void *)positions, &format_i32, rows),
        .row_seq = tensor_vector(f->row_seq, &format_i32, rows),
        .lengths = tensor_vector((void *)lengths, &format_i32, rows),
        .out_rows = tensor_vector(out_rows, &format_i32, rows),
        .layers = f->layers,
    };
    size_t mark = device_mark(f->device);
    model_forward(f->model, f->device, &step, tensor_of(logits, &format_f32, rows, f->model->shape.V));
    device_release(f->device, mark);
    free(out_rows);
}

void forward_init(Forward *f, const Model *m, Device *d, const Format *cache, int32_t context,
                  int32_t block_tokens, int32_t rows_max)
{
    int32_t blocks = (context + block_tokens - 1) / block_tokens;
    *f = (Forward){.model = m, .device = d, .context = context, .block_tokens = block_tokens, .rows_max = rows_max};
    f->table = malloc((size_t)blocks * sizeof *f->table);
    for (int32_t i = 0; i < blocks; i++)
        f->table[i] = SPARE_BLOCKS + (i * 7 + 1) % blocks;   /* out of order; 7 and the count share no factor: */
    for (int32_t i = 0; i < blocks && blocks % 7 == 0; i++)
        f->table[i] = SPARE_BLOCKS + blocks - 1 - i;
    f->row_seq = calloc((size_t)rows_max, sizeof *f->row_seq);
    for (int l = 0; l < m->kv.layers; l++) {
        const KvLayer *layer = &m->kv.layer[l];
        f->layers[l] = (KvView){.k = pool(f, cache, blocks + SPARE_BLOCKS, layer->heads, layer->key_width),
                                .v = pool(f, cache, blocks + SPARE_BLOCKS, layer->heads, layer->value_width),
                                .tables = tensor_of(f->table, &format_i32, 1, blocks)};
    }
    int32_t *zeros = calloc((size_t)rows_max, sizeof *zeros);
    float *logits = malloc((size_t)rows_max * (size_t)m->shape.V * sizeof *logits);
    Error err;
    d->calls->plan_begin(d);
    run(f, zeros, zeros, zeros, rows_max, logits);
    ASSERT(d->calls->plan_end(d, &err) == OK);
    free(zeros);
    free(logits);
}

void forward_deinit(Forward *f)
{
    free(f->table);
    free(f->row_seq);
}

void forward_rows(Forward *f, const int32_t *ids, int32_t from, int32_t rows, int32_t length, float *logits)
{
    ASSERT(rows <= f->rows_max && from + rows <= f->context);
    int32_t *positions = malloc(2 * (size_t)rows * sizeof *positions), *lengths = positions + rows;
    for (int32_t i = 0; i < rows; i++) {
        positions[i] = from + i;
        lengths[i] = from + i + 1 > length ? from + i + 1 : length;
    }
    run(f, ids + from, positions, lengths, rows, logits);
    free(positions);
}

void forward_prompt(Forward *f, const int32_t *ids, int32_t n, int32_t chunk, float *logits)
{
    for (int32_t from = 0; from < n; from += chunk) {
        int32_t rows = n - from < chunk ? n - from : chunk;
        forward_rows(f, ids, from, rows, n, logits + (size_t)from * (size_t)f->model->shape.V);
    }
}
