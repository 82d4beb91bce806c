#include "server/batch_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/batch_line.h"
#include "server/api_keys.h"

enum { JOB_PATH_BYTES = 4096, JOB_STATE_BYTES_MAX = 1 << 20 };

static const char *const status_names[] = {
    [BATCH_VALIDATING] = "validating", [BATCH_IN_PROGRESS] = "in_progress", [BATCH_FINALIZING] = "finalizing",
    [BATCH_CANCELLING] = "cancelling", [BATCH_COMPLETED] = "completed",     [BATCH_FAILED] = "failed",
    [BATCH_EXPIRED] = "expired",       [BATCH_CANCELLED] = "cancelled",
};

/* ---- the object ---- */

static void path_of(const BatchPlace *place, const char *id, const char *suffix, char path[JOB_PATH_BYTES])
{
    snprintf(path, JOB_PATH_BYTES, "%s/%s%s", place->directory, id, suffix);
}

static const char *text_of(const BatchJob *j, const char *name)
{
    const char *text = json_string_value(json_object_get(j->object, name));
    return text ? text : "";
}

static bool is_set(const BatchJob *j, const char *name) { return json_is_integer(json_object_get(j->object, name)); }

static void set_now(BatchJob *j, const char *name)
{
    json_object_set_new(j->object, name, json_integer((json_int_t)time(NULL)));
}

/* Under the lock. Each status has a moment of its own in the object: "in_progress_at". */
static void set_status(BatchJob *j, BatchStatus status)
{
    char moment[32];
    j->status = status;
    snprintf(moment, sizeof moment, "%s_at", status_names[status]);
    json_object_set_new(j->object, "status", json_string(status_names[status]));
    if (!is_set(j, moment))
        set_now(j, moment);
}

/* Unless it is another one meanwhile: it was cancelled. */
static Err change_status(BatchJob *j, BatchStatus from, BatchStatus to, Error *err)
{
    pthread_mutex_lock(&j->place->lock);
    if (j->status == from)
        set_status(j, to);
    pthread_mutex_unlock(&j->place->lock);
    return batch_job_save(j, err);
}

static json_t *new_object(const BatchJob *j, const BatchOrder *o)
{
    static const char *const moments[] = {"in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at",
                                          "expired_at", "cancelling_at", "cancelled_at"};
    json_int_t now = (json_int_t)time(NULL);
    json_t *object = json_pack("{s:s, s:s, s:s, s:n, s:s, s:s, s:s, s:n, s:n, s:I}", "id", j->id, "object", "batch", "endpoint",
                               o->endpoint, "errors", "input_file_id", o->input_file_id, "completion_window", o->window,
                               "status", status_names[BATCH_VALIDATING], "output_file_id", "error_file_id", "created_at", now);
    for (size_t i = 0; i < COUNT_OF(moments); i++)
        json_object_set_new(object, moments[i], json_null());
    json_object_set_new(object, "expires_at", json_integer(now + BATCH_SECONDS));
    json_object_set_new(object, "request_counts", json_pack("{s:i, s:i, s:i}", "total", 0, "completed", 0, "failed", 0));
    json_object_set_new(object, "metadata", o->metadata ? json_deep_copy(o->metadata) : json_null());
    return object;
}

static BatchJob *job_alloc(BatchPlace *place, const char *id, const char *owner)
{
    BatchJob *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->place = place;
    snprintf(j->id, sizeof j->id, "%s", id);
    snprintf(j->owner, sizeof j->owner, "%s", owner);
    return j;
}

/* What of the object is wanted without the lock. */
static bool copy_constants(BatchJob *j)
{
    const char *endpoint = text_of(j, "endpoint"), *input = text_of(j, "input_file_id");
    snprintf(j->endpoint, sizeof j->endpoint, "%s", endpoint);
    snprintf(j->input_file_id, sizeof j->input_file_id, "%s", input);
    j->expires_at = json_integer_value(json_object_get(j->object, "expires_at"));
    j->expired = is_set(j, "expired_at");
    return strlen(endpoint) < sizeof j->endpoint && strlen(input) < sizeof j->input_file_id && is_set(j, "expires_at");
}

Err batch_job_new(BatchJob **out, BatchPlace *place, const BatchOrder *o, Error *err)
{
    BatchJob *j = *out = job_alloc(place, random_id("batch_").text, o->owner);
    if (!j || !(j->object = new_object(j, o))) {
        free(j);
        *out = NULL;
        return fail(err, NO_MEMORY, "no memory for a batch");
    }
    j->key = key_share(o->key);
    copy_constants(j);
    return OK;
}

/* ---- the state on the disk ---- */

Err batch_job_save(BatchJob *j, Error *err)
{
    char path[JOB_PATH_BYTES];
    FileOut *out;
    path_of(j->place, j->id, ".json", path);
    pthread_mutex_lock(&j->place->saving);
    pthread_mutex_lock(&j->place->lock);
    json_t *state = json_pack("{s:s, s:O}", "owner", j->owner, "batch", j->object);
    char *text = state ? json_dumps(state, JSON_COMPACT) : NULL;
    json_decref(state);
    pthread_mutex_unlock(&j->place->lock);
    Err result = text ? file_out_new(path, &out, err) : fail(err, NO_MEMORY, "%s: no memory to write it", path);
    if (result == OK) {
        result = file_out_put(out, text, strlen(text), err);
        if (result == OK)
            result = file_out_commit(out, err);
        else
            file_out_drop(out);
    }
    pthread_mutex_unlock(&j->place->saving);
    free(text);
    return result;
}

static bool read_status(BatchJob *j)
{
    for (size_t i = 0; i < COUNT_OF(status_names); i++)
        if (!strcmp(text_of(j, "status"), status_names[i])) {
            j->status = (BatchStatus)i;
            return true;
        }
    return false;
}

Err batch_job_read(BatchJob **out, BatchPlace *place, const char *path, Error *err)
{
    json_t *state;
    *out = NULL;
    TRY(json_read_file(path, JOB_STATE_BYTES_MAX, &state, err));
    json_t *object = json_object_get(state, "batch");
    const char *owner = json_string_value(json_object_get(state, "owner"));
    const char *id = json_string_value(json_object_get(object, "id")), *name = strrchr(path, '/');
    bool good = id && owner && name && !strncmp(name + 1, id, strlen(id)) && !strcmp(name + 1 + strlen(id), ".json") &&
                strlen(id) < RANDOM_ID_BYTES && strlen(owner) < FILE_OWNER_BYTES;
    BatchJob *j = good ? job_alloc(place, id, owner) : NULL;
    if (j) {
        j->object = json_incref(object);
        good = read_status(j) && copy_constants(j) && json_is_object(json_object_get(object, "request_counts"));
    }
    json_decref(state);
    if (!j || !good) {
        batch_job_free(j);
        return fail(err, BAD_FILE, "%s: does not tell of a batch. Move it away.", path);
    }
    *out = j;
    return OK;
}

void batch_job_halt(BatchJob *j)
{
    batch_run_free(j->run);
    j->run = NULL;
    file_map_deinit(&j->input);
}

void batch_job_free(BatchJob *j)
{
    if (!j)
        return;
    batch_job_halt(j);
    key_drop(j->key);
    json_decref(j->object);
    free(j);
}

void batch_job_forget(BatchJob *j)
{
    char path[JOB_PATH_BYTES];
    path_of(j->place, j->id, ".json", path);
    unlink(path);
    path_of(j->place, j->id, ".answers", path);
    unlink(path);
}

/* ---- validating ---- */

static void set_failed(BatchJob *j, const char *code, const char *param, const char *message)
{
    pthread_mutex_lock(&j->place->lock);
    json_object_set_new(j->object, "errors", json_pack("{s:s, s:[{s:s, s:s, s:s?, s:n}]}", "object", "list", "data", "code",
                                                       code, "message", message, "param", param, "line"));
    set_status(j, BATCH_FAILED);
    pthread_mutex_unlock(&j->place->lock);
}

void batch_job_fail(BatchJob *j, const char *code, const char *param, const char *message)
{
    Error ignored;
    batch_job_halt(j);
    set_failed(j, code, param, message);
    batch_job_save(j, &ignored);
}

/* Maps the file. OK without a mapping: the batch has failed, since it is not there any more. */
static Err map_input(BatchJob *j, bool *mapped, Error *err)
{
    StoredFile about;
    *mapped = file_store_find(j->place->files, j->owner, j->input_file_id, &about);
    if (!*mapped) {
        batch_job_fail(j, "file_not_found", "input_file_id", "the input file has been deleted");
        return OK;
    }
    file_map_deinit(&j->input);
    return file_store_map(j->place->files, &about, &j->input, err);
}

static Err validate(BatchJob *j, Error *err)
{
    bool mapped;
    TRY(map_input(j, &mapped, err));
    if (!mapped)
        return OK;
    int64_t lines = batch_count_lines(j->input.span);
    if (lines == 0)
        batch_job_fail(j, "empty_file", "input_file_id", "the input file has no lines");
    else if (lines > BATCH_LINES_MAX)
        batch_job_fail(j, "too_many_lines", "input_file_id", "the input file has more than 50,000 lines");
    else
        return change_status(j, BATCH_VALIDATING, BATCH_IN_PROGRESS, err);
    return OK;
}

/* ---- running ---- */

static Err open_run(BatchJob *j, Error *err)
{
    char path[JOB_PATH_BYTES];
    bool mapped;
    TRY(map_input(j, &mapped, err));
    if (!mapped)
        return OK;
    path_of(j->place, j->id, ".answers", path);
    return batch_run_new(&j->run, &(BatchRunOptions){.service = j->place->service, .input = j->input.span, .answers = path,
                                                     .own_answers = true, .endpoint = j->endpoint, .key = j->key,
                                                     .in_flight = BATCH_FLIGHTS, .ready = j->place->ready,
                                                     .ready_with = j->place->ready_with}, err);
}

static void show_counts(BatchJob *j)
{
    BatchCounts c = batch_run_counts(j->run);
    pthread_mutex_lock(&j->place->lock);
    json_object_set_new(j->object, "request_counts",
                        json_pack("{s:I, s:I, s:I}", "total", (json_int_t)c.total, "completed", (json_int_t)c.completed,
                                  "failed", (json_int_t)c.failed));
    pthread_mutex_unlock(&j->place->lock);
}

static void watch_time(BatchJob *j)
{
    if (!j->expired && j->expires_at <= (int64_t)time(NULL)) {
        pthread_mutex_lock(&j->place->lock);
        set_now(j, "expired_at");
        pthread_mutex_unlock(&j->place->lock);
        j->expired = true;
    }
    if (j->expired)
        batch_run_give_up(j->run, "batch_expired", "the time of the batch was over before this line was answered");
}

static Err go_on(BatchJob *j, Error *err)
{
    bool ended;
    if (!j->run)
        TRY(open_run(j, err));
    if (!j->run)
        return OK;
    watch_time(j);
    Err result = batch_run_step(j->run, &ended, err);
    show_counts(j);
    if (result != OK || !ended)
        return result;
    batch_job_halt(j);
    return change_status(j, BATCH_IN_PROGRESS, BATCH_FINALIZING, err);
}

/* ---- finalizing ---- */

/* Copies the answers that went well, or those that did not. */
static Err copy_answers(Span answers, bool well, FileOut *out, Error *err)
{
    Span line;
    for (int64_t number = 0; batch_line_next(&answers, &line, &number);) {
        json_t *answer = json_loadb((const char *)line.data, line.bytes, JSON_ALLOW_NUL, NULL);
        bool wanted = answer && batch_went_well(answer) == well;
        json_decref(answer);
        if (wanted) {
            TRY(file_out_put(out, line.data, line.bytes, err));
            TRY(file_out_put(out, "\n", 1, err));
        }
    }
    return OK;
}

/* Makes one of the two files, and names it in the object; none where it would be empty. */
static Err make_file(BatchJob *j, Span answers, bool well, Error *err)
{
    StoredFile about = {.purpose = "batch_output"};
    FileOut *out;
    snprintf(about.owner, sizeof about.owner, "%s", j->owner);
    snprintf(about.id, sizeof about.id, "file-%s%s", j->id + strlen("batch_"), well ? "00" : "01");
    snprintf(about.filename, sizeof about.filename, "%s_%s.jsonl", j->id, well ? "output" : "error");
    TRY(file_store_begin(j->place->files, &about, &out, err));
    Err result = copy_answers(answers, well, out, err);
    if (result != OK || file_out_bytes(out) == 0) {
        file_out_drop(out);
        return result;
    }
    TRY(file_store_commit(j->place->files, &about, out, err));
    pthread_mutex_lock(&j->place->lock);
    json_object_set_new(j->object, well ? "output_file_id" : "error_file_id", json_string(about.id));
    pthread_mutex_unlock(&j->place->lock);
    return OK;
}

static Err make_files(BatchJob *j, BatchStatus now, BatchStatus then, Error *err)
{
    char path[JOB_PATH_BYTES];
    FileMap answers;
    batch_job_halt(j);
    path_of(j->place, j->id, ".answers", path);
    if (file_exists(path)) {
        TRY(file_map_init(&answers, path, err));
        Err result = make_file(j, answers.span, true, err);
        if (result == OK)
            result = make_file(j, answers.span, false, err);
        file_map_deinit(&answers);
        TRY(result);
    }
    TRY(change_status(j, now, then, err));
    unlink(path);
    return OK;
}

/* ---- the job ---- */

bool batch_job_cancel(BatchJob *j)
{
    if (j->status != BATCH_VALIDATING && j->status != BATCH_IN_PROGRESS)
        return false;
    set_status(j, BATCH_CANCELLING);
    return true;
}

BatchStatus batch_job_status(BatchJob *j)
{
    pthread_mutex_lock(&j->place->lock);
    BatchStatus status = j->status;
    pthread_mutex_unlock(&j->place->lock);
    return status;
}

Err batch_job_step(BatchJob *j, Error *err)
{
    BatchStatus status = batch_job_status(j);
    switch (status) {
    case BATCH_VALIDATING: return validate(j, err);
    case BATCH_IN_PROGRESS: return go_on(j, err);
    case BATCH_CANCELLING: return make_files(j, status, BATCH_CANCELLED, err);
    case BATCH_FINALIZING: return make_files(j, status, j->expired ? BATCH_EXPIRED : BATCH_COMPLETED, err);
    default: return OK;
    }
}
