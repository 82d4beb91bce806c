/* api_batches.c -- OpenAI's /v1/batches: many calls as the lines of a file. */
#include "server/batch_line.h"
#include "server/batch_parts.h"
#include "server/fields.h"
#include "server/routes.h"

enum { BATCHES_PAGE_MAX = 100, BATCHES_PAGE = 20, METADATA_MAX = 16, METADATA_KEY_MAX = 64, METADATA_VALUE_MAX = 512 };

/* ---- making one ---- */

static void read_metadata(Fields *f, BatchOrder *order)
{
    const char *key;
    json_t *value;
    order->metadata = fields_object(f, "metadata");
    if (json_object_size(order->metadata) > METADATA_MAX)
        fields_refuse(f, "metadata", "has %zu entries; at most %d are kept", json_object_size(order->metadata), METADATA_MAX);
    json_object_foreach(order->metadata, key, value)
        if (!json_is_string(value) || json_string_length(value) > METADATA_VALUE_MAX || strlen(key) > METADATA_KEY_MAX)
            fields_refuse(f, "metadata", "each entry is a string of at most %d bytes, its name one of at most %d",
                          METADATA_VALUE_MAX, METADATA_KEY_MAX);
}

static bool is_missing(Fields *f, const char *name, const char *value)
{
    if (fields_ok(f) && !value)
        fields_refuse(f, name, "is missing");
    return !fields_ok(f);
}

static void read_order(Fields *f, BatchOrder *order, FileStore *files)
{
    StoredFile input;
    fields_text(f, "input_file_id", RANDOM_ID_BYTES - 1, &order->input_file_id);
    fields_text(f, "endpoint", 63, &order->endpoint);
    fields_text(f, "completion_window", 16, &order->window);
    read_metadata(f, order);
    if (is_missing(f, "input_file_id", order->input_file_id) || is_missing(f, "endpoint", order->endpoint) ||
        is_missing(f, "completion_window", order->window))
        return;
    if (!batch_may_call(order->endpoint))
        fields_refuse(f, "endpoint", "'%s' is not something that a batch may call", order->endpoint);
    if (strcmp(order->window, "24h") != 0)
        fields_refuse(f, "completion_window", "is '%s'; it must be \"24h\"", order->window);
    if (!file_store_find(files, order->owner, order->input_file_id, &input))
        fields_refuse(f, "input_file_id", "there is no file '%s'", order->input_file_id);
    else if (strcmp(input.purpose, "batch") != 0)
        fields_refuse(f, "input_file_id", "the file '%s' was not uploaded for a batch", input.id);
}

static void create(Exchange *x)
{
    Batches *b = batches_of(x);
    Fields f;
    ApiError error = {0};
    Error err;
    json_t *object = NULL;
    BatchOrder order = {.owner = owner_of(x), .key = exchange_key(x)};
    if (!b)
        return;
    if (fields_open(&f, exchange_body(x), &error))
        read_order(&f, &order, batches_files(b));
    if (error.status == 0 && !batches_add(b, &order, &object, &err))
        api_refuse(&error, err.code == LIMIT_REACHED ? 429 : 500, NULL, "%s",
                   err.code == LIMIT_REACHED ? err.text : "the batch could not be kept");
    fields_close(&f);
    if (object)
        exchange_json(x, 200, object);
    else
        exchange_refuse(x, &error);
}

/* ---- asking ---- */

/* Answers with the object; NULL: there is none. */
static void answer(Exchange *x, json_t *object)
{
    ApiError error;
    if (object) {
        exchange_json(x, 200, object);
        return;
    }
    api_refuse(&error, 404, "id", "there is no batch '%.60s'", exchange_path_part(x, 0) ? exchange_path_part(x, 0) : "");
    exchange_refuse(x, &error);
}

static void show(Exchange *x)
{
    Batches *b = batches_of(x);
    const char *id = exchange_path_part(x, 0);
    if (b)
        answer(x, batches_show(b, owner_of(x), id ? id : ""));
}

static void cancel(Exchange *x)
{
    Batches *b = batches_of(x);
    const char *id = exchange_path_part(x, 0);
    bool cancelled;
    ApiError error;
    if (!b)
        return;
    json_t *object = batches_cancel(b, owner_of(x), id ? id : "", &cancelled);
    if (!object || cancelled) {
        answer(x, object);
        return;
    }
    api_refuse(&error, 409, "id", "the batch cannot be cancelled: its status is '%s'",
               json_string_value(json_object_get(object, "status")));
    json_decref(object);
    exchange_refuse(x, &error);
}

static void list(Exchange *x)
{
    Batches *b = batches_of(x);
    int limit;
    bool more;
    if (!b || !limit_of(x, BATCHES_PAGE_MAX, BATCHES_PAGE, &limit))
        return;
    json_t *data = batches_list(b, owner_of(x), exchange_query(x, "after"), limit, &more);
    exchange_json(x, 200, data ? page_json(data, more) : NULL);
}

static const Route routes[] = {
    {"POST", "/v1/batches", ACCESS_KEY, create},
    {"GET", "/v1/batches", ACCESS_KEY, list},
    {"GET", "/v1/batches/{}", ACCESS_KEY, show},
    {"POST", "/v1/batches/{}/cancel", ACCESS_KEY, cancel},
};
const RouteList routes_batches = ROUTES(routes, api_error_json);
