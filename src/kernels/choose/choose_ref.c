/* choose_ref.c -- see choose.h. The engine's sampler runs the same lines with the passes of the best tier (choose_row.h). */
#include "kernels/choose/choose_row.h"
#include "kernels/cpu_kernel.h"
#include "kernels/kit/rows.h"
#include "kernels/op_spec.h"

static OpCost cost(const OpCall *c)
{
    double bytes = (double)c->out[0].dim[0] * (double)tensor_row_bytes(c->in[CHOOSE_LOGITS]);
    return (OpCost){.operations = bytes / sizeof(float), .activation_bytes = bytes + bytes_moved(c->out[0])};
}

const OpSpec spec_choose = {.cost = cost, .tolerance = 0};

/* Adjusted logits; then the ids, keys and weights of those that may be chosen. */
static size_t scratch_bytes(const OpCall *c) { return 4 * tensor_row_bytes(c->in[CHOOSE_LOGITS]); }

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    Tensor logits = c->in[CHOOSE_LOGITS], edits = c->in[CHOOSE_EDITS], masks = c->in[CHOOSE_MASKS];
    int32_t V = (int32_t)tensor_width(logits);
    float *adjusted = part.scratch;
    Picks picks = {.key = adjusted + V, .weight = adjusted + 2 * (size_t)V, .id = (int32_t *)(adjusted + 3 * (size_t)V),
                   .scan = scan_of(TIER_REFERENCE)};
    for (int32_t r = 0; r < c->out[0].dim[0]; r++) {
        const ChooseHow *how = tensor_row(c->in[CHOOSE_HOWS], r);
        ASSERT(how->row >= 0 && how->row < logits.dim[0] && how->best <= CHOOSE_BEST_MAX);
        ASSERT(how->edits == 0 || how->edit + how->edits <= edits.dim[0]);
        ChooseRow row = {.logits = f32_row(logits, how->row), .vocabulary = V,
                         .edits = how->edits ? tensor_row(edits, how->edit) : NULL,
                         .allowed = how->mask >= 0 ? tensor_row(masks, how->mask) : NULL};
        choose_row(&picks, adjusted, how, &row, tensor_row(c->out[0], r));
    }
}

extern const CpuKernel kernel_choose_reference;
const CpuKernel kernel_choose_reference = {.phases = 1, .scratch_bytes = scratch_bytes, .run = run};
