#include "kernels/choose/choose_row.h"

#include <float.h>
#include <math.h>
#include <string.h>

static void edit(float *z, const ChooseHow *how, const ChooseEdit *e)
{
    *z += e->bias;
    if (e->repeats)
        *z = *z > 0 ? *z / how->repeat : *z * how->repeat;
    if (e->count)
        *z -= how->frequency * (float)e->count + how->presence;
}

/* The logits after all that acts on single ones; those of the model where nothing does. */
static const float *adjust(const Scan *scan, float *z, const ChooseHow *how, const ChooseRow *row)
{
    if (!row->allowed && how->edits == 0)
        return row->logits;
    memcpy(z, row->logits, (size_t)row->vocabulary * sizeof *z);
    if (row->allowed)
        scan->mask(z, row->allowed, row->vocabulary);
    for (int32_t i = 0; i < how->edits; i++)
        edit(&z[row->edits[i].id], how, &row->edits[i]);
    return z;
}

/* At and below this logit nothing can pass the filters; -INFINITY when that cannot be said beforehand.
 *
 * top_p: all with p < (1 - top_p) / V together have less than 1 - top_p, so what lies above them
 * reaches top_p without them. min_p alone: its own definition. */
static float filter_floor(const ChooseHow *how, int32_t vocabulary, float peak, double total)
{
    double least = how->typical_p < 1 ? 0 : how->top_p < 1 ? (1 - (double)how->top_p) * total / vocabulary : (double)how->min_p;
    if (least <= 0)
        return -INFINITY;
    /* One thousandth more and the rounding of logits, so that only a filter itself decides. */
    return (float)((double)peak + (log(least) - 1e-3) / (double)how->scale - fabs((double)peak) * 1e-6);
}

/* Ranks by how near -ln p is to the entropy. With x = ln p + constant, the entropy is the mean of -x
 * plus the same constant, so that the difference needs no logarithm. |w x| stays below 1 / e, and is summed in whole parts. */
static void keep_typical(Picks *p, double total, float typical_p)
{
    int64_t parts = 0;
    for (int32_t i = 0; i < p->count; i++)
        parts += (int64_t)(p->weight[i] * p->key[i] * PICK_PARTS);
    float mean = (float)((double)parts / (double)PICK_PARTS / total);
    for (int32_t i = 0; i < p->count; i++)
        p->key[i] = -fabsf(p->key[i] - mean);
    picks_keep_mass(p, p->key, (double)typical_p * total);
}

/* Fills the picks with the tokens that pass the filters and their weights; returns the sum of these. */
static double filter(Picks *p, const ChooseHow *how, const float *z, int32_t vocabulary, float peak, bool masked)
{
    const Scan *scan = p->scan;
    double total = 0;

    if (how->top_k > 0 && how->top_k < vocabulary) {
        picks_gather_best(p, z, vocabulary, how->top_k);
    } else {
        if (how->top_p < 1)
            total = scan->exp_sum(z, vocabulary, peak, how->scale);
        float floor = filter_floor(how, vocabulary, peak, total);
        picks_gather(p, z, vocabulary, masked ? fmaxf(floor, -FLT_MAX) : floor);    /* a mask leaves few */
    }
    scan->exps(p->key, p->weight, p->count, peak, how->scale);
    if (total == 0)
        total = scan->sum(p->weight, p->count);
    if (how->typical_p < 1) {
        keep_typical(p, total, how->typical_p);
        total = scan->sum(p->weight, p->count);
    }
    if (how->top_p < 1)
        picks_keep_mass(p, p->weight, (double)how->top_p * total);
    if (how->min_p > 0)
        picks_keep_above(p, how->min_p * scan->peak(p->weight, p->count).value);
    return how->top_p < 1 || how->min_p > 0 ? scan->sum(p->weight, p->count) : total;
}

/* Most of what is sampled: nothing filters, so no list is made of the tokens. The same bits as with one. */
static bool all_may_come(const ChooseHow *how, int32_t vocabulary)
{
    return (how->top_k <= 0 || how->top_k >= vocabulary) && how->top_p >= 1 && how->typical_p >= 1 && how->min_p <= 0;
}

static int32_t draw(Picks *p, const ChooseHow *how, const float *z, int32_t vocabulary, float peak, bool masked)
{
    const Scan *scan = p->scan;
    if (!masked && all_may_come(how, vocabulary)) {
        double all = scan->weights(z, p->weight, vocabulary, peak, how->scale);
        return scan->find(p->weight, vocabulary, how->unit * all);
    }
    double total = filter(p, how, z, vocabulary, peak, masked);
    return p->id[scan->find(p->weight, p->count, how->unit * total)];
}

void choose_tell(Picks *p, const float *logits, int32_t vocabulary, int32_t id, int32_t n, Chosen *out)
{
    Peak peak = p->scan->peak(logits, vocabulary);
    *out = (Chosen){.id = peak.broken >= 0 ? -1 : id, .broken = peak.broken};
    if (peak.broken >= 0)
        return;
    out->logit = logits[id];
    out->peak = peak.value + 0.0f;      /* no matter which of the zeros */
    out->total = p->scan->exp_sum(logits, vocabulary, peak.value, 1);
    if (n > 0)
        picks_gather_best(p, logits, vocabulary, n);
    for (; n > 0 && out->best_count < p->count; out->best_count++)
        out->best[out->best_count] = (BestToken){p->id[out->best_count], p->key[out->best_count]};
}

void choose_row(Picks *p, float *adjusted, const ChooseHow *how, const ChooseRow *row, Chosen *out)
{
    const float *z = adjust(p->scan, adjusted, how, row);
    Peak peak = p->scan->peak(z, row->vocabulary);
    *out = (Chosen){.id = peak.id, .broken = peak.broken};
    if (peak.broken >= 0 || peak.value == -INFINITY) {
        out->id = -1;
        return;
    }
    if (how->scale > 0)
        out->id = draw(p, how, z, row->vocabulary, peak.value, row->allowed);
    if (how->best >= 0)
        choose_tell(p, row->logits, row->vocabulary, out->id, how->best, out);
}
