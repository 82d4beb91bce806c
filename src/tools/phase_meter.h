/* phase_meter.h -- what prompts and what answers asked of the machine, step by step, and how long that took.
 *
 *     engine --StepReport--> [ meter: what the tally saw since the step before ] --> prefill, decode (core/verdict.h)
 *
 * A step in which rows of a prompt are computed counts as prefill, whoever generates beside them; all others are decode.
 * It is an EngineOptions.observe, called on the engine's thread, and allocates nothing.
 */
#ifndef TOOLS_PHASE_METER_H
#define TOOLS_PHASE_METER_H

#include "core/verdict.h"
#include "devices/watch/watch.h"
#include "engine/step_report.h"

/* A tally's sums at some moment. */
typedef struct TallyMark { OpCost total; Demand demand; } TallyMark;
TallyMark tally_mark(const Device *tally);
/* What went by since; steps, seconds and sequences are the caller's to fill. */
PhaseWork phase_work_since(const TallyMark *, const Device *tally);

typedef struct PhaseMeter {
    const Device *tally;
    TallyMark before;              /* at the end of the last step */
    PhaseWork prefill, decode;
} PhaseMeter;

void phase_meter_start(PhaseMeter *, const Device *tally);     /* from now on; what was before is not counted */
void phase_meter_take(PhaseMeter *, const StepReport *);

#endif
