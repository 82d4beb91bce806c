/* flow.cu -- see flow.h: which products flow, and how a launch of them is cut. */
#include "kernels/linear/flow_cuda.h"

enum { ROW_GROUPS_MAX = 8, STAGES_WISH = 3, STAGES_LEAST = 2 };

static int chunk_of(WeightKind kind) { return kind >= W_PLAIN_KINDS ? PLANE_BLOCK : kind <= W_BF16 ? 8 : 16; }
static int round_up(int n, int unit) { return (n + unit - 1) / unit * unit; }

static void take_rows(Flow *f, WeightKind kind)
{
    if (kind < W_PLAIN_KINDS) {
        f->row_bytes[0] = (int)f->p[0].row_bytes;
        return;
    }
    PlaneShape s = plane_shape(kind);
    int blocks = f->p[0].in / PLANE_BLOCK;
    f->row_bytes[0] = blocks * s.low;
    f->row_bytes[1] = blocks * s.high;
    f->row_bytes[2] = blocks * s.fine;
    f->row_bytes[3] = blocks / 8 * s.coarse;
}

/* Threads and columns. false: a row is too long. Weights of a byte or less are unpacked faster by fewer threads with more
 * rows each: what a stage costs a thread beside its rows is paid less often. */
static bool share_columns(Flow *f, WeightKind kind)
{
    int chunks = f->p[0].in / chunk_of(kind);
    f->columns = 1;
    while (f->columns * FLOW_THREADS < chunks)
        f->columns *= 2;
    f->column_threads = round_up((int)blocks_for(chunks, f->columns), 32);
    f->groups = (kind <= W_BF16 ? FLOW_WISH : FLOW_WISH / 2) / f->column_threads;
    f->groups = f->groups > 0 ? f->groups : 1;
    return f->columns <= flow_columns_most(kind);
}

/* Stages of one to eight rows for each group of threads. false: they do not fit. */
static bool share_room(Flow *f, WeightKind kind)
{
    int row = 0, least = f->gated ? 2 : 1, room = FLOW_ROOM_BYTES;
    for (int i = 0; i < FLOW_PLANES; i++)
        row += f->row_bytes[i];
    if (kind >= W_PLAIN_KINDS)
        f->x_bytes = round_up((f->p[0].in / PLANE_BLOCK + 1) * (int)sizeof(XBlock8), FLOW_ALIGN);
    room -= f->x_bytes;
    f->row_groups = ROW_GROUPS_MAX;
    while (f->row_groups > least && (int64_t)row * f->row_groups * f->groups * STAGES_WISH > room)
        f->row_groups /= 2;
    int rows = f->row_groups * f->groups, half = f->row_groups / 2 * f->groups;
    f->piece_rows = f->gated ? half : rows;
    for (int i = 0; i < FLOW_PLANES; i++) {
        if (f->row_bytes[i] == 0)
            continue;
        f->plane_at[i] = f->stage_bytes;      /* before rows and after them there may be what only fills 16 bytes up */
        f->upper_at[i] = f->row_bytes[i] * half;
        if (f->gated)
            f->upper_at[i] = round_up(f->upper_at[i] + 32, FLOW_ALIGN);
        f->stage_bytes += f->gated ? 2 * f->upper_at[i] : round_up(f->row_bytes[i] * rows + 32, FLOW_ALIGN);
    }
    f->sums_pitch = f->column_threads / 32 | 1;
    f->sums_bytes = rows * f->sums_pitch * (int)sizeof(float);
    f->stages = room / (f->stage_bytes + f->sums_bytes);
    f->stages = f->stages < FLOW_STAGES ? f->stages : FLOW_STAGES;
    f->sums_bytes *= f->stages;
    return f->stages >= STAGES_LEAST;
}

static void count_pieces(Flow *f, const CudaRun *g)
{
    for (int i = 0; i < f->products; i++) {
        if (i == 0 || !f->gated)
            f->pieces += (int)blocks_for(f->p[i].out, f->piece_rows);
        f->pieces_end[i] = f->pieces;
    }
    f->blocks = f->pieces < g->multiprocessors ? f->pieces : g->multiprocessors;
    f->fixed = f->pieces / f->blocks * 3 / 4;      /* what is left evens out that some are slower */
    f->fixed = f->fixed > f->stages + FLOW_DRAWN - 1 ? f->fixed : f->stages + FLOW_DRAWN - 1;
    f->counters = g->counters;
}

static bool lies_well(const Product *p, WeightKind kind)
{
    int chunk = chunk_of(kind);
    if (p->k > 0 || p->in % chunk != 0 || (uintptr_t)p->x % 16 != 0 || p->x_step % 4 != 0)
        return false;
    return kind >= W_PLAIN_KINDS || ((uintptr_t)p->w % 16 == 0 && p->row_bytes % 16 == 0);
}

static bool touches(const Product *p, const Rows *x)
{
    const float *end = p->y + (p->pairs - 1) * p->y_step + p->out;
    return p->y < x->at + (x->rows - 1) * x->step + x->width && x->at < end;
}

/* The norm of whole rows, lying well; what it reads must not be written while blocks of threads read it. */
static bool takes_norm(const Product *p, int n, const OpCall *norm)
{
    Rows x = rows_of(norm->in[0]), y = rows_of(norm->out[0]), gain = rows_of(norm->in[1]);
    if (innermost_of(norm->in[0]) != p->in || x.rows != p->pairs || x.at == y.at || y.step % 4 != 0 || x.step % 4 != 0)
        return false;
    if ((uintptr_t)x.at % 16 != 0 || (uintptr_t)y.at % 16 != 0 || (uintptr_t)gain.at % 16 != 0)
        return false;
    for (int i = 0; i < n; i++)
        if (touches(&p[i], &x))
            return false;
    return true;
}

static bool cut(Flow *f, const Product *p, int n, WeightKind kind, const FlowBeside *beside,
                const CudaRun *g)
{
    for (int i = 0; i < PRODUCTS; i++)
        f->p[i] = p[i < n ? i : 0];
    f->products = n;
    if (beside->gates) {
        f->gated = true;
        f->activation = *beside->gates;
    }
    if (beside->norm) {
        Rows x = rows_of(beside->norm->in[0]), y = rows_of(beside->norm->out[0]);
        f->norms = true;
        f->gain = rows_of(beside->norm->in[1]).at;
        f->eps = (float)beside->norm->eps;
        f->normed = y.at;
        f->p[0].x = x.at;
        f->p[0].x_step = x.step;
    }
    take_rows(f, kind);
    if (!share_columns(f, kind) || !share_room(f, kind))
        return false;
    count_pieces(f, g);
    return true;
}

static bool has_way(WeightKind kind)
{
    switch (kind) {
#define DO(K) case K:
        EACH_FLOW_PLAIN_KIND(DO)
        EACH_PLANE_KIND(DO)
#undef DO
        return true;
    default: return false;
    }
}

bool flow_takes(const Product *p, int n, WeightKind kind, const FlowBeside *beside, const CudaRun *g)
{
    if (!g->overlaps || g->same || p->pairs > 1 || !has_way(kind) ||
        g->shared_bytes < FLOW_ROOM_BYTES + FLOW_STATIC_BYTES)
        return false;
    for (int i = 0; i < n; i++)
        if (!lies_well(&p[i], kind))
            return false;
    if (beside->norm && !takes_norm(p, n, beside->norm))
        return false;
    Flow f = {};
    return cut(&f, p, n, kind, beside, g);
}

void flow_run(const Product *p, int n, WeightKind kind, const FlowBeside *beside, const CudaRun *g)
{
    Flow f = {};
    cut(&f, p, n, kind, beside, g);
    if (kind < W_PLAIN_KINDS)
        flow_floats(&f, kind, g);
    else
        flow_blocks(&f, kind, g);
}
