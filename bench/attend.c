/* attend.c -- how fast the past is read, by format of the cache, heads and context:
 *
 *     make bench; build/bench/attend [FORMAT ...] [-c CONTEXT] [-s SEQUENCES] [-r ROWS] [-k KV HEADS] [-g GROUP] [-w WIDTH]
 *                                    [-b BLOCK TOKENS] [-n MEGABYTES] [-l] [-m] [-t THREADS] [-a TIER] [-x]
 *
 * One step of attention, `rows` a sequence, GROUP query heads to a kv head; -l: a latent, whose values are the first 8/9 of
 * its keys; -m: blocks lie mixed, as after a day of serving; -x: as with --products bf16. Prints the best and the median
 * time, what was read of the cache a second (once for all heads of a group), and operations a second. As many caches are
 * used in turn as fill MEGABYTES (512), like the layers of a model, so that none of them is found in the processor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/team.h"
#include "devices/cpu/cpu_device.h"
#include "devices/cpu/cpu_tiers.h"
#include "kernels/op_spec.h"
#include "measure.h"

enum { TIMES = 2000 };
static const double SECONDS = 0.7;

typedef struct Shape {
    int context, seqs, rows, kv_heads, group, width, block_tokens, megabytes;
    bool latent, mixed, near;
} Shape;

static float *floats(size_t n)
{
    float *x = huge_memory(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return x;
}

/* Random keys of one position, repeated with a step that no period of blocks meets. */
static Tensor pool(const Format *f, const Shape *s, int blocks, int copies)
{
    enum { ROWS = 101 };
    Tensor t = tensor_4d(NULL, f, blocks * copies, s->kv_heads, s->block_tokens, s->width);
    size_t row = format_row_bytes(f, s->width), bytes = tensor_bytes(t);
    float *x = floats((size_t)ROWS * (size_t)s->width);
    uint8_t *rows = malloc(ROWS * row);
    for (int i = 0; i < ROWS; i++)
        f->encode(rows + (size_t)i * row, x + (size_t)i * (size_t)s->width, (size_t)s->width, NULL);
    t.data = huge_memory(bytes);
    for (size_t at = 0; at < bytes; at += row)
        memcpy((uint8_t *)t.data + at, rows + at / row % ROWS * row, row);
    t.dim[0] = blocks;
    return t;
}

static Tensor tables(const Shape *s, int of_seq)
{
    int blocks = of_seq * s->seqs;
    int32_t *table = huge_memory((size_t)blocks * sizeof *table);
    for (int i = 0; i < blocks; i++)
        table[i] = i;
    for (int i = blocks - 1; i > 0 && s->mixed; i--) {
        int other = rand() % (i + 1), kept = table[i];
        table[i] = table[other];
        table[other] = kept;
    }
    return tensor_of(table, &format_i32, s->seqs, of_seq);
}

static void bench(const Format *f, const Shape *s, CpuTier tier, Team *team)
{
    int of_seq = (s->context + s->block_tokens - 1) / s->block_tokens, blocks = of_seq * s->seqs, rows = s->rows * s->seqs;
    int heads = s->kv_heads * s->group, y_width = s->latent ? s->width / 9 * 8 : s->width;
    size_t bytes = (size_t)blocks * (size_t)s->kv_heads * (size_t)s->block_tokens * format_row_bytes(f, s->width);
    int copies = 1 + (int)(((size_t)s->megabytes << 20) / bytes / (s->latent ? 1 : 2));
    int32_t *positions = huge_memory((size_t)rows * sizeof *positions), *row_seq = huge_memory((size_t)rows * sizeof *row_seq);
    for (int i = 0; i < rows; i++) {
        positions[i] = s->context - s->rows + i % s->rows;
        row_seq[i] = i / s->rows;
    }
    Tensor k = pool(f, s, blocks, copies), v = s->latent ? (Tensor){0} : pool(f, s, blocks, copies);
    KernelTask task = {.kernel = cpu_kernel(OP_ATTEND, tier), .team = team, .near = s->near};
    float *y = huge_memory((size_t)rows * (size_t)heads * (size_t)y_width * sizeof *y);
    task.call = (OpCall){.op = OP_ATTEND, .attend = {.scale = 1 / 8.0f},
                         .out = {tensor_3d(y, &format_f32, rows, heads, y_width)},
                         .in = {tensor_3d(floats((size_t)rows * (size_t)heads * (size_t)s->width), &format_f32, rows, heads,
                                          s->width), k, v, tables(s, of_seq), tensor_vector(positions, &format_i32, rows),
                                tensor_vector(row_seq, &format_i32, rows)}};
    task.scratch = huge_memory(task.kernel->scratch_bytes(&task.call) + 64);
    double seconds[TIMES], start = clock_seconds();
    int n = 0;
    for (int i = 0; n < TIMES && (n < 5 || clock_seconds() - start < SECONDS); i++) {
        task.call.in[1].data = (uint8_t *)k.data + (size_t)(i % copies) * bytes;
        if (!s->latent)
            task.call.in[2].data = (uint8_t *)v.data + (size_t)(i % copies) * bytes;
        double t = clock_seconds();
        kernel_task_run(&task);
        if (i >= 2)
            seconds[n++] = clock_seconds() - t;
    }
    double median = median_of(seconds, n);
    OpCost cost = op_spec(OP_ATTEND)->cost(&task.call);
    printf("%-8s %s %d x %d rows behind %d, %d heads over %d of %d, %d threads  best %9.1f us  median %9.1f us  %6.1f GB/s  "
           "%7.1f GFLOP/s\n", f->name, cpu_tier_name(tier), s->seqs, s->rows, s->context, heads, s->kv_heads, s->width,
           team_threads(team), seconds[0] * 1e6, median * 1e6, cost.cache_bytes / median * 1e-9,
           cost.operations / median * 1e-9);
    fflush(stdout);
    munmap(k.data, bytes * (size_t)copies);
    if (!s->latent)
        munmap(v.data, bytes * (size_t)copies);
}

int main(int argc, char **argv)
{
    Shape s = {.context = 8192, .seqs = 1, .rows = 1, .kv_heads = 4, .group = 8, .width = 64, .block_tokens = 16,
               .megabytes = 512};
    CpuTier tier = cpu_best_tier();
    const char *names[16] = {"F32", "F16", "BF16", "F8_E4M3", "Q8_0"};
    int n = 0, threads = 0;
    const struct { char flag; int *value; } numbers[] = {{'c', &s.context}, {'s', &s.seqs}, {'r', &s.rows}, {'k', &s.kv_heads},
                                                         {'g', &s.group}, {'w', &s.width}, {'b', &s.block_tokens},
                                                         {'t', &threads}, {'n', &s.megabytes}};
    for (int i = 1; i < argc; i++) {
        bool flag = argv[i][0] == '-';
        s.latent = s.latent || !strcmp(argv[i], "-l");
        s.mixed = s.mixed || !strcmp(argv[i], "-m");
        for (size_t k = 0; flag && i + 1 < argc && k < sizeof numbers / sizeof *numbers; k++)
            if (argv[i][1] == numbers[k].flag)
                *numbers[k].value = atoi(argv[i + 1]);
        s.near = s.near || !strcmp(argv[i], "-x");
        if (flag && argv[i][1] == 'a')
            cpu_tier_parse(argv[i + 1], &tier);
        if (!flag && n < 15)
            names[n++] = argv[i];
        i += flag && !strchr("lmx", argv[i][1]);
    }
    Team *team;
    Error err;
    if (team_new(&team, threads, false, &err) != OK)
        return 1;
    for (int i = 0; i < (n ? n : 5); i++) {
        const Format *f = format_find(names[i]);
        if (f && f->encode && s.width % f->block_elems == 0)
            bench(f, &s, tier, team);
        else
            fprintf(stderr, "%s cannot be measured with heads of %d\n", names[i], s.width);
    }
    team_free(team);
}
