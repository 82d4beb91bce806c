/* response_events.h -- the events of a response that is made in the background and streamed, kept for who reads them later:
 * GET /v1/responses/{}?stream=true&starting_after=N.
 *
 *     who writes     put ... put ... end       0 1 2 3 4 5 6
 *     who reads                                  ^     ^         each goes on from a place of its own, and waits at the end
 *
 * The writer, the store and each reader share them. Bounded: what goes beyond is not kept, and readers are told so. Any thread.
 */
#ifndef SERVER_RESPONSE_EVENTS_H
#define SERVER_RESPONSE_EVENTS_H

#include "base/json.h"
#include "server/exchange.h"

enum { RESPONSE_EVENTS_BYTES_MAX = 1 << 22 };

typedef struct ResponseEvents ResponseEvents;

ResponseEvents *response_events_new(void);                            /* NULL: no memory */
ResponseEvents *response_events_share(ResponseEvents *);              /* NULL is allowed */
void response_events_drop(ResponseEvents *);                          /* NULL is allowed */

void response_events_put(ResponseEvents *, const char *type, const json_t *event);
void response_events_end(ResponseEvents *);                           /* no more will come */
size_t response_events_bytes(ResponseEvents *);

/* Answers with all from event `first` on, and with those to come. Shares the events. */
void response_events_read(ResponseEvents *, Exchange *, int64_t first);

#endif
