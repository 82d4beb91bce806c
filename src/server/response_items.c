#include "server/response_items.h"

#include <string.h>

#include "server/batch_parts.h"
#include "server/random_id.h"

enum { ITEMS_PAGE = 20, ITEMS_PAGE_MAX = 100 };

/* ---- from a request ---- */

static json_t *parts_of(json_t *content, const char *role)
{
    const char *type = role && !strcmp(role, "assistant") ? "output_text" : "input_text";
    return json_is_string(content) ? json_pack("[{s:s, s:O}]", "type", type, "text", content) : json_incref(content);
}

static void name_item(json_t *item, const char *type)
{
    static const struct { const char *type, *prefix; } prefixes[] = {
        {"function_call", "fc_"}, {"function_call_output", "fco_"}, {"reasoning", "rs_"}};
    const char *prefix = "msg_";
    for (size_t i = 0; i < COUNT_OF(prefixes); i++)
        if (!strcmp(type, prefixes[i].type))
            prefix = prefixes[i].prefix;
    json_object_set_new(item, "id", json_string(random_id(prefix).text));
}

static json_t *item_of(json_t *given)
{
    json_t *item = json_is_string(given) ? json_pack("{s:s, s:O}", "role", "user", "content", given) : json_deep_copy(given);
    json_t *content = json_object_get(item, "content");
    if (!json_is_string(json_object_get(item, "type")))
        json_object_set_new(item, "type", json_string("message"));
    if (!json_is_string(json_object_get(item, "id")))
        name_item(item, json_string_value(json_object_get(item, "type")));
    if (content)
        json_object_set_new(item, "content", parts_of(content, json_string_value(json_object_get(item, "role"))));
    return item;
}

json_t *response_items(json_t *input)
{
    json_t *items = json_array(), *item;
    size_t i;
    if (json_is_string(input))
        json_array_append_new(items, item_of(input));
    json_array_foreach(input, i, item)
        json_array_append_new(items, item_of(item));
    return items;
}

/* ---- for those who ask ---- */

static bool refuse(Exchange *x, const char *param, const char *what)
{
    ApiError e;
    const char *text = exchange_query(x, param);
    api_refuse(&e, 400, param, "%s: '%.60s' %s", param, text, what);
    exchange_refuse(x, &e);
    return false;
}

/* Where a page begins; false: refused. */
static bool first_of(Exchange *x, json_t *items, size_t *first)
{
    const char *after = exchange_query(x, "after");
    json_t *item;
    size_t i;
    *first = 0;
    if (!after)
        return true;
    json_array_foreach(items, i, item)
        if (!strcmp(json_string_value(json_object_get(item, "id")), after)) {
            *first = i + 1;
            return true;
        }
    return refuse(x, "after", "is none of these items");
}

static bool order_of(Exchange *x, bool *backward)
{
    const char *order = exchange_query(x, "order");
    *backward = !order || !strcmp(order, "desc");
    return *backward || !strcmp(order, "asc") || refuse(x, "order", "is neither \"asc\" nor \"desc\"");
}

static json_t *turned(const json_t *items)
{
    json_t *out = json_array();
    for (size_t i = json_array_size(items); i > 0; i--)
        json_array_append(out, json_array_get(items, i - 1));
    return out;
}

void response_items_show(Exchange *x, json_t *items)
{
    size_t first;
    bool backward;
    int limit;
    if (limit_of(x, ITEMS_PAGE_MAX, ITEMS_PAGE, &limit) && order_of(x, &backward)) {
        json_t *ordered = backward ? turned(items) : json_incref(items), *page = json_array();
        if (first_of(x, ordered, &first)) {
            size_t count = json_array_size(ordered), end = first + (size_t)limit;
            for (size_t i = first; i < count && i < end; i++)
                json_array_append(page, json_array_get(ordered, i));
            exchange_json(x, 200, page_json(json_incref(page), end < count));
        }
        json_decref(page);
        json_decref(ordered);
    }
    json_decref(items);
}
