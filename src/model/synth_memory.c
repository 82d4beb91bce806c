#include "model/synth_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"
#include "model/shapes.h"
#include "model/synth_parts.h"

#define PREFIX "synth:"

enum { PAGE = 4096, LINE = 256, POOLS_MAX = 64 };
enum { POOL_TENSOR = 1 << 30 };                  /* numbers of random streams that no tensor has */
static const size_t POOL_BYTES_MIN = 1 << 20;
static const double MAPPINGS = 32768;            /* that all pools together are mapped at most; the system allows 65530 */

typedef struct Pool {                            /* blocks of one format and deviation */
    const Format *format;
    float deviation;
    int fd;
    size_t unit, bytes;                          /* unit: whole pages of whole blocks */
} Pool;

struct SynthMemory {
    uint8_t *data;                               /* the addresses of the file */
    size_t bytes;
    int fd;                                      /* of what is in no pool; a hole where matrices lie */
    Pool pool[POOLS_MAX];
    int pools;
    size_t pool_bytes;                           /* of each, at least */
};

bool synth_memory_names(const char *path) { return !strncmp(path, PREFIX, strlen(PREFIX)); }

/* Shared memory with a name of its own, of which only what is written takes room. */
static Err shared_memory(size_t bytes, int *fd, uint8_t **data, Error *err)
{
    *fd = memfd_create("ridge-synth", MFD_CLOEXEC);
    void *mapped = *fd >= 0 && bytes <= INT64_MAX && ftruncate(*fd, (off_t)bytes) == 0
                       ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, *fd, 0)
                       : MAP_FAILED;
    if (mapped == MAP_FAILED)
        return fail(err, NO_MEMORY, "no room for %zu bytes of made-up weights: %s", bytes, strerror(errno));
    *data = mapped;
    return OK;
}

/* ---- pools ---- */

typedef struct PoolTask {
    const Pool *pool;
    int number;
    uint8_t *data;
    uint64_t seed;
} PoolTask;

static void pool_task(void *context, int index, int count)
{
    const PoolTask *t = context;
    const Format *f = t->pool->format;
    size_t line_bytes = format_row_bytes(f, LINE);
    float x[LINE];
    for (int64_t line = index; line < (int64_t)(t->pool->bytes / line_bytes); line += count) {
        synth_values(x, LINE, 0, t->pool->deviation, t->seed, (size_t)(POOL_TENSOR + t->number), line);
        f->encode(t->data + (size_t)line * line_bytes, x, LINE, NULL);
    }
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b;
    while (y) {
        size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static Err pool_fill(SynthMemory *m, const Synth *s, Pool *p, Error *err)
{
    uint8_t *data;
    p->unit = common_multiple(format_row_bytes(p->format, LINE), PAGE);
    p->bytes = (m->pool_bytes + p->unit - 1) / p->unit * p->unit;
    m->pools++;                                  /* from here on it is closed with the others */
    TRY(shared_memory(p->bytes, &p->fd, &data, err));
    PoolTask task = {p, m->pools, data, s->options->seed};
    team_run(s->options->team, team_threads(s->options->team), pool_task, &task);
    munmap(data, p->bytes);
    return OK;
}

static Err pool_for(SynthMemory *m, const Synth *s, const TensorPlan *t, const Pool **out, Error *err)
{
    const Format *format = synth_format(s, t);
    float deviation = synth_deviation(t);
    for (int i = 0; i < m->pools; i++)
        if (m->pool[i].format == format && m->pool[i].deviation == deviation) {
            *out = &m->pool[i];
            return OK;
        }
    if (m->pools == POOLS_MAX)
        return fail(err, LIMIT_REACHED, "%s: its matrices have more than %d widths", s->options->config, POOLS_MAX);
    Pool *p = &m->pool[m->pools];
    *p = (Pool){.format = format, .deviation = deviation};
    *out = p;
    return pool_fill(m, s, p, err);
}

/* ---- the file ---- */

/* The pool again and again, from one of its units on. */
static Err map_matrix(const Pool *p, size_t number, uint8_t *at, size_t bytes, Error *err)
{
    size_t from = number * 7919 % (p->bytes / p->unit) * p->unit, rest = (bytes + PAGE - 1) / PAGE * PAGE;
    for (size_t n; rest; rest -= n, at += n, from = 0) {
        n = (size_t)min_i64((int64_t)rest, (int64_t)(p->bytes - from));
        if (mmap(at, n, PROT_READ, MAP_SHARED | MAP_FIXED, p->fd, (off_t)from) == MAP_FAILED)
            return fail(err, NO_MEMORY, "random weights cannot be mapped: %s", strerror(errno));
    }
    return OK;
}

static Err put_tensor(SynthMemory *m, const Synth *s, size_t number, uint8_t *at, size_t bytes, Error *err)
{
    const TensorPlan *t = &s->tensor[number];
    const Pool *pool = NULL;
    if (!synth_is_matrix(t))
        return synth_lines(s, number, 0, t->lines, at, err);
    TRY(pool_for(m, s, t, &pool, err));
    return map_matrix(pool, number, at, bytes, err);
}

static Err put_all(SynthMemory *m, const Synth *s, const Buf *head, const char *name, Error *err)
{
    uint64_t data_bytes = gguf_data_bytes(s->writer);
    size_t bytes;
    if (!add_fits(head->bytes, data_bytes, &bytes) || !round_up_fits(bytes, PAGE, &bytes))
        return fail(err, LIMIT_REACHED, "%s: is larger than any memory", name);
    m->pool_bytes = (size_t)max_i64((int64_t)POOL_BYTES_MIN, (int64_t)((double)data_bytes / MAPPINGS));
    TRY(shared_memory(bytes, &m->fd, &m->data, err));
    m->bytes = bytes;
    memcpy(m->data, head->data, head->bytes);
    size_t at = head->bytes;
    for (size_t i = 0; i < s->tensors; i++) {
        const TensorPlan *t = &s->tensor[i];
        size_t of_it = (size_t)t->lines * format_row_bytes(synth_format(s, t), t->width);
        TRY(put_tensor(m, s, i, m->data + at, of_it, err));
        at += (of_it + PAGE - 1) / PAGE * PAGE;
    }
    return OK;
}

static Err make(SynthMemory *m, const SynthOptions *options, const char *name, Error *err)
{
    Synth s;
    Buf head;
    buf_init(&head, 0);
    Err result = synth_begin(&s, options, PAGE, err);
    if (result == OK)
        result = gguf_write_head(s.writer, name, &head, err);
    if (result == OK)
        result = put_all(m, &s, &head, name, err);
    buf_deinit(&head);
    synth_end(&s);
    return result;
}

/* SHAPE may be a path; what comes behind its last colon is the format, else it is BF16. */
static Err read_name(const char *name, char shape[PATH_MAX], const Format **format, Error *err)
{
    const char *from = name + strlen(PREFIX), *colon = strrchr(from, ':');
    size_t bytes = colon ? (size_t)(colon - from) : strlen(from);
    if (!bytes || bytes >= PATH_MAX)
        return fail(err, BAD_ARGUMENT, "'%.200s': must be synth:SHAPE:FORMAT; `ridge synth --list` shows the shapes", name);
    memcpy(shape, from, bytes);
    shape[bytes] = 0;
    const char *called = colon ? colon + 1 : "BF16";
    *format = format_find(called);
    return *format ? OK : fail(err, BAD_ARGUMENT, "%.200s: '%.64s' is no number format that ridge knows", name, called);
}

Err synth_memory_open(const char *name, SynthMemory **out, Error *err)
{
    char shape[PATH_MAX], config[PATH_MAX], shape_name[SHAPE_NAME_BYTES];
    SynthOptions options = {.config = config, .name = shape_name};
    *out = NULL;
    TRY(read_name(name, shape, &options.format, err));
    TRY(shape_find(shape, config, shape_name, err));
    SynthMemory *m = calloc(1, sizeof *m);
    if (!m)
        return fail(err, NO_MEMORY, "%s: no memory to make it", name);
    m->fd = -1;
    Err result = team_new(&options.team, 0, false, err);
    if (result == OK) {
        result = make(m, &options, name, err);
        team_free(options.team);
    }
    if (result == OK)
        *out = m;
    else
        synth_memory_close(m);
    return result;
}

void synth_memory_close(SynthMemory *m)
{
    if (!m)
        return;
    if (m->bytes)
        munmap(m->data, m->bytes);
    for (int i = 0; i < m->pools; i++)
        if (m->pool[i].fd >= 0)
            close(m->pool[i].fd);
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}

void synth_memory_let_go(const SynthMemory *m) { madvise(m->data, m->bytes, MADV_DONTNEED); }

Span synth_memory_file(const SynthMemory *m) { return span_of(m->data, m->bytes); }
