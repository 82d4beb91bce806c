/* experts.c -- how fast one row goes through the experts that it chose, in the shapes of known models:
 *
 *     make bench; build/bench/experts [FORMAT ...] [-r ROWS] [-t THREADS] [-a avx2|avx512|amx] [-n MEGABYTES]
 *
 * Each call takes other experts of another layer by chance, from MEGABYTES of them (1500), so none of their weights is found in
 * the processor. Prints the median time and the bytes of weights a second; and beside them those of experts so large that one
 * of them has the same bytes: what is lost because the bytes lie apart.
 */
#include <stdio.h>
#include <string.h>

#include "base/team.h"
#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"
#include "measure.h"

enum { TIMES = 4000, CHOSEN_MAX = 16, FORMATS_MAX = 8, ROWS_MAX = 64 };
static const double SECONDS = 0.7;

typedef struct Case {
    const char *model, *matrix;
    int32_t experts, used, in, out;
    bool own_x;
} Case;

static const Case cases[] = {
    {"olmoe-1b-7b", "gate", 64, 8, 2048, 1024, false},       {"olmoe-1b-7b", "down", 64, 8, 1024, 2048, true},
    {"qwen3-30b-a3b", "gate", 128, 8, 2048, 768, false},     {"qwen3-30b-a3b", "down", 128, 8, 768, 2048, true},
    {"deepseek-v2-lite", "gate", 64, 6, 2048, 1408, false},  {"deepseek-v2-lite", "down", 64, 6, 1408, 2048, true},
};

typedef struct Options { int rows, threads, megabytes; CpuTier tier; } Options;

typedef struct Task {
    KernelTask op;
    uint8_t *weights;         /* of all layers */
    size_t layer_bytes;
    int layers;
} Task;

static Tensor floats(int32_t rows, int32_t width)
{
    float *x = huge_memory((size_t)rows * (size_t)width * sizeof *x);
    for (int64_t i = 0; i < (int64_t)rows * width; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return tensor_of(x, &format_f32, rows, width);
}

/* Random bits, but for scales: those of a row that was encoded. */
static void make_experts(const Case *k, const Format *f, const Options *o, Task *t)
{
    const Panel *panel = cpu_panel(f, o->tier);
    size_t bytes = panel->bytes(k->in), row_bytes = format_row_bytes(f, k->in);
    size_t panels = (size_t)k->experts * (size_t)panel_count(k->out);
    uint8_t *rows = malloc(PANEL_ROWS * row_bytes);
    f->encode(rows, floats(PANEL_ROWS, k->in).data, PANEL_ROWS * (size_t)k->in, NULL);
    t->layer_bytes = panels * bytes;
    t->layers = 1 + (int)(((size_t)o->megabytes << 20) / t->layer_bytes);
    t->weights = huge_memory((size_t)t->layers * t->layer_bytes);
    panel->pack(t->weights, rows, row_bytes, PANEL_ROWS, k->in);
    for (size_t p = 1; p < panels * (size_t)t->layers; p++)
        memcpy(t->weights + p * bytes, t->weights, bytes);
    free(rows);
    t->op.call.in[1] = tensor_3d(t->weights, f, k->experts, k->out, k->in);
    t->op.call.in[1].packing = PACKING_PANELS;
}

static void choose(Task *t, const Case *k)
{
    int32_t *ids = t->op.call.in[3].data;
    t->op.call.in[1].data = t->weights + (size_t)(rand() % t->layers) * t->layer_bytes;
    for (int32_t i = 0; i < k->used * t->op.call.in[3].dim[0]; i++) {
        bool taken = true;
        while (taken) {
            ids[i] = (int32_t)(rand() % k->experts);
            taken = false;
            for (int32_t j = i / k->used * k->used; j < i; j++)
                taken |= ids[j] == ids[i];
        }
    }
}

static double gigabytes(const Case *k, const Format *f, const Options *o, Team *team, double *median)
{
    static double seconds[TIMES];
    static int32_t ids[ROWS_MAX * CHOSEN_MAX];
    Task t = {.op = {.kernel = cpu_kernel(OP_EXPERT_LINEAR, o->tier), .call = {.op = OP_EXPERT_LINEAR}, .team = team}};
    t.op.call.in[0] = floats(o->rows, k->own_x ? k->used * k->in : k->in);
    if (k->own_x)
        t.op.call.in[0] = tensor_heads(t.op.call.in[0], k->used);
    make_experts(k, f, o, &t);
    t.op.call.in[3] = tensor_of(ids, &format_i32, o->rows, k->used);
    t.op.call.out[0] = tensor_heads(floats(o->rows, k->used * k->out), k->used);
    t.op.scratch = huge_memory(t.op.kernel->scratch_bytes(&t.op.call));
    double start = clock_seconds(), bytes = (double)k->used * panel_count(k->out) * cpu_panel(f, o->tier)->bytes(k->in);
    int n = 0;
    for (int i = 0; n < TIMES && (n < 5 || clock_seconds() - start < SECONDS); i++) {
        choose(&t, k);
        double begin = clock_seconds();
        kernel_task_run(&t.op);
        if (i >= 2)
            seconds[n++] = clock_seconds() - begin;
    }
    *median = median_of(seconds, n);
    munmap(t.weights, (size_t)t.layers * t.layer_bytes);
    return bytes / *median * 1e-9;
}

static void bench(const Case *k, const Format *f, const Options *o, Team *team)
{
    Case whole = {k->model, k->matrix, k->experts / k->used, 1, k->in, k->out * k->used, k->own_x};
    double apart, together;
    double rate = gigabytes(k, f, o, team, &apart), rate_whole = gigabytes(&whole, f, o, team, &together);
    printf("%-17s %s  %-5s %s %d rows, %d threads  median %8.1f us  %5.1f GB/s   as one %8.1f us  %5.1f GB/s\n", k->model,
           k->matrix, f->name, cpu_tier_name(o->tier), o->rows, team_threads(team), apart * 1e6, rate, together * 1e6,
           rate_whole);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    Options o = {.rows = 1, .megabytes = 1500, .tier = cpu_best_tier()};
    const Format *formats[FORMATS_MAX];
    int count = 0;
    for (int i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-' && i + 1 < argc;
        if (flag && argv[i][1] == 'r')
            o.rows = atoi(argv[i + 1]) < ROWS_MAX ? atoi(argv[i + 1]) : ROWS_MAX;
        if (flag && argv[i][1] == 't')
            o.threads = atoi(argv[i + 1]);
        if (flag && argv[i][1] == 'n')
            o.megabytes = atoi(argv[i + 1]);
        if (flag && argv[i][1] == 'a')
            cpu_tier_parse(argv[i + 1], &o.tier);
        if (!flag && count < FORMATS_MAX && format_find(argv[i]))
            formats[count++] = format_find(argv[i]);
        i += flag;
    }
    if (!count)
        formats[count++] = format_find("Q4_0");
    Team *team;
    Error err;
    if (team_new(&team, o.threads, false, &err) != OK)
        return 1;
    for (int f = 0; f < count; f++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            bench(&cases[i], formats[f], &o, team);
    team_free(team);
}
