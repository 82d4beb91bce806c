/* fields.h -- the fields of a request's body, each with a type, a range and a named error.
 *
 *     Fields f;
 *     if (!fields_open(&f, exchange_body(x), error)) ...
 *     fields_int(&f, "n", 1, 128, &n);              absent or null: n stays as it is
 *     fields_float(&f, "temperature", 0, 2, &t);
 *     if (!fields_ok(&f)) ... 400 with the first field that was wrong
 *
 * The first error counts; after it every reader does nothing, so callers check once at the end. A body is parsed
 * in bounded depth and size; numbers that are no finite floats, negative counts and ids beyond a type are
 * errors with the range in their text. Unknown fields are ignored, as the APIs do.
 */
#ifndef SERVER_FIELDS_H
#define SERVER_FIELDS_H

#include "server/api_error.h"

enum { FIELDS_DEPTH_MAX = 64 };

typedef struct Fields {
    json_t *object;            /* owned by the outermost */
    char path[64];             /* "messages[2]." */
    ApiError *error;
    bool owns;
} Fields;

bool fields_open(Fields *, Span body, ApiError *);         /* no JSON, no object, too deep: 400 */
void fields_close(Fields *);
Fields fields_of(json_t *object, const char *path, ApiError *);    /* of an object that was read already; owns nothing */
/* The same of an object within another: the path goes on, with "tools[%zu]." for instance. */
Fields fields_within(const Fields *, json_t *object, const char *path, ...) __attribute__((format(printf, 3, 4)));
bool fields_ok(const Fields *);

bool fields_has(const Fields *, const char *name);         /* present and not null */
void fields_bool(Fields *, const char *name, bool *value);
void fields_int(Fields *, const char *name, int64_t min, int64_t max, int32_t *value);
void fields_long(Fields *, const char *name, int64_t min, int64_t max, int64_t *value);
void fields_float(Fields *, const char *name, double min, double max, float *value);
void fields_seconds(Fields *, const char *name, double max, double *value);
void fields_text(Fields *, const char *name, size_t bytes_max, const char **value);    /* lives with the body; no zero bytes */
int fields_choice(Fields *, const char *name, const char *const *names, int count, int otherwise);
json_t *fields_array(Fields *, const char *name, size_t most);     /* NULL: absent. Borrowed */
json_t *fields_object(Fields *, const char *name);
json_t *fields_any(const Fields *, const char *name);              /* whatever it is; NULL: absent or null */
/* An error of one field: "NAME: text". */
void fields_refuse(Fields *, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
