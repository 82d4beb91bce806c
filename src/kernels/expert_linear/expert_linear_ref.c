/* expert_linear_ref.c -- see expert_linear.h: linear's reference for each pair of a row and an expert. */
#include <math.h>
#include <string.h>

#include "kernels/expert_linear/expert_linear.h"
#include "kernels/linear/linear_row.h"

static OpCost cost(const OpCall *c)
{
    ExpertShape s = expert_shape(c);
    double share = (double)s.k / s.experts, used = share >= 1 ? s.experts : s.experts * (1 - pow(1 - share, s.rows));
    double expert_bytes = s.out * (double)format_row_bytes(c->in[EXPERT_W].format, s.in);
    return (OpCost){
        .operations = 2.0 * (double)s.pairs * s.in * s.out,
        .weight_bytes = used * expert_bytes,
        .chosen_bytes = used * expert_bytes,
        .choice_bytes = s.experts * expert_bytes,
        .activation_bytes = bytes_moved(c->in[EXPERT_X]) + bytes_moved(c->in[EXPERT_IDS]) + bytes_moved(c->out[0]),
    };
}

const OpSpec spec_expert_linear = {.cost = cost, .tolerance = 1e-5f};

static size_t scratch_bytes(const OpCall *c)
{
    ExpertShape s = expert_shape(c);
    return (size_t)s.pairs * (size_t)s.in * sizeof(float);
}

static int64_t threads(const OpCall *c)
{
    ExpertShape s = expert_shape(c);
    return s.pairs * s.in * s.out >> 16;
}

static void one_pair(const OpCall *c, const ExpertShape *s, const float *rounded, int64_t pair)
{
    float *y = tensor_f32(c->out[0]) + expert_y(c, s, pair);
    int32_t e = expert_of(c, s, pair);
    if (e == s->experts) {
        memset(y, 0, (size_t)s->out * sizeof *y);
        return;
    }
    Tensor w = c->in[EXPERT_W], bias = c->in[EXPERT_BIAS];
    for (int32_t o = 0; o < s->out; o++) {
        const uint8_t *row = (const uint8_t *)tensor_row(w, e) + (size_t)o * format_row_bytes(w.format, s->in);
        double sum = linear_dot(rounded, w.format, row, s->in);
        y[o] = (float)(tensor_is_none(bias) ? sum : sum + tensor_f32(bias)[(int64_t)e * s->out + o]);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    ExpertShape s = expert_shape(c);
    ASSERT(c->in[EXPERT_W].packing == PACKING_ROWS && c->in[EXPERT_W].format->activation);
    Range pairs = part_range(part, s.pairs, 1);
    for (int64_t p = pairs.from; p < pairs.to; p++) {
        float *rounded = (float *)part.scratch + p * s.in;
        linear_round(rounded, expert_x(c, &s, p), s.in, c->in[EXPERT_W].format->activation);
        one_pair(c, &s, rounded, p);
    }
}

extern const CpuKernel kernel_expert_linear_reference;
const CpuKernel kernel_expert_linear_reference = {
    .phases = 1,
    .scratch_bytes = scratch_bytes,
    .threads = threads,
    .run = run,
};
