/* profile_work.h -- the lines of a tally or a trace as those of a profile (plan/profile.h). */
#ifndef TOOLS_PROFILE_WORK_H
#define TOOLS_PROFILE_WORK_H

#include "devices/watch/watch.h"
#include "plan/profile.h"

/* Allocates nothing. */
void profile_take_work(Profile *, const Work *);

#endif
