#include "devices/hash/hash_device.h"

#include <stdlib.h>
#include <string.h>

#include "core/kv_view.h"
#include "devices/watch/watch.h"

typedef struct HashDevice {
    Device device;
    bool planning;
} HashDevice;

/* One round of the finaliser of splitmix64 (Steele et al. 2014). */
static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 29) * 0x94d049bb133111ebu;
    return h ^ h >> 32;
}

static uint64_t hash_bytes(uint64_t h, const uint8_t *data, size_t bytes)
{
    uint32_t word = 0;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        size_t left = bytes - i;
        memcpy(&word, data + i, left < sizeof word ? left : sizeof word);
        h = mix(h, word);
    }
    return h;
}

static uint64_t hash_row(uint64_t h, Tensor t, int64_t row) { return hash_bytes(h, tensor_row(t, row), tensor_row_bytes(t)); }

/* Fills a row with numbers in [0, 1) that all depend on h. */
static void put_row(Tensor t, int64_t row, uint64_t h)
{
    float *x = tensor_row(t, row);
    ASSERT(t.format == &format_f32);
    for (int64_t i = 0; i < tensor_width(t); i++)
        x[i] = (float)(mix(h, (uint64_t)i) >> 40) * 0x1p-24f;
}

/* How many leading inputs have a row for each row of the output; all after them count whole. */
static const int8_t row_inputs[OP_COUNT] = {
    [OP_LINEAR] = 1, [OP_RMS_NORM] = 1, [OP_LAYER_NORM] = 1, [OP_ROPE] = 1, [OP_ACTIVATE] = 1, [OP_GATE] = 2,
    [OP_ADD] = 1, [OP_SCALE] = 1, [OP_LINEAR3] = 1, [OP_GATED_MLP] = 1,
};

/* Operations with a state are many and alike: of theirs, matrices with as many rows as the output have one for each. */
static bool goes_by_rows(const OpCall *call, int8_t i)
{
    if (op_has_state(call))
        return call->in[i].dims > 1 && call->in[i].dim[0] == call->out[0].dim[0];
    return i < row_inputs[call->op];
}

/* Without those that say where a state lies. */
static int8_t inputs(const OpCall *call) { return (int8_t)(call->ins - (op_has_state(call) ? 3 : 0)); }

static uint64_t hash_weights(const OpCall *call)
{
    uint64_t h = mix(1, call->op);
    for (int8_t i = 0; i < inputs(call); i++)
        if (!tensor_is_none(call->in[i]) && !goes_by_rows(call, i))
            for (int32_t r = 0; r < call->in[i].dim[0]; r++)
                h = hash_row(h, call->in[i], r);
    return h;
}

static void run_rows(const OpCall *call)
{
    ASSERT(row_inputs[call->op] > 0);
    uint64_t weights = hash_weights(call);
    for (int32_t r = 0; r < call->out[0].dim[0]; r++) {
        uint64_t h = weights;
        for (int8_t i = 0; i < row_inputs[call->op]; i++)
            h = hash_row(h, call->in[i], r);
        for (int8_t o = 0; o < call->outs; o++)
            put_row(call->out[o], r, mix(call->reads_out ? hash_row(h, call->out[o], r) : h, (uint64_t)o));
    }
}

static void begin_state(Tensor state, int32_t from, int32_t to)
{
    ASSERT(from < state.dim[0] && to >= 0 && to < state.dim[0]);
    if (from < 0)
        memset(tensor_row(state, to), 0, tensor_row_bytes(state));
    else
        memmove(tensor_row(state, to), tensor_row(state, from), tensor_row_bytes(state));
}

static void run_state(const OpCall *call)
{
    Tensor y = call->out[0], state = call->out[1];
    const int32_t *from = tensor_i32(call->in[call->ins - 3]), *to = tensor_i32(call->in[call->ins - 2]);
    const int32_t *row_seq = tensor_i32(call->in[call->ins - 1]);
    uint64_t weights = hash_weights(call);
    for (int32_t r = 0; r < y.dim[0]; r++) {
        int32_t s = row_seq[r];
        if (r == 0 || row_seq[r - 1] != s)
            begin_state(state, from[s], to[s]);
        uint64_t h = hash_row(weights, state, to[s]);
        for (int8_t i = 0; i < inputs(call); i++)
            if (goes_by_rows(call, i))
                h = hash_row(h, call->in[i], r);
        put_row(y, r, mix(h, 0));
        put_row(state, to[s], mix(h, 1));
    }
}

static void run_rope_angles(const OpCall *call)
{
    const int32_t *positions = tensor_i32(call->in[0]), *lengths = tensor_i32(call->in[1]);
    for (int32_t r = 0; r < call->out[0].dim[0]; r++)
        put_row(call->out[0], r, mix(mix(5, (uint64_t)positions[r]), (uint64_t)lengths[r]));
}

static void run_embed(const OpCall *call)
{
    const int32_t *ids = tensor_i32(call->in[1]);
    for (int32_t r = 0; r < call->out[0].dim[0]; r++)
        put_row(call->out[0], r, mix(mix(2, call->op), (uint64_t)ids[r]));
}

static void run_take_rows(const OpCall *call)
{
    const int32_t *rows = tensor_i32(call->in[1]);
    for (int32_t r = 0; r < call->out[0].dim[0]; r++)
        memcpy(tensor_row(call->out[0], r), tensor_row(call->in[0], rows[r]), tensor_row_bytes(call->out[0]));
}

/* Where one position of a sequence lies in a pool: the first element of the first head. */
static float *entry_at(Tensor pool, Tensor tables, int32_t seq, int32_t position)
{
    int32_t block_tokens = pool.dim[2];
    int32_t block = *((const int32_t *)tensor_row(tables, seq) + position / block_tokens);
    ASSERT(position / block_tokens < tables.dim[1] && block >= 0 && block < pool.dim[0]);
    return (float *)tensor_row(pool, block) + position % block_tokens * pool.dim[3];
}

static void run_cache_write(const OpCall *call)
{
    const int32_t *positions = tensor_i32(call->in[3]), *row_seq = tensor_i32(call->in[4]);
    for (int o = 0; o < 2; o++)
        for (int32_t r = 0; r < call->in[o].dim[0]; r++) {
            uint64_t h = hash_row(mix(3, (uint64_t)positions[r]), call->in[o], r);
            *entry_at(call->out[o], call->in[2], row_seq[r], positions[r]) = (float)(h >> 40) * 0x1p-24f;
        }
}

static bool sees(const Attend *a, int32_t row, int32_t position)
{
    return (!a->window || row - position < a->window) && (!a->chunk || row / a->chunk == position / a->chunk);
}

static void run_attend(const OpCall *call)
{
    Tensor k = call->in[1], v = call->in[2], tables = call->in[3];
    const int32_t *positions = tensor_i32(call->in[4]), *row_seq = tensor_i32(call->in[5]);
    for (int32_t r = 0; r < call->out[0].dim[0]; r++) {
        uint64_t h = hash_row(4, call->in[0], r);
        for (int32_t p = 0; p <= positions[r]; p++)
            if (sees(&call->attend, positions[r], p)) {
                h = hash_bytes(h, (const uint8_t *)entry_at(k, tables, row_seq[r], p), sizeof(float));
                h = hash_bytes(h, (const uint8_t *)entry_at(v, tables, row_seq[r], p), sizeof(float));
            }
        put_row(call->out[0], r, h);
    }
}

static void hash_run(Device *d, const OpCall *call)
{
    if (call->op == OP_CHOOSE) {      /* logits are numbers here as well: the device below computes */
        d->inner->calls->run(d->inner, call);
        return;
    }
    if (((HashDevice *)d)->planning)
        return;
    switch (call->op) {
    case OP_EMBED: run_embed(call); break;
    case OP_ROPE_ANGLES: run_rope_angles(call); break;
    case OP_TAKE_ROWS: run_take_rows(call); break;
    case OP_CACHE_WRITE: run_cache_write(call); break;
    case OP_ATTEND: run_attend(call); break;
    default: op_has_state(call) ? run_state(call) : run_rows(call); break;
    }
}

static void hash_plan_begin(Device *d)
{
    ((HashDevice *)d)->planning = true;
    watch_plan_begin(d);
}

static Err hash_plan_end(Device *d, Error *err)
{
    ((HashDevice *)d)->planning = false;
    return watch_plan_end(d, err);
}

static void hash_close(Device *d)
{
    device_close(d->inner);
    free(d);
}

static const DeviceCalls hash_calls = {
    .run = hash_run, .upload = watch_upload, .take = watch_take, .push = watch_push, .mark = watch_mark,
    .release = watch_release, .plan_begin = hash_plan_begin, .plan_end = hash_plan_end, .write = watch_write,
    .read = watch_read, .copy = watch_copy, .label = watch_label, .close = hash_close,
};

Err hash_device_open(Device *inner, Device **out, Error *err)
{
    HashDevice *h = calloc(1, sizeof *h);
    if (!h)
        return fail(err, NO_MEMORY, "no memory for a device");
    h->device = (Device){.calls = &hash_calls, .name = "hash", .inner = inner};
    *out = &h->device;
    return OK;
}
