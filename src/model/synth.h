/* synth.h -- a model with random weights: any shape in any format, without a download.
 *
 *     shape (config.json) --> the family's read_shape and declare --> a GGUF file
 *
 * Speed and memory depend on shapes and formats, not on what was learned, so such a file measures like
 * the real one, here and in any other program that reads GGUF. Its text is noise.
 *
 * The matrices are Gaussian with variance 1 / width, which keeps activations near 1 through any depth; norms
 * are 1, biases small, the rates of state spaces -1. The number of a weight depends on the seed, its tensor and
 * its place only: never on the threads. The vocabulary is complete: all bytes, then all pairs of tokens
 * before, in order, as merges; the last token ends the text.
 */
#ifndef MODEL_SYNTH_H
#define MODEL_SYNTH_H

#include "base/team.h"
#include "core/format.h"

typedef struct SynthOptions {
    const char *config;          /* path of a config.json */
    const char *name;            /* general.name of the file */
    const Format *format;        /* of the matrices; must have encode() and a number in GGUF */
    uint64_t seed;
    Team *team;
    void (*report)(void *context, double done, double total);   /* bytes written; may be NULL */
    void *report_context;
} SynthOptions;

Err synth_write(const SynthOptions *, const char *path, Error *err);

#endif
