/* choose_pick.h -- the tokens that may still be chosen, and cutting them down.
 *
 *     id        3   17   18  402 ...      always ascending, whatever was cut
 *     key      what they are ranked by: the larger, the better; of equals the lower id is better
 *     weight   of the distribution, not scaled to 1
 *
 * A cut does not sort. It looks for the key of the last one to be kept, 8 bits of the key at a time
 * from the top (a radix selection): four passes, whatever the numbers are, and the order of ids stays.
 */
#ifndef KERNELS_CHOOSE_CHOOSE_PICK_H
#define KERNELS_CHOOSE_CHOOSE_PICK_H

#include "base/arena.h"
#include "kernels/choose/choose_scan.h"

typedef struct Picks {
    int32_t *id;
    float *key, *weight;
    int32_t count;
    const Scan *scan;
} Picks;

bool picks_init(Picks *, Arena *, int32_t room, const Scan *);     /* false: the arena is full */

/* All with z > bound; keys are z. -infinity: all there are, since no weight comes of those that are -infinity themselves. */
void picks_gather(Picks *, const float *z, int32_t n, float bound);

/* The k best of z, -infinity never; keys are z. */
void picks_gather_best(Picks *, const float *z, int32_t n, int32_t k);

/* Weights are at most 1, and are summed as whole numbers of these parts of it: sums that nobody's order changes. */
#define PICK_PARTS 0x1p40f
uint64_t pick_parts(double mass);      /* rounded up; at least one, so that a mass of 0 keeps a token */

/* Keeps the best by `key` (of the Picks: key or weight) until their weights reach `mass`. */
void picks_keep_mass(Picks *, const float *key, double mass);

/* Keeps those with weight >= least. */
void picks_keep_above(Picks *, float least);

#endif
