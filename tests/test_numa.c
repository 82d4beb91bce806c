/* Threads and weights of machines with several nodes: on such a machine a wrong plan costs half the bandwidth, and this one
 * has a single node, so machines are described here, and what each thread would read is simulated. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/numa.h"
#include "kernels/cpu_kernel.h"
#include "test.h"

static NumaTopology machine(int nodes, const char *const lists[])
{
    char root[] = "/tmp/ridge-numa-XXXXXX", path[256], command[300];
    assert_non_null(mkdtemp(root));
    for (int n = 0; n < nodes; n++) {
        snprintf(command, sizeof command, "mkdir -p %s/sys/devices/system/node/node%d", root, n);
        assert_int_equal(system(command), 0);
        snprintf(path, sizeof path, "%s/sys/devices/system/node/node%d/cpulist", root, n);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fprintf(file, "%s\n", lists[n]);
        fclose(file);
    }
    NumaTopology t = numa_topology(root);
    snprintf(command, sizeof command, "rm -r %s", root);
    assert_int_equal(system(command), 0);
    return t;
}

/* The share of a matrix of `panels` panels that threads read from memory of their own node. packed[i]: the CPU on which
 * thread i was when it touched its part first; read[i]: the one on which it reads. */
static double local_share(const NumaTopology *t, int threads, const int *packed, const int *read, int panels)
{
    int node[512], local = 0;
    for (int i = 0; i < threads; i++) {
        Range mine = part_range((CpuPart){.index = i, .count = threads}, panels, 1);
        for (int64_t p = mine.from; p < mine.to; p++)
            node[p] = numa_node_of(t, packed[i]);
    }
    for (int i = 0; i < threads; i++) {
        Range mine = part_range((CpuPart){.index = i, .count = threads}, panels, 1);
        for (int64_t p = mine.from; p < mine.to; p++)
            local += node[p] == numa_node_of(t, read[i]);
    }
    return (double)local / panels;
}

/* Bytes a second of all threads, where a node's memory gives `speed` and the way to another node `far`: the slowest node
 * decides. */
static double bandwidth(const NumaTopology *t, int threads, const int *cpu, double speed)
{
    int most = 0;
    for (int n = 0; n < t->nodes; n++) {
        int here = 0;
        for (int i = 0; i < threads; i++)
            here += numa_node_of(t, cpu[i]) == n;
        most = here > most ? here : most;
    }
    return speed * threads / most;
}

static const char *const two_sockets[] = {"0-15,32-47", "16-31,48-63"};

static void lists_of_cpus_are_read(void **state)
{
    (void)state;
    int cpus[8], count;
    assert_true(numa_cpu_list("0-2,5,7-8\n", cpus, 8, &count));
    assert_int_equal(count, 6);
    assert_memory_equal(cpus, ((int[]){0, 1, 2, 5, 7, 8}), 6 * sizeof(int));
    assert_true(numa_cpu_list("", cpus, 8, &count) && count == 0);    /* memory without CPUs */
    assert_false(numa_cpu_list("0-8", cpus, 8, &count));
    assert_false(numa_cpu_list("3-1", cpus, 8, &count));
    assert_false(numa_cpu_list("1-", cpus, 8, &count));
    assert_false(numa_cpu_list("x", cpus, 8, &count));
}

/* Half of the threads on each socket, cores before their second threads; neighbours share a socket. */
static void all_nodes_take_part(void **state)
{
    (void)state;
    NumaTopology t = machine(2, two_sockets);
    int cpu[64];
    assert_int_equal(t.nodes, 2);
    numa_plan(&t, 8, cpu);
    assert_memory_equal(cpu, ((int[]){0, 1, 2, 3, 16, 17, 18, 19}), 8 * sizeof(int));
    assert_true(bandwidth(&t, 8, cpu, 100) == 200);
    for (int i = 0; i < 8; i++)
        cpu[i] = i;                       /* the first eight CPUs: one socket's memory, and the other idle */
    assert_true(bandwidth(&t, 8, cpu, 100) == 100);
    numa_plan(&t, 64, cpu);
    for (int i = 0; i < 64; i++)
        assert_int_equal(numa_node_of(&t, cpu[i]), i / 32);
}

static void weights_are_read_from_memory_nearby(void **state)
{
    (void)state;
    NumaTopology t = machine(2, two_sockets);
    int planned[16], anywhere[16];
    numa_plan(&t, 16, planned);
    for (int i = 0; i < 16; i++)
        anywhere[i] = i % 2 ? 16 + i : i;     /* threads that the system has moved since they packed */
    assert_true(local_share(&t, 16, planned, planned, 352) == 1);
    assert_true(local_share(&t, 16, planned, planned, 5) == 1);       /* fewer panels than threads */
    assert_true(local_share(&t, 16, planned, anywhere, 352) < 0.6);
}

static void odd_machines_are_planned_for(void **state)
{
    (void)state;
    static const char *const uneven[] = {"0-5", "", "6-7"};           /* a node of memory only, and a small one */
    NumaTopology t = machine(3, uneven);
    int cpu[12];
    assert_int_equal(t.nodes, 2);
    numa_plan(&t, 4, cpu);
    assert_memory_equal(cpu, ((int[]){0, 1, 2, 6}), 4 * sizeof(int));
    numa_plan(&t, 1, cpu);
    assert_int_equal(cpu[0], 6);                                      /* one thread: wherever its part of one is */
    numa_plan(&t, 12, cpu);                                           /* more threads than CPUs: each CPU has some */
    int times[8] = {0};
    for (int i = 0; i < 12; i++)
        times[cpu[i]]++;
    for (int i = 0; i < 8; i++)
        assert_true(times[i] >= 1 && times[i] <= 2);
    NumaTopology here = numa_topology("");
    assert_true(here.nodes >= 1 && here.cpus >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_cpus_are_read),
        cmocka_unit_test(all_nodes_take_part),
        cmocka_unit_test(weights_are_read_from_memory_nearby),
        cmocka_unit_test(odd_machines_are_planned_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
