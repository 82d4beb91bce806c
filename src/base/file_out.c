#include "base/file_out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/number_text.h"

/* Of a huge page: a file that is written in such pieces lies in huge pages in the system's cache, and is read faster. */
enum { FILE_OUT_BUFFER = 2 << 20 };

enum { PART_SUFFIX_BYTES = 32, PART_TRIES = 100 };

struct FileOut {
    int fd;
    char *path, *part;           /* the name it gets, and the one it has */
    uint64_t written;            /* by the system */
    size_t used;
    uint8_t buffer[FILE_OUT_BUFFER];
};

Err folders_make(const char *path, Error *err)
{
    char *part = strdup(path);
    Err result = part ? OK : fail(err, NO_MEMORY, "%s: no memory for a path", path);
    for (char *slash = part ? strchr(part + 1, '/') : NULL; slash && result == OK; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            result = fail(err, IO_FAILED, "%s: %s", part, strerror(errno));
        *slash = '/';
    }
    free(part);
    return result;
}

static void file_out_free(FileOut *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f->part);
    free(f);
}

void file_out_drop(FileOut *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        unlink(f->part);
    file_out_free(f);
}

static Err refused(const FileOut *f, Error *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
    return fail(err, IO_FAILED, "%s: %s, after %s bytes%s", f->path, strerror(errno),
                number_text(f->written).text,
                full ? ". Free some space or write elsewhere; nothing was changed." : "");
}

/* A new file beside the old one, with the rights that any new file gets. Whatever an earlier
 * process of this number left behind keeps its name. */
static void create_part(FileOut *f)
{
    size_t bytes = strlen(f->path);
    memcpy(f->part, f->path, bytes);
    for (int i = 0; i < PART_TRIES && f->fd < 0; i++) {
        snprintf(f->part + bytes, PART_SUFFIX_BYTES, ".part-%ld-%d", (long)getpid(), i);
        f->fd = open(f->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f->fd < 0 && errno != EEXIST)
            return;
    }
}

Err file_out_new(const char *path, FileOut **out, Error *err)
{
    struct stat info;
    *out = NULL;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return fail(err, BAD_ARGUMENT, "%s: is not a regular file, so nothing is written there",
                    path);
    FileOut *f = calloc(1, sizeof *f);
    if (f) {
        f->fd = -1;
        f->path = strdup(path);
        f->part = calloc(1, strlen(path) + PART_SUFFIX_BYTES);
    }
    if (!f || !f->path || !f->part) {
        file_out_drop(f);
        return fail(err, NO_MEMORY, "%s: no memory to write it", path);
    }
    create_part(f);
    if (f->fd < 0) {
        int why = errno;
        file_out_drop(f);
        return fail(err, why == ENOENT ? NOT_FOUND : IO_FAILED, "%s: cannot be written: %s", path,
                    strerror(why));
    }
    *out = f;
    return OK;
}

static Err flush(FileOut *f, Error *err)
{
    size_t done = 0;
    while (done < f->used) {
        ssize_t n = write(f->fd, f->buffer + done, f->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refused(f, err);
        done += (size_t)n;
        f->written += (uint64_t)n;
    }
    f->used = 0;
    return OK;
}

Err file_out_put(FileOut *f, const void *data, size_t bytes, Error *err)
{
    const uint8_t *at = data;
    while (bytes) {
        if (f->used == FILE_OUT_BUFFER)
            TRY(flush(f, err));
        size_t room = FILE_OUT_BUFFER - f->used, n = bytes < room ? bytes : room;
        memcpy(f->buffer + f->used, at, n);
        f->used += n;
        at += n;
        bytes -= n;
    }
    return OK;
}

Err file_out_zeros(FileOut *f, size_t bytes, Error *err)
{
    static const uint8_t zeros[4096];
    for (size_t n; bytes; bytes -= n) {
        n = bytes < sizeof zeros ? bytes : sizeof zeros;
        TRY(file_out_put(f, zeros, n, err));
    }
    return OK;
}

uint64_t file_out_bytes(const FileOut *f) { return f->written + f->used; }
const char *file_out_path(const FileOut *f) { return f->path; }

Err file_out_commit(FileOut *f, Error *err)
{
    Err result = flush(f, err);
    if (result == OK && (fsync(f->fd) != 0 || rename(f->part, f->path) != 0))
        result = refused(f, err);
    if (result == OK)
        file_out_free(f);
    else
        file_out_drop(f);
    return result;
}
