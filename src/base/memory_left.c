#include "base/memory_left.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

enum { PATH_BYTES = 4096 };

/* The number after "name" on a line of its own; 0: there is none. */
static int64_t number_in(const char *path, const char *name)
{
    char line[256];
    long long number = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), "%lld", &number) == 1)
            break;
    if (f)
        fclose(f);
    return number;
}

/* What files fill that nobody uses is given back before anybody is killed. */
static int64_t left_in(const char *group, const char *limit_file, const char *used_file, const char *files_name)
{
    char limit[64], used[64], path[2 * PATH_BYTES];
    if (!cgroup_line(limit, sizeof limit, group, limit_file) || !cgroup_line(used, sizeof used, group, used_file) ||
        !strncmp(limit, "max", 3))
        return INT64_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", group);
    int64_t left = atoll(limit) - atoll(used) + number_in(path, files_name);
    return left > 0 ? left : 0;
}

static void see(void *with, const char *group, int version)
{
    int64_t *least = with;
    int64_t left = version == 2 ? left_in(group, "memory.max", "memory.current", "inactive_file ")
                                : left_in(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ");
    if (left < *least)
        *least = left;
}

int64_t memory_left(const char *root)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    int64_t available = 1024 * number_in(path, "MemAvailable:"), least = available > 0 ? available : INT64_MAX;
    cgroup_visit(root, "memory", see, &least);
    return least == INT64_MAX ? -1 : least;
}
