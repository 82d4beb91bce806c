/* linear3_cpu.c -- see linear3.h and linear/product.h. */
#include "kernels/linear3/linear3.h"

#include "kernels/linear/product.h"

static bool takes(const OpCall *c)
{
    for (int i = 0; i < LINEAR3; i++)
        if (!product_takes(c->in[1 + i]))
            return false;
    return true;
}
static size_t scratch_bytes(const OpCall *c) { return TIERED(prepared_bytes)(c->in[0], &c->in[1], LINEAR3); }
static int64_t threads(const OpCall *c) { return product_threads(c->in[0].dim[0], &c->in[1], LINEAR3); }

static void run(const OpCall *c, int phase, CpuPart part)
{
    Tensor x = c->in[0];
    const Tensor *weights = &c->in[1], *biases = &c->in[1 + LINEAR3];
    if (phase == 0) {
        TIERED(prepare)(x, weights, LINEAR3, part.scratch, part);
        return;
    }
    for (int i = 0; i < LINEAR3; i++) {
        Product p = {.y = c->out[i], .w = weights[i], .bias = biases[i]};
        p.x = TIERED(prepared)(x, weights, LINEAR3, i, part.scratch);
        TIERED(product_shared)(&p, part, i);
    }
}

const CpuKernel TIERED(kernel_linear3) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};
