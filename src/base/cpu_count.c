#include "base/cpu_count.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cgroup.h"

/* In CPUs; 0: none. Version 2 has one file, "max 100000" or "<quota> <period>", in microseconds. */
static double quota_v2(const char *group)
{
    char line[128];
    double quota, period;
    if (!cgroup_line(line, sizeof line, group, "cpu.max") || sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* Version 1 has two; a quota of -1 means none. */
static double quota_v1(const char *group)
{
    char quota[64], period[64];
    if (!cgroup_line(quota, sizeof quota, group, "cpu.cfs_quota_us") ||
        !cgroup_line(period, sizeof period, group, "cpu.cfs_period_us"))
        return 0;
    return atof(quota) > 0 && atof(period) > 0 ? atof(quota) / atof(period) : 0;
}

static void see(void *with, const char *group, int version)
{
    double *smallest = with, quota = version == 2 ? quota_v2(group) : quota_v1(group);
    if (quota > 0 && (*smallest == 0 || quota < *smallest))
        *smallest = quota;
}

int cpu_quota(const char *root)
{
    double smallest = 0;
    cgroup_visit(root, "cpu", see, &smallest);
    return smallest == 0 ? 0 : smallest < 1 ? 1 : smallest > 1e6 ? 1000000 : (int)smallest;
}

int cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) < count)
        count = CPU_COUNT(&allowed);
    int quota = cpu_quota("");
    if (quota > 0 && quota < count)
        count = quota;
    return count < 1 ? 1 : (int)count;
}
