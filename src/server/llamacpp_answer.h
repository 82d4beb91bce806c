/* llamacpp_answer.h -- an answer as llama.cpp's /completion gives it: an object, a list of them, or parts and an object.
 *
 *     {"content": "Pa", "tokens": [12], "stop": false, ...}  {"content": "ris", ...}  {"content": "", "stop": true, ...}
 *
 * The last part of a stream has all that an answer at once has, but for the text that was told.
 */
#ifndef SERVER_LLAMACPP_ANSWER_H
#define SERVER_LLAMACPP_ANSWER_H

#include "server/llamacpp_options.h"

extern const Wire llamacpp_wire;      /* `with`: a LlamacppOptions from llamacpp_answer_new(), or NULL */

LlamacppOptions *llamacpp_answer_new(void);      /* NULL: no memory */
void llamacpp_answer_free(void *);

json_t *llamacpp_error_json(const ApiError *);
void llamacpp_error_event(Exchange *, const ApiError *);

#endif
