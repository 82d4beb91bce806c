/* check_emulated.c -- the GPU's attention on this machine's processor, against the reference (tests/emulated/emulated.h).
 *
 *     build/tests/check_emulated [CASES]
 *
 * The cases are those of test_kernels and check_gpu; the kernels are those of src/kernels/attend, but for the one whose products
 * four warps do together. The GPU that is emulated has four multiprocessors, and for steps of single rows one, so that blocks of
 * threads have much to do.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel_cases.h"
#include "kernels/kit/cuda_kernel.h"

enum { CASES = 16, SERVED_TIMES = 3, MULTIPROCESSORS = 4, FEWEST = 1, SHARED_BYTES = 227 << 10 };
#define NEAR (1.0 / 64)      /* of the row: check_gpu.c says why */

extern const CudaKernel kernel_attend_cuda;
void emulated_seed(uint64_t seed);

/* served: of steps of single rows only, with heads of 64 or 128, which are one case of some. */
typedef struct Mode { const char *name, *format; bool exact, same, served; double allowed; } Mode;

static bool is_served(const KernelCase *c)
{
    Tensor q = c->call.in[0], tables = c->call.in[3];
    return q.dim[0] == tables.dim[0] && (q.dim[2] == 64 || q.dim[2] == 128) && c->call.out[0].dim[2] == q.dim[2];
}

static double run_case(KernelCase *c, const Mode *mode)
{
    CudaRun run = {.multiprocessors = mode->served ? FEWEST : MULTIPROCESSORS, .shared_bytes = SHARED_BYTES,
                   .exact = mode->exact, .same = mode->same};
    size_t bytes;
    kernel_case_reset(c);
    kernel_case_run_reference(c);
    uint8_t *exact = kernel_case_outputs(c, &bytes);
    kernel_case_reset(c);
    run.scratch = malloc(kernel_attend_cuda.scratch_bytes(&c->call, &run));
    run.counters = calloc(CUDA_COUNTERS, sizeof *run.counters);
    kernel_attend_cuda.run(&c->call, &run);
    uint8_t *fast = kernel_case_outputs(c, &bytes);
    double error = kernel_case_intact(c) ? kernel_case_error(c, fast, exact) : INFINITY;
    for (int i = 0; i < CUDA_COUNTERS; i++)
        error = run.counters[i] ? INFINITY : error;
    free(run.counters);
    free(run.scratch);
    free(fast);
    free(exact);
    return error;
}

int main(int argc, char **argv)
{
    double contract = op_spec(OP_ATTEND)->tolerance;
    const Mode modes[] = {
        {"exactly", "BF16", true, false, false, contract}, {"exactly, single rows", "BF16", true, false, true, contract},
        {"bf16", "BF16", false, false, false, NEAR},       {"bf16, single rows", "BF16", false, false, true, NEAR},
        {"a row at a time", "BF16", true, true, false, contract}, {"exactly", "F16", true, false, false, contract},
        {"exactly", "F8_E4M3", true, false, false, contract}};
    int most = argc > 1 ? atoi(argv[1]) : CASES, wrong = 0;
    if (most < 1) {
        fprintf(stderr, "check_emulated: '%s' is no number of cases\n", argv[1]);
        return 2;
    }
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        double worst = 0;
        int cases = 0, end = modes[m].served ? SERVED_TIMES * most : most;
        for (int seed = 0; cases < end; seed++) {
            KernelCase c;
            kernel_case_init(&c, OP_ATTEND, format_find(modes[m].format), (uint64_t)seed);
            if (modes[m].served && !is_served(&c)) {
                kernel_case_deinit(&c);
                continue;
            }
            cases++;
            emulated_seed((uint64_t)seed);
            double error = run_case(&c, &modes[m]);
            worst = fmax(worst, error);
            if (!(error <= modes[m].allowed)) {
                printf("WRONG %s, %s: by %.3g of the row, %.3g allowed\n", c.what, modes[m].name, error, modes[m].allowed);
                wrong++;
            }
            kernel_case_deinit(&c);
        }
        printf("attend %-8s %-22s %3d cases, emulated: wrong by %.1e of the row at most, %.1e allowed\n", modes[m].format,
               modes[m].name, cases, worst, modes[m].allowed);
        fflush(stdout);
    }
    return wrong > 0;
}
