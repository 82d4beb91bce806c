#include "server/file_store.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"

enum { PATH_BYTES = 4096, ABOUT_BYTES_MAX = 1 << 14 };

struct FileStore {
    char *directory;
    pthread_mutex_t lock;      /* for the list */
    StoredFile *file;          /* in order of creation */
    int count, capacity;
};

/* ---- the directory ---- */

Err directory_make(const char *path, Error *err)
{
    char part[PATH_BYTES];
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof part)
        return fail(err, BAD_ARGUMENT, "'%.60s' is no path of a directory", path);
    for (size_t i = 1; i <= bytes; i++)
        if (path[i] == '/' || path[i] == 0) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) != 0 && errno != EEXIST)
                return fail(err, IO_FAILED, "%s: cannot be made: %s", part, strerror(errno));
        }
    return directory_exists(path) ? OK : fail(err, IO_FAILED, "%s: is no directory", path);
}

static void path_of(const FileStore *s, const char *id, const char *suffix, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s%s", s->directory, id, suffix);
}

static bool text_into(const json_t *object, const char *key, char *to, size_t room)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && (size_t)snprintf(to, room, "%s", text) < room;
}

static bool read_about(const json_t *json, StoredFile *out)
{
    *out = (StoredFile){.bytes = json_integer_value(json_object_get(json, "bytes")),
                        .created_at = json_integer_value(json_object_get(json, "created_at"))};
    return text_into(json, "id", out->id, sizeof out->id) && text_into(json, "owner", out->owner, sizeof out->owner) &&
           text_into(json, "filename", out->filename, sizeof out->filename) &&
           text_into(json, "purpose", out->purpose, sizeof out->purpose);
}

static Err write_about(const FileStore *s, const StoredFile *f, Error *err)
{
    char path[PATH_BYTES];
    FileOut *out;
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "id", f->id, "owner", f->owner, "filename", f->filename,
                             "purpose", f->purpose, "bytes", (json_int_t)f->bytes, "created_at", (json_int_t)f->created_at);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        return fail(err, NO_MEMORY, "no memory to keep a file");
    path_of(s, f->id, ".json", path);
    Err result = file_out_new(path, &out, err);
    if (result == OK) {
        result = file_out_put(out, text, strlen(text), err);
        if (result == OK)
            result = file_out_commit(out, err);
        else
            file_out_drop(out);
    }
    free(text);
    return result;
}

/* ---- the list; behind the lock ---- */

static int place_of(const FileStore *s, const char *id)
{
    int i = 0;
    while (i < s->count && strcmp(s->file[i].id, id) != 0)
        i++;
    return i;
}

static bool list_add(FileStore *s, const StoredFile *f)
{
    int at = place_of(s, f->id);
    if (at == s->capacity) {
        int capacity = s->capacity ? 2 * s->capacity : 64;
        StoredFile *grown = realloc(s->file, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        s->file = grown;
        s->capacity = capacity;
    }
    s->file[at] = *f;
    s->count += at == s->count;
    return true;
}

static void list_remove(FileStore *s, int at)
{
    memmove(s->file + at, s->file + at + 1, (size_t)(--s->count - at) * sizeof *s->file);
}

static Err check_share(const FileStore *s, const StoredFile *about, Error *err)
{
    int owned = 0;
    int64_t bytes = about->bytes;
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->file[i].owner, about->owner)) {
            owned++;
            bytes += s->file[i].bytes;
        }
    if (s->count >= STORED_FILES_MAX || owned >= OWNED_FILES_MAX)
        return fail(err, LIMIT_REACHED, "there are %d files, %d of them yours; at most %d and %d are kept: delete some",
                    s->count, owned, STORED_FILES_MAX, OWNED_FILES_MAX);
    if (bytes > OWNED_BYTES_MAX)
        return fail(err, LIMIT_REACHED, "your files would have %lld bytes; at most %lld are kept: delete some",
                    (long long)bytes, (long long)OWNED_BYTES_MAX);
    return OK;
}

/* ---- opening ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    return bytes > end_bytes && !strcmp(text + bytes - end_bytes, end);
}

static Err read_entry(FileStore *s, const char *name, Error *err)
{
    char path[PATH_BYTES];
    json_t *json;
    StoredFile f;
    path_of(s, name, "", path);
    TRY(json_read_file(path, ABOUT_BYTES_MAX, &json, err));
    bool good = read_about(json, &f) && !strncmp(f.id, name, strlen(f.id)) && !strcmp(name + strlen(f.id), ".json");
    json_decref(json);
    if (!good)
        return fail(err, BAD_FILE, "%s: does not tell of a file. Move it away.", path);
    path_of(s, f.id, "", path);
    if (!file_exists(path))
        return OK;
    return list_add(s, &f) ? OK : fail(err, NO_MEMORY, "no memory for the list of files");
}

/* Bytes that nothing tells of. */
static void remove_remains(const FileStore *s, const char *name)
{
    char path[PATH_BYTES];
    char id[RANDOM_ID_BYTES];
    size_t bytes = strcspn(name, ".");
    if (strncmp(name, "file-", 5) != 0 || bytes >= sizeof id)
        return;
    snprintf(id, sizeof id, "%.*s", (int)bytes, name);
    if (place_of(s, id) < s->count && !strstr(name, ".part-"))
        return;
    path_of(s, name, "", path);
    unlink(path);
}

static int by_creation(const void *a, const void *b)
{
    const StoredFile *x = a, *y = b;
    return x->created_at != y->created_at ? (x->created_at < y->created_at ? -1 : 1) : strcmp(x->id, y->id);
}

static Err read_directory(FileStore *s, Error *err)
{
    DIR *d = opendir(s->directory);
    if (!d)
        return fail(err, IO_FAILED, "%s: %s", s->directory, strerror(errno));
    Err result = OK;
    for (struct dirent *e; result == OK && (e = readdir(d));)
        if (!strncmp(e->d_name, "file-", 5) && ends_with(e->d_name, ".json"))
            result = read_entry(s, e->d_name, err);
    rewinddir(d);
    for (struct dirent *e; result == OK && (e = readdir(d));)
        remove_remains(s, e->d_name);
    closedir(d);
    if (s->count)
        qsort(s->file, (size_t)s->count, sizeof *s->file, by_creation);
    return result;
}

Err file_store_open(FileStore **out, const char *directory, Error *err)
{
    TRY(directory_make(directory, err));
    FileStore *s = *out = calloc(1, sizeof *s);
    if (!s || !(s->directory = strdup(directory))) {
        free(s);
        return fail(err, NO_MEMORY, "%s: no memory to read it", directory);
    }
    pthread_mutex_init(&s->lock, NULL);
    Err result = read_directory(s, err);
    if (result != OK) {
        file_store_close(s);
        *out = NULL;
    }
    return result;
}

void file_store_close(FileStore *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s->directory);
    free(s->file);
    free(s);
}

/* ---- adding ---- */

Err file_store_begin(FileStore *s, StoredFile *about, FileOut **out, Error *err)
{
    char path[PATH_BYTES];
    if (!about->id[0])
        memcpy(about->id, random_id("file-").text, sizeof about->id);
    about->created_at = (int64_t)time(NULL);
    pthread_mutex_lock(&s->lock);
    Err result = place_of(s, about->id) < s->count ? OK : check_share(s, about, err);
    pthread_mutex_unlock(&s->lock);
    TRY(result);
    path_of(s, about->id, "", path);
    return file_out_new(path, out, err);
}

Err file_store_commit(FileStore *s, StoredFile *about, FileOut *out, Error *err)
{
    about->bytes = (int64_t)file_out_bytes(out);
    TRY(file_out_commit(out, err));
    TRY(write_about(s, about, err));
    pthread_mutex_lock(&s->lock);
    bool added = list_add(s, about);
    pthread_mutex_unlock(&s->lock);
    return added ? OK : fail(err, NO_MEMORY, "no memory for the list of files");
}

Err file_store_add(FileStore *s, StoredFile *about, Span content, Error *err)
{
    FileOut *out;
    about->bytes = (int64_t)content.bytes;
    TRY(file_store_begin(s, about, &out, err));
    if (file_out_put(out, content.data, content.bytes, err) != OK) {
        file_out_drop(out);
        return err->code;
    }
    return file_store_commit(s, about, out, err);
}

/* ---- asking ---- */

bool file_store_find(FileStore *s, const char *owner, const char *id, StoredFile *out)
{
    pthread_mutex_lock(&s->lock);
    int at = place_of(s, id);
    bool found = at < s->count && !strcmp(s->file[at].owner, owner);
    if (found)
        *out = s->file[at];
    pthread_mutex_unlock(&s->lock);
    return found;
}

Err file_store_map(FileStore *s, const StoredFile *f, FileMap *out, Error *err)
{
    char path[PATH_BYTES];
    path_of(s, f->id, "", path);
    return file_map_init(out, path, err);
}

bool file_store_delete(FileStore *s, const char *owner, const char *id)
{
    char path[PATH_BYTES];
    pthread_mutex_lock(&s->lock);
    int at = place_of(s, id);
    bool found = at < s->count && !strcmp(s->file[at].owner, owner);
    if (found) {
        path_of(s, s->file[at].id, ".json", path);     /* first: without it the file is not there */
        unlink(path);
        path_of(s, s->file[at].id, "", path);
        unlink(path);
        list_remove(s, at);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

int file_store_list(FileStore *s, const FileQuery *q, StoredFile *out, int most, bool *more)
{
    int count = 0, step = q->newest ? -1 : 1;
    *more = false;
    pthread_mutex_lock(&s->lock);
    int at = q->newest ? s->count - 1 : 0;
    if (q->after)
        at = place_of(s, q->after) + step;
    if (q->after && at - step == s->count)
        at = -1;                                       /* nobody knows that one: there is nothing behind it */
    for (; at >= 0 && at < s->count; at += step) {
        const StoredFile *f = &s->file[at];
        if (strcmp(f->owner, q->owner) != 0 || (q->purpose && strcmp(f->purpose, q->purpose) != 0))
            continue;
        *more = count == most;
        if (*more)
            break;
        out[count++] = *f;
    }
    pthread_mutex_unlock(&s->lock);
    return count;
}
