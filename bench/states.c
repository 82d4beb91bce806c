/* states.c -- how fast the operations with a state are, each in the shape of a known model:
 *
 *     make bench; build/bench/states [OPERATION ...] [-r ROWS] [-s SEQUENCES] [-n MEGABYTES] [-t THREADS] [-a TIER]
 *
 * One step of ROWS rows (1) for each sequence. Prints the median time, the bytes that must come from memory a second (states
 * and weights), and operations a second. As many states and weights are used in turn as fill MEGABYTES (512), like the layers
 * of a model, so that none of them is found in the processor; what comes from the operation before stays there, as in a step.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"
#include "measure.h"

enum { TIMES = 4000 };
static const double SECONDS = 0.7;

/* in: one number a row and column; weights: of the model. Widths in floats; 0: none. */
typedef struct Case {
    Op op;
    const char *model;
    int32_t y, heads, state;           /* widths of y and of the state; heads of y, 0: it has none */
    struct { int32_t width, heads; float least, most; } in[8];    /* rows of the step, in order */
    int32_t weights[4];                /* rows of numbers each `y` times, after those */
    int inputs, from;
} Case;

static const Case cases[] = {
    {OP_CONV, "mamba2-2.7b", 5376, 0, 3 * 5376, {{5376, 0, -1, 1}}, {4, 1}, 1, 3},
    {OP_DECAY_SCAN, "mamba2-2.7b", 5120, 80, 5120 * 128,
     {{128, 1, -1, 1}, {128, 1, -1, 1}, {5120, 80, -1, 1}, {80, 0, 0.7f, 1}}, {0}, 4, 4},
    {OP_CONV, "mamba-2.8b", 5120, 0, 3 * 5120, {{5120, 0, -1, 1}}, {4, 1}, 1, 3},
    {OP_SELECTIVE_SCAN, "mamba-2.8b", 5120, 0, 5120 * 16,
     {{5120, 0, -1, 1}, {5120, 0, 0, 0.5f}, {16, 0, -1, 1}, {16, 0, -1, 1}}, {16, 1}, 4, 6},
    {OP_CONV, "qwen3-next-80b", 8192, 0, 3 * 8192, {{8192, 0, -1, 1}}, {4, 1}, 1, 3},
    {OP_DELTA_SCAN, "qwen3-next-80b", 4096, 32, 4096 * 128,
     {{2048, 16, -0.1f, 0.1f}, {2048, 16, -0.1f, 0.1f}, {4096, 32, -1, 1}, {32, 0, 0.7f, 1}, {32, 0, 0, 1}}, {0}, 5, 5},
};

typedef struct Options { int rows, seqs, megabytes, threads; CpuTier tier; } Options;

static Tensor floats(int64_t rows, int32_t width, float least, float most)
{
    float *x = huge_memory((size_t)rows * (size_t)width * sizeof *x);
    for (int64_t i = 0; i < rows * width; i++)
        x[i] = least + (most - least) * (float)rand() / (float)RAND_MAX;
    return tensor_of(x, &format_f32, (int32_t)rows, width);
}

static Tensor numbers(int32_t n, int of_each)
{
    int32_t *x = huge_memory((size_t)n * sizeof *x);
    for (int i = 0; i < n; i++)
        x[i] = i / of_each;
    return tensor_vector(x, &format_i32, n);
}

typedef struct Task {
    KernelTask op;
    Tensor from_copies[OP_INS], states;      /* what copy `i` of the weights and the state is a part of */
    size_t copies;
} Task;

/* The rows of all inputs lie in one matrix, as they come from the product before. */
static void make_rows(const Case *k, const Options *o, Task *t)
{
    int32_t rows = o->rows * o->seqs, width = 0, at = 0;
    for (int i = 0; i < k->inputs; i++)
        width += k->in[i].width;
    Tensor all = floats(rows, width, 0, 0);
    for (int i = 0; i < k->inputs; i++) {
        Tensor x = tensor_columns(all, at, k->in[i].width);
        Tensor values = floats(rows, k->in[i].width, k->in[i].least, k->in[i].most);
        for (int32_t r = 0; r < rows; r++)
            memcpy(tensor_row(x, r), tensor_row(values, r), tensor_row_bytes(values));
        t->op.call.in[i] = k->in[i].heads ? tensor_heads(x, k->in[i].heads) : x;
        at += k->in[i].width;
    }
    Tensor y = k->op == OP_CONV ? t->op.call.in[0] : floats(rows, k->y, 0, 0);
    t->op.call.out[0] = k->heads ? tensor_heads(y, k->heads) : y;
}

static Task task_of(const Case *k, const Options *o, Team *team)
{
    Task t = {.op = {.kernel = cpu_kernel(k->op, o->tier), .call = {.op = k->op, .reads_out = true}, .team = team}};
    int64_t floats_of_copy = (int64_t)k->state * o->seqs;
    t.op.call.activation = k->op == OP_CONV ? SILU : 0;
    for (int i = 0; k->weights[i]; i++)
        floats_of_copy += (int64_t)k->y * k->weights[i];
    t.copies = 1 + ((size_t)o->megabytes << 18) / (size_t)floats_of_copy;
    make_rows(k, o, &t);
    for (int i = 0; k->weights[i]; i++)
        t.from_copies[k->inputs + i] = floats((int64_t)t.copies * k->y, k->weights[i], -1, 0);
    t.states = floats((int64_t)t.copies * o->seqs, k->state, -1, 1);
    t.op.call.in[k->from] = t.op.call.in[k->from + 1] = numbers(o->seqs, 1);
    t.op.call.in[k->from + 2] = numbers(o->rows * o->seqs, o->rows);
    return t;
}

static void choose_copy(const Case *k, const Options *o, Task *t, size_t i)
{
    for (int w = 0; k->weights[w]; w++) {
        Tensor all = t->from_copies[k->inputs + w];
        float *data = (float *)all.data + i % t->copies * (size_t)k->y * (size_t)k->weights[w];
        t->op.call.in[k->inputs + w] = k->weights[w] == 1 ? tensor_vector(data, &format_f32, k->y)
                                                       : tensor_of(data, &format_f32, k->y, k->weights[w]);
    }
    float *state = (float *)t->states.data + i % t->copies * (size_t)o->seqs * (size_t)k->state;
    t->op.call.out[1] = tensor_of(state, &format_f32, o->seqs, k->state);
}

static void bench(const Case *k, const Options *o, Team *team)
{
    static double seconds[TIMES];
    Task t = task_of(k, o, team);
    double start = clock_seconds();
    int n = 0;
    for (size_t i = 0; n < TIMES && (n < 5 || clock_seconds() - start < SECONDS); i++) {
        choose_copy(k, o, &t, i);
        double begin = clock_seconds();
        kernel_task_run(&t.op);
        if (i >= 2)
            seconds[n++] = clock_seconds() - begin;
    }
    double median = median_of(seconds, n);
    OpCost cost = op_spec(k->op)->cost(&t.op.call);
    printf("%-15s %-15s %s %d x %d rows, %d threads  best %9.1f us  median %9.1f us  %6.1f GB/s  "
           "%7.1f GFLOP/s\n", op_name(k->op), k->model, cpu_tier_name(o->tier), o->seqs, o->rows,
           team_threads(team), seconds[0] * 1e6, median * 1e6, (cost.weight_bytes + cost.cache_bytes) / median * 1e-9,
           cost.operations / median * 1e-9);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    Options o = {.rows = 1, .seqs = 1, .megabytes = 512, .tier = cpu_best_tier()};
    const struct { char flag; int *value; } numbers_of[] = {{'r', &o.rows}, {'s', &o.seqs}, {'n', &o.megabytes},
                                                            {'t', &o.threads}};
    bool wanted[OP_COUNT] = {0}, some = false;
    for (int i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-' && i + 1 < argc;
        for (size_t k = 0; flag && k < sizeof numbers_of / sizeof *numbers_of; k++)
            if (argv[i][1] == numbers_of[k].flag)
                *numbers_of[k].value = atoi(argv[i + 1]);
        if (flag && argv[i][1] == 'a')
            cpu_tier_parse(argv[i + 1], &o.tier);
        for (int op = 0; !flag && op < OP_COUNT; op++)
            if (!strcmp(op_name((Op)op), argv[i]))
                wanted[op] = some = true;
        i += flag;
    }
    Team *team;
    Error err;
    if (team_new(&team, o.threads, false, &err) != OK)
        return 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!some || wanted[cases[i].op])
            bench(&cases[i], &o, team);
    team_free(team);
}
