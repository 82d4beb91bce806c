/* attend_cpu.c -- items of queries over segments of their past; what happens within a tile is in attend_tile.h.
 *
 * Whole calls are cut into items of (rows of a sequence, a strip of heads) and, when the rows are few, also
 * by segments of the past; then the segments' results wait in scratch and are folded in phase 1. Both
 * ways do the same operations in the same order.
 */
#include <math.h>

#include "kernels/attend/attend_near.h"
#include "kernels/attend/attend_tile.h"
#include "kernels/kit/vmath.h"

enum {
    SEGMENT = 512,               /* positions; a multiple of STRETCH */
    SCRATCH_MAX = 8 << 20,       /* bytes for segments that wait */
    OPERATIONS_PER_THREAD = 1 << 16,
};

typedef struct Side {            /* of the cache: keys or values */
    Tensor pool;
    KeptKind kind;
    size_t row_bytes, block_bytes;       /* of a position and head; of all of a block */
} Side;

/* Rows of a sequence x heads, [head, head + heads): some of one kv head, or all of some of them. */
typedef struct Item {
    int32_t row, rows, head, heads;
    Sees seen;                   /* what the rows see together; where the item is one of several, in its segment */
    bool waits;                  /* one of several segments: its result is folded with theirs */
} Item;

typedef struct Work {
    AttendCall call;
    Side keys, values;
    int columns;                 /* value width, rounded up to COLUMNS */
    float *waiting;              /* [rows][heads][segments][value width + 2]; NULL: nothing waits */
    int segments;
    Item item, next;
    bool goes_on;                /* there is a next item */
    Stretch stretchs[2];         /* the present one, and the one that is fetched meanwhile */
    int now;
    int n, sharing;              /* queries of the item; of them, those of one kv head */
    Query query[QUERIES];        /* kv head by kv head, of each row by row */
    StretchMemory memory;
    bool near;                   /* both factors of products are rounded to bf16 */
    NearMemory rounded;
} Work;

/* Scores become powers of e */

/* e^x for x <= 0, to 2e-7 of 1, and nothing below e^-60: an instruction whose result is not a normal number takes 150
 * cycles, and keys that are hidden would all be such, or sums of values with what is hardly more.
 *
 *     e^x = 2^n 2^f,  n whole, |f| <= 1/2      2^f by a minimax polynomial with 2^0 = 1
 *
 * In x log2 e + (3 2^22 + 127) the lowest bits of the float are n + 127, from where a shift makes 2^n of them. */
INLINE void powers_of_e(Vf *x, int count)
{
    static const float c[] = {1.33563296e-3f, 9.67280363e-3f, 5.55028569e-2f, 2.40222425e-1f, 6.93147493e-1f, 1};
    Vf n[GROUPS], f[GROUPS], y[GROUPS], bottom = vf_all(3 * (1 << 22) + 127), log2_e = vf_all(1.44269504f);
    UNROLL for (int i = 0; i < count; i++)
        n[i] = vf_fma(x[i], log2_e, bottom);
    UNROLL for (int i = 0; i < count; i++) {
        f[i] = vf_fma(x[i], log2_e, vf_sub(bottom, n[i]));
        y[i] = vf_all(c[0]);
    }
    UNROLL for (size_t k = 1; k < COUNT_OF(c); k++)
        UNROLL for (int i = 0; i < count; i++)
            y[i] = vf_fma(y[i], f[i], vf_all(c[k]));
    UNROLL for (int i = 0; i < count; i++) {
        y[i] = vf_mul(y[i], vf_of_bits(vi_shl(vf_bits(n[i]), 23)));
        x[i] = vf_pick(vf_less(x[i], vf_all(-60)), vf_zero(), y[i]);
    }
}

INLINE float exp_one(float x)
{
    float y[LANES];
    Vf all = vf_all(x);
    powers_of_e(&all, 1);
    vf_store(y, all);
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

/* Of some queries: lane i is query i. */
typedef struct Peaks {
    float before[LANES], most[LANES], shrink[LANES];       /* largest scores before the stretch, and up to its end */
} Peaks;

/* The scores as they are compared, and the largest one. */
INLINE void find_peak(const AttendCall *a, Query *q, int32_t start, Peaks *peaks, int lane)
{
    Vf s[GROUPS];
    UNROLL for (int g = 0; g < GROUPS; g++) {
        s[g] = finish_score(a, q, vf_load(q->p + g * LANES), start + g * LANES);
        if (q->lo > g * LANES || q->hi < (g + 1) * LANES)
            s[g] = hide(q, s[g], g * LANES);
        vf_store(q->p + g * LANES, s[g]);
    }
    peaks->most[lane] = vf_most(vf_max(vf_max(s[0], s[1]), vf_max(s[2], s[3])));
    peaks->before[lane] = q->most;
}

INLINE void climb(Peaks *peaks)
{
    Vf before = vf_load(peaks->before), most = vf_max(vf_load(peaks->most), before), shrink = vf_sub(before, most);
    powers_of_e(&shrink, 1);
    vf_store(peaks->shrink, vf_pick(vf_equal(most, before), vf_all(1), shrink));
    vf_store(peaks->most, most);
}

/* Scores become powers of e. */
INLINE void raise(Query *q, const Peaks *peaks, int lane)
{
    Vf s[GROUPS], most = vf_all(peaks->most[lane]);
    UNROLL for (int g = 0; g < GROUPS; g++)
        s[g] = vf_sub(vf_load(q->p + g * LANES), most);
    powers_of_e(s, GROUPS);
    UNROLL for (int g = 0; g < GROUPS; g++)
        vf_store(q->p + g * LANES, s[g]);
    q->most = peaks->most[lane];
    q->shrink = peaks->shrink[lane];
    vf_store(q->total, vf_fma(vf_load(q->total), vf_all(q->shrink), vf_add(vf_add(s[0], s[1]), vf_add(s[2], s[3]))));
}

/* Of n <= LANES queries: those steps that wait for each other are taken side by side. f: asks for lines meanwhile, or NULL. */
INLINE void soften(const AttendCall *a, Query *query, int n, int32_t start, Fetch *f)
{
    Peaks peaks;
    vf_store(peaks.before, vf_zero());
    vf_store(peaks.most, vf_zero());
    for (int i = 0; i < n; i++) {
        find_peak(a, &query[i], start, &peaks, i);
        if (f && i % SOFTENED == 0)
            fetch_some(f);
    }
    climb(&peaks);
    for (int i = 0; i < n; i++) {
        raise(&query[i], &peaks, i);
        if (f && i % SOFTENED == 0)
            fetch_some(f);
    }
}

static void soften_only(const AttendCall *a, Query *query, int n, int32_t start, Fetch *f)
{
    (void)f;
    soften(a, query, n, start, NULL);
}
static void soften_and_fetch(const AttendCall *a, Query *query, int n, int32_t start, Fetch *f)
{
    soften(a, query, n, start, f);
}

/* Segments */

static const uint8_t *row_at(const Side *side, int32_t block, int32_t kv_head, int32_t slot)
{
    ASSERT(block >= 0 && block < side->pool.dim[0]);
    size_t row = (size_t)kv_head * (size_t)side->pool.dim[2] + (size_t)slot;
    return (const uint8_t *)side->pool.data + (size_t)block * side->block_bytes + row * side->row_bytes;
}

static Piece seen_piece(const uint8_t *rows, size_t row_bytes, const Run *run, const Stretch *s)
{
    int from = run->from > s->lo ? run->from : s->lo, to = run->to < s->hi ? run->to : s->hi;
    return (Piece){rows + (size_t)(from - run->from) * row_bytes, (int64_t)((size_t)(to - from) * row_bytes)};
}

/* The stretch that begins at `start`, as far as the item sees its positions, of the kv head of this head. Where a latent's
 * values are in the keys, these are fetched only. */
static void find_stretch(const Work *w, const Item *item, int32_t head, int32_t start, Stretch *s)
{
    const AttendCall *a = &w->call;
    const int32_t *table = attend_table(a, item->row), tokens = w->keys.pool.dim[2], kv_head = head / a->group;
    bool latent = a->v.data == a->k.data;
    s->start = start;
    s->lo = item->seen.from > start ? item->seen.from - start : 0;
    s->hi = item->seen.to - start < STRETCH ? item->seen.to - start : STRETCH;
    int32_t block = (start + s->lo) / tokens, n = (start + s->hi - 1) / tokens - block + 1;
    s->n_runs = n;
    s->n_pieces = latent ? n : 2 * n;
    s->bytes = (s->hi - s->lo) * (int64_t)(w->keys.row_bytes + (latent ? 0 : w->values.row_bytes));
    for (int i = 0; i < n; i++, block++) {
        Run *run = &s->runs[i];
        int begins = block * tokens - start, ends = begins + tokens;
        run->from = begins > 0 ? begins : 0;
        run->to = ends < STRETCH ? ends : STRETCH;
        run->keys = row_at(&w->keys, table[block], kv_head, run->from - begins);
        run->values = row_at(&w->values, table[block], kv_head, run->from - begins);
        s->pieces[i] = seen_piece(run->keys, w->keys.row_bytes, run, s);
        s->pieces[n + i] = seen_piece(run->values, w->values.row_bytes, run, s);
    }
}

static void find_first(const Work *w, const Item *item, Stretch *s)
{
    const AttendCall *a = &w->call;
    find_stretch(w, item, item->head, item->seen.from / STRETCH * STRETCH, s);
    int64_t bytes = (int64_t)item->heads * a->key_width * (int64_t)sizeof(float);
    for (int32_t r = item->row; r < item->row + item->rows; r++) {
        const float *q = f32_row(a->q, r) + (int64_t)item->head * a->key_width;
        s->pieces[s->n_pieces++] = (Piece){(const uint8_t *)q, bytes};
        s->bytes += bytes;
    }
}

/* What comes after the stretch at `start` of the queries from `first` on: of their neighbours, later, or of the next item. */
static void find_next(const Work *w, int first, int32_t start, Stretch *s)
{
    if (first + w->sharing < w->n)
        find_stretch(w, &w->item, w->query[first + w->sharing].head, start, s);
    else if (start + STRETCH < w->item.seen.to)
        find_stretch(w, &w->item, w->item.head, start + STRETCH, s);
    else if (w->goes_on)
        find_first(w, &w->next, s);
    else
        s->n_pieces = 0, s->bytes = 0;
}

/* The queries that see something of the stretch, with what they see of it. They follow each other: later rows neither begin
 * nor end to see earlier. */
static void find_seeing(Bench *b, Query *query, int n)
{
    const Stretch *s = b->stretch;
    b->n = 0;
    for (int i = 0; i < n; i++) {
        Query *q = &query[i];
        q->lo = q->sees.from - s->start > s->lo ? q->sees.from - s->start : s->lo;
        q->hi = q->sees.to - s->start < s->hi ? q->sees.to - s->start : s->hi;
        if (q->lo >= q->hi)
            continue;
        b->query = b->n ? b->query : q;
        ASSERT(b->query + b->n == q);
        b->n++;
    }
}

static void work_on_stretch(Work *w, Query *query, const Stretch *s, const Stretch *next)
{
    Fetch f = {.next = next->pieces, .end = next->pieces + next->n_pieces};
    Bench b = {.memory = &w->memory, .stretch = s, .next = &f, .key_width = w->call.key_width,
               .value_width = w->call.value_width, .key_bytes = w->keys.row_bytes,
               .value_bytes = w->values.row_bytes};
    find_seeing(&b, query, w->sharing);
    if (w->near)
        f = fetch_in_parts(next, near_places(w->keys.kind, b.n, b.key_width, b.value_width));
    else
        f.rate = fetch_rate(w->keys.kind, next->bytes, b.n, b.key_width, b.value_width);
    for (int i = 0; i < next->n_pieces; i++)      /* their pages, side by side: each takes long to find */
        prefetch_far(next->pieces[i].at);
    if (w->near)
        near_score(&b, &w->rounded, w->keys.kind, b.n > 0 ? (int)(b.query - w->query) : 0);
    else
        score_keys(&b, w->keys.kind);
    for (int i = 0; i < b.n; i += LANES) {
        int n = b.n - i < LANES ? b.n - i : LANES;
        if (!w->near)
            fetch(&f, n * SOFTEN_TIME);
        (w->near ? soften_and_fetch : soften_only)(&w->call, &b.query[i], n, s->start, &f);
    }
    if (w->near)
        near_add(&b, &w->rounded, w->values.kind);
    else
        add_values(&b, w->values.kind);
}

static Sees of_segment(Sees sees, int segment)     /* from >= to: nothing */
{
    Sees part = {segment * SEGMENT, (segment + 1) * SEGMENT};
    part.from = sees.from > part.from ? sees.from : part.from;
    part.to = sees.to < part.to ? sees.to : part.to;
    return part;
}

static void work_on_segment(Work *w, int segment)
{
    Sees seen = of_segment(w->item.seen, segment);
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        q->most = -INFINITY;
        memset(q->total, 0, sizeof q->total);
        memset(q->sums, 0, (size_t)w->columns * sizeof(float));
    }
    for (int32_t start = seen.from / STRETCH * STRETCH; start < seen.to; start += STRETCH)
        for (int first = 0; first < w->n; first += w->sharing, w->now = !w->now) {
            find_next(w, first, start, &w->stretchs[!w->now]);
            work_on_stretch(w, &w->query[first], &w->stretchs[w->now], &w->stretchs[!w->now]);
        }
}

static const Softmax nothing_folded = {-INFINITY, 0};

/* before + segment, both brought to the larger of the two largest scores; the first segment is taken as it is */
static Softmax fold(float *y, Softmax before, const float *sums, Softmax segment, int width)
{
    if (before.total == 0) {
        memcpy(y, sums, (size_t)width * sizeof(float));
        return segment;
    }
    float most = segment.most > before.most ? segment.most : before.most;
    float keep = exp_one(before.most - most), take = exp_one(segment.most - most);
    for (int i = 0; i < width; i += LANES) {
        int n = width - i < LANES ? width - i : LANES;
        Vf kept = vf_mul(vf_load_n(y + i, n), vf_all(keep));
        vf_store_n(y + i, vf_fma(vf_load_n(sums + i, n), vf_all(take), kept), n);
    }
    return (Softmax){most, before.total * keep + segment.total * take};
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

static void take_queries(Work *w)
{
    const AttendCall *a = &w->call;
    Item at = w->item;
    int32_t last = attend_last(a, at.row), sharing = at.heads < a->group ? at.heads : a->group;
    w->n = 0;
    w->sharing = at.rows * sharing;
    for (int32_t first = at.head; first < at.head + at.heads; first += sharing)
        for (int32_t r = at.row; r < at.row + at.rows; r++)
            for (int32_t h = first; h < first + sharing; h++) {
                Query *q = &w->query[w->n++];
                q->row = r;
                q->head = h;
                q->sees = attend_sees(a, r, last);
                memcpy(q->q, f32_row(a->q, r) + (int64_t)h * a->key_width, (size_t)a->key_width * sizeof(float));
                memset(q->q + a->key_width, 0, TURN_MAX * sizeof(float));
            }
}

static void item_whole(Work *w)
{
    const AttendCall *a = &w->call;
    Sees all = w->item.seen;
    for (int i = 0; i < w->n; i++)
        w->query[i].folded = nothing_folded;
    for (int segment = all.from / SEGMENT; segment * SEGMENT < all.to; segment++) {
        work_on_segment(w, segment);
        for (int i = 0; i < w->n; i++) {
            Query *q = &w->query[i];
            Softmax s = {q->most, vf_sum(vf_load(q->total))};
            Sees part = of_segment(q->sees, segment);
            if (part.from < part.to)
                q->folded = fold(output(a, q->row, q->head), q->folded, q->sums, s, a->value_width);
        }
    }
    for (int i = 0; i < w->n; i++) {
        Query *q = &w->query[i];
        finish(output(a, q->row, q->head), q->folded, a->sinks ? a->sinks + q->head : NULL, a->value_width);
    }
}

static void item_of_segment(Work *w)
{
    int width = w->call.value_width, segment = w->item.seen.from / SEGMENT;
    work_on_segment(w, segment);
    for (int i = 0; i < w->n; i++) {
        const Query *q = &w->query[i];
        float *place = waiting_place(w, q->row, q->head, segment);
        place[0] = q->most;
        place[1] = vf_sum(vf_load(q->total));
        memcpy(place + 2, q->sums, (size_t)width * sizeof(float));
    }
}

static bool in_one_segment(Sees sees) { return sees.from / SEGMENT == (sees.to - 1) / SEGMENT; }

static void fold_waiting(const Work *w, int32_t row, int32_t head)
{
    const AttendCall *a = &w->call;
    Sees sees = attend_sees(a, row, attend_last(a, row));
    float *y = output(a, row, head);
    Softmax folded = nothing_folded;
    for (int segment = sees.from / SEGMENT; segment * SEGMENT < sees.to; segment++) {
        const float *place = waiting_place(w, row, head, segment);
        folded = fold(y, folded, place + 2, (Softmax){place[0], place[1]}, a->value_width);
    }
    finish(y, folded, a->sinks ? a->sinks + head : NULL, a->value_width);
}

static int32_t strip_of(const AttendCall *a) { return a->group < QUERIES ? a->group : QUERIES; }

/* What rows from this one on see together. */
static Sees seen_by_rows(const AttendCall *a, int32_t row, int32_t rows)
{
    int32_t last = attend_last(a, row);
    return (Sees){attend_sees(a, row, last).from, attend_sees(a, row + rows - 1, last).to};
}

/* Kv heads lie together in the cache, so an item has as many as there is room for, but leaves some for each thread. */
static int32_t kv_heads_together(const AttendCall *a, int32_t rows, int segments, int threads)
{
    int64_t items = ceil_div(a->rows, rows) * segments, heads = a->heads / a->group;
    int64_t most = min_i64(QUERIES / (rows * a->group), heads / ceil_div(2 * threads, items));
    return (int32_t)max_i64(most, 1);
}

/* All items in their order. Later rows see more, so threads take turns: neighbours are about equally long. */
typedef struct Items {
    const Work *work;
    CpuPart part;
    int64_t taken;               /* by all threads */
    Item at;
    Sees seen;                   /* of the rows; at.seen is a segment of it, or all */
    int32_t together;            /* kv heads */
} Items;

static void begin_rows(Items *s)
{
    const Work *w = s->work;
    const AttendCall *a = &w->call;
    s->at.rows = attend_rows_together(a, s->at.row, QUERIES / strip_of(a));
    s->seen = seen_by_rows(a, s->at.row, s->at.rows);
    s->at.waits = w->waiting && !in_one_segment(s->seen);
    int segments = s->at.waits ? (s->seen.to - 1) / SEGMENT - s->seen.from / SEGMENT + 1 : 1;
    s->together = kv_heads_together(a, s->at.rows, segments, s->part.count);
    s->at.head = 0;
}

static void begin_heads(Items *s)
{
    const AttendCall *a = &s->work->call;
    int32_t head = s->at.head;
    s->at.heads = (int32_t)min_i64(strip_of(a) * s->together, s->together > 1 ? a->heads - head : a->group - head % a->group);
    s->at.seen = s->at.waits ? of_segment(s->seen, s->seen.from / SEGMENT) : s->seen;
}

/* The one after s->at, whoever takes it. */
static bool step_on(Items *s)
{
    const AttendCall *a = &s->work->call;
    Item *at = &s->at;
    if (at->seen.to < s->seen.to) {
        at->seen = of_segment(s->seen, at->seen.to / SEGMENT);
        return true;
    }
    at->head += at->heads;
    if (at->head == a->heads) {
        at->row += at->rows;
        if (at->row == a->rows)
            return false;
        begin_rows(s);
    }
    begin_heads(s);
    return true;
}

/* The next one of this thread. */
static bool take_item(Items *s, Item *out)
{
    while (step_on(s))
        if (s->taken++ % s->part.count == s->part.index) {
            *out = s->at;
            return true;
        }
    return false;
}

static void run_items(Work *w, CpuPart part)
{
    Items items = {.work = w, .part = part, .at = {.head = w->call.heads}};     /* before the first row */
    w->now = 0;
    w->goes_on = take_item(&items, &w->next);
    if (w->goes_on)
        find_first(w, &w->next, &w->stretchs[w->now]);
    while (w->goes_on) {
        w->item = w->next;
        w->goes_on = take_item(&items, &w->next);
        take_queries(w);
        if (w->near)
            near_queries(&w->rounded, w->query, w->n, w->call.key_width);
        if (w->item.waits)
            item_of_segment(w);
        else
            item_whole(w);
    }
}

static void fold_rows(const Work *w, CpuPart part)
{
    const AttendCall *a = &w->call;
    int64_t item = 0;
    for (int32_t row = 0, rows; row < a->rows; row += rows) {
        rows = attend_rows_together(a, row, QUERIES / strip_of(a));
        if (in_one_segment(seen_by_rows(a, row, rows)))
            continue;
        for (int32_t i = 0; i < rows * a->heads; i++)
            if (item++ % part.count == part.index)
                fold_waiting(w, row + i / a->heads, i % a->heads);
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

static Side side_of(Tensor pool)
{
    return (Side){.pool = pool, .kind = kept_kind(pool.format), .row_bytes = format_row_bytes(pool.format, pool.dim[3]),
                  .block_bytes = format_row_bytes(pool.format, pool.row_elems)};
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    Work w;
    w.call = attend_call(c);
    w.columns = (int)(ceil_div(w.call.value_width, COLUMNS) * COLUMNS);
    w.keys = side_of(w.call.k);
    w.values = side_of(w.call.v);
    w.waiting = scratch_bytes(c) > 0 ? part.scratch : NULL;
    w.segments = (int)ceil_div(w.call.capacity, SEGMENT);
    w.near = part.near && near_takes(&w.call);
    if (w.near && phase == 0)
        near_begin();
    if (phase == 0)
        run_items(&w, part);
    else if (w.waiting)
        fold_rows(&w, part);
    if (w.near && phase == 0)
        near_end();
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
