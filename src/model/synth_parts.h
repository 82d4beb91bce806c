/* synth_parts.h -- what the two ways to a made-up model share: as a file (synth.c), and in memory (synth_memory.c). */
#ifndef MODEL_SYNTH_PARTS_H
#define MODEL_SYNTH_PARTS_H

#include "model/arch.h"
#include "model/synth.h"
#include "model/tensor_plan.h"
#include "store/gguf_write.h"

typedef struct Synth {
    const SynthOptions *options;
    json_t *config;
    Store *nothing;              /* a family may ask what tensors there are: none */
    GgufWriter *writer;
    Arena *arena;
    ModelShape shape;
    WeightList list;
    TensorPlan *tensor;          /* by number in the file */
    size_t tensors;
    double done, total;          /* bytes */
} Synth;

/* Reads the shape, and announces keys, vocabulary and tensors to the writer. In any case synth_end() follows. */
Err synth_begin(Synth *, const SynthOptions *, uint32_t alignment, Error *err);
void synth_end(Synth *);

bool synth_is_matrix(const TensorPlan *);
const Format *synth_format(const Synth *, const TensorPlan *);
float synth_deviation(const TensorPlan *);      /* of the values around their mean */

/* `count` lines of a tensor, made by all threads. */
Err synth_lines(const Synth *, size_t tensor, int64_t first, int64_t count, uint8_t *out, Error *err);

/* Values [0, width) of a line around a mean: a pure function of seed, tensor and line. */
void synth_values(float *x, int64_t width, float mean, float deviation, uint64_t seed, size_t tensor, int64_t line);

#endif
