#include "tools/probe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/cpu_count.h"

enum { LINE = 64, HUGE_PAGE = 2 << 20, PREFETCH_LINES = 16 };
static const size_t BUFFER_BYTES = (size_t)512 << 20, BUFFER_BYTES_MIN = (size_t)16 << 20;
static const double LOOP_SECONDS = 0.03;      /* of one run of a loop that multiplies */

const int probe_streams[PROBE_STREAMS] = {1, 2, 4, 8};
const char *const probe_pages[PROBE_PAGES] = {"small", "huge"};
const char *const probe_kinds[PROBE_KINDS] = {"fp32", "bf16", "int8"};

#define LOOPS_OF(x, NAME, name) extern const ProbeLoops probe_loops_##name;
CPU_TIERS(LOOPS_OF, )
#undef LOOPS_OF

/* ---- reading and copying ---- */

typedef uint64_t Vector __attribute__((vector_size(64)));

typedef struct Read {
    const uint8_t *data;
    size_t bytes;                 /* of each thread */
    int streams;                  /* which of probe_streams */
    uint64_t sums[TEAM_THREADS_MAX];
} Read;

/* Compiled for every number of streams, so that each has registers of its own. */
#define READER(STREAMS)                                                                      \
    static uint64_t read_##STREAMS(const uint8_t *p, size_t bytes)                           \
    {                                                                                        \
        Vector sum[STREAMS] = {0};                                                           \
        size_t part = bytes / STREAMS / LINE * LINE;                                         \
        for (size_t i = 0; i < part; i += LINE)                                              \
            _Pragma("GCC unroll 8") for (int s = 0; s < STREAMS; s++)                        \
            {                                                                                \
                const uint8_t *at = p + (size_t)s * part + i;                                \
                __builtin_prefetch(at + (size_t)PREFETCH_LINES * LINE);                      \
                sum[s] += *(const Vector *)(const void *)at;                                 \
            }                                                                                \
        uint64_t all = 0;                                                                    \
        for (int s = 0; s < STREAMS; s++)                                                    \
            all += sum[s][0];                                                                \
        return all;                                                                          \
    }
READER(1)
READER(2)
READER(4)
READER(8)

static void read_part(void *context, int index, int count)
{
    static uint64_t (*const reader[PROBE_STREAMS])(const uint8_t *, size_t) = {read_1, read_2, read_4, read_8};
    Read *r = context;
    (void)count;
    r->sums[index] = reader[r->streams](r->data + (size_t)index * r->bytes, r->bytes);
}

/* Bytes per second, the best of some times. */
static double best_rate(Team *team, int threads, TeamTask *part, void *context, double bytes)
{
    double best = 0;
    for (int i = 0; i < PROBE_TIMES; i++) {
        double start = clock_seconds();
        team_run(team, threads, part, context);
        double rate = bytes / (clock_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

static double read_rate(Team *team, const uint8_t *data, size_t bytes, int threads, int streams)
{
    Read r = {.data = data, .bytes = bytes / (size_t)threads / HUGE_PAGE * HUGE_PAGE, .streams = streams};
    return best_rate(team, threads, read_part, &r, (double)r.bytes * threads);
}

typedef struct Copy {
    const uint8_t *from;
    uint8_t *to;
    size_t bytes;                 /* of each thread */
} Copy;

static void copy_part(void *context, int index, int count)
{
    Copy *c = context;
    size_t at = (size_t)index * c->bytes;
    (void)count;
    memcpy(c->to + at, c->from + at, c->bytes);
}

static double copy_rate(Team *team, uint8_t *data, size_t bytes, int threads)
{
    Copy c = {.from = data, .to = data + bytes / 2, .bytes = bytes / 2 / (size_t)threads / LINE * LINE};
    return best_rate(team, threads, copy_part, &c, (double)c.bytes * threads);
}

static Err take_buffer(size_t bytes, bool huge, uint8_t **out, void **whole, Error *err)
{
    *whole = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*whole == MAP_FAILED)
        return fail(err, NO_MEMORY, "no memory to read from: %zu MiB", bytes >> 20);
    *out = (uint8_t *)*whole + (-(uintptr_t)*whole & (HUGE_PAGE - 1));
    madvise(*out, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);   /* where it is refused, "huge" measures small ones */
    memset(*out, 1, bytes);
    return OK;
}

static size_t buffer_bytes(const ProbeOptions *o)
{
    if (o->buffer_bytes)
        return o->buffer_bytes > BUFFER_BYTES_MIN ? o->buffer_bytes / HUGE_PAGE * HUGE_PAGE : BUFFER_BYTES_MIN;
    size_t half = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2;
    return half < BUFFER_BYTES ? (half > BUFFER_BYTES_MIN ? half / HUGE_PAGE * HUGE_PAGE : BUFFER_BYTES_MIN) : BUFFER_BYTES;
}

/* ---- multiplying ---- */

typedef struct Multiply {
    ProbeLoop *loop;
    int64_t rounds;
    float sinks[TEAM_THREADS_MAX];
    double operations[TEAM_THREADS_MAX];
} Multiply;

static void multiply_part(void *context, int index, int count)
{
    Multiply *m = context;
    (void)count;
    m->operations[index] = m->loop(m->rounds, &m->sinks[index]);
}

static double multiply_rate(Team *team, int threads, ProbeLoop *loop)
{
    Multiply m = {.loop = loop, .rounds = 1 << 12};
    double best = 0;
    for (int i = 0; i < PROBE_TIMES;) {
        double start = clock_seconds();
        team_run(team, threads, multiply_part, &m);
        double seconds = clock_seconds() - start, operations = 0;
        for (int t = 0; t < threads; t++)
            operations += m.operations[t];
        if (seconds < LOOP_SECONDS) {
            m.rounds *= 2;
            continue;
        }
        best = operations / seconds > best ? operations / seconds : best;
        i++;
    }
    return best;
}

static const ProbeLoops *loops_of(CpuTier tier)
{
    const ProbeLoops *const loops[TIER_COUNT] = {
#define LOOPS_OF(x, NAME, name) [TIER_##NAME] = &probe_loops_##name,
        CPU_TIERS(LOOPS_OF, )
#undef LOOPS_OF
    };
    return loops[cpu_tier_whole(tier)];
}

/* ---- all of it ---- */

typedef struct Run {
    const ProbeOptions *o;
    Probe *out;
    Team *team;
    int done, total;
} Run;

static void report(Run *r)
{
    if (r->o->report)
        r->o->report(r->o->report_context, r->done, r->total);
    r->done++;
}

static Err probe_memory(Run *r, Error *err)
{
    size_t bytes = buffer_bytes(r->o);
    for (int pages = 0; pages < PROBE_PAGES; pages++) {
        uint8_t *data = NULL;
        void *whole = NULL;
        TRY(take_buffer(bytes, pages == 1, &data, &whole, err));
        for (int streams = 0; streams < PROBE_STREAMS; streams++) {
            report(r);
            r->out->one.of[pages][streams] = read_rate(r->team, data, bytes, 1, streams);
            r->out->all.of[pages][streams] = read_rate(r->team, data, bytes, r->out->threads, streams);
        }
        report(r);
        r->out->copies[pages] = copy_rate(r->team, data, bytes, r->out->threads);
        munmap(whole, bytes + HUGE_PAGE);
    }
    return OK;
}

static void probe_peaks(Run *r)
{
    const ProbeLoops *loops = loops_of(r->out->tier);
    for (int kind = 0; loops && kind < PROBE_KINDS; kind++) {
        report(r);
        if (loops->of[kind])
            r->out->peaks[kind] = multiply_rate(r->team, r->out->threads, loops->of[kind]);
    }
}

Err probe_run(const ProbeOptions *o, Probe *out, Error *err)
{
    Run r = {.o = o, .out = out, .total = PROBE_PAGES * (PROBE_STREAMS + 1) + PROBE_KINDS};
    TRY(team_new(&r.team, o->threads, true, err));
    *out = (Probe){.tier = o->tier == TIER_BEST ? cpu_best_tier() : o->tier, .threads = team_threads(r.team)};
    out->one.threads = 1;
    out->all.threads = out->threads;
    Err result = probe_memory(&r, err);
    if (result == OK)
        probe_peaks(&r);
    report(&r);
    team_free(r.team);
    return result;
}

double probe_bandwidth(const Probe *p)
{
    double best = 0;
    for (int pages = 0; pages < PROBE_PAGES; pages++)
        for (int streams = 0; streams < PROBE_STREAMS; streams++) {
            best = p->one.of[pages][streams] > best ? p->one.of[pages][streams] : best;
            best = p->all.of[pages][streams] > best ? p->all.of[pages][streams] : best;
        }
    return best;
}

/* ---- what it says ---- */

static void processor_name(char *out, size_t bytes)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(out, bytes, "this machine");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && colon) {
            snprintf(out, bytes, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (file)
        fclose(file);
}

Machine probe_machine(const Probe *p)
{
    Machine m = {.bytes_per_second = probe_bandwidth(p),
                 .copy_bytes_per_second = p->copies[0] > p->copies[1] ? p->copies[0] : p->copies[1], .threads = p->threads,
                 .memory_bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE),
                 .fp32 = p->peaks[0], .bf16 = p->peaks[1], .int8 = p->peaks[2]};
    time_t seconds = time(NULL);
    struct tm now;
    localtime_r(&seconds, &now);
    processor_name(m.name, sizeof m.name);
    snprintf(m.source, sizeof m.source, "ridge probe, %04d-%02d-%02d, %d threads, %s", now.tm_year + 1900, now.tm_mon + 1,
             now.tm_mday, p->threads, cpu_tier_name(p->tier));
    return m;
}

static json_t *reads_json(const ProbeReads *reads)
{
    json_t *list = json_array();
    for (int pages = 0; pages < PROBE_PAGES; pages++)
        for (int streams = 0; streams < PROBE_STREAMS; streams++)
            json_array_append_new(list, json_pack("{s:i, s:s, s:i, s:f}", "threads", reads->threads, "pages",
                                                  probe_pages[pages], "streams_per_thread", probe_streams[streams],
                                                  "bytes_per_second", reads->of[pages][streams]));
    return list;
}

json_t *probe_json(const Probe *p)
{
    Machine m = probe_machine(p);
    json_t *json = machine_json(&m), *reads = reads_json(&p->one), *all = reads_json(&p->all);
    if (p->threads > 1)
        json_array_extend(reads, all);
    json_decref(all);
    json_object_set_new(json, "reads", reads);
    json_t *copies = json_array();
    for (int pages = 0; pages < PROBE_PAGES; pages++)
        json_array_append_new(copies, json_pack("{s:i, s:s, s:f}", "threads", p->threads, "pages", probe_pages[pages],
                                                "bytes_per_second", p->copies[pages]));
    json_object_set_new(json, "copies", copies);
    return json;
}
