/* prng.h -- random numbers that are a pure function of where they are used.
 *
 * There is no state to advance: the number drawn for (seed, sample, position, purpose) is always the
 * same one. So the same seed gives the same text whatever the batch, the order of the requests, a
 * preemption that computes a part again, the number of threads or the device.
 *
 *     key        seed (64 bits)
 *     counter    position | sample | purpose | which block of the stream
 *
 * Philox 4x32 with 10 rounds: Salmon, Moraes, Dror, Shaw 2011, "Parallel Random Numbers: As Easy as
 * 1, 2, 3". Good for statistics; never for secrets (those come from the operating system).
 */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdint.h>

typedef struct PhiloxBlock { uint32_t word[4]; } PhiloxBlock;

/* The bijection itself: 10 rounds keyed by `key` on a counter. */
PhiloxBlock philox(uint64_t key, PhiloxBlock counter);

/* What a number is used for: two purposes never see the same number at one position. */
typedef enum PrngPurpose {
    PRNG_TOKEN,      /* which token comes next */
    PRNG_ACCEPT,     /* whether a drafted token is kept */
    PRNG_RESIDUAL,   /* which token replaces a drafted one that was not */
    PRNG_DRAFT,      /* which token a drafter guesses */
    PRNG_WORLD,      /* simulations, tests, made-up weights */
    PRNG_REMASK,     /* whether a guess of a refinement stays */
} PrngPurpose;

/* Where in a run a number is used. */
typedef struct PrngPlace {
    uint64_t seed;
    uint32_t sample;        /* which of several answers to one prompt */
    uint32_t position;      /* of the token in its sequence */
    PrngPurpose purpose;
} PrngPlace;

uint64_t prng_bits(PrngPlace);      /* 64 even bits */
double prng_unit(PrngPlace);        /* in [0, 1), a multiple of 2^-53 */

/* A stream for tests and simulations, which want the next number and not a place. */
typedef struct PrngStream { uint64_t seed, next; } PrngStream;
uint64_t stream_bits(PrngStream *);
double stream_unit(PrngStream *);
uint32_t stream_below(PrngStream *, uint32_t n);   /* in [0, n), each equally likely; n > 0 */

#endif
