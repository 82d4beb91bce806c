/* plan_model.h -- a model without its weights, and what its steps ask of a machine.
 *
 *     name or path -> shape -> declared weights: shapes and formats only -> the model's own forward pass,
 *                                                            on a tally (devices/watch) over paper
 *
 * So a model that fits nowhere is planned by the lines by which it would run, of every family.
 */
#ifndef TOOLS_PLAN_MODEL_H
#define TOOLS_PLAN_MODEL_H

#include "devices/watch/watch.h"
#include "model/model_open.h"
#include "model/shapes.h"

typedef struct PlanModel {
    char name[SHAPE_NAME_BYTES];
    char formats[64];              /* of its matrices: "BF16", "Q4_K and others" */
    Model *model;                  /* its tensors have no data */
    Device *tally, *paper;         /* the tally wraps the paper */
    bool borrowed;                 /* the model is somebody else's */
    double weight_bytes;           /* as they lie in memory */
    double vector_parameters;      /* of model->parameters: norms, biases, whatever is no matrix */
} PlanModel;

typedef struct PlanModelOptions {
    const char *model;             /* a checkpoint; a name of share/shapes; a config.json; NULL: the default model */
    const Format *format;          /* of all matrices; NULL: as they are stored, and BF16 for a shape */
    int32_t kv_heads;              /* instead of what a shape's config says; 0: as it says */
} PlanModelOptions;

Err plan_model_open(const PlanModelOptions *, PlanModel *, Error *err);
/* Of a model that is open, and stays so. */
Err plan_model_of(Model *, PlanModel *, Error *err);
void plan_model_close(PlanModel *);

/* Some sequences, each of `rows` more positions behind `past` that are in the cache. */
typedef struct PlanStep {
    int32_t sequences, rows, past;
    bool all_logits;               /* of each row; else of the last of each sequence */
} PlanStep;

/* What the step asks, until the next call. cache: of keys and values. */
Err plan_step(PlanModel *, PlanStep, const Format *cache, const Tally **out, Error *err);
/* The most that activations took in the last step. */
double plan_activation_bytes(const PlanModel *);

#endif
