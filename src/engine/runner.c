#include "engine/runner.h"

#include <string.h>

#include "base/checked.h"
#include "core/ops.h"

enum { ROWS_READ = 8 };     /* that are brought to the host at a time */

/* Numbers of a step: filled on the host, then written to the device. */
typedef struct Staged {
    int32_t *host;
    void *device;
} Staged;

/* What a step leaves on the device, a row for each that was asked for, and the few of them that were read. */
typedef struct Outcome {
    Tensor rows;
    float *read;                  /* [ROWS_READ, width] */
    int32_t first, count, of;     /* read[0] is row `first` of `of` */
} Outcome;

struct Runner {
    RunnerOptions o;
    EngineModel model;
    const KvCache *cache;
    Device *device;
    int32_t layers, groups, blocks_max;   /* groups: that have tables */
    Staged tokens, positions, row_seq, lengths, out_rows, hidden_rows, state_from, state_to, tables[KV_GROUPS_MAX];
    Staged flown;                 /* [rows] where the tokens of the first rows were chosen */
    int32_t flights;              /* how many, in this step */
    KvView views[LAYERS_MAX];
    Outcome logits, hidden;       /* [logit_rows, V], [rows, D] */
    Choices *choices;             /* NULL: tokens are not chosen on the device */
};

static Err stage(Staged *out, size_t count, Device *d, Arena *arena, Error *err)
{
    if (count == 0)
        return OK;
    out->host = ARENA_ARRAY(arena, int32_t, count);
    if (!out->host)
        return fail(err, NO_MEMORY, "no memory for the tables of a step");
    return d->calls->take(d, count * sizeof *out->host, &out->device, err);
}

static Err take_step(Runner *r, Arena *arena, Error *err)
{
    Device *d = r->device;
    size_t rows = (size_t)r->o.rows;
    TRY(stage(&r->tokens, rows, d, arena, err));
    TRY(stage(&r->flown, rows, d, arena, err));
    TRY(stage(&r->positions, rows, d, arena, err));
    TRY(stage(&r->row_seq, rows, d, arena, err));
    TRY(stage(&r->lengths, rows, d, arena, err));
    TRY(stage(&r->out_rows, (size_t)r->o.logit_rows, d, arena, err));
    TRY(stage(&r->hidden_rows, (size_t)r->o.hidden_rows, d, arena, err));
    TRY(stage(&r->state_from, (size_t)r->o.sequences, d, arena, err));
    TRY(stage(&r->state_to, (size_t)r->o.sequences, d, arena, err));
    for (int32_t g = 0; g < r->groups; g++)
        TRY(stage(&r->tables[g], (size_t)r->o.sequences * (size_t)r->blocks_max, d, arena, err));
    return OK;
}

static Err take_outcome(Outcome *out, Device *d, Arena *arena, int32_t rows, int32_t width, Error *err)
{
    void *data;
    out->rows = tensor_of(NULL, &format_f32, rows, width);
    if (tensor_elems(out->rows) == 0)
        return OK;
    out->read = ARENA_ARRAY(arena, float, (size_t)ROWS_READ * (size_t)width);
    if (!out->read)
        return fail(err, NO_MEMORY, "no memory for rows of %d numbers", width);
    TRY(d->calls->take(d, tensor_bytes(out->rows), &data, err));
    out->rows.data = data;
    return OK;
}

static Tensor vector(const Staged *staged, int32_t n) { return tensor_vector(staged->device, &format_i32, n); }

/* Tables of this step: one row per entry, as wide as the longest sequence needs. */
static Step step_of(Runner *r, int32_t rows, int32_t seqs, int32_t outs, int32_t hiddens, int32_t blocks)
{
    Step step = {
        .rows = rows, .seqs = seqs, .outs = outs, .layers = r->views,
        .tokens = vector(&r->tokens, rows), .positions = vector(&r->positions, rows),
        .row_seq = vector(&r->row_seq, rows), .lengths = vector(&r->lengths, rows),
        .out_rows = vector(&r->out_rows, outs), .hiddens = hiddens,
        .hidden_rows = vector(&r->hidden_rows, hiddens), .hidden = tensor_rows(r->hidden.rows, 0, hiddens),
    };
    const KvLedger *ledger = kv_cache_ledger(r->cache);
    for (int32_t i = 0; i < r->layers; i++) {
        KvView *view = &r->views[i];
        int32_t g = ledger->group_of[i];
        if (g >= 0)
            view->tables = tensor_of(r->tables[g].device, &format_i32, seqs, blocks);
        view->positions = step.positions;
        view->row_seq = step.row_seq;
        view->state_from = vector(&r->state_from, seqs);
        view->state_to = vector(&r->state_to, seqs);
    }
    return step;
}

static void forward(Runner *r, const Step *step)
{
    size_t mark = device_mark(r->device);
    r->model.forward(r->model.model, r->device, step, tensor_rows(r->logits.rows, 0, step->outs));
    device_release(r->device, mark);
}

/* Few rows may be computed in another way than many, with more scratch, and steps that want hidden states in another than
 * those that do not: the device sees all. */
static Err plan_memory(Runner *r, Error *err)
{
    const int32_t shapes[] = {1, (int32_t)min_i64(r->o.sequences, r->o.rows), r->o.rows};
    r->device->calls->plan_begin(r->device);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        int32_t seqs = (int32_t)min_i64(shapes[i], r->o.sequences), outs = (int32_t)min_i64(shapes[i], r->o.logit_rows);
        int32_t hiddens = r->model.shape->D > 0 ? (int32_t)min_i64(shapes[i], r->o.hidden_rows) : 0;
        for (int32_t wanted = 0; wanted <= hiddens; wanted += hiddens > 0 ? hiddens : 1) {
            Step step = step_of(r, shapes[i], seqs, outs, wanted, r->blocks_max);
            forward(r, &step);
        }
    }
    if (r->choices)
        choices_plan(r->choices, r->logits.rows);
    return r->device->calls->plan_end(r->device, err);
}

Err runner_new(Runner **out, RunnerOptions o, const EngineModel *model, const KvCache *cache, Device *device, Arena *arena,
               Error *err)
{
    Runner *r = ARENA_NEW(arena, Runner);
    if (!r)
        return fail(err, NO_MEMORY, "no memory for a runner");
    const KvLedger *ledger = kv_cache_ledger(cache);
    r->o = o;
    r->model = *model;
    r->cache = cache;
    r->device = device;
    r->layers = model->kv->layers;
    r->groups = ledger->paged;
    r->blocks_max = (int32_t)ceil_div(ledger->options.context, ledger->options.block_tokens);
    for (int32_t i = 0; i < r->layers; i++)
        r->views[i] = kv_cache_view(cache, i);
    TRY(take_step(r, arena, err));
    TRY(take_outcome(&r->logits, device, arena, o.logit_rows, model->shape->V, err));
    TRY(take_outcome(&r->hidden, device, arena, o.hidden_rows, model->shape->D, err));
    if (o.sampler)
        TRY(choices_new(&r->choices, o.logit_rows, model->shape->V, o.sampler, device, arena, err));
    *out = r;
    return plan_memory(r, err);
}

static void fill_rows(Runner *r, const Plan *plan)
{
    int32_t row = 0, out = 0, hidden = 0;
    double past = 0;
    r->flights = 0;
    for (int32_t i = 0; i < plan->entries; i++) {
        const PlanEntry *e = &plan->entry[i];
        const Sequence *q = e->sequence;
        past += e->first + e->rows;
        for (int32_t j = 0; j < e->rows; j++, row++) {
            int32_t position = e->first + j;
            bool flies = q->flying && position >= q->known;
            ASSERT(!flies || row == r->flights);
            if (flies)
                r->flown.host[r->flights++] = q->flying - 1;
            r->tokens.host[row] = flies ? 0 : q->tokens[position];
            r->positions.host[row] = position;
            r->row_seq.host[row] = i;
            r->lengths.host[row] = position < q->prompt ? q->prompt : position + 1;
            int32_t left = e->rows - e->after - j; /* rows until those that nobody asks, this one included */
            if (left > 0 && left <= e->outs)
                r->out_rows.host[out++] = row;
            if (e->rows - j <= e->hiddens)
                r->hidden_rows.host[hidden++] = row;
        }
    }
    device_tell_past(r->device, past / plan->entries);
}

/* The next quarter of a power of two: 1 to 8, 10, 12, 14, 16, 20, 24, ... */
static int32_t bucket_of(int32_t blocks)
{
    int32_t step = 1;
    while (blocks > 8 * step)
        step *= 2;
    return (int32_t)ceil_div(blocks, step) * step;
}

/* How wide the tables are. A device that keeps whole steps (a GPU's graphs) takes one with wider tables for another step: so
 * there are few widths. */
static int32_t table_width(const Runner *r, const Plan *plan)
{
    int32_t blocks = 1;
    for (int32_t i = 0; i < plan->entries; i++)
        blocks = (int32_t)max_i64(blocks, kv_cache_blocks(r->cache, plan->entry[i].sequence->slot));
    if (!device_is_apart(r->device))
        return blocks;
    return (int32_t)min_i64(bucket_of(blocks), r->blocks_max);
}

static int32_t fill_tables(Runner *r, const Plan *plan)
{
    int32_t blocks = table_width(r, plan);
    for (int32_t g = 0; g < r->groups; g++)
        for (int32_t i = 0; i < plan->entries; i++)
            memcpy(r->tables[g].host + (size_t)i * (size_t)blocks,
                   kv_cache_table(r->cache, plan->entry[i].sequence->slot, g), (size_t)blocks * sizeof(BlockId));
    return blocks;
}

static void fill_states(Runner *r, const Plan *plan)
{
    for (int32_t i = 0; i < plan->entries; i++) {
        StateSlots slots = kv_cache_state(r->cache, plan->entry[i].sequence->slot);
        r->state_from.host[i] = slots.from;
        r->state_to.host[i] = slots.to;
    }
}

static void send(Runner *r, const Staged *staged, size_t count)
{
    r->device->calls->write(r->device, staged->device, staged->host, count * sizeof *staged->host);
}

static void take_flown(Runner *r)
{
    send(r, &r->flown, (size_t)r->flights);
    op_take_rows(r->device, tensor_of(r->tokens.device, &format_i32, r->flights, 1), choices_ids(r->choices),
                 vector(&r->flown, r->flights));
}

void runner_run(Runner *r, const Plan *plan)
{
    for (int32_t i = 0; i < plan->copies.count; i++)
        kv_cache_copy(r->cache, r->device, plan->copies.copy[i]);
    fill_rows(r, plan);
    fill_states(r, plan);
    int32_t blocks = fill_tables(r, plan);
    const Staged *per_row[] = {&r->tokens, &r->positions, &r->row_seq, &r->lengths};
    for (size_t i = 0; i < COUNT_OF(per_row); i++)
        send(r, per_row[i], (size_t)plan->rows);
    send(r, &r->out_rows, (size_t)plan->outs);
    send(r, &r->hidden_rows, (size_t)plan->hiddens);
    send(r, &r->state_from, (size_t)plan->entries);
    send(r, &r->state_to, (size_t)plan->entries);
    for (int32_t g = 0; g < r->groups; g++)
        send(r, &r->tables[g], (size_t)plan->entries * (size_t)blocks);
    if (r->flights > 0)
        take_flown(r);
    if (r->choices)
        choices_prepare(r->choices, plan);
    Step step = step_of(r, plan->rows, plan->entries, plan->outs, plan->hiddens, blocks);
    forward(r, &step);
    if (r->choices)
        choices_run(r->choices, r->logits.rows);
    r->logits.of = plan->outs;
    r->hidden.of = plan->hiddens;
    r->logits.first = r->logits.count = r->hidden.first = r->hidden.count = 0;
}

/* Where the device's memory is the host's, nothing is copied. */
static const float *outcome_row(Outcome *o, Device *d, int32_t i)
{
    ASSERT(i >= o->first && i < o->of);
    if (!device_is_apart(d))
        return tensor_row(o->rows, i);
    if (i >= o->first + o->count) {
        o->first = i;
        o->count = (int32_t)min_i64(ROWS_READ, o->of - i);
        Tensor rows = tensor_rows(o->rows, i, o->count);
        d->calls->read(d, o->read, rows.data, tensor_bytes(rows));
    }
    return o->read + (i - o->first) * tensor_width(o->rows);
}

const float *runner_logits(Runner *r, int32_t i) { return outcome_row(&r->logits, r->device, i); }
const Chosen *runner_chosen(Runner *r, int32_t turn, int32_t i)
{
    return r->choices ? choices_of(r->choices, turn, i) : NULL;
}
bool runner_flies(Runner *r, const Plan *plan) { return r->choices && choices_fly(r->choices, plan); }
const float *runner_hidden(Runner *r, int32_t i) { return outcome_row(&r->hidden, r->device, i); }
const Error *runner_trouble(const Runner *r) { return device_trouble(r->device); }
