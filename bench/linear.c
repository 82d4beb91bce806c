/* linear.c -- how fast products are, by format and shape:
 *
 *     make bench; build/bench/linear [FORMAT ...] [-r ROWS] ... [-t THREADS] [-s SHAPE] [-a avx2|avx512|amx] [-n]
 *
 * Prints for each shape of a 1.1B Llama the best and the median time of one product, what it read of
 * weights a second (few rows: the limit is memory) and its operations a second (many rows: arithmetic).
 * -n: near, rounded to bf16. Copies of the weight are used in turn, so that one row finds none of it in a cache.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "base/team.h"
#include "devices/cpu/cpu_device.h"
#include "devices/cpu/cpu_tiers.h"
#include "formats/panel.h"
#include "measure.h"

enum { COPIES_BYTES = 400 << 20, TIMES = 200, SHAPES = 4 };
static const double SECONDS = 0.5;
static const int shapes[SHAPES][2] = {{2048, 2048}, {5632, 2048}, {2048, 5632}, {32000, 2048}};   /* out, in */

/* One random panel, repeated: to encode all rows would take longer than to measure. */
static uint8_t *packed_weight(const Panel *panel, int out, int in, int copies)
{
    size_t row_bytes = format_row_bytes(panel->format, in), bytes = panel->bytes(in);
    uint8_t *rows = malloc(16 * row_bytes), *all = huge_memory(bytes * (size_t)(out / 16) * (size_t)copies);
    float *x = malloc(sizeof(float) * (size_t)in);
    for (int r = 0; r < 16; r++) {
        for (int k = 0; k < in; k++)
            x[k] = (float)rand() / (float)RAND_MAX - 0.5f;
        panel->format->encode(rows + (size_t)r * row_bytes, x, (size_t)in, NULL);
    }
    panel->pack(all, rows, row_bytes, 16, in);
    for (size_t i = 1; i < (size_t)copies * (size_t)(out / 16); i++)
        memcpy(all + i * bytes, all, bytes);
    free(rows);
    free(x);
    return all;
}

static void bench_shape(const Panel *panel, CpuTier tier, bool near, Team *team, int rows, int out, int in)
{
    size_t bytes = panel->bytes(in) * (size_t)(out / 16);
    int copies = rows > 64 ? 1 : 1 + (int)(COPIES_BYTES / bytes);
    uint8_t *w = packed_weight(panel, out, in, copies);
    float *x = huge_memory(sizeof(float) * (size_t)rows * (size_t)in);
    float *y = huge_memory(sizeof(float) * (size_t)rows * (size_t)out);
    for (int i = 0; i < rows * in; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    KernelTask task = {.kernel = cpu_kernel(OP_LINEAR, tier), .team = team};
    task.call = (OpCall){.op = OP_LINEAR, .out = {tensor_of(y, &format_f32, rows, out)},
                         .in = {tensor_of(x, &format_f32, rows, in), tensor_of(w, panel->format, out, in)}};
    task.call.in[1].packing = 1;
    task.call.in[1].near = near;
    task.scratch = huge_memory(task.kernel->scratch_bytes(&task.call) + 64);
    double seconds[TIMES], start = clock_seconds();
    int n = 0;
    for (int i = 0; n < TIMES && (n < 5 || clock_seconds() - start < SECONDS); i++) {
        task.call.in[1].data = w + (size_t)(i % copies) * bytes;
        double t = clock_seconds();
        kernel_task_run(&task);
        if (i >= 2)
            seconds[n++] = clock_seconds() - t;
    }
    double median = median_of(seconds, n);
    printf("%-8s %5d x %-5d %4d rows  %d threads  best %9.1f us  median %9.1f us  %6.1f GB/s  %7.1f GOP/s\n",
           panel->format->name, out, in, rows, team_threads(team), seconds[0] * 1e6, median * 1e6,
           (double)bytes / median * 1e-9, 2.0 * rows * out * in / median * 1e-9);
    munmap(w, bytes * (size_t)copies);
    munmap(x, sizeof(float) * (size_t)rows * (size_t)in);
    munmap(y, sizeof(float) * (size_t)rows * (size_t)out);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int rows[8] = {1, 512}, n_rows = 0, threads = 2, only_shape = -1;
    CpuTier tier = cpu_best_tier();
    const Format *formats[64] = {NULL};
    bool near = false;
    int n_formats = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-r") && i + 1 < argc && n_rows < 8)
            rows[n_rows++] = atoi(argv[++i]);
        else if (!strcmp(argv[i], "-t") && i + 1 < argc)
            threads = atoi(argv[++i]);
        else if (!strcmp(argv[i], "-s") && i + 1 < argc)
            only_shape = atoi(argv[++i]);
        else if (!strcmp(argv[i], "-a") && i + 1 < argc && cpu_tier_parse(argv[i + 1], &tier))
            i++;
        else if (!strcmp(argv[i], "-n"))
            near = true;
        else if (format_find(argv[i]) && n_formats < 63)
            formats[n_formats++] = format_find(argv[i]);
        else
            return fprintf(stderr, "linear: '%s' is no format and no option\n", argv[i]), 1;
    }
    for (int i = 0; !n_formats && format_at(i); i++)
        formats[i] = format_at(i);
    Team *team;
    Error err;
    if (team_new(&team, threads, true, &err) != OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    for (int f = 0; f < 64 && formats[f]; f++) {
        const Panel *panel = cpu_panel(formats[f], tier);
        if (!panel)
            continue;
        for (int r = 0; r < (n_rows ? n_rows : 2); r++)
            for (int s = 0; s < SHAPES; s++)
                if (only_shape < 0 || only_shape == s)
                    bench_shape(panel, tier, near, team, rows[r], shapes[s][0], shapes[s][1]);
    }
    team_free(team);
    return 0;
}
