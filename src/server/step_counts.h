/* step_counts.h -- what the steps of the engine have done so far, gathered by the engine's thread as they end.
 *
 * The engine tells of each step (EngineOptions.observe) and the device of each byte; step_counts_take() adds it up.
 * Only the engine's thread touches it.
 */
#ifndef SERVER_STEP_COUNTS_H
#define SERVER_STEP_COUNTS_H

#include "core/verdict.h"
#include "engine/step_report.h"

typedef struct DeviceWork { double bytes, operations; } DeviceWork;    /* so far */

typedef struct StepCounts {
    StepReport last;
    int64_t prefill_rows, decode_rows, outs;      /* of all steps; outs: tokens that were sampled */
    double plan_seconds, forward_seconds, deliver_seconds;
    PhaseWork prefill, decode;                    /* of whoever knows the device's work; else nothing */
} StepCounts;

static inline void step_counts_take(void *with, const StepReport *r)
{
    StepCounts *c = with;
    c->last = *r;
    c->prefill_rows += r->prefill_rows;
    c->decode_rows += r->decode_rows;
    c->outs += r->outs;
    c->plan_seconds += r->plan_seconds;
    c->forward_seconds += r->forward_seconds;
    c->deliver_seconds += r->deliver_seconds;
}

#endif
