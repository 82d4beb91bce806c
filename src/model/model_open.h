/* model_open.h -- from a path to a Model.
 *
 *     MODEL    a directory with config.json and *.safetensors, or with one *.gguf; a .gguf; or a shard;
 *              or synth:SHAPE:FORMAT, a made-up model without a file (synth_memory.h)
 *
 * model_describe() does all but upload: shapes, formats and sizes are known, no weight is read. It is
 * how `ridge inspect` and the planner look at a model that would not fit.
 */
#ifndef MODEL_MODEL_OPEN_H
#define MODEL_MODEL_OPEN_H

#include "base/file_map.h"
#include "model/arch.h"
#include "model/packing.h"
#include "model/synth_memory.h"

typedef struct Checkpoint {      /* an open file and what it says of itself */
    Store *store;
    SynthMemory *made;           /* in which the store's bytes lie; NULL: in files */
    json_t *config;              /* NULL: a GGUF */
    char *config_path;
    Keys keys;
    Packing packing;
} Checkpoint;

/* Opens the files and reads the config; names no family yet. A GGUF without tensors is fine. */
Err checkpoint_open(Checkpoint *, const char *path, Error *err);
void checkpoint_close(Checkpoint *);

/* progress (may be NULL) is told the bytes uploaded so far and in all. */
typedef struct Progress {
    void (*report)(void *context, double done, double total);
    void *context;
} Progress;

Err model_open(const Checkpoint *, Device *, const Progress *, Model **out, Error *err);
Err model_describe(const Checkpoint *, Model **out, Error *err);
void model_close(Model *);       /* NULL is allowed. The weights stay with the device until it is closed */

/* The declared weights of a model in order, for listings and the converter. */
Err model_declare(const Checkpoint *, Model **out, WeightList *list, Error *err);

#endif
