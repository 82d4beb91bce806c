/* barrier.c -- what it costs to work together: a barrier, and a run, of a team of threads.
 *
 *     make bench; build/bench/barrier [THREADS ...]
 *
 * Many barriers within one task, and many runs of an empty task, timed in bursts; prints the best and the median
 * burst per barrier and per run. The best is the cost; what lies above it is the rest of the machine. A step of the
 * default model has 77 operations, and takes half a millisecond: 2 microseconds each would be a third of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cpu_count.h"
#include "base/team.h"

enum { BURSTS = 201, TIMES = 500 };

static int by_value(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static void barriers(void *context, int index, int count)
{
    (void)index, (void)count;
    for (int i = 0; i < TIMES; i++)
        team_barrier(context);
}

static void nothing(void *context, int index, int count) { (void)context, (void)index, (void)count; }

static double burst(Team *team, bool of_barriers)
{
    double start = clock_seconds();
    if (of_barriers)
        team_run(team, team_threads(team), barriers, team);
    for (int i = 0; !of_barriers && i < TIMES; i++)
        team_run(team, team_threads(team), nothing, team);
    return (clock_seconds() - start) / TIMES;
}

static void measure(Team *team, bool of_barriers, const char *what)
{
    double seconds[BURSTS];
    for (int i = 0; i < BURSTS; i++)
        seconds[i] = burst(team, of_barriers);
    qsort(seconds, BURSTS, sizeof seconds[0], by_value);
    printf("%3d threads  %-8s  best %7.3f us  median %7.3f us\n", team_threads(team), what, 1e6 * seconds[0],
           1e6 * seconds[BURSTS / 2]);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc || i == 1; i++) {
        Team *team;
        Error err;
        if (team_new(&team, argc > 1 ? atoi(argv[i]) : cpu_count(), true, &err) != OK)
            return fprintf(stderr, "barrier: %s\n", err.text), 1;
        measure(team, true, "barrier");
        measure(team, false, "run");
        team_free(team);
    }
    return 0;
}
