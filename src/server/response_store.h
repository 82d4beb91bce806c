/* response_store.h -- answers of /v1/responses that were stored, so that the next request can go on from one; and, in another
 * such store, the conversations of /v1/conversations.
 *
 *     in_progress --> completed, incomplete, failed      one made in the background is stored as it is begun, with the
 *                \--> cancelled, or dropped              exchange that works on it; the others when they are whole
 *
 * In memory only, and bounded: the least recently used ones go. Each belongs to the tenant that made it; to all
 * others it does not exist. Any thread.
 */
#ifndef SERVER_RESPONSE_STORE_H
#define SERVER_RESPONSE_STORE_H

#include "base/json.h"
#include "server/response_events.h"

enum { RESPONSES_MAX = 1024, RESPONSES_BYTES_MAX = 1 << 26 };

typedef struct ResponseStore ResponseStore;

Err response_store_new(ResponseStore **, Error *);
void response_store_free(ResponseStore *);    /* NULL is allowed */

typedef enum ResponsePart {
    RESPONSE_SHOWN,        /* as GET shows it; its "id" names it */
    RESPONSE_MESSAGES,     /* what was said, this answer included; NULL of a conversation */
    RESPONSE_INPUT,        /* the items that were asked with; all of a conversation */
    RESPONSE_PARTS
} ResponsePart;

/* All parts are taken over. `maker`: held while it is in progress; when this store has stopped it, nothing is put. NULL: it
 * is no response. `events`: shared; NULL: none. */
void response_store_put(ResponseStore *, uint64_t tenant, json_t *parts[RESPONSE_PARTS], Exchange *maker,
                        ResponseEvents *events);
void response_store_ended(ResponseStore *, uint64_t tenant, const char *id);    /* nobody works on it any more */
/* To be dropped by the caller. NULL: unknown, or it was not streamed in the background. */
ResponseEvents *response_store_events(ResponseStore *, uint64_t tenant, const char *id);
/* A copy, owned by the caller. NULL: unknown, or no memory for it. */
json_t *response_store_get(ResponseStore *, uint64_t tenant, const char *id, ResponsePart);
/* With its parts, which it may change but for the id, under the lock. False: unknown. */
bool response_store_change(ResponseStore *, uint64_t tenant, const char *id,
                           void (*change)(void *with, json_t *parts[RESPONSE_PARTS]), void *with);
/* What works on it is stopped. A copy, as RESPONSE_SHOWN; NULL: unknown, or it is whole and none of the background. */
json_t *response_store_cancel(ResponseStore *, uint64_t tenant, const char *id);
bool response_store_drop(ResponseStore *, uint64_t tenant, const char *id);    /* stops it, too. False: unknown */

#endif
