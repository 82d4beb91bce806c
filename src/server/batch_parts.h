/* batch_parts.h -- what the APIs of files, batches and stored responses have in common: whose they are, and pages of lists. */
#ifndef SERVER_BATCH_PARTS_H
#define SERVER_BATCH_PARTS_H

#include "server/batches.h"
#include "server/exchange.h"

/* NULL: refused, since the server keeps no state. */
Batches *batches_of(Exchange *);
/* Keys of one name share theirs; "" where no keys are asked for. */
const char *owner_of(const Exchange *);
/* ?limit=: false: refused. */
bool limit_of(Exchange *, int most, int otherwise, int *limit);
/* {"object": "list", "data", "first_id", "last_id", "has_more"}. Takes the list over. */
json_t *page_json(json_t *data, bool more);

#endif
