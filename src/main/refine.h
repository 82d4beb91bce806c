/* refine.h -- answers of diffusion models on the command line: the options, and how refinement is shown.
 *
 *     terminal             the answer, drawn anew after each step: masks become tokens, new ones stand out
 *     pipe                 text as soon as all before it is known
 *     --stream-refinement  a line of JSON after each step
 *     --json               nothing until the end
 */
#ifndef MAIN_REFINE_H
#define MAIN_REFINE_H

#include "api/answer.h"
#include "engine/diffusion.h"
#include "main/sampling_flags.h"
#include "main/session.h"

typedef struct RefineFlags {         /* NOT_GIVEN, NAN, NULL: nothing said */
    int32_t steps, block, remask, cache;
    float remask_temperature;
    const char *suffix;
    bool stream;
} RefineFlags;

enum { REFINE_FLAGS = 7, CHAT_REFINE_FLAGS = 5 };   /* those that a chat takes come first */
extern const Flag refine_flags[REFINE_FLAGS];
#define REFINE_TITLE "refinement, of diffusion models"

RefineFlags refine_flags_none(void);
/* Refuses what was given if the model is no diffusion model. */
Err refine_flags_check(const RefineFlags *, const ModelShape *, Error *);

typedef enum RefineShow { SHOW_NOTHING, SHOW_TEXT, SHOW_CANVAS, SHOW_LINES } RefineShow;
/* For people: on a terminal the canvas, else text. */
RefineShow refine_show(void);

typedef struct RefineJob {
    Session *session;
    const RefineFlags *flags;
    const SamplingFlags *given;
    const SamplingOptions *sampling;
    const int32_t *prompt;
    int32_t prompt_count;
    Answer *answers;                 /* [sampling->samples], initialised: they receive the tokens */
    RefineShow show;                 /* canvas and text: of one sample */
} RefineJob;

typedef struct RefineAccount {
    int32_t steps, tokens;           /* of all samples; tokens: shown or not, but no masks */
    int64_t rows;
    double seconds;
} RefineAccount;

/* The longest block of any answer with these options. */
int32_t refine_block_most(const RefineFlags *, const SamplingFlags *, const SamplingOptions *);
/* What is to be refined for one sample; suffix: encoded already. room: positions of the longest text. */
Err refine_options(const RefineJob *, const Encoding *suffix, int32_t room, RefineOptions *, Error *);
/* Refines all samples. Where session->diffusion is NULL it is opened for just this. */
Err refine_answers(const RefineJob *, const ModelFlags *, RefineAccount *, Error *);
json_t *refine_account_json(const RefineAccount *);
void refine_print_account(const RefineAccount *, int32_t prompt_tokens);

#endif
