/* service_aid.h -- the default model as a service within a test: calls go in as exchanges, answers come out as text. */
#ifndef SERVICE_AID_H
#define SERVICE_AID_H

#include "server/api_keys.h"
#include "server/service.h"

typedef struct ServiceAid ServiceAid;

/* sequences, queue: of the engine. */
Err service_aid_open(ServiceAid **, int32_t sequences, int32_t queue, Error *);
void service_aid_close(ServiceAid *);
void service_aid_break(ServiceAid *);        /* its device is lost from now on */
Service *service_aid_service(ServiceAid *);

typedef struct AidCall AidCall;

/* path: with its query, if there is one. */
AidCall *aid_begin(ServiceAid *, const char *method, const char *path, const char *body, const ApiKey *key);
size_t aid_read(AidCall *, size_t most);     /* waits for some bytes of the answer, or its end: 0 */
const char *aid_so_far(const AidCall *);     /* what was read of the answer; lives until the next read */
const char *aid_finish(AidCall *);           /* all of the answer; lives until aid_end() */
int aid_status(const AidCall *);
void aid_end(AidCall *);                     /* hangs up if it has not ended */

/* A whole call; the JSON of its answer, owned by the caller. */
json_t *aid_post(ServiceAid *, const char *path, const char *body, int *status);
json_t *aid_call(ServiceAid *, const char *method, const char *path, const char *body, const ApiKey *key, int *status);

/* Waits until the engine holds nothing any more: no sequence, and all blocks free or cached. False: it still does. */
bool aid_idle(ServiceAid *);

#endif
