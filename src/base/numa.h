/* numa.h -- which CPU each thread of a team stays on, where memory is near some CPUs and far from others.
 *
 *     thread       0    1    2    3  |  4    5    6    7
 *     CPU          0    1    2    3  | 16   17   18   19        as many on each node as it has of the CPUs
 *     a matrix   [ 1/8  1/8  1/8  1/8| 1/8  1/8  1/8  1/8 ]     thread i always reads the i-th part
 *     its pages    memory of node 0  | memory of node 1
 *
 * A page lies on the node of the thread that touches it first. Weights are packed by the same threads, in the same
 * parts, as read them later, so nobody needs to place a page: it is enough that threads stay on the CPUs of their node,
 * that those of a node are neighbours, and that all nodes take part, each at the speed of its own memory. On a machine
 * of one node there is nothing to plan, and the system moves threads as it likes.
 */
#ifndef BASE_NUMA_H
#define BASE_NUMA_H

#include <stdbool.h>
#include <stddef.h>

enum { NUMA_NODES_MAX = 64, NUMA_CPUS_MAX = 4096 };

typedef struct NumaTopology {
    int nodes;                           /* that have CPUs which may be used */
    int cpus;
    int cpu[NUMA_CPUS_MAX];              /* node by node, lowest first: second threads of cores come last */
    int first[NUMA_NODES_MAX + 1];       /* of each node in cpu[]; after the last: cpus */
} NumaTopology;

/* The machine's, of the CPUs that this thread may use. `root` is put before /sys: "" for the real one, another
 * directory in tests, where all CPUs may be used. Without nodes there: one node. */
NumaTopology numa_topology(const char *root);
bool numa_cpu_list(const char *text, int *cpus, int cpus_max, int *count);      /* "0-3,8,10-11" */

/* The CPU of each of `threads` threads. More threads than CPUs begin anew. */
void numa_plan(const NumaTopology *, int threads, int cpu[]);
int numa_node_of(const NumaTopology *, int cpu);        /* -1: none */

#endif
