#include "server/routes.h"

#include <stdio.h>
#include <string.h>

#define API(name) extern const RouteList routes_##name;
#include "rooms.inc"
#undef API

static const RouteList *const lists[] = {
#define API(name) &routes_##name,
#include "rooms.inc"
#undef API
};

/* Part by part, from slash to slash. */
static bool path_fits(const char *pattern, const char *path, RouteMatch *m)
{
    m->part_count = 0;
    while (*pattern && *path) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        bool rest = pattern[1] == '*';
        size_t bytes = rest ? strlen(path) : strcspn(path, "/");
        if (bytes == 0 || m->part_count == ROUTE_PARTS_MAX)
            return false;
        m->parts[m->part_count++] = span_of(path, bytes);
        path += bytes;
        pattern += rest ? 3 : 2;
    }
    return !*pattern && !*path;
}

static void put_allowed(RouteMatch *m, const char *method)
{
    size_t used = strlen(m->allowed);
    if (!strstr(m->allowed, method))
        snprintf(m->allowed + used, sizeof m->allowed - used, "%s%s", used ? ", " : "", method);
}

/* True: this list has the route. */
static bool find_in(const RouteList *list, const char *method, const char *path, RouteMatch *m)
{
    for (int i = 0; i < list->count; i++) {
        const Route *r = &list->routes[i];
        RouteMatch parts = {0};
        if (!path_fits(r->path, path, &parts))
            continue;
        m->list = list;
        if (!strcmp(r->method, method)) {
            m->route = r;
            m->part_count = parts.part_count;
            memcpy(m->parts, parts.parts, sizeof m->parts);
            return true;
        }
        put_allowed(m, r->method);
        if (!strcmp(r->method, "GET"))
            put_allowed(m, "HEAD");
    }
    return false;
}

RouteMatch route_find(const RouteList *more, const char *method, const char *path)
{
    RouteMatch m = {0};
    const char *wanted = !strcmp(method, "HEAD") ? "GET" : method;
    if (more && find_in(more, wanted, path, &m))
        return m;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (find_in(lists[i], wanted, path, &m))
            return m;
    if (m.allowed[0])
        put_allowed(&m, "OPTIONS");
    return m;
}
