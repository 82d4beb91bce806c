/* checked.h -- arithmetic on sizes that come from outside.
 *
 * Each returns false, and leaves *out alone, where the true result does not fit. One place for all
 * sizes of files and requests: no other code multiplies a count that it has not made itself.
 */
#ifndef BASE_CHECKED_H
#define BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool mul_fits(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

static inline bool add_fits(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *out = sum;
    return true;
}

/* Rounds up to a multiple of `unit`, a power of two. */
static inline bool round_up_fits(size_t a, size_t unit, size_t *out)
{
    size_t sum;
    if (!add_fits(a, unit - 1, &sum))
        return false;
    *out = sum & ~(unit - 1);
    return true;
}

/* Whether [offset, offset + length) lies within [0, total). */
static inline bool range_within(uint64_t offset, uint64_t length, uint64_t total)
{
    return offset <= total && length <= total - offset;
}

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#endif
