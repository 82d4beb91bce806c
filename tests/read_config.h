/* read_config.h -- the shape that a family reads from a small config, for tests of what configs mean. */
#ifndef TESTS_READ_CONFIG_H
#define TESTS_READ_CONFIG_H

#include "model/arch.h"

typedef struct Read {
    json_t *config;
    Store *nothing;
    Arena *arena;
    GgufWriter *writer;
    ModelShape shape;
} Read;

/* A config of three layers, D 64: `fields` are added, later ones win. convert: as the converter reads it. */
Err read_config(Read *, const char *family, const char *fields, bool convert, Error *);
void close_config(Read *);

#endif
