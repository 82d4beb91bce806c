/* gated_mlp.cu -- see gated_mlp.h. The products with gate and up are one launch where rows are few. The scratch:
 *
 *     | what a product needs | gate h [rows, F] | up h [rows, F] |
 *
 * Where the product down takes h in parts of bf16, h is made as these and never as f32; and where the library left gate and
 * up as sums of parts (kernels/linear/parts_cuda.h), they are added up on the way.
 */
#include "kernels/activate/activate_cuda.h"
#include "kernels/gated_mlp/gated_mlp.h"
#include "kernels/linear/flow.h"
#include "kernels/linear/pairs_cuda.h"
#include "kernels/linear/parts_cuda.h"

enum { PIECE_ALIGN = 256 };

typedef struct Plan {
    Product gate, up, down;
    WeightKind gate_kind, up_kind, down_kind;
    size_t product_bytes, h_bytes;
} Plan;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t whole_pieces(size_t bytes) { return (bytes + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN; }

static Product product(const OpCall *c, Tensor y, Tensor x, int w, int bias, bool adds, const CudaRun *g)
{
    OpCall call = *c;
    call.op = OP_LINEAR;
    call.reads_out = adds;
    call.out[0] = y;
    call.in[0] = x;
    call.in[1] = c->in[w];
    call.in[2] = c->in[bias];
    return product_of_linear(&call, g);
}

static Plan plan_of(const OpCall *c, const CudaRun *g)
{
    Plan p = {};
    int32_t rows = c->in[MLP_X].dim[0], width = c->in[MLP_GATE].dim[0];
    Tensor h = tensor_of(NULL, &format_f32, rows, width);
    p.gate_kind = weight_kind(c->in[MLP_GATE].format);
    p.up_kind = weight_kind(c->in[MLP_UP].format);
    p.down_kind = weight_kind(c->in[MLP_DOWN].format);
    p.gate = product(c, h, c->in[MLP_X], MLP_GATE, MLP_GATE_BIAS, false, g);
    p.up = product(c, h, c->in[MLP_X], MLP_UP, MLP_UP_BIAS, false, g);
    p.down = product(c, c->out[0], h, MLP_DOWN, MLP_DOWN_BIAS, true, g);
    p.gate.loose = p.up.loose = p.gate_kind == p.up_kind && parts_place(&p.gate, 1, p.gate_kind, g);
    const Product both[2] = {p.gate, p.up};
    p.product_bytes = larger(products_scratch(&p.gate, 1, p.gate_kind, g), products_scratch(&p.up, 1, p.up_kind, g));
    if (p.gate_kind == p.up_kind)
        p.product_bytes = products_scratch(both, 2, p.gate_kind, g);
    p.product_bytes = whole_pieces(larger(p.product_bytes, products_scratch(&p.down, 1, p.down_kind, g)));
    if (p.gate.loose)
        rows = parts_rows(&p.gate, g);
    p.h_bytes = whole_pieces((size_t)rows * width * sizeof(float));
    uint8_t *scratch = (uint8_t *)g->scratch + p.product_bytes;
    bool up_first = p.up.w < p.gate.w;      /* as their weights lie: they are one call then (parts.cu) */
    p.down.x = p.gate.y = (float *)(scratch + (up_first ? p.h_bytes : 0));
    p.up.y = (float *)(scratch + (up_first ? 0 : p.h_bytes));
    return p;
}

static size_t bytes_of(const OpCall *c, const CudaRun *g)
{
    Plan p = plan_of(c, g);
    return p.product_bytes + 2 * p.h_bytes;
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    OpCall before = pairs_before(c);
    return larger(bytes_of(c, g), bytes_of(&before, g));
}

typedef struct Gating {
    Rows h;                    /* where gate lies */
    Sums gate, up;
    Activation f;
    unsigned short *to;        /* NULL, or where h goes in parts */
    int parts;
} Gating;

/* KNOWN: SILU, which is wanted most: code for the others would be in its way. */
template <int HOW, bool WIDE, bool KNOWN> static __global__ void gate_rows(const __grid_constant__ Gating s)
{
    previous();
    Activation f = KNOWN ? SILU : s.f;
    int64_t r = blockIdx.x;
    int n = s.h.width, i = four_begin();
    if (i >= n)
        return;
    float4 a = joined<HOW, WIDE>(s.gate, r, i, n), b = joined<HOW, WIDE>(s.up, r, i, n);
    a = with_bias(a, s.gate, i, n);
    b = with_bias(b, s.up, i, n);
    float4 h = make_float4(activation_near(f, a.x) * b.x, activation_near(f, a.y) * b.y, activation_near(f, a.z) * b.z,
                           activation_near(f, a.w) * b.w);
    if (s.to)
        put_parts(s.to + r * n + i, (int64_t)s.h.rows * n, s.parts, h);
    else
        put_four<WIDE>(row(s.h, r), i, n, h);
}

template <int HOW, bool WIDE> static void gate(const Gating &s, const CudaRun *g)
{
    if (s.f == SILU)
        LAUNCH((gate_rows<HOW, WIDE, true>), grid_of_fours(s.h), EACH_THREADS, 0, g, s);
    else
        LAUNCH((gate_rows<HOW, WIDE, false>), grid_of_fours(s.h), EACH_THREADS, 0, g, s);
}

/* One row: gate and up, their product h, and the norm before them, if there is one, are one launch. */
static bool run_flowing(const OpCall *norm, const OpCall *c, const CudaRun *g)
{
    Plan p = plan_of(c, g);
    Product both[2] = {p.gate, p.up};
    FlowBeside beside = {norm, &c->activation};
    if (p.gate_kind != p.up_kind || !flow_takes(both, 2, p.gate_kind, &beside, g))
        return false;
    flow_run(both, 2, p.gate_kind, &beside, g);
    products_run(&p.down, 1, p.down_kind, g);
    return true;
}

static void run(const OpCall *c, const CudaRun *g)
{
    if (run_flowing(NULL, c, g))
        return;
    Plan p = plan_of(c, g);
    Product both[2] = {p.gate, p.up};
    bool apart = false, alike = p.gate_kind == p.up_kind && p.gate_kind == p.down_kind;
    if (alike && parts_run_mlp(both, &p.down, p.gate_kind, c->activation, (unsigned short *)p.gate.y, g))
        return;
    if (p.gate_kind == p.up_kind && c->activation == SILU && pairs_run_gates(both, p.gate_kind, g)) {
        products_run(&p.down, 1, p.down_kind, g);
        return;
    }
    if (p.gate_kind == p.up_kind)
        apart = products_run(both, 2, p.gate_kind, g);
    else {
        products_run(&both[0], 1, p.gate_kind, g);
        products_run(&both[1], 1, p.up_kind, g);
    }
    Gating s = {{p.gate.y, p.gate.y_step, p.gate.pairs, p.gate.out}, sums_of(p.gate, apart, g), sums_of(p.up, apart, g),
                c->activation, parts_place(&p.down, 1, p.down_kind, g), parts_of(g)};
    if (s.gate.how == SUMS_NEAR)
        gate<SUMS_NEAR, true>(s, g);
    else if (s.gate.how == SUMS_APART)
        gate<SUMS_APART, true>(s, g);
    else if (in_fours(s.h))
        gate<SUMS_WHOLE, true>(s, g);
    else
        gate<SUMS_WHOLE, false>(s, g);
    CudaRun after = *g;
    after.in_parts = s.to ? p.down.x : NULL;
    products_run(&p.down, 1, p.down_kind, &after);
}

static const char *refuses(const OpCall *c)
{
    for (int i = MLP_GATE; i <= MLP_DOWN; i++)
        if (product_refuses(c->in[i]))
            return product_refuses(c->in[i]);
    return NULL;
}

CUDA_KERNEL(gated_mlp, refuses, scratch_bytes, run, NULL, run_flowing)
