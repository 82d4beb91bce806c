/* matrix.c -- which operation is fast in which format on which tier; `make matrix` prints it.
 *
 *     fast         a kernel of this tier takes it
 *     partly       it takes some shapes; the others run as on the tier to the left
 *     reference    the scalar version runs instead
 *     composed     no kernel at all: made of other operations
 *     -            this processor does not have the tier
 *
 * Nothing is written down here: the kernels themselves are asked about made-up calls (kernel_cases.h).
 */
#include <stdio.h>

#include "kernel_cases.h"

enum { SEEDS = 8 };

static const char *slow(Op op) { return cpu_kernel(op, TIER_REFERENCE) ? "reference" : "composed"; }

static const char *cell(Op op, const Format *format, CpuTier tier)
{
    const CpuKernel *kernel = cpu_kernel(op, tier);
    int taken = 0;
    if (tier > cpu_best_tier())
        return "-";
    if (tier == TIER_REFERENCE || !kernel)
        return slow(op);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        KernelCase c;
        kernel_case_init(&c, op, format, seed);
        taken += !kernel->takes || kernel->takes(&c.fast);
        kernel_case_deinit(&c);
    }
    return taken == SEEDS ? "fast" : taken > 0 ? "partly" : slow(op);
}

static void print_row(Op op, const Format *format, bool first)
{
    printf("%-13s %-9s", first ? op_name(op) : "", format->name);
    for (int tier = 0; tier < TIER_COUNT; tier++)
        printf(" %-10s", cell(op, format, (CpuTier)tier));
    printf("\n");
}

int main(void)
{
    const Format *format;
    printf("%-13s %-9s", "operation", "format");
    for (int tier = 0; tier < TIER_COUNT; tier++)
        printf(" %-10s", cpu_tier_name((CpuTier)tier));
    printf("\n");
    for (int op = 0; op < OP_COUNT; op++) {
        bool first = true;
        for (int f = 0; kernel_case_exists((Op)op) && (format = format_at(f)); f++)
            if (kernel_case_varies((Op)op, format)) {
                print_row((Op)op, format, first);
                first = false;
            }
    }
    return 0;
}
