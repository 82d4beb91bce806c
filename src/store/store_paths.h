/* store_paths.h -- which files a MODEL is made of, from the one path that a person gives. */
#ifndef STORE_STORE_PATHS_H
#define STORE_STORE_PATHS_H

#include "base/arena.h"

enum { STORE_FILES_MAX = 4096 };

typedef struct StorePaths {
    const char **paths;      /* of the weights, in order */
    size_t count;
    const char *index;       /* model.safetensors.index.json; NULL: none */
} StorePaths;

/* What it returns lies in the arena. */
Err store_paths_find(const char *path, Arena *, StorePaths *out, Error *err);

#endif
