/* response_items.h -- what was asked of a stored response, as the list that GET /v1/responses/{}/input_items gives. */
#ifndef SERVER_RESPONSE_ITEMS_H
#define SERVER_RESPONSE_ITEMS_H

#include "server/exchange.h"

/* Of a request's `input`, which was read without an error: each item with a type, an id, and its content as parts. */
json_t *response_items(json_t *input);
/* Answers with a page of them: ?limit=, ?order= ("desc" unless "asc"), ?after=. Takes the items. */
void response_items_show(Exchange *, json_t *items);

#endif
