/* parity.c -- one line for each fixture and way:   parity [--gpu [--products bf16]] DIRECTORY | NAME ...
 *
 * A directory holds config.json, model.safetensors, expected.json, expected.safetensors; a name is one
 * in $RIDGE_SHARED/fixtures/hf or tests/fixtures/hf. The ways: the reference tier and the fastest, the
 * config as transformers 5 writes it and as published checkpoints spell it, the checkpoint itself and a
 * GGUF made of it. On a GPU: steps of many rows and of few; with --products bf16 what is multiplied may be rounded to BF16.
 *
 * Each fixture runs in a process of its own, as many at a time as there are processors: what crashes
 * or hangs has failed, and the others go on. Lines come in order. The status is 0 only if every
 * fixture ran and every way passed.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu_count.h"
#include "base/file_map.h"
#include "parity_check.h"

enum { AT_ONCE_MAX = 16, SECONDS_MAX = 120 };
enum { PASSED, FAILED, UNKNOWN }; /* how a fixture ended: the exit status of its process */

static const struct {
    const char *name;
    ParityWay way;
} ways[] = {
    {"reference", {.tier = TIER_REFERENCE, .rows = 64, .block_tokens = 16}},
    {"fastest", {.tier = TIER_BEST, .rows = 64, .block_tokens = 16}},
    {"fastest, 16 rows", {.tier = TIER_BEST, .rows = 16, .block_tokens = 4}},
    {"hub config", {.tier = TIER_BEST, .hub = true, .rows = 64, .block_tokens = 16}},
    {"GGUF, reference", {.tier = TIER_REFERENCE, .gguf = true, .rows = 64, .block_tokens = 16}},
    {"GGUF, fastest", {.tier = TIER_BEST, .gguf = true, .rows = 64, .block_tokens = 16}},
};

static const struct {
    const char *name;
    ParityWay way;
} gpu_ways[] = {
    {"GPU", {.gpu = true, .rows = 64, .block_tokens = 16}},
    {"GPU, 16 rows", {.gpu = true, .rows = 16, .block_tokens = 4}},
};
static bool on_gpu, near;

/* The last name of a path, whether or not a slash ends it. */
static const char *base_name(const char *path)
{
    static char name[NAME_MAX + 1];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    snprintf(name, sizeof name, "%.*s", (int)(end - start), path + start);
    return name;
}

static int check_fixture(const char *directory)
{
    int end = PASSED;
    for (size_t w = 0; w < (on_gpu ? COUNT_OF(gpu_ways) : COUNT_OF(ways)); w++) {
        const char *name = on_gpu ? gpu_ways[w].name : ways[w].name;
        ParityWay way = on_gpu ? gpu_ways[w].way : ways[w].way;
        ParityResult r;
        Error err = {0};
        way.near = near;
        Err code = parity_check(directory, &way, &r, &err);
        printf("%-20s %-16s ", base_name(directory), name);
        if (code == UNSUPPORTED && strstr(err.text, "is unknown; the nearest")) {
            printf("NOT RUN: the family is unknown\n");
            return UNKNOWN;
        }
        if (code == OK && r.absent) {
            printf("%s\n", r.absent);
            continue;
        }
        if (code != OK)
            printf("WRONG: %s\n", err.text);
        else
            printf("logits %.1e of %.0e   greedy %d of %d   %-30s %s\n", r.worst, r.tolerance, r.tokens_right,
                   r.tokens_checked, r.kept, parity_is_good(&r) ? "" : "WRONG");
        if (code != OK || !parity_is_good(&r))
            end = FAILED;
    }
    return end;
}

typedef struct Job {
    const char *directory;
    FILE *lines; /* what its process says */
    pid_t process;
    bool over;
    int end;
} Job;

static void start(Job *job)
{
    job->lines = tmpfile();
    fflush(stdout);
    job->process = job->lines ? fork() : -1;
    if (job->process == 0) {
        dup2(fileno(job->lines), STDOUT_FILENO);
        alarm(SECONDS_MAX);
        int end = check_fixture(job->directory);
        fflush(stdout);
        _exit(end);
    }
    job->over = job->process < 0;
    job->end = FAILED;
}

static void take_end(Job *jobs, int count, pid_t process, int status)
{
    for (int i = 0; i < count; i++)
        if (jobs[i].process == process) {
            jobs[i].over = true;
            jobs[i].end = WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
            if (WIFSIGNALED(status)) {
                fseek(jobs[i].lines, 0, SEEK_END);
                fprintf(jobs[i].lines, "%-20s WRONG: %s\n", base_name(jobs[i].directory), strsignal(WTERMSIG(status)));
            }
        }
}

static void print_lines(Job *job)
{
    char line[2048];
    if (!job->lines)
        return;
    rewind(job->lines);
    while (fgets(line, sizeof line, job->lines))
        fputs(line, stdout);
    fclose(job->lines);
    fflush(stdout);
}

static void run_jobs(Job *jobs, int count)
{
    int at_once = cpu_count(), started = 0, running = 0, printed = 0;
    at_once = at_once < 1 ? 1 : at_once > AT_ONCE_MAX ? AT_ONCE_MAX : at_once;
    while (printed < count) {
        for (; running < at_once && started < count; started++) {
            start(&jobs[started]);
            running += !jobs[started].over;
        }
        int status;
        pid_t process = running ? wait(&status) : -1;
        if (process > 0) {
            take_end(jobs, started, process, status);
            running--;
        }
        for (; printed < started && jobs[printed].over; printed++)
            print_lines(&jobs[printed]);
    }
}

/* A name stands for a fixture of the developers' data, or for a carried one. */
static const char *find_fixture(const char *argument)
{
    const char *shared = getenv("RIDGE_SHARED");
    char path[2][PATH_MAX];
    if (strchr(argument, '/'))
        return argument;
    snprintf(path[0], PATH_MAX, "%s/fixtures/hf/%s", shared ? shared : "../shared", argument);
    snprintf(path[1], PATH_MAX, "tests/fixtures/hf/%s", argument);
    for (int i = 0; i < 2; i++)
        if (directory_exists(path[i]))
            return strdup(path[i]); /* lives as long as the program */
    return argument;
}

int main(int argc, char **argv)
{
    on_gpu = argc > 1 && !strcmp(argv[1], "--gpu");
    argc -= on_gpu;
    argv += on_gpu;
    near = on_gpu && argc > 2 && !strcmp(argv[1], "--products") && !strcmp(argv[2], "bf16");
    argc -= 2 * near;
    argv += 2 * near;
    int count = argc - 1, ends[3] = {0};
    Job *jobs = calloc((size_t)count + 1, sizeof *jobs);
    if (!jobs || !count)
        return fputs("usage: parity [--gpu [--products bf16]] DIRECTORY | NAME ...\n", stderr), 2;
    for (int i = 0; i < count; i++)
        jobs[i].directory = find_fixture(argv[1 + i]);
    run_jobs(jobs, count);
    for (int i = 0; i < count; i++)
        ends[jobs[i].end]++;
    printf("%d fixtures: %d pass, %d fail, %d are of families that ridge does not run\n", count, ends[PASSED],
           ends[FAILED], ends[UNKNOWN]);
    free(jobs);
    return ends[PASSED] != count;
}
