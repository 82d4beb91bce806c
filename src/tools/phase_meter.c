#include "tools/phase_meter.h"

void phase_meter_start(PhaseMeter *m, const Device *tally)
{
    *m = (PhaseMeter){.tally = tally, .start = *tally_read(tally), .before = *tally_read(tally)};
}

PhaseWork phase_work_between(const Tally *before, const Tally *after)
{
    PhaseWork w = {
        .demand.bytes = after->demand.bytes - before->demand.bytes,
        .weight_bytes = after->total.weight_bytes - before->total.weight_bytes,
        .cache_bytes = after->total.cache_bytes - before->total.cache_bytes,
        .chosen_bytes = after->chosen_bytes - before->chosen_bytes,
        .choice_bytes = after->choice_bytes - before->choice_bytes,
    };
    for (int kind = 0; kind < ARITHMETICS; kind++)
        w.demand.operations[kind] = after->demand.operations[kind] - before->demand.operations[kind];
    return w;
}

void phase_meter_take(PhaseMeter *m, const StepReport *r)
{
    const Tally *now = tally_read(m->tally);
    PhaseWork work = phase_work_between(&m->before, now);
    work.steps = 1;
    work.seconds = r->plan_seconds + r->forward_seconds + r->deliver_seconds;
    work.sequences = r->prefill_rows > 0 ? 0 : r->entries;
    phase_work_add(r->prefill_rows > 0 ? &m->prefill : &m->decode, &work);
    m->before = *now;
}
