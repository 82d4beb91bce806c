/* cmd_probe.c -- ridge probe: what this machine can do, measured and kept. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/number_text.h"
#include "main/session.h"
#include "tools/probe.h"
#include "tools/probe_gpu.h"

typedef struct Options {
    const char *out;
    int32_t device, threads, tier, megabytes;
    bool json, dry;
} Options;

enum { DEVICE_CPU, DEVICE_CUDA };

static const Flag flags[] = {
    {"--device", NULL, "DEVICE", FLAG_CHOICE, offsetof(Options, device), .choices = "cpu,cuda",
     .help = "what is measured: the processor and its memory, or the GPU (cpu)"},
    {"--threads", "-t", "N", FLAG_INT, offsetof(Options, threads), .min = 0, .max = TEAM_THREADS_MAX,
     .help = "threads; 0: as many as the processor and its cgroup allow (0)"},
    {"--tier", NULL, "TIER", FLAG_CHOICE, offsetof(Options, tier), .choices = CPU_TIER_CHOICES,
     .help = "instruction set whose products are measured (best)"},
    {"--megabytes", NULL, "N", FLAG_INT, offsetof(Options, megabytes), .min = 0, .max = 1 << 20,
     .help = "of memory to read from; 0: 512, or half of what is free (0)"},
    {"--output", "-o", "FILE", FLAG_TEXT, offsetof(Options, out),
     .help = "where the result is kept ($RIDGE_MACHINE, or ~/.cache/ridge/machine.json; of a GPU machine-gpu.json there)"},
    {"--dry-run", NULL, NULL, FLAG_SWITCH, offsetof(Options, dry), .help = "keep nothing"},
    {"--json", NULL, NULL, FLAG_SWITCH, offsetof(Options, json), .help = "print JSON: the machine, and each reading"},
};
static const FlagGroup groups[] = {FLAG_GROUP("options", flags, NULL), {0}};
static int run(int argc, char **argv);

const Command command_probe = {
    .name = "probe",
    .arguments = "[options]",
    .summary = "measure how fast this machine reads memory and multiplies",
    .description =
        "A token needs all weights read, so it cannot come sooner than the memory allows; a prompt needs "
        "them multiplied, so it cannot be read sooner than the cores allow. probe measures both limits: "
        "reading as one stream or several, from small pages and huge ones, with one thread and with all; copying; and the "
        "best instructions for fp32, bf16 and int8. The result is kept in a file, and whatever ridge says "
        "about a share of the possible is held against it. Run it while nothing else runs.\n\n"
        "Of a GPU (--device cuda): how fast its memory is read, where no cache holds it, a large product of bf16, and what "
        "comes to it from the host; of random numbers, since zeros cost it less.",
    .examples = "  ridge probe\n  ridge probe --json\n  ridge probe -t 1 --dry-run\n  ridge probe --device cuda\n",
    .groups = groups,
    .run = run,
};

static void show_progress(void *context, double done, double total)
{
    (void)context;
    if (!isatty(STDERR_FILENO))
        return;
    if (done < total)
        fprintf(stderr, "\rmeasuring %3.0f%%", 100 * done / total);
    else
        fprintf(stderr, "\r%16s\r", "");
}

static void print_reads(const ProbeReads *reads)
{
    for (int pages = 0; pages < PROBE_PAGES; pages++) {
        printf("%7d  %-5s", reads->threads, probe_pages[pages]);
        for (int streams = 0; streams < PROBE_STREAMS; streams++)
            printf("  %9.1f", reads->of[pages][streams] / 1e9);
        putchar('\n');
    }
}

static void print_people(const Probe *p)
{
    Machine m = probe_machine(p);
    printf("%s, %d threads, %s, %s MiB\n\nmemory, GB/s\nthreads  pages", m.name, p->threads, cpu_tier_name(p->tier),
           number_text((uint64_t)m.memory_bytes >> 20).text);
    for (int streams = 0; streams < PROBE_STREAMS; streams++)
        printf("  %d stream%s", probe_streams[streams], streams ? "s" : " ");
    putchar('\n');
    print_reads(&p->one);
    if (p->threads > 1)
        print_reads(&p->all);
    printf("\ncopying with %d threads, GB/s: %.1f from small pages, %.1f from huge ones\n", p->threads, p->copies[0] / 1e9,
           p->copies[1] / 1e9);
    printf("\nproducts, 10^12 operations per second\n");
    for (int kind = 0; kind < PROBE_KINDS; kind++)
        if (p->peaks[kind] > 0)
            printf("%7s  %.2f\n", probe_kinds[kind], p->peaks[kind] / 1e12);
    double best = m.int8 > m.fp32 ? m.int8 : m.fp32;
    if (best > 0)
        printf("\nThe ridge point: %.0f operations for each byte that is read.\n", best / m.bytes_per_second);
}

static Err keep(const Options *o, const Machine *m, Error *err)
{
    char path[MACHINE_PATH_BYTES];
    if (o->dry)
        return OK;
    if (!o->out)
        TRY(machine_path(m->gpu, path, err));
    TRY(machine_write(o->out ? o->out : path, m, err));
    if (!o->json)
        printf("Kept in %s.\n", o->out ? o->out : path);
    return OK;
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

static Err probe_gpu(const Options *o, Error *err)
{
    Machine m;
    TRY(probe_gpu_run(0, &m, err));
    if (o->json)
        print_json(machine_json(&m));
    else
        printf("%s, %s MiB\n\nmemory is read at %.1f GB/s, filled from the host at %.1f GB/s\nproducts of bf16: %.1f 10^12 "
               "operations per second\n\nThe ridge point: %.0f operations for each byte that is read.\n", m.name,
               number_text((uint64_t)m.memory_bytes >> 20).text, m.bytes_per_second / 1e9, m.copy_bytes_per_second / 1e9,
               m.bf16 / 1e12, m.bf16 / m.bytes_per_second);
    TRY(keep(o, &m, err));
    return stdout_flush(err);
}

static Err probe_cpu(const Options *o, Error *err)
{
    Probe p;
    ProbeOptions options = {.threads = o->threads, .tier = (CpuTier)(o->tier - 1),
                            .buffer_bytes = (size_t)o->megabytes << 20, .report = show_progress};
    TRY(probe_run(&options, &p, err));
    if (o->json)
        print_json(probe_json(&p));
    else
        print_people(&p);
    Machine m = probe_machine(&p);
    TRY(keep(o, &m, err));
    return stdout_flush(err);
}

static int run(int argc, char **argv)
{
    Options options = {0};
    FlagGroup filled[] = {FLAG_GROUP("options", flags, &options), {0}};
    Error err;
    int words, status;
    if (!command_begin(&command_probe, filled, argc, argv, NULL, 0, &words, &status))
        return status;
    Err result = options.device == DEVICE_CUDA ? probe_gpu(&options, &err) : probe_cpu(&options, &err);
    return result == OK ? 0 : command_fail(&err);
}
