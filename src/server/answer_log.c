#include "server/answer_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file_map.h"
#include "server/batch_line.h"

static const char FIRST_BYTES[] = "{\"id\":\"batch_req_";

static Err file_says_no(const AnswerLog *log, Error *err)
{
    return fail(err, IO_FAILED, "%s: %s", log->path, strerror(errno));
}

/* Remembers an answer under what it answers: "=custom_id", or "#12" of a line that was no request. */
static bool remember(AnswerLog *log, const json_t *answer)
{
    const json_t *id = json_object_get(answer, "custom_id");
    json_t *line = json_object_get(json_object_get(answer, "error"), "line");
    char *key = NULL;
    int bytes = json_is_integer(line) ? asprintf(&key, "#%lld", (long long)json_integer_value(line))
                                      : asprintf(&key, "=%s", json_is_string(id) ? json_string_value(id) : "");
    if (bytes < 0)
        return false;
    bool done = json_object_set_new(log->answered, key, json_true()) == 0;
    *(batch_went_well(answer) ? &log->well : &log->badly) += 1;
    free(key);
    return done;
}

bool answer_log_has(const AnswerLog *log, const char *custom_id, int64_t number)
{
    char key[CUSTOM_ID_BYTES_MAX + 2];
    snprintf(key, sizeof key, "#%lld", (long long)number);
    if (json_object_get(log->answered, key))
        return true;
    snprintf(key, sizeof key, "=%s", custom_id ? custom_id : "");
    return custom_id && json_object_get(log->answered, key);
}

/* Whether a line without its end may be the beginning of an answer. */
static bool may_be_torn(Span line)
{
    size_t known = strlen(FIRST_BYTES);
    return line.bytes < known ? !memcmp(line.data, FIRST_BYTES, line.bytes) : span_starts(line, span_text(FIRST_BYTES));
}

static bool read_answer(AnswerLog *log, Span line)
{
    json_t *answer = json_loadb((const char *)line.data, line.bytes, JSON_ALLOW_NUL, NULL);
    bool good = batch_is_answer(answer) && remember(log, answer);
    json_decref(answer);
    return good;
}

/* Counts the whole answers, from the start. */
static Err read_answers(AnswerLog *log, Span text, bool own, Error *err)
{
    for (int64_t number = 1; text.bytes; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        Span line = span_first(text, end ? (size_t)(end - text.data) : text.bytes);
        bool good = end && read_answer(log, line);
        if (!good && (own || (!end && may_be_torn(line))))
            return OK;
        if (!good)
            return fail(err, BAD_FILE, "%s: line %lld is no answer of a batch, so nothing was written there. "
                        "Name another file, or begin anew with --restart.", log->path, (long long)number);
        text = span_from(text, line.bytes + 1);
        log->bytes += (int64_t)line.bytes + 1;
    }
    return OK;
}

static Err read_file(AnswerLog *log, bool own, Error *err)
{
    FileMap map;
    TRY(file_map_init(&map, log->path, err));
    Err result = read_answers(log, map.span, own, err);
    file_map_deinit(&map);
    TRY(result);
    return ftruncate(log->fd, log->bytes) == 0 ? OK : file_says_no(log, err);
}

Err answer_log_open(AnswerLog *log, const char *path, bool own, Error *err)
{
    *log = (AnswerLog){.path = path, .answered = json_object()};
    if (!log->answered)
        return fail(err, NO_MEMORY, "%s: no memory to read it", path);
    log->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->fd < 0)
        return file_says_no(log, err);
    log->open = true;
    if (flock(log->fd, LOCK_EX | LOCK_NB) != 0)
        return fail(err, IO_FAILED, "%s: another run writes there now", path);
    return read_file(log, own, err);
}

void answer_log_close(AnswerLog *log)
{
    if (log->open)
        close(log->fd);
    json_decref(log->answered);
    *log = (AnswerLog){0};
}

/* A line that the disk took only in part is taken back, so that the next try does not stand behind half a line. */
static Err write_line(AnswerLog *log, const char *text, size_t bytes, Error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(log->fd, text + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            file_says_no(log, err);
            if (ftruncate(log->fd, log->bytes) != 0)
                return fail_within(err, "half a line was written");
            return IO_FAILED;
        }
        done += (size_t)n;
    }
    log->bytes += (int64_t)bytes;
    return OK;
}

Err answer_log_put(AnswerLog *log, const json_t *answer, Error *err)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    size_t bytes = text ? strlen(text) : 0;
    if (!text)
        return fail(err, NO_MEMORY, "%s: no memory to write an answer", log->path);
    text[bytes] = '\n';        /* in the place of the zero byte */
    Err result = write_line(log, text, bytes + 1, err);
    free(text);
    return result;
}

/* Not every file system can: then there is nothing more to do. */
Err answer_log_sync(AnswerLog *log, Error *err)
{
    return fdatasync(log->fd) == 0 || errno == EINVAL ? OK : file_says_no(log, err);
}
