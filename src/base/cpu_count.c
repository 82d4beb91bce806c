/* cpu_count.c -- reads /proc/self/cgroup and the quota files that it leads to (cgroup v1 and v2). */
#include "base/cpu_count.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

/* The first line of root + path; false when there is none. */
static bool read_line(char *line, size_t bytes, const char *root, const char *path)
{
    char full[2 * PATH_BYTES];
    snprintf(full, sizeof full, "%s%s", root, path);
    FILE *f = fopen(full, "re");
    if (!f)
        return false;
    bool read = fgets(line, (int)bytes, f) != NULL;
    fclose(f);
    return read;
}

static double smaller_quota(double a, double b) { return a == 0 || (b > 0 && b < a) ? b : a; }

/* Version 2: one file, "max 100000" or "<quota> <period>", in microseconds. */
static double quota_v2(const char *root, const char *group)
{
    char path[PATH_BYTES], line[128];
    double quota, period;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (!read_line(line, sizeof line, root, path) || sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* Version 1: two files; a quota of -1 means none. */
static double quota_v1(const char *root, const char *group)
{
    char path[PATH_BYTES], quota[64], period[64];
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
    if (!read_line(quota, sizeof quota, root, path))
        return 0;
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
    if (!read_line(period, sizeof period, root, path))
        return 0;
    return atof(quota) > 0 && atof(period) > 0 ? atof(quota) / atof(period) : 0;
}

/* The group itself and all above it: each may have a quota. Inside a container the path may be one of
 * the host, of which only the top is mounted: then only that is found. */
static double smallest_quota(const char *root, char *group, double (*quota_of)(const char *, const char *))
{
    double smallest = 0;
    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash && slash[1] == '\0')
            *slash = '\0';
        smallest = smaller_quota(smallest, quota_of(root, group));
        slash = strrchr(group, '/');
        if (!slash)
            return smallest;
        *slash = '\0';
    }
}

/* Whether "cpu" is one of the names in a list like "cpu,cpuacct". */
static bool names_cpu(char *list)
{
    char *rest = NULL;
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (strcmp(name, "cpu") == 0)
            return true;
    return false;
}

int cpu_quota(const char *root)
{
    char path[PATH_BYTES], line[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    double smallest = 0;
    while (fgets(line, sizeof line, f)) {           /* "0::/a/b" or "4:cpu,cpuacct:/a/b" */
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *names++ = *group++ = '\0';
        if (names[0] == '\0')
            smallest = smaller_quota(smallest, smallest_quota(root, group, quota_v2));
        else if (names_cpu(names))
            smallest = smaller_quota(smallest, smallest_quota(root, group, quota_v1));
    }
    fclose(f);
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
