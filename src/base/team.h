/* team.h -- threads that work on one task together.
 *
 *     caller   --+-- task(0) --+-- barrier --+-- ... --+--      index 0 is the caller itself
 *     worker 1   +-- task(1) --+-- barrier --+-- ... --+
 *     worker 2   +-- task(2) --+-- barrier --+-- ... --+
 *
 * An operation of a small model takes some microseconds, so waking a thread for each would cost more
 * than the work: who waits spins for a moment (SPIN_SECONDS) first and sleeps only then. Where there
 * are more threads than CPUs nobody spins, because the one waited for may need this very CPU.
 *
 * One thread at a time may call team_run(), and never from within a task.
 */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/error.h"

typedef struct Team Team;
typedef void TeamTask(void *context, int index, int count);

enum { TEAM_THREADS_MAX = 512 };

/* threads counts the caller; 0: cpu_count(). pin: each worker stays on one CPU; else, where there are
 * several nodes of memory, on those of one node (base/numa.h says which). */
Err team_new(Team **out, int threads, bool pin, Error *err);
void team_free(Team *);                  /* NULL is allowed; ends and joins the workers */
int team_threads(const Team *);

/* Runs task(context, i, count) for i in [0, count), each on a thread of its own, and waits for all.
 * 1 <= count <= team_threads(). What was written before is seen by the tasks, and theirs afterwards. */
void team_run(Team *, int count, TeamTask *task, void *context);

/* Inside a task: waits until all `count` have come here. All must come equally often. */
void team_barrier(Team *);

#endif
