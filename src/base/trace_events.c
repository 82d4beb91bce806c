#include "base/trace_events.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct TraceEvents {
    FILE *file;
    char *path;
    double start;
    bool first;
};

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

Err trace_events_open(const char *path, TraceEvents **out, Error *err)
{
    TraceEvents *t = calloc(1, sizeof *t);
    char *copy = strdup(path);
    if (!t || !copy) {
        free(t);
        free(copy);
        return fail(err, NO_MEMORY, "%s: no memory to write a trace", path);
    }
    *t = (TraceEvents){.file = fopen(path, "w"), .path = copy, .start = clock_seconds(), .first = true};
    if (!t->file) {
        fail(err, IO_FAILED, "%s: cannot be written: %s", path, strerror(errno));
        free(copy);
        free(t);
        return IO_FAILED;
    }
    fputs("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [", t->file);
    *out = t;
    return OK;
}

void trace_events_put(TraceEvents *t, const char *category, const char *name, double start_seconds, double seconds,
                      const char *args)
{
    fprintf(t->file, "%s\n{\"name\": \"%s\", \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, "
            "\"ts\": %.3f, \"dur\": %.3f, \"args\": {%s}}",
            t->first ? "" : ",", name, category, 1e6 * (start_seconds - t->start), 1e6 * seconds,
            args ? args : "");
    t->first = false;
}

Err trace_events_close(TraceEvents *t, Error *err)
{
    if (!t)
        return OK;
    fputs("\n]}\n", t->file);
    bool failed = ferror(t->file) != 0;
    failed = fclose(t->file) != 0 || failed;
    Err result = failed ? fail(err, IO_FAILED, "%s: could not be written whole: %s", t->path, strerror(errno)) : OK;
    free(t->path);
    free(t);
    return result;
}
