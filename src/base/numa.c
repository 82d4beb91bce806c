#include "base/numa.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 512, LIST_BYTES = 16384 };

bool numa_cpu_list(const char *text, int *cpus, int cpus_max, int *count)
{
    *count = 0;
    while (*text && *text != '\n') {
        char *end;
        if (!isdigit((unsigned char)*text))
            return false;
        long from = strtol(text, &end, 10), to = from;
        if (*end == '-') {
            if (!isdigit((unsigned char)end[1]))
                return false;
            to = strtol(end + 1, &end, 10);
        }
        if (from > to || to - from >= cpus_max - *count)
            return false;
        for (long cpu = from; cpu <= to; cpu++)
            cpus[(*count)++] = (int)cpu;
        text = end + (*end == ',');
    }
    return true;
}

/* Whether the node is there; its list of CPUs is left in `text`. */
static bool read_node(const char *root, int node, char text[LIST_BYTES])
{
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/sys/devices/system/node/node%d/cpulist", root, node) >= (int)sizeof path)
        return false;
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t bytes = fread(text, 1, LIST_BYTES - 1, file);
    fclose(file);
    text[bytes] = 0;
    return true;
}

static void add_node(NumaTopology *t, const int *cpus, int count, const cpu_set_t *allowed)
{
    t->first[t->nodes] = t->cpus;
    for (int i = 0; i < count && t->cpus < NUMA_CPUS_MAX; i++)
        if (!allowed || (cpus[i] < CPU_SETSIZE && CPU_ISSET(cpus[i], allowed)))
            t->cpu[t->cpus++] = cpus[i];
    t->nodes += t->cpus > t->first[t->nodes];
    t->first[t->nodes] = t->cpus;
}

NumaTopology numa_topology(const char *root)
{
    static _Thread_local int cpus[NUMA_CPUS_MAX];
    char text[LIST_BYTES];
    NumaTopology t = {0};
    cpu_set_t allowed;
    bool all = *root || sched_getaffinity(0, sizeof allowed, &allowed) != 0;
    for (int node = 0, count; node < NUMA_NODES_MAX && t.nodes < NUMA_NODES_MAX; node++)
        if (read_node(root, node, text) && numa_cpu_list(text, cpus, NUMA_CPUS_MAX, &count))
            add_node(&t, cpus, count, all ? NULL : &allowed);
    if (t.nodes)
        return t;
    int count = 0;                       /* no nodes are told */
    for (int cpu = 0; cpu < CPU_SETSIZE && !all; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            cpus[count++] = cpu;
    if (!count)
        cpus[count++] = 0;
    add_node(&t, cpus, count, NULL);
    return t;
}

void numa_plan(const NumaTopology *t, int threads, int cpu[])
{
    for (int node = 0, thread = 0; node < t->nodes; node++) {
        int until = (int)((long long)threads * t->first[node + 1] / t->cpus), first = thread;
        int of_node = t->first[node + 1] - t->first[node];
        for (; thread < until; thread++)
            cpu[thread] = t->cpu[t->first[node] + (thread - first) % of_node];
    }
}

int numa_node_of(const NumaTopology *t, int cpu)
{
    for (int node = 0; node < t->nodes; node++)
        for (int i = t->first[node]; i < t->first[node + 1]; i++)
            if (t->cpu[i] == cpu)
                return node;
    return -1;
}
