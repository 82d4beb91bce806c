#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096 };

bool cgroup_line(char *line, size_t bytes, const char *directory, const char *file)
{
    char path[3 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool read = fgets(line, (int)bytes, f) != NULL;
    fclose(f);
    return read;
}

/* The group itself and all above it. */
static void visit_upwards(const char *top, char *group, int version,
                          void (*see)(void *with, const char *directory, int version), void *with)
{
    char directory[2 * PATH_BYTES];
    for (;;) {
        char *slash = strrchr(group, '/');
        if (slash && slash[1] == '\0')
            *slash = '\0';
        snprintf(directory, sizeof directory, "%s%s", top, group);
        see(with, directory, version);
        slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Whether the name is one of those in a list like "cpu,cpuacct". */
static bool is_named(const char *name, char *list)
{
    char *rest = NULL;
    for (char *one = strtok_r(list, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        if (strcmp(one, name) == 0)
            return true;
    return false;
}

void cgroup_visit(const char *root, const char *controller, void (*see)(void *with, const char *directory, int version),
                  void *with)
{
    char path[PATH_BYTES], line[PATH_BYTES], top[PATH_BYTES];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {           /* "0::/a/b" or "4:cpu,cpuacct:/a/b" */
        line[strcspn(line, "\n")] = '\0';
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group)
            continue;
        *names++ = *group++ = '\0';
        int version = names[0] ? 1 : 2;
        if (version == 1 && !is_named(controller, names))
            continue;
        snprintf(top, sizeof top, "%s/sys/fs/cgroup%s%s", root, version == 1 ? "/" : "", version == 1 ? controller : "");
        visit_upwards(top, group, version, see, with);
    }
    fclose(f);
}
