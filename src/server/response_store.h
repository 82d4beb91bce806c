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

/* Both are taken over. response: as GET shows it; its "id" names it. messages: the conversation, this answer included. */
void response_store_put(ResponseStore *, uint64_t tenant, json_t *response, json_t *messages);
/* Copies, owned by the caller; either may be NULL if it is not wanted. False: unknown. */
bool response_store_get(ResponseStore *, uint64_t tenant, const char *id, json_t **response, json_t **messages);
bool response_store_drop(ResponseStore *, uint64_t tenant, const char *id);    /* false: unknown */

#endif
