/* routes.h -- which handler answers which path: one list per wire API, and the build makes the list of lists.
 *
 * A file server/api_NAME.c defines `const RouteList routes_NAME`; tools/rooms finds it. The path may have parts
 * in braces, each between two slashes: "/v1/files/{}/content"; exchange_path_part() gives them. A last part {*}
 * takes the whole rest, slashes too. HEAD is answered as GET is, without the body.
 */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

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

enum { ROUTE_PARTS_MAX = 4 };

typedef struct RouteMatch {
    const Route *route;                /* NULL: none */
    const RouteList *list;             /* whose shape errors have; NULL: the path is nobody's */
    Span parts[ROUTE_PARTS_MAX];       /* of the path, as it came: not percent-decoded */
    int part_count;
    char allowed[64];                  /* "GET, POST, OPTIONS": what the path knows; "": the path is unknown */
} RouteMatch;

/* `more`: a list that is looked at first; NULL: the APIs' own only. */
RouteMatch route_find(const RouteList *more, const char *method, const char *path);

#endif
