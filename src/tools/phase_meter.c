#include "tools/phase_meter.h"

TallyMark tally_mark(const Device *tally)
{
    const Tally *t = tally_read(tally);
    return (TallyMark){t->total, t->demand};
}

PhaseWork phase_work_since(const TallyMark *before, const Device *tally)
{
    const Tally *now = tally_read(tally);
    PhaseWork w = {
        .demand.bytes = now->demand.bytes - before->demand.bytes,
        .weight_bytes = now->total.weight_bytes - before->total.weight_bytes,
        .cache_bytes = now->total.cache_bytes - before->total.cache_bytes,
        .chosen_bytes = now->total.chosen_bytes - before->total.chosen_bytes,
        .choice_bytes = now->total.choice_bytes - before->total.choice_bytes,
    };
    for (int kind = 0; kind < ARITHMETICS; kind++)
        w.demand.operations[kind] = now->demand.operations[kind] - before->demand.operations[kind];
    return w;
}

void phase_meter_start(PhaseMeter *m, const Device *tally)
{
    *m = (PhaseMeter){.tally = tally, .before = tally_mark(tally)};
}

void phase_meter_take(PhaseMeter *m, const StepReport *r)
{
    PhaseWork work = phase_work_since(&m->before, m->tally);
    work.steps = 1;
    work.seconds = r->plan_seconds + r->forward_seconds + r->deliver_seconds;
    work.sequences = r->prefill_rows > 0 ? 0 : r->entries;
    phase_work_add(r->prefill_rows > 0 ? &m->prefill : &m->decode, &work);
    m->before = tally_mark(m->tally);
}
