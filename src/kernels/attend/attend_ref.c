/* attend_ref.c -- the softmax as the formula has it: all scores, the largest, then the sums, in f64. */
#include "kernels/attend/attend.h"

#include <math.h>

/* Scratch:  scores [capacity] f64 | sums [value width] f64 | one key or value [widest row] F32 */
static size_t row_elems(const AttendCall *a) { return (size_t)max_i64(a->k.dim[3], a->v.dim[3]); }

static size_t scratch_bytes(const OpCall *c)
{
    AttendCall a = attend_call(c);
    return ((size_t)a.capacity + (size_t)a.value_width) * sizeof(double) + row_elems(&a) * sizeof(float);
}

static double score(const AttendCall *a, int32_t row, int32_t head, int32_t j, float *key)
{
    const float *q = f32_row(a->q, row) + (int64_t)head * a->key_width;
    a->k.format->decode(key, kv_row(a->k, attend_table(a, row), head / a->group, j), (size_t)a->key_width);
    double s = 0;
    for (int32_t i = 0; i < a->key_width; i++)
        s += (double)q[i] * key[i];
    s *= a->how.scale;
    if (a->how.softcap > 0)
        s = a->how.softcap * tanh(s / a->how.softcap);
    if (!a->slopes)
        return s;
    float slope = a->slopes[head];
    if (a->how.coarse != 0)
        return s + (double)a->how.coarse * (attend_coarse(slope, j) - attend_coarse(slope, a->positions[row]));
    return s + (double)slope * (j - a->positions[row]);
}

static void attend_one(const AttendCall *a, int32_t row, int32_t head, Sees sees, double *scores)
{
    double *sums = scores + a->capacity, most = a->sinks ? a->sinks[head] : -INFINITY;
    float *buffer = (float *)(sums + a->value_width);
    for (int32_t j = sees.from; j < sees.to; j++) {
        scores[j] = score(a, row, head, j, buffer);
        most = fmax(most, scores[j]);
    }
    double total = a->sinks ? exp(a->sinks[head] - most) : 0;
    for (int32_t i = 0; i < a->value_width; i++)
        sums[i] = 0;
    for (int32_t j = sees.from; j < sees.to; j++) {
        double p = exp(scores[j] - most);
        a->v.format->decode(buffer, kv_row(a->v, attend_table(a, row), head / a->group, j),
                            (size_t)a->v.dim[3]);
        total += p;
        for (int32_t i = 0; i < a->value_width; i++)
            sums[i] += p * buffer[i];
    }
    float *y = f32_row_out(a->y, row) + (int64_t)head * a->value_width;
    for (int32_t i = 0; i < a->value_width; i++)
        y[i] = (float)(sums[i] / total);
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    AttendCall a = attend_call(c);
    for (int32_t row = 0; row < a.rows; row++) {
        Sees sees = attend_sees(&a, row, attend_last(&a, row));
        for (int32_t head = 0; head < a.heads; head++)
            attend_one(&a, row, head, sees, part.scratch);
    }
}

const CpuKernel kernel_attend_reference = {.phases = 1, .scratch_bytes = scratch_bytes, .run = run};
