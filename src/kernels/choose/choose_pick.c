#include "kernels/choose/choose_pick.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/half.h"

uint64_t pick_parts(double mass)
{
    double parts = ceil(mass * (double)PICK_PARTS);
    return parts > 1 ? (uint64_t)parts : 1;
}

bool picks_init(Picks *p, Arena *arena, int32_t room, const Scan *scan)
{
    *p = (Picks){
        .id = ARENA_ARRAY(arena, int32_t, (size_t)room), .scan = scan,
        .key = ARENA_ARRAY(arena, float, (size_t)room), .weight = ARENA_ARRAY(arena, float, (size_t)room),
    };
    return p->id && p->key && p->weight;
}

/* An unsigned number that orders as the float does; -0 and 0 are equals. */
static inline uint32_t rank_of(float key)
{
    uint32_t bits = f32_bits(key + 0.0f);
    return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}
static inline float key_of(uint32_t rank)
{
    return f32_of_bits(rank & 0x80000000 ? rank ^ 0x80000000 : ~rank);
}

/* Where a list is cut: all above `rank` stay, and of those equal to it the first, until their
 * amounts reach `rest`. */
typedef struct Cut { uint32_t rank; uint64_t rest; } Cut;

enum { DIGIT_BITS = 8, DIGITS = 1 << DIGIT_BITS };

/* Whole parts of a weight: their sums are the same in any order, so that any device can take them. NULL: each amounts to 1. */
static inline uint64_t amount_of(const float *weight, int32_t i) { return weight ? (uint64_t)(weight[i] * PICK_PARTS) : 1; }

static Cut find_cut(const float *key, const float *weight, int32_t n, uint64_t need)
{
    uint32_t prefix = 0, known = 0;
    for (int shift = 32 - DIGIT_BITS; shift >= 0; shift -= DIGIT_BITS) {
        uint64_t amount[DIGITS] = {0};
        for (int32_t i = 0; i < n; i++) {
            uint32_t rank = rank_of(key[i]);
            if ((rank & known) == prefix)
                amount[rank >> shift & (DIGITS - 1)] += amount_of(weight, i);
        }
        uint32_t digit = DIGITS - 1;
        for (; digit > 0 && amount[digit] < need; digit--)
            need -= amount[digit];
        prefix |= digit << shift;
        known |= (uint32_t)(DIGITS - 1) << shift;
    }
    return (Cut){prefix, need};
}

static void apply_cut(Picks *p, const float *key, const float *weight, Cut cut)
{
    int32_t kept = 0;
    uint64_t taken = 0;
    for (int32_t i = 0; i < p->count; i++) {
        uint32_t rank = rank_of(key[i]);
        if (rank < cut.rank || (rank == cut.rank && taken >= cut.rest))
            continue;
        if (rank == cut.rank)
            taken += amount_of(weight, i);
        p->id[kept] = p->id[i];
        p->key[kept] = p->key[i];
        p->weight[kept++] = p->weight[i];
    }
    p->count = kept;
}

static void gather_block(Picks *p, const float *z, int32_t from, int32_t n, float bound)
{
    int32_t to = (int32_t)min_i64(n, (int64_t)from + SCAN_BLOCK);
    for (int32_t i = from; i < to; i++) {
        p->id[p->count] = i;
        p->key[p->count] = z[i];
        p->count += z[i] > bound;
    }
}

/* Most of what is sampled: nothing filters, and nothing needs to be looked at one by one. */
static void take_all(Picks *p, const float *z, int32_t n)
{
    memcpy(p->key, z, (size_t)n * sizeof *z);
    for (int32_t i = 0; i < n; i++)
        p->id[i] = i;
    p->count = n;
}

void picks_gather(Picks *p, const float *z, int32_t n, float bound)
{
    p->count = 0;
    if (bound == -INFINITY) {
        take_all(p, z, n);
        return;
    }
    for (int32_t i = 0; (i = p->scan->next_above(z, i, n, bound)) < n; i += SCAN_BLOCK)
        gather_block(p, z, i, n, bound);
}

/* Collects what is above the k-th best seen so far; whenever twice k have come together (and some
 * blocks, so that cuts are rare), cuts back to k and raises the bound. Later equals have higher ids,
 * so they rightly stay out. */
void picks_gather_best(Picks *p, const float *z, int32_t n, int32_t k)
{
    int64_t room = 2 * (int64_t)k + 3 * SCAN_BLOCK;
    float bound = -INFINITY;
    p->count = 0;
    for (int32_t i = 0; (i = p->scan->next_above(z, i, n, bound)) < n; i += SCAN_BLOCK) {
        if (p->count + SCAN_BLOCK > room) {
            Cut cut = find_cut(p->key, NULL, p->count, (uint64_t)k);
            apply_cut(p, p->key, NULL, cut);
            bound = key_of(cut.rank);
        }
        gather_block(p, z, i, n, bound);
    }
    if (p->count > k)
        apply_cut(p, p->key, NULL, find_cut(p->key, NULL, p->count, (uint64_t)k));
}

void picks_keep_mass(Picks *p, const float *key, double mass)
{
    apply_cut(p, key, p->weight, find_cut(key, p->weight, p->count, pick_parts(mass)));
}

void picks_keep_above(Picks *p, float least)
{
    int32_t kept = 0;
    for (int32_t i = 0; i < p->count; i++) {
        p->id[kept] = p->id[i];
        p->key[kept] = p->key[i];
        p->weight[kept] = p->weight[i];
        kept += p->weight[i] >= least;
    }
    p->count = kept;
}
