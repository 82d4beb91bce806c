/* prompt_fields.h -- a prompt, or several, as OpenAI's APIs for plain text take them.
 *
 *     "text"  |  ["text", ...]  |  [id, ...]  |  [[id, ...], ...]
 *
 * With a suffix each text becomes one with a gap, in the tokens that the model was trained with for it:
 *
 *     <prefix> before the gap <suffix> after the gap <middle>     and the answer is what stood in between
 */
#ifndef SERVER_PROMPT_FIELDS_H
#define SERVER_PROMPT_FIELDS_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

typedef struct PromptFields {
    const char *name;              /* of the field */
    const Service *service;        /* has a tokenizer */
    const char *suffix;            /* NULL: none */
    unsigned flags;                /* EncodeFlags */
    PromptIds *out;                /* [most] */
    int32_t most, count;           /* count: those that were read; the caller frees them, also after an error */
} PromptFields;

void prompt_fields_read(Fields *, PromptFields *);

#endif
