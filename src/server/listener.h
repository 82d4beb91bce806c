/* listener.h -- the socket that a server listens on: a host and port, a path, or what systemd has opened.
 *
 *     127.0.0.1, ::1, localhost, 0.0.0.0      and a port; 0: one that is free
 *     unix:/run/ridge.sock                    a socket in the file system
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/error.h"

typedef struct Listener {
    int fd;                    /* listens; -1: none */
    int port;                  /* 0: of a path */
    bool inherited;            /* systemd has opened it */
    char name[160];            /* "127.0.0.1:8080", "[::1]:8080", "unix:/run/ridge.sock" */
    char unlink[108];          /* a path to remove at the end; "": none */
} Listener;

Err listener_open(Listener *, const char *host, int port, Error *);
/* LISTEN_FDS of this process: the first of them. fd -1: there is none. */
Err listener_inherit(Listener *, Error *);
void listener_close(Listener *);

#endif
