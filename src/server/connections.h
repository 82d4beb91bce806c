/* connections.h -- the open connections, and a thread that watches what the HTTP library does not look at.
 *
 *     rests      nothing asked yet, or the last answer is sent      closed after idle_seconds
 *     reads      a request is coming in                             408 after request_seconds: a slow client holds no place
 *     answers    somebody works on it                               told at once when the other end closes
 *     lingers    refused while its body still came                  what comes is thrown away, so that the refusal is read
 *
 * The library is not told of a connection that it has put aside until there is something to send: without this
 * thread the engine would go on for somebody who has left.
 */
#ifndef SERVER_CONNECTIONS_H
#define SERVER_CONNECTIONS_H

#include "base/error.h"

typedef struct Connections Connections;
typedef struct Connection Connection;

typedef struct ConnectionLimits {
    int most;
    double idle_seconds, request_seconds;
    bool plain;                /* no TLS: a refusal may be written past the library */
} ConnectionLimits;

Err connections_new(Connections **, const ConnectionLimits *, Error *);
void connections_free(Connections *);
int connections_answering(Connections *);
void connections_hang_up_all(Connections *);

Connection *connection_open(Connections *, int fd);        /* NULL: there are too many */
void connection_close(Connection *);                       /* before its fd is closed. NULL is allowed */
void connection_reads(Connection *);
/* hung_up() is called once at most, on the watching thread, and never after connection_rests(). */
void connection_answers(Connection *, void (*hung_up)(void *with), void *with);
void connection_rests(Connection *);
void connection_lingers(Connection *);                     /* when it is closed */
/* Writes a refusal past the library, which must close it next: for what comes where it takes no answer. */
void connection_cut(Connection *, int status, const char *text);

#endif
