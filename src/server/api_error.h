/* api_error.h -- why a call of an API was refused, in no API's words; each wire writes it in its own shape.
 *
 *     OpenAI      {"error": {"message": ..., "type": "invalid_request_error", "param": "n", "code": null}}
 *     Anthropic   {"type": "error", "error": {"type": "invalid_request_error", "message": ...}}
 *     llama.cpp   {"error": {"code": 400, "message": ..., "type": "invalid_request_error"}}
 */
#ifndef SERVER_API_ERROR_H
#define SERVER_API_ERROR_H

#include "base/json.h"

typedef struct ApiError {
    int status;                /* of HTTP; 0: no error */
    const char *type;          /* "invalid_request_error"; static */
    const char *code;          /* "context_length_exceeded"; static, NULL: none */
    char param[96];            /* the field: "messages[2].role"; "": none */
    char message[ERROR_TEXT_BYTES];
    double retry_after_seconds;   /* 429 and 503; 0: not told */
} ApiError;

/* Fills *e and returns false, so that `return api_refuse(e, ...)` reads as one. `param` NULL: none. What the caller
 * sent may be quoted: bytes that are no UTF-8 become '?'. */
bool api_refuse(ApiError *e, int status, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The same from an Error of the library: BAD_ARGUMENT 400, NO_MEMORY 400 (it can never fit), LIMIT_REACHED 429,
 * CANCELLED 499, all else 500. Returns false. */
bool api_refuse_error(ApiError *e, const Error *from, const char *param);

const char *api_error_type(int status);   /* OpenAI's names; also those of Anthropic, but for a few */
json_t *api_error_json(const ApiError *);  /* OpenAI's shape: of RouteLists that name no other, and of unknown paths */

#endif
