/* plan_check_show.h -- ridge plan --check: what was foretold of this machine, against what was measured afterwards. */
#ifndef MAIN_PLAN_CHECK_SHOW_H
#define MAIN_PLAN_CHECK_SHOW_H

#include "tools/journal.h"

Err plan_check_show(const Journal *, bool json, Error *err);

#endif
