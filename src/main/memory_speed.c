#include "main/memory_speed.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/team.h"

enum { PASSES = 4, LANES = 8 };
static const size_t BYTES = (size_t)192 << 20;

typedef struct Reading {
    uint64_t *data;
    _Atomic uint64_t sum;          /* so that nobody leaves the reading out */
} Reading;

static void fill(void *with, int index, int count)
{
    Reading *r = with;
    size_t part = BYTES / (size_t)count;
    memset((char *)r->data + (size_t)index * part, index + 1, part);
}

static void read_part(void *with, int index, int count)
{
    Reading *r = with;
    size_t words = BYTES / (size_t)count / sizeof(uint64_t);
    const uint64_t *at = r->data + (size_t)index * words;
    uint64_t sums[LANES] = {0}, sum = 0;
    for (size_t i = 0; i + LANES <= words; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += at[i + (size_t)lane];
    for (int lane = 0; lane < LANES; lane++)
        sum += sums[lane];
    r->sum = sum;
}

double memory_speed(int threads)
{
    Team *team;
    double best = 0;
    Reading r = {.data = malloc(BYTES)};
    if (!r.data)
        return 0;
    if (team_new(&team, threads, false, NULL) == OK) {
        team_run(team, team_threads(team), fill, &r);
        for (int i = 0; i < PASSES; i++) {
            double began = clock_seconds();
            team_run(team, team_threads(team), read_part, &r);
            double speed = (double)BYTES / (clock_seconds() - began);
            best = speed > best ? speed : best;
        }
        team_free(team);
    }
    free(r.data);
    return best;
}
