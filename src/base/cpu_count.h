/* cpu_count.h -- how many CPUs this process may keep busy.
 *
 * The smallest of what is online, what sched_getaffinity() allows, and the quota of its control
 * groups, its own and all above it. A container with a quota of two CPUs on a machine of 64 that
 * starts 64 threads spends its time being throttled: so nproc alone is never the answer.
 */
#ifndef BASE_CPU_COUNT_H
#define BASE_CPU_COUNT_H

int cpu_count(void);    /* at least 1 */

/* The quota of the control groups in whole CPUs, rounded down but at least 1; 0: none.
 * `root` is put before /proc and /sys: "" for the real ones, another directory in tests. */
int cpu_quota(const char *root);

#endif
