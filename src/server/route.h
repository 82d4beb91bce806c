/* route.h -- which handler answers which path: one list per wire API, and the build makes the list of lists.
 *
 * A file server/api_NAME.c defines `const RouteList routes_NAME`; tools/rooms finds it. The path may have parts
 * in braces: "/v1/files/{}/content"; exchange_path_part() gives them.
 */
#ifndef SERVER_ROUTE_H
#define SERVER_ROUTE_H

#include "server/exchange.h"

typedef enum RouteAccess {
    ACCESS_OPEN,      /* anybody: /health, the page */
    ACCESS_KEY,       /* a key where keys are asked for */
    ACCESS_ADMIN,     /* a key with "admin" where keys are asked for: what shows others' requests */
} RouteAccess;

struct Route {
    const char *method, *path;
    RouteAccess access;
    void (*handle)(Exchange *);               /* on a worker, with the whole body */
};

typedef struct RouteList {
    const Route *routes;
    int count;
    json_t *(*error_json)(const ApiError *);  /* the API's own shape */
    /* An error in a stream that has begun: as an event; NULL: "data: {error}". */
    void (*error_event)(Exchange *, const ApiError *);
} RouteList;

#define ROUTES(list, shape) {.routes = list, .count = COUNT_OF(list), .error_json = shape}

/* NULL: none. *allowed: 404 or 405 is right, and with what in Allow. *parts: up to 4 parts in braces. */
enum { ROUTE_PARTS_MAX = 4 };
const Route *route_find(const char *method, const char *path, Span parts[ROUTE_PARTS_MAX], const RouteList **list,
                        const char **allow);

#endif
