/* The thread team: every task runs once, barriers hold, and a container's quota of processors and memory is
 * respected. */
#include "test.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu_count.h"
#include "base/memory_left.h"
#include "base/team.h"

enum { THREADS_MAX = 9 };

static Team *team_of(int threads, bool pin)
{
    Team *t = NULL;
    Error err;
    assert_int_equal(team_new(&t, threads, pin, &err), OK);
    return t;
}

typedef struct Tally {
    int hits[THREADS_MAX];     /* plain: the team itself must order them */
    int count_seen;
} Tally;

static void hit(void *context, int index, int count)
{
    Tally *tally = context;
    tally->hits[index]++;
    if (index == 0)
        tally->count_seen = count;
}

static void each_index_runs_once_whatever_the_count(void **state)
{
    (void)state;
    for (int threads = 1; threads <= THREADS_MAX; threads += 2) {
        Team *t = team_of(threads, threads == 3);
        assert_int_equal(team_threads(t), threads);
        for (int run = 0; run < 500; run++) {
            Tally tally = {0};
            int count = 1 + run * 7 % threads;
            team_run(t, count, hit, &tally);
            assert_int_equal(tally.count_seen, count);
            for (int i = 0; i < THREADS_MAX; i++)
                assert_int_equal(tally.hits[i], i < count);
        }
        team_free(t);
    }
}

enum { PHASES = 200 };

typedef struct Relay {
    Team *team;
    int value[2][THREADS_MAX];   /* plain: only the barrier lies between a write and the reads */
    _Atomic int wrong;
} Relay;

/* In each phase everyone writes its own number and, after the barrier, reads everyone's. */
static void relay(void *context, int index, int count)
{
    Relay *r = context;
    for (int phase = 0; phase < PHASES; phase++) {
        r->value[phase & 1][index] = phase * 100 + index;
        team_barrier(r->team);
        for (int i = 0; i < count; i++)
            if (r->value[phase & 1][i] != phase * 100 + i)
                r->wrong++;
    }
}

static void nobody_passes_a_barrier_before_all_have_come(void **state)
{
    (void)state;
    for (int threads = 1; threads <= THREADS_MAX; threads += 4) {   /* 5 and 9: often more than CPUs */
        Relay r = {.team = team_of(threads, false)};
        for (int run = 0; run < 5; run++)
            team_run(r.team, 1 + run % threads, relay, &r);
        team_run(r.team, threads, relay, &r);
        team_free(r.team);
        assert_int_equal(r.wrong, 0);
    }
}

static void sleeping_workers_wake_again(void **state)
{
    (void)state;
    Team *t = team_of(3, false);
    for (int run = 0; run < 5; run++) {
        Tally tally = {0};
        usleep(3000);      /* far longer than they spin */
        team_run(t, 3, hit, &tally);
        assert_int_equal(tally.hits[0] + tally.hits[1] + tally.hits[2], 3);
    }
    usleep(3000);
    team_free(t);          /* while they sleep */
}

static void a_wrong_number_of_threads_is_an_error(void **state)
{
    (void)state;
    Team *t = NULL;
    Error err;
    assert_int_equal(team_new(&t, -1, false, &err), BAD_ARGUMENT);
    assert_int_equal(team_new(&t, TEAM_THREADS_MAX + 1, false, &err), BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "513"));
    t = team_of(0, false);
    assert_int_equal(team_threads(t), cpu_count());
    team_free(t);
    team_free(NULL);
}

/* A tree of files under `root`, as the kernel shows control groups. */
static void put_file(const char *root, const char *path, const char *text)
{
    char full[600];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void remove_tree(const char *root)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

static void the_quota_of_the_control_groups_counts(void **state)
{
    (void)state;
    char root[] = "/tmp/ridge-quota-XXXXXX";
    assert_non_null(mkdtemp(root));
    assert_int_equal(cpu_quota(root), 0);

    put_file(root, "/proc/self/cgroup", "0::/pod/box\n");
    assert_int_equal(cpu_quota(root), 0);
    put_file(root, "/sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
    assert_int_equal(cpu_quota(root), 0);
    put_file(root, "/sys/fs/cgroup/pod/cpu.max", "350000 100000\n");      /* the parent's holds as well */
    assert_int_equal(cpu_quota(root), 3);
    put_file(root, "/sys/fs/cgroup/pod/box/cpu.max", "50000 100000\n");
    assert_int_equal(cpu_quota(root), 1);

    put_file(root, "/proc/self/cgroup", "9:memory:/m\n3:cpu,cpuacct:/docker/abc\n");
    put_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "800000\n");    /* only the top is mounted */
    put_file(root, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpu_quota(root), 8);
    put_file(root, "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "-1\n");
    put_file(root, "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cpu_quota(root), 8);

    put_file(root, "/proc/self/cgroup", "0::/\n");                        /* in a namespace of its own */
    put_file(root, "/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(cpu_quota(root), 2);
    remove_tree(root);
}

static void what_is_left_is_the_least_of_all_limits(void **state)
{
    (void)state;
    char root[] = "/tmp/ridge-memory-XXXXXX";
    assert_non_null(mkdtemp(root));
    assert_int_equal(memory_left(root), -1);
    put_file(root, "/proc/meminfo", "MemTotal:  4000 kB\nMemAvailable:    3000 kB\n");
    assert_int_equal(memory_left(root), 3000 * 1024);

    put_file(root, "/proc/self/cgroup", "0::/pod/box\n");
    put_file(root, "/sys/fs/cgroup/pod/box/memory.max", "max\n");
    put_file(root, "/sys/fs/cgroup/pod/box/memory.current", "900000\n");
    assert_int_equal(memory_left(root), 3000 * 1024);
    put_file(root, "/sys/fs/cgroup/pod/memory.max", "1000000\n");        /* the parent's holds as well */
    put_file(root, "/sys/fs/cgroup/pod/memory.current", "950000\n");
    assert_int_equal(memory_left(root), 50000);
    put_file(root, "/sys/fs/cgroup/pod/memory.stat", "anon 900000\ninactive_file 30000\n");
    assert_int_equal(memory_left(root), 80000);
    put_file(root, "/sys/fs/cgroup/pod/box/memory.max", "800000\n");     /* more is used than allowed */
    assert_int_equal(memory_left(root), 0);

    put_file(root, "/proc/self/cgroup", "9:cpu:/m\n3:memory:/docker/abc\n");
    assert_int_equal(memory_left(root), 3000 * 1024);
    put_file(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "700000\n");
    put_file(root, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "600000\n");
    put_file(root, "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 1000\n");
    assert_int_equal(memory_left(root), 101000);
    remove_tree(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_runs_once_whatever_the_count),
        cmocka_unit_test(nobody_passes_a_barrier_before_all_have_come),
        cmocka_unit_test(sleeping_workers_wake_again),
        cmocka_unit_test(a_wrong_number_of_threads_is_an_error),
        cmocka_unit_test(the_quota_of_the_control_groups_counts),
        cmocka_unit_test(what_is_left_is_the_least_of_all_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
