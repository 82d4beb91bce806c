#include "cache/kv_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "cache/kv_file_table.h"

enum {
    KEY_BYTES = 32,
    FILES_MAX = 1 << 18,            /* in a directory, of all models */
    UNITS_MAX = 1 << 12,            /* each way */
    NAME_CHARACTERS = 2 * DIGEST_BYTES + 1 + 2 + 3,      /* hex of the name, "-", hex of the groups, ".kv" */
};
static const int64_t BYTES_DEFAULT = (int64_t)8 << 30, STAGING_DEFAULT = 64 << 20;
static const double PAUSE_SECONDS = 30;                   /* after the disk has said no */

/* Staging memory of one way. */
typedef struct Stage {
    KvUnit *unit;
    int32_t count;
    uint8_t *bytes;
    int32_t *tokens;
} Stage;

typedef enum ReadState { READ_IDLE, READ_FILLING, READ_ASKED, READ_DONE } ReadState;

struct KvFiles {
    KvBlockShape shape;
    char *directory;
    int64_t bytes_max;
    int lock_file;
    KvName origin;                  /* of key, model and shape: where every chain begins */
    KvFilesWake wake;
    Stage out, in;

    pthread_mutex_t lock;           /* for what follows */
    pthread_cond_t work;            /* for both threads */
    pthread_t writer, reader;
    bool closing;
    KvFileTable table;
    KvUnit **free, **queue;         /* units to be filled, and a ring of those to be written: [out.count] each */
    int32_t free_count, first, queued;
    double paused_until;
    ReadState read_state;
    int32_t read_count;
    KvFilesStats stats;
};

/* --- names --- */

KvName kv_files_root(const KvFiles *f, uint64_t salt)
{
    Sha256 h = sha256_begin();
    sha256_put(&h, &f->origin, sizeof f->origin);
    sha256_put(&h, &salt, sizeof salt);
    return sha256_end(&h);
}

KvName kv_files_next(const KvFiles *f, const KvName *parent, const int32_t *tokens)
{
    Sha256 h = sha256_begin();
    sha256_put(&h, parent, sizeof *parent);
    sha256_put(&h, tokens, (size_t)f->shape.block_tokens * sizeof *tokens);
    return sha256_end(&h);
}

static void path_of(const KvFiles *f, const KvName *name, uint32_t groups, char out[PATH_MAX])
{
    char hex[2 * DIGEST_BYTES + 1];
    for (int i = 0; i < DIGEST_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", name->byte[i]);
    snprintf(out, PATH_MAX, "%s/%s-%02x.kv", f->directory, hex, groups);
}

static bool name_of(const char *file, KvName *name, uint32_t *groups)
{
    int end = 0;
    for (int i = 0; i < DIGEST_BYTES; i++) {
        unsigned byte;
        if (strspn(file + 2 * i, "0123456789abcdef") < 2 || sscanf(file + 2 * i, "%2x", &byte) != 1)
            return false;
        name->byte[i] = (uint8_t)byte;
    }
    return sscanf(file + 2 * DIGEST_BYTES, "-%2x.kv%n", groups, &end) == 1 && end == NAME_CHARACTERS - 2 * DIGEST_BYTES
           && *groups != 0;
}

/* --- what is there at the start --- */

/* The secret of the directory; also what keeps a second process out. */
static Err open_key(KvFiles *f, uint8_t key[KEY_BYTES], Error *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/key", f->directory);
    f->lock_file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock_file < 0)
        return fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
    if (flock(f->lock_file, LOCK_EX | LOCK_NB) != 0)
        return fail(err, LIMIT_REACHED, "%s: another process keeps its cache here; give each a directory of its own",
                    f->directory);
    if (pread(f->lock_file, key, KEY_BYTES, 0) == KEY_BYTES)
        return OK;
    if (getrandom(key, KEY_BYTES, 0) != KEY_BYTES || pwrite(f->lock_file, key, KEY_BYTES, 0) != KEY_BYTES
        || fsync(f->lock_file) != 0)
        return fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
    return OK;
}

typedef struct Found {
    KvName name;
    uint32_t groups;
    int64_t bytes;
    struct timespec used;
} Found;

static int used_before(const void *a, const void *b)
{
    const struct timespec *x = &((const Found *)a)->used, *y = &((const Found *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static void add_found(KvFiles *f, const Found *found)
{
    char path[PATH_MAX];
    int32_t i = kv_file_table_find(&f->table, &found->name);
    if (i != ENTRY_NONE) {   /* left over when one with more groups was written */
        path_of(f, &found->name, f->table.entry[i].groups, path);
        unlink(path);
    } else {
        i = kv_file_table_add(&f->table, &found->name);
    }
    if (i != ENTRY_NONE)
        kv_file_table_put(&f->table, i, found->groups, found->bytes);
}

/* Takes one entry of the directory into the list; what a crash left half written is removed. */
static void look_at(KvFiles *f, const char *file, Found *list, int32_t *count)
{
    char path[PATH_MAX];
    struct stat info;
    Found found = {0};
    if (snprintf(path, sizeof path, "%s/%s", f->directory, file) >= (int)sizeof path
        || !name_of(file, &found.name, &found.groups))
        return;
    if (strlen(file) > NAME_CHARACTERS) {
        if (!strncmp(file + NAME_CHARACTERS, ".part-", 6))
            unlink(path);
        return;
    }
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    found.bytes = info.st_size;
    found.used = info.st_mtim;
    if (*count < FILES_MAX)
        list[(*count)++] = found;
    else
        unlink(path);
}

static Err scan(KvFiles *f, Error *err)
{
    DIR *d = opendir(f->directory);
    Found *list = malloc(FILES_MAX * sizeof *list);
    int32_t count = 0;
    if (!d || !list) {
        free(list);
        if (d)
            closedir(d);
        return fail(err, d ? NO_MEMORY : IO_FAILED, "%s: %s", f->directory, strerror(errno));
    }
    for (struct dirent *e; (e = readdir(d));)
        look_at(f, e->d_name, list, &count);
    closedir(d);
    qsort(list, (size_t)count, sizeof *list, used_before);
    for (int32_t i = 0; i < count; i++)
        add_found(f, &list[i]);
    free(list);
    return OK;
}

/* --- threads --- */

static void note_problem(KvFiles *f, const Error *err) { memcpy(f->stats.problem, err->text, sizeof f->stats.problem); }

/* Used just now, to the nanosecond, which the system itself would round; a restart sorts by it. Where that is not
 * allowed the order is lost, and no more. */
static void touch(const char *path)
{
    struct timespec now[2];
    clock_gettime(CLOCK_REALTIME, &now[0]);
    now[1] = now[0];
    utimensat(AT_FDCWD, path, now, 0);
}

/* Removes the oldest files until `more` bytes fit. Locked; the disk is asked without the lock. */
static void make_room(KvFiles *f, int64_t more)
{
    char path[PATH_MAX];
    for (int32_t i = f->table.oldest; i != ENTRY_NONE;) {
        const KvEntry *e = &f->table.entry[i];
        if (f->table.bytes + more <= f->bytes_max && f->table.used < f->table.max - f->out.count)
            return;
        if (e->writing) {
            i = e->newer;
            continue;
        }
        path_of(f, &e->name, e->groups, path);
        kv_file_table_remove(&f->table, i);
        f->stats.evicted++;
        pthread_mutex_unlock(&f->lock);
        unlink(path);
        pthread_mutex_lock(&f->lock);
        i = f->table.oldest;
    }
}

static void wrote(KvFiles *f, const KvUnit *u, Err result, const Error *err)
{
    int32_t i = kv_file_table_find(&f->table, &u->name);
    f->table.entry[i].writing = false;
    if (result == OK) {
        kv_file_table_put(&f->table, i, u->groups, (int64_t)kv_file_bytes(&f->shape, u->groups));
        f->stats.written++;
        return;
    }
    if (f->table.entry[i].groups == 0)
        kv_file_table_remove(&f->table, i);
    note_problem(f, err);
    f->paused_until = clock_seconds() + PAUSE_SECONDS;
}

static void write_one(KvFiles *f, KvUnit *u)
{
    char path[PATH_MAX], old[PATH_MAX];
    Error err = {0};
    uint32_t before = f->table.entry[kv_file_table_find(&f->table, &u->name)].groups;
    make_room(f, (int64_t)kv_file_bytes(&f->shape, u->groups));
    pthread_mutex_unlock(&f->lock);
    path_of(f, &u->name, u->groups, path);
    Err result = kv_block_file_write(path, &f->shape, u, &err);
    if (result == OK)
        touch(path);
    if (result == OK && before != 0) {
        path_of(f, &u->name, before, old);
        unlink(old);
    }
    pthread_mutex_lock(&f->lock);
    wrote(f, u, result, &err);
}

static void *write_all(void *with)
{
    KvFiles *f = with;
    pthread_mutex_lock(&f->lock);
    while (f->queued > 0 || !f->closing) {
        if (f->queued == 0) {
            pthread_cond_wait(&f->work, &f->lock);
            continue;
        }
        KvUnit *u = f->queue[f->first];
        write_one(f, u);
        f->first = (f->first + 1) % f->out.count;
        f->queued--;
        f->free[f->free_count++] = u;
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* Locked; unlocked while the disk works. */
static void read_one(KvFiles *f, KvUnit *u)
{
    char path[PATH_MAX];
    Error err = {0};
    int32_t i = kv_file_table_find(&f->table, &u->name);
    uint32_t groups = i == ENTRY_NONE ? 0 : f->table.entry[i].groups;
    u->groups = 0;
    if (groups == 0)
        return;
    pthread_mutex_unlock(&f->lock);
    path_of(f, &u->name, groups, path);
    Err result = kv_block_file_read(path, &f->shape, u, &err);
    if (result == OK)
        touch(path);
    else if (result == BAD_FILE)
        unlink(path);
    pthread_mutex_lock(&f->lock);
    i = kv_file_table_find(&f->table, &u->name);
    if (result == OK) {
        f->stats.read++;
        if (i != ENTRY_NONE)
            kv_file_table_use(&f->table, i);
        return;
    }
    u->groups = 0;
    if (i == ENTRY_NONE)
        return;   /* it was the oldest, and is gone */
    f->stats.refused++;
    note_problem(f, &err);
    if (!f->table.entry[i].writing)
        kv_file_table_remove(&f->table, i);
}

static void *read_all(void *with)
{
    KvFiles *f = with;
    pthread_mutex_lock(&f->lock);
    while (!f->closing) {
        if (f->read_state != READ_ASKED) {
            pthread_cond_wait(&f->work, &f->lock);
            continue;
        }
        for (int32_t i = 0; i < f->read_count && !f->closing; i++)
            read_one(f, &f->in.unit[i]);
        f->read_state = READ_DONE;
        if (f->closing)
            break;
        pthread_mutex_unlock(&f->lock);
        f->wake.call(f->wake.with);
        pthread_mutex_lock(&f->lock);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* --- birth and end --- */

static bool take_stage(Stage *s, const KvBlockShape *shape, int64_t bytes)
{
    size_t unit = kv_unit_bytes(shape, ~0u), tokens = (size_t)shape->block_tokens;
    s->count = (int32_t)max_i64(1, min_i64(UNITS_MAX, bytes / (int64_t)max_i64(1, (int64_t)unit)));
    s->unit = calloc((size_t)s->count, sizeof *s->unit);
    s->bytes = malloc((size_t)s->count * unit);
    s->tokens = calloc((size_t)s->count * tokens, sizeof *s->tokens);
    for (int32_t i = 0; s->unit && i < s->count; i++)
        s->unit[i] = (KvUnit){.bytes = s->bytes + (size_t)i * unit, .tokens = s->tokens + (size_t)i * tokens};
    return s->unit && s->bytes && s->tokens;
}

static void free_stage(Stage *s)
{
    free(s->unit);
    free(s->bytes);
    free(s->tokens);
}

static void files_free(KvFiles *f)
{
    if (f->lock_file >= 0)
        close(f->lock_file);
    free_stage(&f->out);
    free_stage(&f->in);
    free(f->free);
    free(f->queue);
    free(f->directory);
    kv_file_table_deinit(&f->table);
    free(f);
}

static Err take_memory(KvFiles *f, const KvFilesOptions *o, Error *err)
{
    int64_t half = (o->staging_bytes > 0 ? o->staging_bytes : STAGING_DEFAULT) / 2;
    bool taken = take_stage(&f->out, &f->shape, half) && take_stage(&f->in, &f->shape, half);
    f->free = taken ? calloc((size_t)f->out.count, sizeof *f->free) : NULL;
    f->queue = taken ? calloc((size_t)f->out.count, sizeof *f->queue) : NULL;
    if (!f->free || !f->queue || !kv_file_table_init(&f->table, FILES_MAX + f->out.count))
        return fail(err, NO_MEMORY, "no memory to stage blocks of the cache on their way to %s", o->directory);
    for (; f->free_count < f->out.count; f->free_count++)
        f->free[f->free_count] = &f->out.unit[f->free_count];
    return OK;
}

static Err open_directory(KvFiles *f, const KvFilesOptions *o, const char *what, Error *err)
{
    uint8_t key[KEY_BYTES];
    if (strlen(o->directory) + NAME_CHARACTERS + 40 > PATH_MAX)
        return fail(err, BAD_ARGUMENT, "%s: the path is too long", o->directory);
    if (mkdir(o->directory, 0700) != 0 && errno != EEXIST)
        return fail(err, IO_FAILED, "%s: cannot be made: %s", o->directory, strerror(errno));
    TRY(open_key(f, key, err));
    Sha256 h = sha256_begin();
    sha256_put(&h, key, sizeof key);
    sha256_put(&h, what, strlen(what) + 1);
    sha256_put(&h, o->model ? o->model : "", o->model ? strlen(o->model) + 1 : 1);
    f->origin = sha256_end(&h);
    TRY(scan(f, err));
    return OK;
}

static Err build(KvFiles *f, const KvFilesOptions *o, const char *what, Error *err)
{
    int64_t least = (int64_t)kv_file_bytes(&f->shape, (1u << f->shape.groups) - 1);
    f->bytes_max = o->bytes_max > 0 ? o->bytes_max : BYTES_DEFAULT;
    if (f->bytes_max < least)
        return fail(err, BAD_ARGUMENT, "%s: %lld bytes are allowed there, but one block takes %lld", o->directory,
                    (long long)f->bytes_max, (long long)least);
    if (!f->directory)
        return fail(err, NO_MEMORY, "%s: no memory", o->directory);
    TRY(take_memory(f, o, err));
    return open_directory(f, o, what, err);
}

Err kv_files_open(KvFiles **out, const KvFilesOptions *o, const KvBlockShape *shape, const char *what, KvFilesWake wake,
                  Error *err)
{
    KvFiles *f = calloc(1, sizeof *f);
    if (!f)
        return fail(err, NO_MEMORY, "%s: no memory", o->directory);
    *f = (KvFiles){.shape = *shape, .lock_file = -1, .wake = wake, .directory = strdup(o->directory)};
    Err result = build(f, o, what, err);
    if (result != OK) {
        files_free(f);
        return result;
    }
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->work, NULL);
    pthread_mutex_lock(&f->lock);
    make_room(f, 0);
    pthread_mutex_unlock(&f->lock);
    if (pthread_create(&f->writer, NULL, write_all, f) != 0) {
        files_free(f);
        return fail(err, NO_MEMORY, "%s: no thread to write there", o->directory);
    }
    if (pthread_create(&f->reader, NULL, read_all, f) != 0) {
        f->reader = f->writer;
        kv_files_close(f);
        return fail(err, NO_MEMORY, "%s: no thread to read there", o->directory);
    }
    *out = f;
    return OK;
}

void kv_files_close(KvFiles *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->closing = true;
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->writer, NULL);
    if (!pthread_equal(f->reader, f->writer))
        pthread_join(f->reader, NULL);
    pthread_cond_destroy(&f->work);
    pthread_mutex_destroy(&f->lock);
    files_free(f);
}

/* --- for the engine's thread --- */

uint32_t kv_files_groups(KvFiles *f, const KvName *name)
{
    pthread_mutex_lock(&f->lock);
    int32_t i = kv_file_table_find(&f->table, name);
    uint32_t groups = i == ENTRY_NONE ? 0 : f->table.entry[i].groups;
    pthread_mutex_unlock(&f->lock);
    return groups >> f->shape.groups ? 0 : groups;
}

bool kv_files_empty(KvFiles *f)
{
    pthread_mutex_lock(&f->lock);
    bool empty = f->table.files == 0;
    pthread_mutex_unlock(&f->lock);
    return empty;
}

/* What is known already, if it says all that the new one would. */
static bool says_nothing_new(const KvFiles *f, int32_t i, uint32_t groups)
{
    const KvEntry *e = &f->table.entry[i];
    return e->writing || (e->groups & ~groups) != 0 || e->groups == groups;
}

static KvStage stage(KvFiles *f, const KvName *name, uint32_t groups, KvUnit **out)
{
    int32_t i = kv_file_table_find(&f->table, name);
    if (groups == 0)
        return KV_NOTHING_NEW;
    if (i != ENTRY_NONE && says_nothing_new(f, i, groups)) {
        kv_file_table_use(&f->table, i);
        return KV_NOTHING_NEW;
    }
    bool room = f->free_count > 0 && (f->paused_until == 0 || clock_seconds() >= f->paused_until);
    if (!room || (i == ENTRY_NONE && (i = kv_file_table_add(&f->table, name)) == ENTRY_NONE)) {
        f->stats.passed_over++;
        return KV_NO_STAGE;
    }
    f->table.entry[i].writing = true;
    *out = f->free[--f->free_count];
    (*out)->name = *name;
    (*out)->groups = groups;
    return KV_STAGED;
}

KvStage kv_files_stage(KvFiles *f, const KvName *name, uint32_t groups, KvUnit **out)
{
    pthread_mutex_lock(&f->lock);
    KvStage result = stage(f, name, groups, out);
    pthread_mutex_unlock(&f->lock);
    return result;
}

void kv_files_write(KvFiles *f, KvUnit *u)
{
    pthread_mutex_lock(&f->lock);
    ASSERT(f->queued < f->out.count);
    f->queue[(f->first + f->queued++) % f->out.count] = u;
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
}

KvUnit *kv_files_read_begin(KvFiles *f, int32_t *most)
{
    pthread_mutex_lock(&f->lock);
    bool idle = f->read_state == READ_IDLE;
    if (idle)
        f->read_state = READ_FILLING;
    pthread_mutex_unlock(&f->lock);
    *most = f->in.count;
    return idle ? f->in.unit : NULL;
}

void kv_files_read(KvFiles *f, int32_t count)
{
    pthread_mutex_lock(&f->lock);
    ASSERT(f->read_state == READ_FILLING && count <= f->in.count);
    f->read_count = count;
    f->read_state = READ_ASKED;
    pthread_cond_broadcast(&f->work);
    pthread_mutex_unlock(&f->lock);
}

bool kv_files_read_done(KvFiles *f)
{
    pthread_mutex_lock(&f->lock);
    bool done = f->read_state == READ_DONE;
    pthread_mutex_unlock(&f->lock);
    return done;
}

const KvUnit *kv_files_read_units(const KvFiles *f) { return f->in.unit; }

void kv_files_read_end(KvFiles *f)
{
    pthread_mutex_lock(&f->lock);
    f->read_state = READ_IDLE;
    pthread_mutex_unlock(&f->lock);
}

KvFilesStats kv_files_stats(KvFiles *f)
{
    pthread_mutex_lock(&f->lock);
    f->stats.files = f->table.files;
    f->stats.bytes = f->table.bytes;
    KvFilesStats stats = f->stats;
    pthread_mutex_unlock(&f->lock);
    return stats;
}
