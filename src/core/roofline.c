#include "core/roofline.h"

#include <string.h>

Arithmetic format_arithmetic(const Format *weights)
{
    const Format *x = weights->activation;
    if (x && x->block_elems > 1)
        return ARITHMETIC_INT8;
    return !strcmp(weights->name, "BF16") ? ARITHMETIC_BF16 : ARITHMETIC_FP32;
}

void demand_add(Demand *sum, const Demand *more)
{
    sum->bytes += more->bytes;
    for (int kind = 0; kind < ARITHMETICS; kind++)
        sum->operations[kind] += more->operations[kind];
}

double demand_operations(const Demand *w)
{
    double sum = 0;
    for (int kind = 0; kind < ARITHMETICS; kind++)
        sum += w->operations[kind];
    return sum;
}

static double peak_of(const Machine *m, int kind)
{
    const double peak[ARITHMETICS] = {[ARITHMETIC_FP32] = m->fp32, [ARITHMETIC_BF16] = m->bf16, [ARITHMETIC_INT8] = m->int8};
    double other = m->gpu && m->bf16 > m->fp32 ? m->bf16 : m->fp32;
    return peak[kind] > 0 && (kind != ARITHMETIC_FP32 || !m->gpu) ? peak[kind] : other;
}

double roofline_bytes_seconds(const Machine *m, const Demand *w)
{
    return m->bytes_per_second > 0 ? w->bytes / m->bytes_per_second : 0;
}

double roofline_operations_seconds(const Machine *m, const Demand *w)
{
    double seconds = 0;
    for (int kind = 0; kind < ARITHMETICS; kind++)
        seconds += peak_of(m, kind) > 0 ? w->operations[kind] / peak_of(m, kind) : 0;
    return seconds;
}

double roofline_seconds(const Machine *m, const Demand *w)
{
    double bytes = roofline_bytes_seconds(m, w), operations = roofline_operations_seconds(m, w);
    return bytes > operations ? bytes : operations;
}
