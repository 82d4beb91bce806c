/* gated_mlp.cu -- see gated_mlp.h. The products with gate and up are one launch where rows are few; h lies in the scratch:
 *
 *     | what a product needs | gate h [rows, F] | up h [rows, F] |
 */
#include "kernels/activate/activate_cuda.h"
#include "kernels/gated_mlp/gated_mlp.h"
#include "kernels/linear/flow.h"

enum { PIECE_ALIGN = 256 };

typedef struct Parts {
    OpCall gate, up, down;
    size_t product_bytes, h_bytes;
} Parts;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static OpCall product_call(const OpCall *c, Tensor y, Tensor x, int w, int bias, bool adds)
{
    OpCall call = *c;
    call.op = OP_LINEAR;
    call.reads_out = adds;
    call.out[0] = y;
    call.in[0] = x;
    call.in[1] = c->in[w];
    call.in[2] = c->in[bias];
    return call;
}

static size_t bytes_for(const OpCall *call, const CudaRun *g)
{
    Product p = product_of_linear(call, g);
    return product_scratch(&p, weight_kind(call->in[1].format), g);
}

static Parts parts_of(const OpCall *c, const CudaRun *g)
{
    Parts p;
    int32_t rows = c->in[MLP_X].dim[0], width = c->in[MLP_GATE].dim[0];
    Tensor h = tensor_of(NULL, &format_f32, rows, width), up = h;
    p.h_bytes = ((size_t)rows * width * sizeof(float) + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    p.gate = product_call(c, h, c->in[MLP_X], MLP_GATE, MLP_GATE_BIAS, false);
    p.up = product_call(c, up, c->in[MLP_X], MLP_UP, MLP_UP_BIAS, false);
    p.down = product_call(c, c->out[0], h, MLP_DOWN, MLP_DOWN_BIAS, true);
    p.product_bytes = larger(bytes_for(&p.gate, g), larger(bytes_for(&p.up, g), bytes_for(&p.down, g)));
    p.product_bytes = (p.product_bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    uint8_t *scratch = (uint8_t *)g->scratch + p.product_bytes;
    p.gate.out[0].data = p.down.in[0].data = scratch;
    p.up.out[0].data = scratch + p.h_bytes;
    return p;
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    Parts p = parts_of(c, g);
    return p.product_bytes + 2 * p.h_bytes;
}

static __global__ void gate_rows(Rows h, Rows up, Activation f)
{
    previous();
    EACH(i, h)
        row(h, blockIdx.x)[i] = activation_near(f, row(h, blockIdx.x)[i]) * row(up, blockIdx.x)[i];
}

/* One row: gate and up, their product h, and the norm before them, if there is one, are one launch. */
static bool run_flowing(const OpCall *norm, const OpCall *c, const CudaRun *g)
{
    Parts p = parts_of(c, g);
    Product both[2] = {product_of_linear(&p.gate, g), product_of_linear(&p.up, g)};
    Product down = product_of_linear(&p.down, g);
    WeightKind gate = weight_kind(c->in[MLP_GATE].format), up = weight_kind(c->in[MLP_UP].format);
    FlowBeside beside = {norm, &c->activation};
    if (gate != up || !flow_takes(both, 2, gate, &beside, g))
        return false;
    flow_run(both, 2, gate, &beside, g);
    products_run(&down, 1, weight_kind(c->in[MLP_DOWN].format), g);
    return true;
}

static void run(const OpCall *c, const CudaRun *g)
{
    if (run_flowing(NULL, c, g))
        return;
    Parts p = parts_of(c, g);
    Product both[2] = {product_of_linear(&p.gate, g), product_of_linear(&p.up, g)};
    Product down = product_of_linear(&p.down, g);
    WeightKind gate = weight_kind(c->in[MLP_GATE].format), up = weight_kind(c->in[MLP_UP].format);
    if (gate == up)
        products_run(both, 2, gate, g);
    else {
        products_run(&both[0], 1, gate, g);
        products_run(&both[1], 1, up, g);
    }
    Rows h = rows_of(p.gate.out[0]);
    LAUNCH(gate_rows, grid_of(h), EACH_THREADS, 0, g, h, rows_of(p.up.out[0]), c->activation);
    products_run(&down, 1, weight_kind(c->in[MLP_DOWN].format), g);
}

static const char *refuses(const OpCall *c)
{
    for (int i = MLP_GATE; i <= MLP_DOWN; i++)
        if (product_refuses(c->in[i]))
            return product_refuses(c->in[i]);
    return NULL;
}

CUDA_KERNEL(gated_mlp, refuses, scratch_bytes, run, NULL, run_flowing)
