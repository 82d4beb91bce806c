/* attend_cpu.c -- items of queries over segments of their past; what happens within a tile is in attend_tile.h.
 *
 * Whole calls are cut into items of (rows of a sequence, a strip of heads) and, when the rows are few, also
 * by segments of the past; then the segments' results wait in scratch and are folded in phase 1. Both
 * ways do the same operations in the same order.
 */
#include <math.h>

#include "kernels/attend/attend_tile.h"
#include "kernels/kit/vmath.h"

enum {
    SEGMENT = 512,               /* positions; a multiple of TILE */
    SCRATCH_MAX = 8 << 20,       /* bytes for segments that wait */
    OPERATIONS_PER_THREAD = 1 << 16,
};

typedef struct Work {
    AttendCall call;
    KeptKind key_kind, value_kind;
    int columns;                 /* value width, rounded up to COLUMNS */
    size_t key_bytes, value_bytes;       /* of a row in the cache */
    float *waiting;              /* [rows][heads][segments][value width + 2]; NULL: nothing waits */
    int segments;
    int n;
    Query query[QUERIES];
    TileMemory memory;
} Work;

/* Scores become powers of e */

INLINE float exp_one(float x)
{
    float y[LANES];
    vf_store(y, vf_exp(vf_all(x)));
    return y[0];
}

INLINE Vf lane_numbers(int first)
{
    static const int32_t lanes[LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vf_of_i(vi_add(vi_load(lanes), vi_all(first)));
}

INLINE Vf round_bf16(Vf x)
{
    uint16_t narrow[LANES];
    vf_to_bf16(narrow, x);
    return vf_of_bf16(narrow);
}

INLINE Vf add_slope(const AttendCall *a, const Query *q, Vf s, int32_t first_position)
{
    float slope = a->slopes[q->head];
    int32_t position = a->positions[q->row];
    if (a->how.coarse == 0)
        return vf_fma(vf_all(slope), lane_numbers(first_position - position), s);
    Vf coarse = round_bf16(vf_mul(vf_all(slope), round_bf16(lane_numbers(first_position))));
    return vf_fma(vf_all(a->how.coarse), vf_sub(coarse, vf_all(attend_coarse(slope, position))), s);
}

INLINE Vf finish_score(const AttendCall *a, const Query *q, Vf s, int32_t first_position)
{
    s = vf_mul(s, vf_all(a->how.scale));
    if (a->how.softcap > 0)
        s = vf_mul(vf_tanh(vf_div(s, vf_all(a->how.softcap))), vf_all(a->how.softcap));
    if (a->slopes)
        s = add_slope(a, q, s, first_position);
    return s;
}

INLINE Vf hide(const Query *q, Vf s, int first)     /* keys that the query does not see: e^-infinity = 0 */
{
    Vf lane = lane_numbers(first), hidden = vf_all(-INFINITY);
    s = vf_pick(vf_less(lane, vf_all((float)q->lo)), hidden, s);
    return vf_pick(vf_less(lane, vf_all((float)q->hi)), s, hidden);
}

static void soften(const AttendCall *a, Query *q, int32_t start)
{
    Vf s0 = finish_score(a, q, vf_load(q->p), start);
    Vf s1 = finish_score(a, q, vf_load(q->p + LANES), start + LANES);
    if (q->lo > 0 || q->hi < TILE) {
        s0 = hide(q, s0, 0);
        s1 = hide(q, s1, LANES);
    }
    float most = vf_most(vf_max(s0, s1));
    most = most > q->most ? most : q->most;
    q->shrink = most == q->most ? 1 : exp_one(q->most - most);
    q->most = most;
    Vf p0 = vf_exp(vf_sub(s0, vf_all(most))), p1 = vf_exp(vf_sub(s1, vf_all(most)));
    vf_store(q->p, p0);
    vf_store(q->p + LANES, p1);
    vf_store(q->total, vf_fma(vf_load(q->total), vf_all(q->shrink), vf_add(p0, p1)));
}

/* Segments */

/* The tile that begins at `start`, as far as the positions are in `seen`. */
static void find_tile(const Work *w, Tile *t, int32_t start, Sees seen)
{
    static const uint8_t nothing[WIDTH_MAX * sizeof(float)];
    const AttendCall *a = &w->call;
    const int32_t *table = attend_table(a, w->query[0].row);
    int32_t head = w->query[0].head / a->group, tokens = a->k.dim[2];
    t->start = start;
    t->lo = seen.from > start ? seen.from - start : 0;
    t->hi = seen.to - start < TILE ? seen.to - start : TILE;
    for (int j = 0; j < 2 * TILE; j++)
        t->rows[j] = nothing;
    for (int j = t->lo, n; j < t->hi; j += n) {      /* block by block */
        int32_t left = tokens - (start + j) % tokens;
        const uint8_t *key = kv_row(a->k, table, head, start + j);
        const uint8_t *value = kv_row(a->v, table, head, start + j);
        n = t->hi - j < left ? t->hi - j : left;
        for (int i = 0; i < n; i++) {
            t->rows[j + i] = key + (size_t)i * w->key_bytes;
            t->rows[TILE + j + i] = value + (size_t)i * w->value_bytes;
        }
    }
}

/* The queries that see something of the tile, with what they see of it. They follow each other: later rows
 * neither begin nor end to see earlier. */
static Bench find_seeing(Work *w, const Tile *t)
{
    Bench b = {.memory = &w->memory, .tile = t, .key_width = w->call.key_width, .value_width = w->call.value_width};
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        q->lo = q->sees.from - t->start > t->lo ? q->sees.from - t->start : t->lo;
        q->hi = q->sees.to - t->start < t->hi ? q->sees.to - t->start : t->hi;
        if (q->lo >= q->hi)
            continue;
        b.query = b.n ? b.query : q;
        ASSERT(b.query + b.n == q);
        b.n++;
    }
    return b;
}

/* Keys, then values; of a latent, whose values are in the keys, these only. */
static Fetch fetch_of(const Work *w, const Tile *t)
{
    bool latent = w->call.v.data == w->call.k.data;
    size_t bytes = w->key_bytes > w->value_bytes ? w->key_bytes : w->value_bytes;
    Fetch f = {.row = t->rows, .end = t->rows, .bytes = (int)bytes};
    if (t->lo < t->hi)
        f.end += latent ? TILE : 2 * TILE;
    return f;
}

static void work_on_tile(Work *w, const Tile *t, const Tile *next)
{
    Fetch f = fetch_of(w, next);
    Bench b = find_seeing(w, t);
    b.next = &f;
    score_keys(&b, w->key_kind);
    for (int i = 0; i < b.n; i++) {
        fetch_some(&f, (int)(w->key_bytes + w->value_bytes) * TILE / CACHE_LINE / 4 / b.n);
        soften(&w->call, &b.query[i], t->start);
    }
    add_values(&b, w->value_kind);
}

static Sees seen_of_segment(Sees sees, int segment)     /* from >= to: nothing */
{
    Sees part = {segment * SEGMENT, (segment + 1) * SEGMENT};
    part.from = sees.from > part.from ? sees.from : part.from;
    part.to = sees.to < part.to ? sees.to : part.to;
    return part;
}

static bool sees_of_segment(Sees sees, int segment)
{
    Sees part = seen_of_segment(sees, segment);
    return part.from < part.to;
}

/* What all queries see together. Those of one item are neighbours, so there are no holes. */
static Sees seen_by_all(const Work *w)
{
    Sees all = w->query[0].sees;
    for (int i = 1; i < w->n; i++) {
        Sees sees = w->query[i].sees;
        all.from = sees.from < all.from ? sees.from : all.from;
        all.to = sees.to > all.to ? sees.to : all.to;
    }
    return all;
}

static void work_on_segment(Work *w, int segment)
{
    Sees seen = seen_of_segment(seen_by_all(w), segment);
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        q->most = -INFINITY;
        memset(q->total, 0, sizeof q->total);
        memset(q->sums, 0, (size_t)w->columns * sizeof(float));
    }
    Tile tiles[2];
    int now = 0;
    find_tile(w, &tiles[now], seen.from / TILE * TILE, seen);
    for (; tiles[now].start < seen.to; now = !now) {
        find_tile(w, &tiles[!now], tiles[now].start + TILE, seen);
        work_on_tile(w, &tiles[now], &tiles[!now]);
    }
}

/* before + segment, both brought to the larger of the two largest scores */
static Softmax fold(float *y, Softmax before, const float *sums, Softmax segment, int width)
{
    float most = segment.most > before.most ? segment.most : before.most;
    float keep = exp_one(before.most - most), take = exp_one(segment.most - most);
    for (int i = 0; i < width; i += LANES) {
        int n = width - i < LANES ? width - i : LANES;
        Vf kept = vf_mul(vf_load_n(y + i, n), vf_all(keep));
        vf_store_n(y + i, vf_fma(vf_load_n(sums + i, n), vf_all(take), kept), n);
    }
    return (Softmax){most, before.total * keep + segment.total * take};
}

static Softmax fold_nothing(float *y, int width)
{
    memset(y, 0, (size_t)width * sizeof(float));
    return (Softmax){-INFINITY, 0};
}

/* The sink takes part as a score without a value. */
static void finish(float *y, Softmax s, const float *sink, int width)
{
    float factor = 1 / s.total;
    if (sink) {
        float most = *sink > s.most ? *sink : s.most, keep = exp_one(s.most - most);
        factor = keep / (s.total * keep + exp_one(*sink - most));
    }
    for (int i = 0; i < width; i++)
        y[i] *= factor;
}

static float *output(const AttendCall *a, int32_t row, int32_t head)
{
    return f32_row_out(a->y, row) + (int64_t)head * a->value_width;
}

static float *waiting_place(const Work *w, int32_t row, int32_t head, int segment)
{
    const AttendCall *a = &w->call;
    return w->waiting + (((int64_t)row * a->heads + head) * w->segments + segment) * (a->value_width + 2);
}

/* Items */

static void take_queries(Work *w, int32_t row, int32_t rows, int32_t head, int32_t heads)
{
    const AttendCall *a = &w->call;
    int32_t last = attend_last(a, row);
    w->n = 0;
    for (int32_t r = row; r < row + rows; r++)
        for (int32_t h = head; h < head + heads; h++) {
            Query *q = &w->query[w->n++];
            q->row = r;
            q->head = h;
            q->sees = attend_sees(a, r, last);
            memcpy(q->q, f32_row(a->q, r) + (int64_t)h * a->key_width, (size_t)a->key_width * sizeof(float));
        }
}

static void item_whole(Work *w)
{
    const AttendCall *a = &w->call;
    Sees all = seen_by_all(w);
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        q->folded = fold_nothing(output(a, q->row, q->head), a->value_width);
    }
    for (int segment = all.from / SEGMENT; segment * SEGMENT < all.to; segment++) {
        work_on_segment(w, segment);
        for (int i = 0; i < w->n; i++) {
            Query *q = &w->query[i];
            Softmax s = {q->most, vf_sum(vf_load(q->total))};
            if (sees_of_segment(q->sees, segment))
                q->folded = fold(output(a, q->row, q->head), q->folded, q->sums, s, a->value_width);
        }
    }
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        finish(output(a, q->row, q->head), q->folded, a->sinks ? a->sinks + q->head : NULL, a->value_width);
    }
}

static void item_of_segment(Work *w, int segment)
{
    int width = w->call.value_width;
    work_on_segment(w, segment);
    for (int i = 0; i < w->n; i++) {
        const Query *q = &w->query[i];
        float *place = waiting_place(w, q->row, q->head, segment);
        place[0] = q->most;
        place[1] = vf_sum(vf_load(q->total));
        memcpy(place + 2, q->sums, (size_t)width * sizeof(float));
    }
}

static void fold_waiting(const Work *w, int32_t row, int32_t head)
{
    const AttendCall *a = &w->call;
    Sees sees = attend_sees(a, row, attend_last(a, row));
    float *y = output(a, row, head);
    Softmax folded = fold_nothing(y, a->value_width);
    for (int segment = sees.from / SEGMENT; segment * SEGMENT < sees.to; segment++) {
        const float *place = waiting_place(w, row, head, segment);
        folded = fold(y, folded, place + 2, (Softmax){place[0], place[1]}, a->value_width);
    }
    finish(y, folded, a->sinks ? a->sinks + head : NULL, a->value_width);
}

/* Items go round: later rows see more, so that neighbours are about equally long. */
static void run_items(Work *w, CpuPart part)
{
    const AttendCall *a = &w->call;
    int32_t strip = a->group < QUERIES ? a->group : QUERIES;
    int64_t item = 0;
    for (int32_t row = 0, rows; row < a->rows; row += rows) {
        rows = attend_rows_together(a, row, QUERIES / strip);
        for (int32_t head = 0, heads; head < a->heads; head += heads) {
            heads = (int32_t)min_i64(strip, a->group - head % a->group);
            int first = 0, last = 0;             /* of the segments, one item each; or all in one */
            if (w->waiting) {
                take_queries(w, row, rows, head, heads);
                first = seen_by_all(w).from / SEGMENT;
                last = (seen_by_all(w).to - 1) / SEGMENT;
            }
            for (int segment = first; segment <= last; segment++) {
                if (item++ % part.count != part.index)
                    continue;
                if (w->waiting) {
                    item_of_segment(w, segment);
                } else {
                    take_queries(w, row, rows, head, heads);
                    item_whole(w);
                }
            }
        }
    }
}

/* 0 where nothing has to wait: a short past, or so many rows that there are enough items without. */
static size_t scratch_bytes(const OpCall *c)
{
    AttendCall a = attend_call(c);
    int64_t segments = ceil_div(a.capacity, SEGMENT);
    double bytes = (double)a.rows * a.heads * (double)segments * (a.value_width + 2) * sizeof(float);
    return segments > 1 && bytes <= SCRATCH_MAX ? (size_t)bytes : 0;
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    Work w;
    w.call = attend_call(c);
    w.columns = (int)(ceil_div(w.call.value_width, COLUMNS) * COLUMNS);
    w.key_kind = kept_kind(w.call.k.format);
    w.value_kind = kept_kind(w.call.v.format);
    w.key_bytes = format_row_bytes(w.call.k.format, w.call.k.dim[3]);
    w.value_bytes = format_row_bytes(w.call.v.format, w.call.v.dim[3]);
    w.waiting = scratch_bytes(c) > 0 ? part.scratch : NULL;
    w.segments = (int)ceil_div(w.call.capacity, SEGMENT);
    if (phase == 0)
        run_items(&w, part);
    else if (w.waiting)
        for (int64_t i = part.index; i < (int64_t)w.call.rows * w.call.heads; i += part.count)
            fold_waiting(&w, (int32_t)(i / w.call.heads), (int32_t)(i % w.call.heads));
}

static bool takes(const OpCall *c)
{
    AttendCall a = attend_call(c);
    return a.key_width <= WIDTH_MAX && a.value_width <= WIDTH_MAX && kept_kind(a.k.format) != KEPT_OTHER &&
           kept_kind(a.v.format) != KEPT_OTHER;
}

static int64_t threads(const OpCall *c)
{
    AttendCall a = attend_call(c);
    return (int64_t)(attend_operations(&a) / OPERATIONS_PER_THREAD) + 1;
}

const CpuKernel TIERED(kernel_attend) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};
