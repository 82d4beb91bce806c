/* linear_cpu.c -- see linear.h and product.h. */
#include "kernels/linear/product.h"

static bool takes(const OpCall *c) { return product_takes(c->in[1]); }
static size_t scratch_bytes(const OpCall *c) { return TIERED(prepared_bytes)(c->in[0], &c->in[1], 1); }
static int64_t threads(const OpCall *c) { return product_threads(c->in[0].dim[0], &c->in[1], 1); }

static void run(const OpCall *c, int phase, CpuPart part)
{
    Tensor x = c->in[0], w = c->in[1];
    if (phase == 0) {
        TIERED(prepare)(x, &w, 1, part.scratch, part);
        return;
    }
    Product p = {.y = c->out[0], .w = w, .bias = c->in[2], .adds = c->reads_out};
    p.x = TIERED(prepared)(x, &w, 1, 0, part.scratch);
    TIERED(product_shared)(&p, part, 0);
}

const CpuKernel TIERED(kernel_linear) = {
    .takes = takes, .phases = 2, .scratch_bytes = scratch_bytes, .threads = threads, .run = run,
};
