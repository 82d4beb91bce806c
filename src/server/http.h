/* http.h -- HTTP/1.1 over libmicrohttpd: bytes in, exchanges out, and nothing of JSON or text.
 *
 *     headers  -->  limits, route, key: what will be refused is refused before its body is read
 *     body     -->  kept up to a limit
 *     whole    -->  exchange_new, service_take; the connection is put aside
 *     ready    -->  the connection goes on: status, headers, what there is of the body, put aside again ...
 *
 * A connection that is closed by the other end hangs up its exchange, streaming or not (connections.h).
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "server/api_keys.h"
#include "server/listener.h"
#include "server/server_log.h"
#include "server/service.h"

typedef struct Http Http;

typedef struct HttpOptions {
    Keys *keys;                      /* none in it: nobody is asked for one */
    ServerLog *log;                  /* NULL: silent */
    int connections, per_address;    /* per_address 0: no limit of its own */
    size_t header_bytes, body_bytes;
    double idle_seconds;             /* that a connection may be open without a request */
    double request_seconds;          /* that a request may take to come in */
    const char *cors_origin;         /* whose pages may call: "*", or "https://a.example,https://b.example"; NULL: nobody's */
    const char *tls_cert, *tls_key;  /* PEM files; NULL: no TLS */
} HttpOptions;

/* Begins to accept; answers 503 until http_serve(). The listener stays the caller's, and open. */
Err http_new(Http **, const HttpOptions *, const Listener *, Error *);
void http_serve(Http *, Service *);
/* Answers that are written may leave; then all is closed. No exchange of it is left. */
void http_free(Http *);

#endif
