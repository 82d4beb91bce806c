#include "kernels/gate/gate.h"
#include "kernels/kit/vmath.h"

/* f is a constant where this is inlined, so the choice is made once and not for each vector. */
INLINE void gate_row(Activation f, float *y, const float *gate, const float *up, int64_t width)
{
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        vf_store(y + i, vf_mul(vf_activate(f, vf_load(gate + i)), vf_load(up + i)));
    int n = (int)(width - i);
    if (n > 0)
        vf_store_n(y + i, vf_mul(vf_activate(f, vf_load_n(gate + i, n)), vf_load_n(up + i, n)), n);
}

/* One value of the gate, in all lanes, for each `share` of up. */
INLINE void gate_shares(Activation f, float *y, const float *gate, const float *up, int64_t width, int64_t share)
{
    for (; width > 0; width -= share, y += share, up += share) {
        Vf factor = vf_activate(f, vf_all(*gate++));
        int64_t i = 0;
        for (; i + LANES <= share; i += LANES)
            vf_store(y + i, vf_mul(factor, vf_load(up + i)));
        int n = (int)(share - i);
        if (n > 0)
            vf_store_n(y + i, vf_mul(factor, vf_load_n(up + i, n)), n);
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor y = c->out[0], gate = c->in[0], up = c->in[1];
    int64_t width = tensor_width(y), share = gate_share(c);
    Range rows = part_range(part, y.dim[0], 1);
    for (int64_t r = rows.from; r < rows.to; r++) {
        float *to = f32_row_out(y, r);
        const float *g = f32_row_of(gate, r), *u = f32_row(up, r);
        switch (c->activation) {
#define CASE(f) \
        case f: \
            if (share == 1) \
                gate_row(f, to, g, u, width); \
            else \
                gate_shares(f, to, g, u, width, share); \
            break;
        FOR_EACH_ACTIVATION(CASE)
#undef CASE
        }
    }
}

static int64_t threads(const OpCall *c) { return threads_by_rows(c->out[0]); }

const CpuKernel TIERED(kernel_gate) = {.phases = 1, .threads = threads, .run = run};
