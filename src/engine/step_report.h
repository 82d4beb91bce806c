/* step_report.h -- what the engine shows of itself: each step as it was, and who is there.
 *
 *     step    [ plan | forward                                  | sample, deliver ]     seconds
 *     rows    [ a row of each that generates | chunks of prompts ]                      decode, prefill
 *
 * Metrics, traces and a live view are made of these. They are given on the engine's thread, so whoever
 * receives them copies what it needs and returns: a step waits for it.
 */
#ifndef ENGINE_STEP_REPORT_H
#define ENGINE_STEP_REPORT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct StepReport {
    int64_t step;                  /* from 1 */
    double begun;                  /* as clock_seconds() */
    double plan_seconds;           /* wishes, deadlines, arrivals, drafts, who computes what */
    double forward_seconds;        /* tables to the device, the model */
    double deliver_seconds;        /* commit, read logits, sample, events; where tokens fly, those of the step before */
    int32_t entries, rows, prefill_rows, decode_rows, outs;   /* decode: of sequences that generate, drafts included */
    int32_t longest;               /* tokens of the longest past that a row saw */
    int32_t queued, serving;       /* requests: of which nothing runs, of which something does */
    int32_t waiting, running, resting;   /* sequences, as in EngineStats */
    int32_t started, preemptions, ended;   /* in this step: requests, sequences, requests */
} StepReport;

typedef enum SequencePhase {
    PHASE_QUEUED,                  /* nothing was computed for it yet */
    PHASE_FOLLOWS,                 /* a further sample: waits for the prompt that all share */
    PHASE_PREEMPTED,               /* gave its blocks back, and waits to go on */
    PHASE_PREFILL,                 /* its known tokens are being computed */
    PHASE_GENERATES,
    PHASE_RESTS,                   /* nobody reads its events */
} SequencePhase;

typedef struct SequenceView {
    const void *request;           /* to be compared, not followed */
    uint64_t tag, tenant;
    int32_t sample, slot;          /* slot: in the cache; -1: none */
    SequencePhase phase;
    int32_t prompt, known, computed, reused, limit;   /* tokens */
    int32_t priority, preemptions;
    bool promoted;                 /* has waited so long that it goes before all others */
    double age;                    /* seconds since submission */
    double waiting;                /* seconds since it last began to wait; 0: it runs */
} SequenceView;

#endif
