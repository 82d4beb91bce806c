/* multipart.h -- the parts of a form that carries a file (multipart/form-data, RFC 7578).
 *
 *     --B
 *     Content-Disposition: form-data; name="purpose"
 *
 *     batch
 *     --B
 *     Content-Disposition: form-data; name="file"; filename="in.jsonl"
 *     Content-Type: application/jsonl
 *
 *     {"custom_id": ...
 *     --B--
 *
 * The whole body is there before it is read, and is walked once; the parts are views into it. Lines end with
 * CR LF. What stands before the first boundary and behind the last one is nobody's, as the RFC says. A form that
 * is cut short, has too many parts or a part without a name is an error that says which.
 */
#ifndef SERVER_MULTIPART_H
#define SERVER_MULTIPART_H

#include "base/error.h"
#include "base/span.h"

enum { FORM_PARTS_MAX = 32, FORM_HEADERS_MAX = 16, FORM_BOUNDARY_MAX = 70, FORM_NAME_BYTES = 64, FORM_FILENAME_BYTES = 256 };

typedef struct FormPart {
    char name[FORM_NAME_BYTES];
    char filename[FORM_FILENAME_BYTES];   /* "": the part is no file */
    Span content;
} FormPart;

typedef struct Form {
    FormPart part[FORM_PARTS_MAX];
    int count;
} Form;

/* content_type: the call's header, with the boundary; NULL: there was none. BAD_ARGUMENT, LIMIT_REACHED. */
Err form_read(Form *, const char *content_type, Span body, Error *);
const FormPart *form_find(const Form *, const char *name);   /* the first of that name; NULL: none */

#endif
