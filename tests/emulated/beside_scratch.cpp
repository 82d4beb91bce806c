/* beside_scratch.cpp -- what linear3.cu and gated_mlp.cu need to say how much scratch they want, in the place of linear.cu. */
#include "kernels/linear/flow.h"
#include "kernels/linear/pairs_cuda.h"
#include "kernels/linear/parts_cuda.h"
#include "kernels/rope/turn_cuda.h"

extern "C" bool lt_product(struct Lt *, const struct LtProduct *, void *, void *) { return false; }
bool flow_takes(const Product *, int, WeightKind, const FlowBeside *, const CudaRun *) { return false; }
void flow_run(const Product *, int, WeightKind, const FlowBeside *, const CudaRun *) { abort(); }
bool turn_comes(const OpCall *, int) { return false; }
void turn_run(const OpCall *, int, const Sums *, const CudaRun *) { abort(); }
bool products_run(const Product *, int, WeightKind, const CudaRun *) { abort(); }
const char *product_refuses(Tensor) { return NULL; }

Product product_of_linear(const OpCall *c, const CudaRun *)
{
    Product p = {};
    p.y_step = c->out[0].row_elems, p.x_step = c->in[0].row_elems;
    p.pairs = c->out[0].dim[0], p.experts = 1, p.in = c->in[1].dim[1], p.out = c->in[1].dim[0];
    p.row_bytes = (int64_t)format_row_bytes(c->in[1].format, c->in[1].row_elems);
    return p;
}

size_t products_scratch(const Product *p, int n, WeightKind kind, const CudaRun *g)
{
    size_t most = pairs_scratch(p, n, kind, g);
    for (int i = 0; i < n; i++)
        most = std::max(most, parts_scratch(&p[i], kind, g));
    return most;
}
