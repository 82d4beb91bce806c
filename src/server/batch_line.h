/* batch_line.h -- one request of a batch, and one answer, as a line of JSON: OpenAI's form of both.
 *
 *     {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [...]}}
 *
 *     {"id": "batch_req_6f..", "custom_id": "a", "response": {"status_code": 200, "request_id": "req_..", "body": {...}},
 *      "error": null}
 *     {"id": "batch_req_70..", "custom_id": null, "response": null,
 *      "error": {"code": "invalid_json_line", "message": "...", "line": 7, "param": null}}
 *
 * The answer's `error` is there when the line never became a call of the API; a call that was refused has a
 * response with its status. `error.line` tells which line of the input it was, from 1, since such a line may have
 * no custom_id of its own.
 */
#ifndef SERVER_BATCH_LINE_H
#define SERVER_BATCH_LINE_H

#include "base/json.h"
#include "base/span.h"

enum { CUSTOM_ID_BYTES_MAX = 512 };

typedef struct BatchLine {
    json_t *object;            /* NULL: it was no JSON */
    const char *custom_id;     /* lives with it; NULL: none that can be used */
    const char *url;
    json_t *body;              /* borrowed */
    const char *bad_code;      /* why it is no request, "invalid_url"; NULL: it is one */
    const char *bad_param;
    char bad[256];
} BatchLine;

/* The paths that a batch may call; NULL ends them. */
extern const char *const batch_endpoints[];
bool batch_may_call(const char *url);

/* endpoint: the only one that is allowed; NULL: each of batch_endpoints. Never fails: a bad line says what is wrong. */
void batch_line_read(BatchLine *, Span text, const char *endpoint);
void batch_line_refuse(BatchLine *, const char *code, const char *param, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void batch_line_deinit(BatchLine *);

/* Steps to the next line that is not blank, and counts all. False: there is none. */
bool batch_line_next(Span *rest, Span *line, int64_t *number);

/* An answer: the line without its end. The response's body is taken over. NULL: no memory. */
json_t *batch_response(const char *custom_id, int status, const char *request_id, json_t *body);
json_t *batch_refusal(const char *custom_id, int64_t number, const char *code, const char *param, const char *message);

/* Of an answer that was read back: whether it is one, and whether it belongs with those that went well. */
bool batch_is_answer(const json_t *);
bool batch_went_well(const json_t *answer);

#endif
