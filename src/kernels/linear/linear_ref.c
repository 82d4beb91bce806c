/* linear_ref.c -- see linear.h. Weights in plain rows; products and sums in f64. */
#include <string.h>

#include "kernels/cpu_kernel.h"
#include "kernels/linear/linear_row.h"
#include "kernels/op_spec.h"

enum {
    PART = 256,                  /* elements at a time: a multiple of every format's block */
    PART_BYTES_MAX = 4 * PART,   /* no format needs more for them */
};

static OpCost cost(const OpCall *c)
{
    double rows = c->in[0].dim[0], in = c->in[1].dim[1], out = c->in[1].dim[0];
    return (OpCost){
        .operations = 2 * rows * in * out,
        .weight_bytes = out * (double)format_row_bytes(c->in[1].format, c->in[1].dim[1]),
        .activation_bytes = 4 * rows * (in + out * (c->reads_out ? 2 : 1)),
    };
}

const OpSpec spec_linear = {.cost = cost, .tolerance = 1e-5f};

static size_t scratch_bytes(const OpCall *c) { return (size_t)tensor_elems(c->in[0]) * sizeof(float); }

static int64_t threads(const OpCall *c) { return tensor_elems(c->in[1]) * c->in[0].dim[0] >> 16; }

static int64_t part_elems(int64_t from, int64_t width) { return width - from < PART ? width - from : PART; }

void linear_round(float *to, const float *x, int64_t width, const Format *activation)
{
    if (activation == &format_f32) {
        memcpy(to, x, (size_t)width * sizeof(float));
        return;
    }
    _Alignas(8) uint8_t blocks[PART_BYTES_MAX];
    for (int64_t k = 0; k < width; k += PART) {
        size_t n = (size_t)part_elems(k, width);
        activation->encode(blocks, x + k, n, NULL);
        activation->decode(to + k, blocks, n);
    }
}

double linear_dot(const float *rounded, const Format *format, const uint8_t *w, int64_t width)
{
    float part[PART];
    double sum = 0;
    for (int64_t k = 0; k < width; k += PART) {
        int64_t n = part_elems(k, width);
        format->decode(part, w + format_row_bytes(format, k), (size_t)n);
        for (int64_t i = 0; i < n; i++)
            sum += (double)rounded[k + i] * part[i];
    }
    return sum;
}

/* Output o of all rows. */
static void one_output(const OpCall *c, const float *x, int64_t o)
{
    Tensor y = c->out[0], w = c->in[1], bias = c->in[2];
    for (int64_t r = 0; r < y.dim[0]; r++) {
        double sum = linear_dot(x + r * w.dim[1], w.format, tensor_row(w, o), w.dim[1]);
        float *at = (float *)tensor_row(y, r) + o;
        if (!tensor_is_none(bias))
            sum += ((const float *)bias.data)[o];
        *at = (float)(c->reads_out ? sum + *at : sum);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    Tensor x = c->in[0], w = c->in[1];
    float *rounded = part.scratch;
    ASSERT(w.packing == 0 && w.format->activation);
    if (phase == 0) {
        Range rows = part_range(part, x.dim[0], 1);
        for (int64_t r = rows.from; r < rows.to; r++)
            linear_round(rounded + r * w.dim[1], tensor_row(x, r), w.dim[1], w.format->activation);
        return;
    }
    Range outputs = part_range(part, w.dim[0], 1);
    for (int64_t o = outputs.from; o < outputs.to; o++)
        one_output(c, rounded, o);
}

extern const CpuKernel kernel_linear_reference;
const CpuKernel kernel_linear_reference = {
    .phases = 2,
    .scratch_bytes = scratch_bytes,
    .threads = threads,
    .run = run,
};
