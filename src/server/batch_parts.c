#include "server/batch_parts.h"

#include <stdlib.h>

#include "server/service.h"

Batches *batches_of(Exchange *x)
{
    Batches *b = exchange_service(x)->batches;
    ApiError e;
    if (!b) {
        api_refuse(&e, 501, NULL, "this server keeps no files and runs no batches: start it with --state-dir DIR");
        exchange_refuse(x, &e);
    }
    return b;
}

const char *owner_of(const Exchange *x) { return exchange_key(x) ? exchange_key(x)->name : ""; }

bool limit_of(Exchange *x, int most, int otherwise, int *limit)
{
    const char *text = exchange_query(x, "limit");
    char *end = "";
    long value = text ? strtol(text, &end, 10) : otherwise;
    ApiError e;
    *limit = (int)value;
    if (value >= 1 && value <= most && !*end)
        return true;
    api_refuse(&e, 400, "limit", "limit: '%.40s' is not a whole number from 1 to %d", text, most);
    exchange_refuse(x, &e);
    return false;
}

json_t *page_json(json_t *data, bool more)
{
    size_t count = json_array_size(data);
    json_t *first = json_object_get(json_array_get(data, 0), "id"), *null = json_null();
    json_t *last = json_object_get(json_array_get(data, count ? count - 1 : 0), "id");
    return json_pack("{s:s, s:o, s:O, s:O, s:b}", "object", "list", "data", data, "first_id", first ? first : null, "last_id",
                     last ? last : null, "has_more", more);
}
