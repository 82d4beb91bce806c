/* llama_answer.h -- an answer as llama.cpp's /completion gives it: an object, a list of them, or parts and an object.
 *
 *     {"content": "Pa", "tokens": [12], "stop": false, ...}  {"content": "ris", ...}  {"content": "", "stop": true, ...}
 *
 * The last part of a stream has all that an answer at once has, but for the text that was told.
 */
#ifndef SERVER_LLAMA_ANSWER_H
#define SERVER_LLAMA_ANSWER_H

#include "server/llama_options.h"

extern const Wire llama_wire;      /* `with`: a LlamaOptions from llama_answer_new(), or NULL */

LlamaOptions *llama_answer_new(void);      /* NULL: no memory */
void llama_answer_free(void *);

json_t *llama_error_json(const ApiError *);
void llama_error_event(Exchange *, const ApiError *);

#endif
