#include "server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, FIRST_INHERITED = 3 };

/* What the socket is bound to, once it is: a port of 0 has become one. */
static void read_name(Listener *l)
{
    struct sockaddr_storage at = {0};
    socklen_t bytes = sizeof at;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(l->fd, (struct sockaddr *)&at, &bytes) != 0)
        return;
    if (at.ss_family == AF_UNIX) {
        snprintf(l->name, sizeof l->name, "unix:%s", ((struct sockaddr_un *)&at)->sun_path);
        return;
    }
    if (getnameinfo((struct sockaddr *)&at, bytes, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    l->port = atoi(port);
    snprintf(l->name, sizeof l->name, at.ss_family == AF_INET6 ? "[%.100s]:%.8s" : "%.100s:%.8s", host, port);
}

static Err start(Listener *l, const char *name, const struct sockaddr *at, socklen_t bytes, Error *err)
{
    int on = 1;
    l->fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return fail(err, IO_FAILED, "%s: %s", name, strerror(errno));
    if (at->sa_family != AF_UNIX)
        setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(l->fd, at, bytes) == 0 && listen(l->fd, BACKLOG) == 0) {
        read_name(l);
        return OK;
    }
    int why = errno;
    close(l->fd);
    l->fd = -1;
    if (why == EADDRINUSE)
        return fail(err, IO_FAILED, "%s is taken by another server: stop it, or choose another --port (0: one that is free)",
                    name);
    if (why == EACCES)
        return fail(err, IO_FAILED, "%s may not be used by this user: ports below 1024 are the administrator's", name);
    return fail(err, IO_FAILED, "%s: %s", name, strerror(why));
}

static Err open_path(Listener *l, const char *path, Error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return fail(err, BAD_ARGUMENT, "unix:%s: the path of a socket has at most %zu bytes", path, sizeof at.sun_path - 1);
    strcpy(at.sun_path, path);
    /* A socket that nobody answers on is what a crash has left. */
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe >= 0 && connect(probe, (struct sockaddr *)&at, sizeof at) != 0 && errno == ECONNREFUSED)
        unlink(path);
    if (probe >= 0)
        close(probe);
    TRY(start(l, path, (struct sockaddr *)&at, sizeof at, err));
    strcpy(l->unlink, path);
    return OK;
}

Err listener_open(Listener *l, const char *host, int port, Error *err)
{
    *l = (Listener){.fd = -1};
    if (!strncmp(host, "unix:", 5))
        return open_path(l, host + 5, err);
    char service[16], name[300];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    snprintf(service, sizeof service, "%d", port);
    snprintf(name, sizeof name, strchr(host, ':') ? "[%.255s]:%d" : "%.255s:%d", host, port);
    int why = getaddrinfo(host, service, &hints, &found);
    if (why)
        return fail(err, BAD_ARGUMENT, "--host %s: %s", host, gai_strerror(why));
    Err result = fail(err, BAD_ARGUMENT, "--host %s: has no address", host);
    for (struct addrinfo *a = found; a && result != OK; a = a->ai_next)
        result = start(l, name, a->ai_addr, a->ai_addrlen, err);
    freeaddrinfo(found);
    return result;
}

Err listener_inherit(Listener *l, Error *err)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    int accepts = 0;
    socklen_t bytes = sizeof accepts;
    *l = (Listener){.fd = -1};
    if (!pid || !count || atol(pid) != (long)getpid() || atoi(count) < 1)
        return OK;
    if (getsockopt(FIRST_INHERITED, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &bytes) != 0 || !accepts)
        return fail(err, BAD_ARGUMENT, "LISTEN_FDS: file 3 is no socket that listens; the socket unit wants ListenStream=");
    fcntl(FIRST_INHERITED, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_INHERITED, F_SETFL, fcntl(FIRST_INHERITED, F_GETFL) | O_NONBLOCK);
    *l = (Listener){.fd = FIRST_INHERITED, .inherited = true};
    read_name(l);
    return OK;
}

void listener_close(Listener *l)
{
    if (l->fd >= 0)
        close(l->fd);
    if (l->unlink[0])
        unlink(l->unlink);
    *l = (Listener){.fd = -1};
}
