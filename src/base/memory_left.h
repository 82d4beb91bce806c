/* memory_left.h -- how much memory this process may still take before the system ends it.
 *
 * The smallest of what the system calls available (what is free, and what it can free at once) and of what the limits of its
 * control groups leave: a container on a machine of 256 GB that may use 8 is killed at 8.
 */
#ifndef BASE_MEMORY_LEFT_H
#define BASE_MEMORY_LEFT_H

#include <stdint.h>

/* In bytes; -1: the system does not say. `root` is put before /proc and /sys: "" for the real ones. */
int64_t memory_left(const char *root);

#endif
