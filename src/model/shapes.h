/* shapes.h -- models' shapes by name: the config.json files of share/shapes/ (base/share.h). */
#ifndef MODEL_SHAPES_H
#define MODEL_SHAPES_H

#include <limits.h>
#include <stdio.h>

#include "base/error.h"

enum { SHAPE_NAME_BYTES = 256 };

/* shape: a name ("llama-2-7b"), or the path of a config.json or of a directory that has one. */
Err shape_find(const char *shape, char path[PATH_MAX], char name[SHAPE_NAME_BYTES], Error *err);
Err shapes_print(FILE *, Error *err);    /* a name a line, in order */

#endif
