/* expert_linear.cu -- see expert_linear.h. Each pair of a row and an expert by itself, as a product of one row: right for
 * the few pairs of decoding; a long prompt reads the weights of an expert again for each pair, from the L2 cache where
 * it holds them. */
#include "kernels/linear/product_cuda.h"

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    Product p = product_of_experts(c, g);
    return product_scratch(&p, weight_kind(c->in[1].format), g);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Product p = product_of_experts(c, g);
    products_run(&p, 1, weight_kind(c->in[1].format), g);
}

static const char *refuses(const OpCall *c) { return product_refuses(c->in[1]); }

CUDA_KERNEL(expert_linear, refuses, scratch_bytes, run)
