#include "base/share.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An empty text: there is none. */
static void directory_of(const char *folder, char out[PATH_MAX])
{
    static const char *const beside[] = {"../share", "../../share", "../../../share", "../share/ridge"};
    char program[PATH_MAX / 2];
    ssize_t bytes = readlink("/proc/self/exe", program, sizeof program - 1);
    program[bytes > 0 ? bytes : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < COUNT_OF(beside) && slash; i++) {
        snprintf(out, PATH_MAX, "%s/%s/%s", program, beside[i], folder);
        if (access(out, R_OK) == 0)
            return;
    }
    out[0] = 0;
}

bool share_find(const char *folder, const char *name, char path[PATH_MAX])
{
    char directory[PATH_MAX];
    directory_of(folder, directory);
    return !strchr(name, '/') && snprintf(path, PATH_MAX, "%s/%s.json", directory, name) < PATH_MAX &&
           access(path, R_OK) == 0;
}

static int is_json(const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    return bytes > 5 && !strcmp(entry->d_name + bytes - 5, ".json");
}

Err share_print(const char *folder, FILE *out, Error *err)
{
    char directory[PATH_MAX];
    struct dirent **entries;
    directory_of(folder, directory);
    int count = scandir(directory, &entries, is_json, alphasort);
    if (count < 0)
        return fail(err, NOT_FOUND, "share/%s is not beside the program: give the path of a JSON file instead", folder);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%.*s\n", (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return OK;
}
