/* cgroup.h -- the control groups that this process is in: its own and all above it, of version 1 and 2.
 *
 *     /proc/self/cgroup   0::/pod/box       2: /sys/fs/cgroup/pod/box, /sys/fs/cgroup/pod, /sys/fs/cgroup
 *                         3:cpu:/pod        1: /sys/fs/cgroup/cpu/pod, /sys/fs/cgroup/cpu
 *
 * Each of them may have a limit. Inside a container the path may be one of the host, of which only the top is mounted:
 * then only that is found.
 */
#ifndef BASE_CGROUP_H
#define BASE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

/* Calls see() for each directory that may have limits of `controller` ("cpu", "memory"), there or not; version: 1 or 2.
 * `root` is put before /proc and /sys: "" for the real ones, another directory in tests. */
void cgroup_visit(const char *root, const char *controller, void (*see)(void *with, const char *directory, int version),
                  void *with);

/* The first line of a file; false: there is none. */
bool cgroup_line(char *line, size_t bytes, const char *directory, const char *file);

#endif
