/* linear3.cu -- see linear3.h. Few rows: the three products are one launch, so that the GPU is full from the first to the
 * last of them. Many rows: one after another. */
#include "kernels/linear/flow.h"
#include "kernels/linear3/linear3.h"

static void calls_of(const OpCall *c, OpCall *calls)
{
    for (int i = 0; i < LINEAR3; i++) {
        OpCall one = *c;
        one.op = OP_LINEAR;
        one.out[0] = c->out[i];
        one.in[1] = c->in[1 + i];
        one.in[2] = c->in[1 + LINEAR3 + i];
        calls[i] = one;
    }
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    OpCall calls[LINEAR3];
    size_t most = 0;
    calls_of(c, calls);
    for (int i = 0; i < LINEAR3; i++) {
        Product p = product_of_linear(&calls[i], g);
        size_t bytes = product_scratch(&p, weight_kind(calls[i].in[1].format), g);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* true: all are of the same format. */
static bool products_of(const OpCall *c, Product *products, WeightKind *kinds, const CudaRun *g)
{
    OpCall calls[LINEAR3];
    calls_of(c, calls);
    for (int i = 0; i < LINEAR3; i++) {
        products[i] = product_of_linear(&calls[i], g);
        kinds[i] = weight_kind(calls[i].in[1].format);
    }
    return kinds[0] == kinds[1] && kinds[1] == kinds[2];
}

static void run(const OpCall *c, const CudaRun *g)
{
    Product products[LINEAR3];
    WeightKind kinds[LINEAR3];
    if (products_of(c, products, kinds, g))
        products_run(products, LINEAR3, kinds[0], g);
    else
        for (int i = 0; i < LINEAR3; i++)
            products_run(&products[i], 1, kinds[i], g);
}

static bool run_normed(const OpCall *norm, const OpCall *c, const CudaRun *g)
{
    Product products[LINEAR3];
    WeightKind kinds[LINEAR3];
    FlowBeside beside = {norm, NULL};
    if (!products_of(c, products, kinds, g) || !flow_takes(products, LINEAR3, kinds[0], &beside, g))
        return false;
    flow_run(products, LINEAR3, kinds[0], &beside, g);
    return true;
}

static const char *refuses(const OpCall *c)
{
    for (int i = 0; i < LINEAR3; i++)
        if (product_refuses(c->in[1 + i]))
            return product_refuses(c->in[1 + i]);
    return NULL;
}

CUDA_KERNEL(linear3, refuses, scratch_bytes, run, NULL, run_normed)
