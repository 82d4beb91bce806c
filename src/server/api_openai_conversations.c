/* /v1/conversations: what was said, kept so that /v1/responses may go on with it by its id ("conversation").
 *
 *     POST /v1/conversations                     {"items": [...], "metadata": {...}}
 *     GET, POST, DELETE /v1/conversations/{}     itself; other metadata; away with it
 *     GET, POST /v1/conversations/{}/items       a page of its items; more of them
 *     GET, DELETE /v1/conversations/{}/items/{}  one of them
 *
 * In memory, bounded, each for the tenant that made it (response_store.h): its items are all there is of it, and become
 * messages when somebody asks (conversation_items.h).
 */
#include <string.h>
#include <time.h>

#include "server/api_keys.h"
#include "server/batch_parts.h"
#include "server/conversation_items.h"
#include "server/generation_inside.h"
#include "server/random_id.h"
#include "server/response_items.h"
#include "server/response_store.h"

enum { ITEMS_AT_ONCE = 20 };

static ResponseStore *store_of(const Exchange *x) { return exchange_service(x)->conversations; }
static uint64_t tenant_of(const Exchange *x) { return generation_tenant(exchange_key(x)); }

static json_t *part_of(const Exchange *x, ResponsePart part)
{
    return response_store_get(store_of(x), tenant_of(x), exchange_path_part(x, 0), part);
}

static void refuse_unknown(Exchange *x, int part, const char *what)
{
    ApiError error;
    api_refuse(&error, 404, NULL, "there is no %s '%s': it was deleted, or is gone", what, exchange_path_part(x, part));
    exchange_refuse(x, &error);
}

/* What a body may bring; borrowed from the fields. */
typedef struct Given {
    json_t *items, *metadata;
    ApiError error;
} Given;

/* False: refused. Items must be such as a model can be shown. */
static bool read_body(Exchange *x, Fields *f, Given *out)
{
    Conversation scratch;
    *out = (Given){0};
    bool good = fields_open(f, exchange_body(x), &out->error);
    if (good) {
        out->items = fields_array(f, "items", ITEMS_AT_ONCE);
        out->metadata = fields_object(f, "metadata");
        conversation_init(&scratch);
        conversation_add_items(&scratch, f, "items", out->items);
        conversation_deinit(&scratch);
        good = fields_ok(f);
    }
    if (!good) {
        exchange_refuse(x, &out->error);
        fields_close(f);
    }
    return good;
}

/* ---- conversations ---- */

static void create(Exchange *x)
{
    Fields f;
    Given given;
    if (!read_body(x, &f, &given))
        return;
    json_t *metadata = given.metadata ? json_deep_copy(given.metadata) : json_object();
    json_t *shown = json_pack("{s:s, s:s, s:I, s:o}", "id", random_id("conv_").text, "object", "conversation", "created_at",
                              (json_int_t)time(NULL), "metadata", metadata);
    json_t *parts[RESPONSE_PARTS] = {[RESPONSE_SHOWN] = json_deep_copy(shown),
                                     [RESPONSE_INPUT] = response_items(given.items)};
    response_store_put(store_of(x), tenant_of(x), parts, NULL, NULL);
    exchange_json(x, 200, shown);
    fields_close(&f);
}

static void show(Exchange *x)
{
    json_t *shown = part_of(x, RESPONSE_SHOWN);
    if (shown)
        exchange_json(x, 200, shown);
    else
        refuse_unknown(x, 0, "conversation");
}

static void set_metadata(void *with, json_t *parts[RESPONSE_PARTS])
{
    json_object_set_new(parts[RESPONSE_SHOWN], "metadata", json_deep_copy(with));
}

static void change(Exchange *x)
{
    Fields f;
    Given given;
    if (!read_body(x, &f, &given))
        return;
    if (given.metadata)
        response_store_change(store_of(x), tenant_of(x), exchange_path_part(x, 0), set_metadata, given.metadata);
    show(x);
    fields_close(&f);
}

static void forget(Exchange *x)
{
    const char *id = exchange_path_part(x, 0);
    if (response_store_drop(store_of(x), tenant_of(x), id))
        exchange_json(x, 200, json_pack("{s:s, s:s, s:b}", "id", id, "object", "conversation.deleted", "deleted", 1));
    else
        refuse_unknown(x, 0, "conversation");
}

/* ---- items ---- */

static void show_items(Exchange *x)
{
    json_t *items = part_of(x, RESPONSE_INPUT);
    if (items)
        response_items_show(x, items);
    else
        refuse_unknown(x, 0, "conversation");
}

static void add_items(void *with, json_t *parts[RESPONSE_PARTS])
{
    json_t *items = json_deep_copy(with);
    json_array_extend(parts[RESPONSE_INPUT], items);
    json_decref(items);
}

static void add(Exchange *x)
{
    Fields f;
    Given given;
    if (!read_body(x, &f, &given))
        return;
    json_t *items = response_items(given.items);
    if (response_store_change(store_of(x), tenant_of(x), exchange_path_part(x, 0), add_items, items))
        exchange_json(x, 200, page_json(json_incref(items), false));
    else
        refuse_unknown(x, 0, "conversation");
    json_decref(items);
    fields_close(&f);
}

/* Its place; the count of them: it is none of these. */
static size_t find_item(json_t *items, const char *id)
{
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
        if (!strcmp(json_string_value(json_object_get(item, "id")), id))
            return i;
    return json_array_size(items);
}

static void show_item(Exchange *x)
{
    json_t *items = part_of(x, RESPONSE_INPUT);
    json_t *item = json_array_get(items, find_item(items, exchange_path_part(x, 1)));
    if (item)
        exchange_json(x, 200, json_incref(item));
    else
        refuse_unknown(x, items ? 1 : 0, items ? "item" : "conversation");
    json_decref(items);
}

static void remove_item(void *with, json_t *parts[RESPONSE_PARTS])
{
    json_array_remove(parts[RESPONSE_INPUT], find_item(parts[RESPONSE_INPUT], with));
}

static void forget_item(Exchange *x)
{
    json_t *items = part_of(x, RESPONSE_INPUT);
    char *id = (char *)exchange_path_part(x, 1);
    bool known = find_item(items, id) < json_array_size(items);
    if (known)
        response_store_change(store_of(x), tenant_of(x), exchange_path_part(x, 0), remove_item, id);
    if (known)
        show(x);
    else
        refuse_unknown(x, items ? 1 : 0, items ? "item" : "conversation");
    json_decref(items);
}

static const Route routes[] = {
    {"POST", "/v1/conversations", ACCESS_KEY, create},
    {"GET", "/v1/conversations/{}", ACCESS_KEY, show},
    {"POST", "/v1/conversations/{}", ACCESS_KEY, change},
    {"DELETE", "/v1/conversations/{}", ACCESS_KEY, forget},
    {"GET", "/v1/conversations/{}/items", ACCESS_KEY, show_items},
    {"POST", "/v1/conversations/{}/items", ACCESS_KEY, add},
    {"GET", "/v1/conversations/{}/items/{}", ACCESS_KEY, show_item},
    {"DELETE", "/v1/conversations/{}/items/{}", ACCESS_KEY, forget_item},
};
const RouteList routes_openai_conversations = ROUTES(routes, api_error_json);
