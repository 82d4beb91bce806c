#include "model/shapes.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_file(const char *path) { return access(path, R_OK) == 0; }

/* The directory of the named shapes; an empty text: there is none. */
static void shapes_directory(char out[PATH_MAX])
{
    static const char *const beside[] = {"../share/shapes", "../../share/shapes", "../share/ridge/shapes"};
    char program[PATH_MAX / 2];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    program[bytes > 0 ? bytes : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < COUNT_OF(beside) && slash; i++) {
        snprintf(out, PATH_MAX, "%s/%s", program, beside[i]);
        if (is_file(out))
            return;
    }
    out[0] = 0;
}

/* "dir/tiny/config.json" and "dir/tiny" are "tiny"; "dir/tiny.json" too. */
static void name_of(const char *path, char name[SHAPE_NAME_BYTES])
{
    size_t bytes = strlen(path);
    static const char file[] = "config.json";
    if (bytes > sizeof file && !strcmp(path + bytes - (sizeof file - 1), file))
        bytes -= sizeof file;
    else if (bytes > 5 && !strcmp(path + bytes - 5, ".json"))
        bytes -= 5;
    while (bytes && path[bytes - 1] == '/')
        bytes--;
    const char *slash = memrchr(path, '/', bytes), *start = slash ? slash + 1 : path;
    snprintf(name, SHAPE_NAME_BYTES, "%.*s", (int)(bytes - (size_t)(start - path)), start);
}

/* Whether there is such a file; its path is left in `path`. */
__attribute__((format(printf, 2, 3))) static bool found(char path[PATH_MAX], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(path, PATH_MAX, format, args);
    va_end(args);
    return bytes < PATH_MAX && is_file(path);
}

Err shape_find(const char *shape, char path[PATH_MAX], char name[SHAPE_NAME_BYTES], Error *err)
{
    char directory[PATH_MAX];
    bool is_path = strchr(shape, '/') || strstr(shape, ".json");
    shapes_directory(directory);
    name_of(shape, name);
    if (is_path ? found(path, "%s/config.json", shape) || found(path, "%s", shape)
                : found(path, "%s/%s.json", directory, shape))
        return OK;
    return fail(err, NOT_FOUND, "there is no shape '%s'; `ridge synth --list` shows those that have a name", shape);
}

static int is_shape(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    return bytes > 5 && !strcmp(entry->d_name + bytes - 5, ".json");
}

Err shapes_print(FILE *out, Error *err)
{
    char directory[PATH_MAX];
    struct dirent **entries;
    shapes_directory(directory);
    int count = scandir(directory, &entries, is_shape, alphasort);
    if (count < 0)
        return fail(err, NOT_FOUND, "share/shapes is not beside the program: give the path of a config.json instead");
    for (int i = 0; i < count; i++) {
        fprintf(out, "%.*s\n", (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return OK;
}
