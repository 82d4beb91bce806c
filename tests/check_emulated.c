/* check_emulated.c -- the GPU's attention and Hopper's products on this machine's processor, against the reference
 * (tests/emulated/emulated.h).
 *
 *     build/tests/check_emulated [CASES]
 *
 * The cases are those of test_kernels and check_gpu; the kernels are those of src/kernels/attend, but for the one whose products
 * four warps do together, and of src/kernels/linear and expert_linear those of Hopper: 2 to 64 rows of BF16, prompts, experts
 * that have many. The GPU that is emulated has four multiprocessors, and for steps of single rows one, so that blocks of threads
 * have much to do. And how much scratch linear3 and gated_mlp ask for must not grow with fewer rows.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel_cases.h"
#include "kernels/kit/cuda_kernel.h"

enum { CASES = 16, SERVED_TIMES = 3, MULTIPROCESSORS = 4, FEWEST = 1, SHARED_BYTES = 227 << 10, SEEDS_MOST = 400 };

extern const CudaKernel kernel_attend_cuda, kernel_linear3_cuda, kernel_gated_mlp_cuda;
bool emulated_products(const OpCall *, const CudaRun *);      /* false: no kernel that is emulated takes it */
void emulated_seed(uint64_t seed);
void *emulated_scratch(size_t bytes);

enum { ALL, SERVED /* steps of single rows only, with heads of 64 or 128 */, PROMPTS /* of more than 64 rows */, FEW };

typedef struct Mode { Op op; const char *name, *format; bool exact, same; int wanted; } Mode;

static bool is_wanted(const KernelCase *c, const Mode *m)
{
    Tensor q = c->call.in[0], tables = c->call.in[3];
    if (m->wanted == SERVED)
        return q.dim[0] == tables.dim[0] && (q.dim[2] == 64 || q.dim[2] == 128) && c->call.out[0].dim[2] == q.dim[2];
    return m->wanted == ALL || (m->wanted == PROMPTS) == (c->rows > 64);
}

static size_t scratch_bytes(const KernelCase *c, const CudaRun *run)
{
    enum { PRODUCTS_BYTES = 8 << 20 };
    return c->call.op == OP_ATTEND ? kernel_attend_cuda.scratch_bytes(&c->call, run) : PRODUCTS_BYTES;
}

/* How far off; negative: nothing ran. */
static double run_case(KernelCase *c, const Mode *mode)
{
    CudaRun run = {.multiprocessors = mode->wanted == SERVED ? FEWEST : MULTIPROCESSORS, .shared_bytes = SHARED_BYTES,
                   .exact = mode->exact, .same = mode->same};
    size_t bytes;
    bool ran = true;
    kernel_case_reset(c);
    kernel_case_run_reference(c);
    uint8_t *exact = kernel_case_outputs(c, &bytes);
    kernel_case_reset(c);
    run.scratch = emulated_scratch(scratch_bytes(c, &run));
    run.counters = calloc(CUDA_COUNTERS, sizeof *run.counters);
    if (mode->op == OP_ATTEND)
        kernel_attend_cuda.run(&c->call, &run);
    else
        ran = emulated_products(&c->call, &run);
    uint8_t *fast = kernel_case_outputs(c, &bytes);
    double error = kernel_case_intact(c) ? kernel_case_error(c, fast, exact) : INFINITY;
    for (int i = 0; i < CUDA_COUNTERS; i++)
        error = run.counters[i] ? INFINITY : error;
    free(run.counters);
    free(fast);
    free(exact);
    return ran ? error : -1;
}

/* How many were wrong. */
static int check(const Mode *m, int most)
{
    double worst = 0, allowed = op_allowed(m->op, !m->exact);
    int cases = 0, wrong = 0, end = m->wanted == SERVED ? SERVED_TIMES * most : m->op == OP_ATTEND ? most : (most + 1) / 2;
    for (int seed = 0; cases < end && seed < SEEDS_MOST; seed++) {
        KernelCase c;
        kernel_case_init(&c, m->op, format_find(m->format), (uint64_t)seed);
        emulated_seed((uint64_t)seed);
        double error = is_wanted(&c, m) ? run_case(&c, m) : -1;
        cases += !(error < 0);
        worst = fmax(worst, error);
        if (!(error <= allowed)) {
            printf("WRONG %s, %s: by %.3g of the row, %.3g allowed\n", c.what, m->name, error, allowed);
            wrong++;
        }
        kernel_case_deinit(&c);
    }
    printf("%-13s %-8s %-22s %3d cases, emulated: wrong by %.1e of the row at most, %.1e allowed\n", op_name(m->op),
           m->format, m->name, cases, worst, allowed);
    fflush(stdout);
    return wrong + (cases == 0);
}

static size_t scratch_of(const CudaKernel *kernel, Op op, const char *format, int32_t rows, const int32_t *shape, bool exact)
{
    static int library;      /* is there, and is not called */
    const Format *f = format_find(format);
    int32_t width = shape[0], between = shape[1];
    CudaRun run = {.multiprocessors = 132, .shared_bytes = SHARED_BYTES, .exact = exact, .lt = (struct Lt *)&library};
    Tensor x = tensor_of(NULL, &format_f32, rows, width), h = tensor_of(NULL, &format_f32, rows, between);
    Tensor up = tensor_of(NULL, f, between, width), down = tensor_of(NULL, f, width, between);
    OpCall three = {.op = op, .ins = 4, .outs = 3, .in = {x, up, up, up}, .out = {h, h, h}};
    OpCall mlp = {.op = op, .ins = 4, .outs = 1, .reads_out = true, .activation = SILU, .in = {x, up, up, down}, .out = {x}};
    return kernel->scratch_bytes(op == OP_LINEAR3 ? &three : &mlp, &run);
}

/* A step with fewer rows than were planned finds the scratch that it needs, on all sides of where products go another way. */
static int check_scratch(const CudaKernel *kernel, Op op, const char *format, bool exact)
{
    static const int32_t rows[] = {2, 16, 64, 65, 128, 256, 341, 342, 500, 511, 512, 513, 600, 700, 1024, 2048};
    static const int32_t shapes[][2] = {{256, 1024}, {1024, 3072}, {2048, 1408}, {5120, 13824}};
    int wrong = 0;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t r = 1; r < sizeof rows / sizeof *rows; r++) {
            size_t fewer = scratch_of(kernel, op, format, rows[r - 1], shapes[s], exact);
            size_t planned = scratch_of(kernel, op, format, rows[r], shapes[s], exact);
            if (fewer > planned) {
                printf("WRONG %s, %s, %d to %d: %d rows need %zu bytes, %d rows %zu\n", op_name(op), format, shapes[s][0],
                       shapes[s][1], rows[r - 1], fewer, rows[r], planned);
                wrong++;
            }
        }
    return wrong;
}

int main(int argc, char **argv)
{
    const Mode modes[] = {
        {OP_ATTEND, "exactly", "BF16", true, false, ALL},        {OP_ATTEND, "exactly, single rows", "BF16", true, false, SERVED},
        {OP_ATTEND, "bf16", "BF16", false, false, ALL},          {OP_ATTEND, "bf16, single rows", "BF16", false, false, SERVED},
        {OP_ATTEND, "a row at a time", "BF16", true, true, ALL}, {OP_ATTEND, "exactly", "F16", true, false, ALL},
        {OP_ATTEND, "exactly", "F8_E4M3", true, false, ALL},     {OP_LINEAR, "exactly, few rows", "BF16", true, false, FEW},
        {OP_LINEAR, "bf16, few rows", "BF16", false, false, FEW}, {OP_LINEAR3, "exactly, few rows", "BF16", true, false, FEW},
        {OP_LINEAR, "few rows", "F16", true, false, FEW},        {OP_LINEAR, "few rows", "F8_E4M3", true, false, FEW},
        {OP_LINEAR3, "few rows", "F8_E5M2", true, false, FEW},   {OP_LINEAR3, "few rows", "F16", true, false, FEW},
        {OP_LINEAR, "few rows", "Q4_0", true, false, FEW},       {OP_LINEAR, "few rows", "Q8_0", true, false, FEW},
        {OP_LINEAR, "few rows", "MXFP4", true, false, FEW},      {OP_LINEAR, "few rows", "IQ4_NL", true, false, FEW},
        {OP_LINEAR, "few rows", "Q4_1", true, false, FEW},       {OP_LINEAR, "few rows", "Q5_0", true, false, FEW},
        {OP_LINEAR, "few rows", "Q5_1", true, false, FEW},       {OP_LINEAR3, "few rows", "Q4_K", true, false, FEW},
        {OP_LINEAR, "few rows", "Q5_K", true, false, FEW},       {OP_LINEAR, "few rows", "Q6_K", true, false, FEW},
        {OP_GATED_MLP, "exactly, few rows", "BF16", true, false, FEW},
        {OP_GATED_MLP, "bf16, few rows", "BF16", false, false, FEW},
        {OP_LINEAR, "prompts", "BF16", true, false, PROMPTS},    {OP_LINEAR, "prompts", "F16", true, false, PROMPTS},
        {OP_LINEAR3, "prompts", "F16", true, false, PROMPTS},    {OP_GATED_MLP, "prompts", "F16", true, false, PROMPTS},
        {OP_LINEAR, "prompts", "F8_E4M3", true, false, PROMPTS}, {OP_LINEAR, "prompts", "Q4_K", true, false, PROMPTS},
        {OP_EXPERT_LINEAR, "exactly", "BF16", true, false, ALL},
        {OP_EXPERT_LINEAR, "bf16", "BF16", false, false, ALL}};
    int most = argc > 1 ? atoi(argv[1]) : CASES, wrong = 0;
    if (most < 1) {
        fprintf(stderr, "check_emulated: '%s' is no number of cases\n", argv[1]);
        return 2;
    }
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++)
        wrong += check(&modes[m], most);
    for (int exact = 0; exact < 2; exact++)
        for (int f = 0; f < 3; f++) {
            static const char *const formats[] = {"BF16", "F16", "F8_E4M3"};
            wrong += check_scratch(&kernel_linear3_cuda, OP_LINEAR3, formats[f], exact);
            wrong += check_scratch(&kernel_gated_mlp_cuda, OP_GATED_MLP, formats[f], exact);
        }
    return wrong > 0;
}
