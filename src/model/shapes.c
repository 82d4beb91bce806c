#include "model/shapes.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/share.h"

static bool is_file(const char *path) { return access(path, R_OK) == 0; }

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
    bool is_path = strchr(shape, '/') || strstr(shape, ".json");
    name_of(shape, name);
    if (is_path ? found(path, "%s/config.json", shape) || found(path, "%s", shape) : share_find("shapes", shape, path))
        return OK;
    return fail(err, NOT_FOUND, "there is no shape '%s'; `ridge synth --list` shows those that have a name", shape);
}

Err shapes_print(FILE *out, Error *err) { return share_print("shapes", out, err); }
