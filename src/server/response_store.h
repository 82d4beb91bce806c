/* response_store.h -- answers of /v1/responses that were stored, so that the next request can go on from one.
 *
 * In memory only, and bounded: the least recently used ones go. Each belongs to the tenant that made it; to all
 * others it does not exist. Any thread.
 */
#ifndef SERVER_RESPONSE_STORE_H
#define SERVER_RESPONSE_STORE_H

#include "base/json.h"

enum { RESPONSES_MAX = 1024, RESPONSES_BYTES_MAX = 1 << 26 };

typedef struct ResponseStore ResponseStore;

Err response_store_new(ResponseStore **, Error *);
void response_store_free(ResponseStore *);    /* NULL is allowed */

typedef enum ResponsePart {
    RESPONSE_SHOWN,        /* as GET shows it; its "id" names it */
    RESPONSE_MESSAGES,     /* the conversation, this answer included */
    RESPONSE_INPUT,        /* the items that were asked with */
    RESPONSE_PARTS
} ResponsePart;

void response_store_put(ResponseStore *, uint64_t tenant, json_t *parts[RESPONSE_PARTS]);    /* all are taken over */
/* A copy, owned by the caller. NULL: unknown, or no memory for it. */
json_t *response_store_get(ResponseStore *, uint64_t tenant, const char *id, ResponsePart);
bool response_store_drop(ResponseStore *, uint64_t tenant, const char *id);    /* false: unknown */

#endif
