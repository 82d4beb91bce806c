/* probe.h -- measures this machine: how fast memory can be read, by pattern, page size and threads, and how fast
 * the cores multiply.
 *
 * Reading: each thread reads its own part of one buffer that no cache can hold, as one stream or as several side by
 * side, from small pages and from huge ones. A token cannot come sooner than the best of these allows.
 * Copying: each thread copies its own part of one half of the buffer to the other; a model cannot be loaded sooner.
 * Multiplying: independent sums in registers, of the best instructions that each tier has; a prompt cannot be read
 * sooner than these allow.
 *
 * Each number is the best of PROBE_TIMES runs: whatever else the machine does can only make them smaller.
 */
#ifndef TOOLS_PROBE_H
#define TOOLS_PROBE_H

#include "base/cpu_tier.h"
#include "base/team.h"
#include "core/machine.h"

enum { PROBE_TIMES = 5, PROBE_STREAMS = 4, PROBE_PAGES = 2, PROBE_KINDS = 3 };

extern const int probe_streams[PROBE_STREAMS];                 /* 1, 2, 4, 8 of each thread */
extern const char *const probe_pages[PROBE_PAGES];             /* "small", "huge" */
extern const char *const probe_kinds[PROBE_KINDS];             /* "fp32", "bf16", "int8" */

typedef struct ProbeReads {                                    /* bytes per second */
    int threads;
    double of[PROBE_PAGES][PROBE_STREAMS];
} ProbeReads;

typedef struct Probe {
    CpuTier tier;
    int threads;
    ProbeReads one, all;                                       /* of one thread, of all */
    double copies[PROBE_PAGES];                                /* bytes copied per second, by all threads */
    double peaks[PROBE_KINDS];                                 /* operations per second of all threads; 0: has no such */
} Probe;

typedef struct ProbeOptions {
    int threads;                 /* 0: as many as may be used */
    CpuTier tier;
    size_t buffer_bytes;         /* 0: 512 MiB, or what half of the free memory allows */
    void (*report)(void *context, double done, double total);  /* may be NULL */
    void *report_context;
} ProbeOptions;

Err probe_run(const ProbeOptions *, Probe *out, Error *err);
double probe_bandwidth(const Probe *);                         /* the best of all */
Machine probe_machine(const Probe *);                          /* with the processor's name and today's date */
json_t *probe_json(const Probe *);

/* One thread's part: `rounds` of independent products; returns operations. Built per tier; 0: has no such. */
typedef double ProbeLoop(int64_t rounds, float *sink);
typedef struct ProbeLoops { ProbeLoop *of[PROBE_KINDS]; } ProbeLoops;

#endif
