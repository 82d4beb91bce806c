#include "kernels/kit/vmath.h"
#include "kernels/limited_gate/limited_gate.h"

/* In this order of arguments a NaN comes through vf_min and vf_max. */
INLINE Vf limited_gate(LimitedGate l, Vf gate, Vf up)
{
    Vf g = vf_min(vf_all(l.limit), gate), u = vf_max(vf_all(-l.limit), vf_min(vf_all(l.limit), up));
    Vf glu = vf_mul(g, vf_sigmoid(vf_mul(vf_all(l.alpha), g)));
    return vf_mul(glu, vf_add(u, vf_all(l.shift)));
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], gate = c->in[0], up = c->in[1];
    ASSERT(same_shape(y, gate) && same_shape(y, up));
    int64_t width = tensor_width(y);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++)
        for (int64_t i = 0; i < width; i += LANES) {
            int n = (int)min_i64(LANES, width - i);
            Vf g = vf_load_n(f32_row(gate, r) + i, n), u = vf_load_n(f32_row(up, r) + i, n);
            vf_store_n(f32_row_out(y, r) + i, limited_gate(c->limited_gate, g, u), n);
        }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_limited_gate) = {.phases = 1, .threads = threads, .run = run};
