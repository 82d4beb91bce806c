#include "server/batches.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/bell.h"
#include "server/service.h"

enum { BATCHES_PATH_BYTES = 4096 };
static const double RETRY_SECONDS = 1;

struct Batches {
    BatchPlace place;
    Keys *keys;
    BatchJob **job;            /* oldest first; behind place.lock, as its count */
    int count, capacity;
    Bell bell;
    atomic_bool stopping;
    bool running;              /* the thread is to be joined */
    pthread_t thread;
};

/* ---- the list; under the lock ---- */

static bool list_add(Batches *b, BatchJob *job)
{
    if (b->count == b->capacity) {
        int capacity = b->capacity ? 2 * b->capacity : 64;
        BatchJob **grown = realloc(b->job, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        b->job = grown;
        b->capacity = capacity;
    }
    b->job[b->count++] = job;
    return true;
}

static int place_of(const Batches *b, const char *owner, const char *id)
{
    for (int i = 0; i < b->count; i++)
        if (!strcmp(b->job[i]->id, id) && !strcmp(b->job[i]->owner, owner))
            return i;
    return -1;
}

/* The oldest that has ended, of one owner or of all, is forgotten. False: none has. */
static bool forget_one(Batches *b, const char *owner)
{
    for (int i = 0; i < b->count; i++) {
        BatchJob *j = b->job[i];
        if (!batch_job_ended(j) || j->has_turn || (owner && strcmp(j->owner, owner) != 0))
            continue;
        batch_job_forget(j);
        batch_job_free(j);
        memmove(b->job + i, b->job + i + 1, (size_t)(--b->count - i) * sizeof(BatchJob *));
        return true;
    }
    return false;
}

static bool has_room(Batches *b, const char *owner)
{
    int owned = 0;
    for (int i = 0; i < b->count; i++)
        owned += !strcmp(b->job[i]->owner, owner);
    return (owned < OWNED_BATCHES_MAX || forget_one(b, owner)) && (b->count < BATCHES_MAX || forget_one(b, NULL));
}

/* ---- the thread ---- */

/* Whose turn it is: the oldest batch that has not ended of each owner, of so many owners. */
static int choose(Batches *b, BatchJob *turn[BATCH_RUNS_MAX])
{
    int turns = 0;
    pthread_mutex_lock(&b->place.lock);
    for (int i = 0; i < b->count; i++) {
        bool taken = batch_job_ended(b->job[i]) || turns == BATCH_RUNS_MAX;
        for (int k = 0; k < turns && !taken; k++)
            taken = !strcmp(turn[k]->owner, b->job[i]->owner);
        b->job[i]->has_turn = !taken;
        if (!taken)
            turn[turns++] = b->job[i];
    }
    pthread_mutex_unlock(&b->place.lock);
    return turns;
}

/* Seconds until it is worth while to look again though no bell rings. */
static double step(BatchJob *j)
{
    Error err;
    BatchStatus before = batch_job_status(j);
    if (batch_job_step(j, &err) != OK)
        return RETRY_SECONDS;
    return batch_job_status(j) != before ? 0 : j->run ? batch_run_pause(j->run) : RETRY_SECONDS;
}

static void *run(void *with)
{
    Batches *b = with;
    BatchJob *turn[BATCH_RUNS_MAX];
    while (!b->stopping) {
        int turns = choose(b, turn);
        double seconds = turns ? RETRY_SECONDS : 3600;
        for (int i = 0; i < turns && !b->stopping; i++) {
            double pause = step(turn[i]);
            seconds = pause < seconds ? pause : seconds;
        }
        if (seconds > 0)
            bell_wait(&b->bell, seconds);
    }
    return NULL;
}

/* ---- opening ---- */

/* Its lines are calls of its owner, whose key may have gone while the server was down. */
static void find_key(Batches *b, BatchJob *j)
{
    if (batch_job_ended(j) || !j->owner[0])
        return;
    j->key = b->keys ? keys_named(b->keys, j->owner) : NULL;
    if (!j->key)
        batch_job_fail(j, "key_not_found", NULL, "the key that the batch was made with is not known any more");
}

static int by_creation(const void *a, const void *b)
{
    const BatchJob *x = *(BatchJob *const *)a, *y = *(BatchJob *const *)b;
    return x->expires_at != y->expires_at ? (x->expires_at < y->expires_at ? -1 : 1) : strcmp(x->id, y->id);
}

static Err read_job(Batches *b, const char *name, Error *err)
{
    char path[BATCHES_PATH_BYTES];
    BatchJob *job;
    snprintf(path, sizeof path, "%s/%s", b->place.directory, name);
    TRY(batch_job_read(&job, &b->place, path, err));
    if (!list_add(b, job)) {
        batch_job_free(job);
        return fail(err, NO_MEMORY, "no memory for the list of batches");
    }
    find_key(b, job);
    return OK;
}

static Err read_jobs(Batches *b, Error *err)
{
    TRY(directory_make(b->place.directory, err));
    DIR *d = opendir(b->place.directory);
    if (!d)
        return fail(err, IO_FAILED, "%s: %s", b->place.directory, strerror(errno));
    Err result = OK;
    for (struct dirent *e; result == OK && (e = readdir(d));) {
        const char *dot = strchr(e->d_name, '.');
        if (!strncmp(e->d_name, "batch_", 6) && dot && !strcmp(dot, ".json"))
            result = read_job(b, e->d_name, err);
    }
    closedir(d);
    if (b->count)
        qsort(b->job, (size_t)b->count, sizeof(BatchJob *), by_creation);
    return result;
}

static Err open_parts(Batches *b, const char *state_dir, Error *err)
{
    char files[BATCHES_PATH_BYTES];
    if ((size_t)snprintf(files, sizeof files, "%s/files", state_dir) >= sizeof files - 64)
        return fail(err, BAD_ARGUMENT, "the path of the state directory is too long");
    if (asprintf(&b->place.directory, "%s/batches", state_dir) < 0) {
        b->place.directory = NULL;
        return fail(err, NO_MEMORY, "no memory for the batches");
    }
    TRY(file_store_open(&b->place.files, files, err));
    TRY(read_jobs(b, err));
    if (pthread_create(&b->thread, NULL, run, b) != 0)
        return fail(err, NO_MEMORY, "cannot start a thread for batches");
    b->running = true;
    return OK;
}

Err batches_open(Batches **out, Service *service, const char *state_dir, Keys *keys, Error *err)
{
    Batches *b = *out = calloc(1, sizeof *b);
    if (!b)
        return fail(err, NO_MEMORY, "no memory for the batches");
    bell_init(&b->bell);
    pthread_mutex_init(&b->place.lock, NULL);
    pthread_mutex_init(&b->place.saving, NULL);
    b->place.service = service;
    b->place.ready = bell_ring;
    b->place.ready_with = &b->bell;
    b->keys = keys;
    Err result = open_parts(b, state_dir, err);
    if (result != OK) {
        batches_close(b);
        *out = NULL;
    }
    return result;
}

void batches_stop(Batches *b)
{
    if (!b || !b->running)
        return;
    b->stopping = true;
    bell_ring(&b->bell);
    pthread_join(b->thread, NULL);
    b->running = false;
    for (int i = 0; i < b->count; i++)
        batch_job_halt(b->job[i]);
}

void batches_close(Batches *b)
{
    if (!b)
        return;
    batches_stop(b);
    for (int i = 0; i < b->count; i++)
        batch_job_free(b->job[i]);
    free(b->job);
    file_store_close(b->place.files);
    free(b->place.directory);
    pthread_mutex_destroy(&b->place.saving);
    pthread_mutex_destroy(&b->place.lock);
    bell_deinit(&b->bell);
    free(b);
}

FileStore *batches_files(Batches *b) { return b->place.files; }

/* ---- asking ---- */

bool batches_add(Batches *b, const BatchOrder *order, json_t **object, Error *err)
{
    BatchJob *job;
    if (batch_job_new(&job, &b->place, order, err) != OK)
        return false;
    if (batch_job_save(job, err) != OK) {              /* before anybody hears of it */
        batch_job_free(job);
        return false;
    }
    pthread_mutex_lock(&b->place.lock);
    bool room = has_room(b, order->owner), added = room && list_add(b, job);
    if (added)
        *object = json_deep_copy(job->object);
    pthread_mutex_unlock(&b->place.lock);
    if (added) {
        bell_ring(&b->bell);
        return true;
    }
    batch_job_forget(job);
    batch_job_free(job);
    fail(err, room ? NO_MEMORY : LIMIT_REACHED, "there are %d batches that have not ended, or %d of yours", BATCHES_MAX,
         OWNED_BATCHES_MAX);
    return false;
}

json_t *batches_show(Batches *b, const char *owner, const char *id)
{
    pthread_mutex_lock(&b->place.lock);
    int at = place_of(b, owner, id);
    json_t *object = at >= 0 ? json_deep_copy(b->job[at]->object) : NULL;
    pthread_mutex_unlock(&b->place.lock);
    return object;
}

json_t *batches_cancel(Batches *b, const char *owner, const char *id, bool *cancelled)
{
    pthread_mutex_lock(&b->place.lock);
    int at = place_of(b, owner, id);
    *cancelled = at >= 0 && batch_job_cancel(b->job[at]);
    json_t *object = at >= 0 ? json_deep_copy(b->job[at]->object) : NULL;
    pthread_mutex_unlock(&b->place.lock);
    bell_ring(&b->bell);
    return object;
}

json_t *batches_list(Batches *b, const char *owner, const char *after, int most, bool *more)
{
    json_t *list = json_array();
    *more = false;
    pthread_mutex_lock(&b->place.lock);
    int at = after ? place_of(b, owner, after) - 1 : b->count - 1;
    for (; at >= 0 && list; at--) {
        if (strcmp(b->job[at]->owner, owner) != 0)
            continue;
        *more = json_array_size(list) == (size_t)most;
        if (*more)
            break;
        json_array_append_new(list, json_deep_copy(b->job[at]->object));
    }
    pthread_mutex_unlock(&b->place.lock);
    return list;
}
