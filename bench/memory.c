/* memory.c -- how fast this machine's memory can be read: the bound of every generated token.
 *
 *     make bench; build/bench/memory [-t THREADS] [-m MEGABYTES]
 *
 * Each thread reads its own part of one buffer, as one stream or as several that run side by side, from
 * small pages and from huge ones, with and without software prefetch. What a product of one row reaches
 * (build/bench/linear) is held against the best of these.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/mman.h>

#include "base/team.h"

enum { TIMES = 7, LINE = 64, HUGE_PAGE = 2 << 20 };
typedef uint64_t Vector __attribute__((vector_size(64)));

typedef struct Read {
    const uint8_t *data;
    size_t bytes;                 /* of each thread */
    int streams, ahead;           /* ahead: lines that are prefetched; 0: none */
    uint64_t sums[TEAM_THREADS_MAX];
} Read;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Compiled for every number of streams, so that each has registers of its own. */
#define READER(STREAMS)                                                                                            \
    static uint64_t read_##STREAMS(const uint8_t *p, size_t bytes, size_t ahead)                                   \
    {                                                                                                              \
        Vector sum[STREAMS] = {0};                                                                                 \
        size_t part = bytes / STREAMS / LINE * LINE;                                                               \
        for (size_t i = 0; i < part; i += LINE)                                                                    \
            _Pragma("GCC unroll 8") for (int s = 0; s < STREAMS; s++)                                              \
            {                                                                                                      \
                const uint8_t *at = p + (size_t)s * part + i;                                                      \
                if (ahead)                                                                                         \
                    __builtin_prefetch(at + ahead);                                                                \
                sum[s] += *(const Vector *)(const void *)at;                                                       \
            }                                                                                                      \
        uint64_t all = 0;                                                                                          \
        for (int s = 0; s < STREAMS; s++)                                                                          \
            all += sum[s][0];                                                                                      \
        return all;                                                                                                \
    }
READER(1)
READER(2)
READER(4)
READER(8)

static void task(void *context, int index, int count)
{
    Read *r = context;
    (void)count;
    const uint8_t *p = r->data + (size_t)index * r->bytes;
    size_t ahead = (size_t)r->ahead * LINE;
    uint64_t (*const reader[])(const uint8_t *, size_t, size_t) = {
        [1] = read_1, [2] = read_2, [4] = read_4, [8] = read_8};
    r->sums[index] = reader[r->streams](p, r->bytes, ahead);
}

static uint8_t *memory(size_t bytes, bool huge)
{
    uint8_t *p = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        abort();
    p += -(uintptr_t)p & (HUGE_PAGE - 1);
    madvise(p, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(p, 1, bytes);
    return p;
}

static double best_rate(Team *team, Read *r, int threads)
{
    double best = 0;
    for (int i = 0; i < TIMES; i++) {
        double start = now();
        team_run(team, threads, task, r);
        double rate = (double)r->bytes * threads / (now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    int threads = 0;
    size_t megabytes = 512;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "-t"))
            threads = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "-m"))
            megabytes = (size_t)atol(argv[i + 1]);
    }
    Team *team;
    Error err;
    if (team_new(&team, threads, true, &err) != OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    threads = team_threads(team);
    static const int streams[] = {1, 2, 4, 8}, ahead[] = {0, 16, 64};
    printf("%-6s %8s", "pages", "prefetch");
    for (size_t s = 0; s < COUNT_OF(streams); s++)
        printf("  %d streams", streams[s]);
    printf("      GB/s of %d threads\n", threads);
    for (int huge = 0; huge < 2; huge++) {
        uint8_t *p = memory(megabytes << 20, huge);
        for (size_t a = 0; a < COUNT_OF(ahead); a++) {
            printf("%-6s %8d", huge ? "huge" : "small", ahead[a]);
            for (size_t s = 0; s < COUNT_OF(streams); s++) {
                Read r = {.data = p, .bytes = (megabytes << 20) / (size_t)threads, .streams = streams[s], .ahead = ahead[a]};
                printf(" %10.1f", best_rate(team, &r, threads));
            }
            putchar('\n');
        }
        munmap(p, megabytes << 20);
    }
    team_free(team);
    return 0;
}
