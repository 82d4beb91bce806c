#include "core/machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/file_out.h"
#include "base/share.h"

static const size_t FILE_BYTES_MAX = 1 << 20;

typedef struct Rate { const char *name; size_t offset; } Rate;
#define RATE(field) {#field, offsetof(Machine, field)}
static const Rate rates[] = {
    RATE(bytes_per_second), RATE(copy_bytes_per_second), RATE(fp32), RATE(bf16), RATE(int8), RATE(memory_bytes),
    RATE(link_bytes_per_second),
};

static double *rate_of(Machine *m, const Rate *rate) { return (double *)((char *)m + rate->offset); }

static Err read_text(const json_t *object, const char *path, const char *name, char *out, size_t bytes, Error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        return OK;
    if (!json_is_string(value) || json_string_length(value) >= bytes)
        return fail(err, BAD_FILE, "%s: '%s' must be a text of fewer than %zu bytes", path, name, bytes);
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return OK;
}

static Err read_fields(const json_t *object, const char *path, Machine *m, Error *err)
{
    if (!json_is_object(object))
        return fail(err, BAD_FILE, "%s: is no JSON object", path);
    snprintf(m->name, sizeof m->name, "%.127s", path);     /* unless it says a better one */
    TRY(read_text(object, path, "name", m->name, sizeof m->name, err));
    TRY(read_text(object, path, "source", m->source, sizeof m->source, err));
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        const json_t *value = json_object_get(object, rates[i].name);
        double *rate = rate_of(m, &rates[i]);
        if (value && (!json_float(value, rate) || !isfinite(*rate) || *rate < 0))
            return fail(err, BAD_FILE, "%s: '%s' must be a number, 0 (not known) or more", path, rates[i].name);
    }
    const json_t *threads = json_object_get(object, "threads");
    if (threads && (!json_is_integer(threads) || json_integer_value(threads) < 0 || json_integer_value(threads) > 1 << 20))
        return fail(err, BAD_FILE, "%s: 'threads' must be a whole number, 0 or more", path);
    m->threads = (int)json_integer_value(threads);
    const json_t *gpu = json_object_get(object, "gpu");
    if (gpu && !json_is_boolean(gpu))
        return fail(err, BAD_FILE, "%s: 'gpu' must be true or false", path);
    m->gpu = json_is_true(gpu);
    if (m->bytes_per_second == 0)
        return fail(err, BAD_FILE, "%s: 'bytes_per_second' is missing: without it nothing can be predicted", path);
    return OK;
}

Err machine_read(const char *path, Machine *out, Error *err)
{
    json_t *object;
    *out = (Machine){0};
    TRY(json_read_file(path, FILE_BYTES_MAX, &object, err));
    Err result = read_fields(object, path, out, err);
    json_decref(object);
    return result;
}

json_t *machine_json(const Machine *m)
{
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:i, s:b, s:s}", "name", m->name, "bytes_per_second",
                     m->bytes_per_second, "copy_bytes_per_second", m->copy_bytes_per_second, "fp32", m->fp32, "bf16", m->bf16,
                     "int8", m->int8, "memory_bytes", m->memory_bytes, "link_bytes_per_second", m->link_bytes_per_second,
                     "threads", m->threads, "gpu", m->gpu, "source", m->source);
}

Err machine_write(const char *path, const Machine *m, Error *err)
{
    FileOut *file;
    json_t *json = machine_json(m);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    json_decref(json);
    if (!text)
        return fail(err, NO_MEMORY, "no memory for %s", path);
    Err result = folders_make(path, err);
    if (result == OK)
        result = file_out_new(path, &file, err);
    if (result == OK) {
        result = file_out_put(file, text, strlen(text), err);
        if (result == OK)
            result = file_out_put(file, "\n", 1, err);
        if (result == OK)
            result = file_out_commit(file, err);
        else
            file_out_drop(file);
    }
    free(text);
    return result;
}

/* a/machine.json -> a/machine-gpu.json */
static Err path_of_gpu(char path[MACHINE_PATH_BYTES], Error *err)
{
    static const char end[] = ".json", mark[] = "-gpu";
    size_t bytes = strlen(path), before = bytes > strlen(end) ? bytes - strlen(end) : 0;
    if (!before || strcmp(path + before, end))
        before = bytes;
    if (bytes + sizeof mark > MACHINE_PATH_BYTES)
        return fail(err, LIMIT_REACHED, "the path of the machine's file has more than %d bytes", MACHINE_PATH_BYTES - 1);
    memmove(path + before + strlen(mark), path + before, bytes - before + 1);
    memcpy(path + before, mark, strlen(mark));
    return OK;
}

Err machine_path(bool gpu, char out[MACHINE_PATH_BYTES], Error *err)
{
    const char *given = getenv("RIDGE_MACHINE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int bytes;
    if (given && *given)
        bytes = snprintf(out, MACHINE_PATH_BYTES, "%s", given);
    else if (cache && *cache)
        bytes = snprintf(out, MACHINE_PATH_BYTES, "%s/ridge/machine.json", cache);
    else if (home && *home)
        bytes = snprintf(out, MACHINE_PATH_BYTES, "%s/.cache/ridge/machine.json", home);
    else
        return fail(err, NOT_FOUND, "no home for what was measured: set RIDGE_MACHINE to a file, or HOME");
    if (bytes >= MACHINE_PATH_BYTES)
        return fail(err, LIMIT_REACHED, "the path of the machine's file has more than %d bytes", MACHINE_PATH_BYTES - 1);
    return gpu ? path_of_gpu(out, err) : OK;
}

Err machine_of_this(bool gpu, Machine *out, Error *err)
{
    char path[MACHINE_PATH_BYTES];
    TRY(machine_path(gpu, path, err));
    if (!file_exists(path))
        return fail(err, NOT_FOUND, "%s: this %s was not measured yet: run `ridge probe%s`", path, gpu ? "GPU" : "machine",
                    gpu ? " --device cuda" : "");
    return machine_read(path, out, err);
}

Err machines_print(FILE *out, Error *err) { return share_print("machines", out, err); }

Err machine_find(const char *name, Machine *out, Error *err)
{
    char path[PATH_MAX];
    if (!strcmp(name, "this") || !strcmp(name, "this-gpu"))
        return machine_of_this(!strcmp(name, "this-gpu"), out, err);
    if (strchr(name, '/') || strstr(name, ".json"))
        return machine_read(name, out, err);
    if (share_find("machines", name, path))
        return machine_read(path, out, err);
    return fail(err, NOT_FOUND, "there is no machine '%s': give this, this-gpu, the path of a file as `ridge probe -o` writes "
                "it, or a name of `ridge plan --list`", name);
}
