/* serve_learn.h -- what a server's day teaches the planner: at its end, how long its steps took (tools/journal.h).
 *
 * Nobody timed operations one by one, so each is taken to have had its share of the whole as it was expected to.
 */
#ifndef MAIN_SERVE_LEARN_H
#define MAIN_SERVE_LEARN_H

#include "main/session.h"
#include "server/step_counts.h"
#include "tools/phase_meter.h"

/* After the last step. Says on stderr what went wrong; a day of few steps teaches nothing. */
void serve_learn(const Session *, const char *model, const PhaseMeter *, const StepCounts *);

#endif
