/* plan_show.h -- a plan as people read it, and as programs do. */
#ifndef MAIN_PLAN_SHOW_H
#define MAIN_PLAN_SHOW_H

#include "main/flags.h"
#include "tools/plan.h"

typedef struct Planned {
    PlanModel model, draft_model;
    PlanOptions options;
    PlanMemory memory;
    PlanPhase prompt;
    double token_bytes;            /* by which the next token of a sequence adds to the cache */
    PlanBatch batch[FLAG_INTS_MAX];
    PlanDraft draft[FLAG_INTS_MAX];    /* of each batch; tokens 0: none */
    int batches;
    double acceptance;
} Planned;

void plan_print(const Planned *);
json_t *plan_json(const Planned *);

/* "80.0 GB", "819.2 kB" */
typedef struct BytesText { char text[24]; } BytesText;
BytesText bytes_text(double bytes);

#endif
