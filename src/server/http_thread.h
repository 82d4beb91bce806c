/* http_thread.h -- the thread that runs the HTTP library.
 *
 *     a worker    http_thread_go_on   http_thread_go_on   ...   http_thread_wake
 *     this one         wakes once: all of them go on, and what the sockets have brought is taken
 *
 * The library has a thread of its own to offer, but wakes it for each connection that goes on, so that the answers of one
 * step of the engine were a thread that slept and woke a dozen times beside threads that compute.
 */
#ifndef SERVER_HTTP_THREAD_H
#define SERVER_HTTP_THREAD_H

#include <microhttpd.h>

#include "base/error.h"

typedef struct HttpThread HttpThread;

/* A connection that was put aside; it lies in what its owner keeps of a call, and not longer than it is put aside. */
typedef struct PutAside {
    struct MHD_Connection *connection;
    struct PutAside *next;
} PutAside;

/* Of a daemon without threads (MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME), which stays the caller's. */
Err http_thread_new(HttpThread **, struct MHD_Daemon *, Error *);
void http_thread_free(HttpThread *);                  /* NULL is allowed; ends and joins it. Before MHD_stop_daemon() */

void http_thread_go_on(HttpThread *, PutAside *);     /* any thread: it goes on once the thread is woken */
void http_thread_wake(HttpThread *);

#endif
