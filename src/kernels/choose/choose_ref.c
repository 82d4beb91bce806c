/* choose_ref.c -- see choose.h. choose_cpu.c and the engine's sampler run the same lines with the passes of a tier. */
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

size_t choose_scratch_bytes(const OpCall *c) { return 4 * tensor_row_bytes(c->in[CHOOSE_LOGITS]); }

/* The scratch: adjusted logits; then the ids, keys and weights of those that may be chosen. */
void choose_range(const OpCall *c, Range rows, float *scratch, const Scan *scan)
{
    Tensor logits = c->in[CHOOSE_LOGITS], edits = c->in[CHOOSE_EDITS], masks = c->in[CHOOSE_MASKS];
    size_t V = (size_t)tensor_width(logits);
    Picks picks = {.key = scratch + V, .weight = scratch + 2 * V, .id = (int32_t *)(scratch + 3 * V), .scan = scan};
    for (int64_t r = rows.from; r < rows.to; r++) {
        const ChooseHow *how = tensor_row(c->in[CHOOSE_HOWS], r);
        ASSERT(how->row >= 0 && how->row < logits.dim[0] && how->best <= CHOOSE_BEST_MAX);
        ASSERT(how->edits == 0 || how->edit + how->edits <= edits.dim[0]);
        ChooseRow row = {.logits = f32_row(logits, how->row), .vocabulary = (int32_t)V,
                         .edits = how->edits ? tensor_row(edits, how->edit) : NULL,
                         .allowed = how->mask >= 0 ? tensor_row(masks, how->mask) : NULL};
        choose_row(&picks, scratch, how, &row, tensor_row(c->out[0], r));
    }
}

static void run(const OpCall *c, int phase, CpuPart part)
{
    (void)phase;
    choose_range(c, (Range){0, c->out[0].dim[0]}, part.scratch, scan_of(TIER_REFERENCE));
}

extern const CpuKernel kernel_choose_reference;
const CpuKernel kernel_choose_reference = {.phases = 1, .scratch_bytes = choose_scratch_bytes, .run = run};
