#include "server/connections.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINGERING_MAX = 64, EVENTS_AT_ONCE = 64, LINGER_ID = 1 << 30 };
static const double LINGER_SECONDS = 5, SWEEP_SECONDS = 0.25;

typedef enum ConnectionState { CONNECTION_NONE, CONNECTION_RESTS, CONNECTION_READS, CONNECTION_ANSWERS } ConnectionState;

struct Connection {
    Connections *all;
    int fd;
    ConnectionState state;
    bool lingers, watched, cut;
    double since;                  /* of the state */
    uint32_t generation;           /* of the answer: an event of an older one is nobody's */
    void (*hung_up)(void *with);
    void *with;
};

typedef struct Lingering { int fd; double until; } Lingering;

struct Connections {
    ConnectionLimits limits;
    int epoll;
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;          /* for what follows */
    Connection *connections;       /* [limits.most] */
    int used;                      /* all that were ever used lie before */
    Lingering lingering[LINGERING_MAX];
};

/* ---- states ---- */

static void enter(Connection *c, ConnectionState state)
{
    c->state = state;
    c->since = clock_seconds();
}

static void unwatch(Connection *c)
{
    if (c->watched)
        epoll_ctl(c->all->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    c->watched = false;
    c->hung_up = NULL;
}

Connection *connection_open(Connections *all, int fd)
{
    Connection *c = NULL;
    pthread_mutex_lock(&all->lock);
    for (int i = 0; i < all->limits.most && !c; i++)
        if (all->connections[i].state == CONNECTION_NONE) {
            c = &all->connections[i];
            all->used = i + 1 > all->used ? i + 1 : all->used;
        }
    if (c) {
        *c = (Connection){.all = all, .fd = fd, .generation = c->generation};
        enter(c, CONNECTION_RESTS);
    }
    pthread_mutex_unlock(&all->lock);
    return c;
}

/* A second name of the socket keeps it open after the library has closed its own. */
static void linger(Connection *c)
{
    Connections *all = c->all;
    for (int i = 0; i < LINGERING_MAX; i++)
        if (all->lingering[i].fd < 0) {
            int fd = dup(c->fd);
            struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)LINGER_ID + (uint64_t)i};
            if (fd < 0)
                return;
            shutdown(fd, SHUT_WR);
            epoll_ctl(all->epoll, EPOLL_CTL_ADD, fd, &e);
            all->lingering[i] = (Lingering){fd, clock_seconds() + LINGER_SECONDS};
            return;
        }
}

void connection_close(Connection *c)
{
    if (!c)
        return;
    Connections *all = c->all;
    pthread_mutex_lock(&all->lock);
    unwatch(c);
    if (c->lingers)
        linger(c);
    c->state = CONNECTION_NONE;
    pthread_mutex_unlock(&all->lock);
}

void connection_reads(Connection *c)
{
    pthread_mutex_lock(&c->all->lock);
    enter(c, CONNECTION_READS);
    pthread_mutex_unlock(&c->all->lock);
}

void connection_answers(Connection *c, void (*hung_up)(void *with), void *with)
{
    Connections *all = c->all;
    pthread_mutex_lock(&all->lock);
    unwatch(c);
    enter(c, CONNECTION_ANSWERS);
    c->generation++;
    c->hung_up = hung_up;
    c->with = with;
    uint64_t id = (uint64_t)c->generation << 32 | (uint64_t)(c - all->connections);
    struct epoll_event e = {.events = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLONESHOT, .data.u64 = id};
    c->watched = epoll_ctl(all->epoll, EPOLL_CTL_ADD, c->fd, &e) == 0;
    pthread_mutex_unlock(&all->lock);
}

void connection_rests(Connection *c)
{
    pthread_mutex_lock(&c->all->lock);
    unwatch(c);
    enter(c, CONNECTION_RESTS);
    pthread_mutex_unlock(&c->all->lock);
}

void connection_lingers(Connection *c)
{
    pthread_mutex_lock(&c->all->lock);
    c->lingers = true;
    pthread_mutex_unlock(&c->all->lock);
}

/* ---- refusing past the library ---- */

static void write_refusal(Connection *c, int status, const char *reason, const char *text)
{
    char body[256], whole[512];
    int bytes = snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\",\"param\":null,"
                         "\"code\":null}}", text);
    int all = snprintf(whole, sizeof whole, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
                       "Connection: close\r\n\r\n%s", status, reason, bytes, body);
    if (c->all->limits.plain)   /* all of it or nothing: nobody waits here */
        send(c->fd, whole, (size_t)all, MSG_DONTWAIT | MSG_NOSIGNAL);
    c->cut = true;
}

void connection_cut(Connection *c, int status, const char *text)
{
    pthread_mutex_lock(&c->all->lock);
    write_refusal(c, status, status == 413 ? "Content Too Large" : "Bad Request", text);
    c->lingers = true;
    pthread_mutex_unlock(&c->all->lock);
}

/* ---- the thread ---- */

/* The library notices that the socket has ended, and closes it. */
static void end_late(Connection *c, double now)
{
    if (c->cut)
        return;
    if (c->state == CONNECTION_READS && now - c->since > c->all->limits.request_seconds) {
        write_refusal(c, 408, "Request Timeout", "the request did not come in whole in the time that it may take");
        shutdown(c->fd, SHUT_RDWR);
    } else if (c->state == CONNECTION_RESTS && now - c->since > c->all->limits.idle_seconds) {
        shutdown(c->fd, SHUT_RDWR);
        c->cut = true;
    }
}

static void sweep(Connections *all)
{
    double now = clock_seconds();
    for (int i = 0; i < all->used; i++)
        end_late(&all->connections[i], now);
    for (int i = 0; i < LINGERING_MAX; i++)
        if (all->lingering[i].fd >= 0 && now > all->lingering[i].until) {
            close(all->lingering[i].fd);
            all->lingering[i].fd = -1;
        }
}

static void drain(Lingering *l)
{
    static char nothing[1 << 16];
    ssize_t got = recv(l->fd, nothing, sizeof nothing, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    close(l->fd);
    l->fd = -1;
}

static void take_event(Connections *all, uint64_t id)
{
    uint32_t generation = (uint32_t)(id >> 32), at = (uint32_t)id;
    if (at >= LINGER_ID && at - LINGER_ID < LINGERING_MAX) {
        if (all->lingering[at - LINGER_ID].fd >= 0)
            drain(&all->lingering[at - LINGER_ID]);
        return;
    }
    Connection *c = &all->connections[at];
    if (c->state == CONNECTION_ANSWERS && c->generation == generation && c->hung_up) {
        void (*hung_up)(void *with) = c->hung_up;
        c->hung_up = NULL;
        hung_up(c->with);
    }
}

static void *watch(void *with)
{
    pthread_setname_np(pthread_self(), "sockets");
    Connections *all = with;
    struct epoll_event events[EVENTS_AT_ONCE];
    double swept = 0;
    while (!atomic_load(&all->stop)) {
        int count = epoll_wait(all->epoll, events, EVENTS_AT_ONCE, (int)(1e3 * SWEEP_SECONDS));
        pthread_mutex_lock(&all->lock);
        for (int i = 0; i < count; i++)
            take_event(all, events[i].data.u64);
        if (clock_seconds() - swept > SWEEP_SECONDS) {
            sweep(all);
            swept = clock_seconds();
        }
        pthread_mutex_unlock(&all->lock);
    }
    return NULL;
}

/* ---- birth and end ---- */

Err connections_new(Connections **out, const ConnectionLimits *limits, Error *err)
{
    Connections *all = calloc(1, sizeof *all);
    Connection *connections = calloc((size_t)limits->most, sizeof *connections);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!all || !connections || epoll < 0)
        goto failed;
    *all = (Connections){.limits = *limits, .epoll = epoll, .connections = connections};
    for (int i = 0; i < LINGERING_MAX; i++)
        all->lingering[i].fd = -1;
    pthread_mutex_init(&all->lock, NULL);
    if (pthread_create(&all->thread, NULL, watch, all) != 0)
        goto failed;
    *out = all;
    return OK;
failed:
    if (epoll >= 0)
        close(epoll);
    free(connections);
    free(all);
    return fail(err, NO_MEMORY, "no memory or no thread to watch %d connections", limits->most);
}

void connections_free(Connections *all)
{
    if (!all)
        return;
    atomic_store(&all->stop, true);
    pthread_join(all->thread, NULL);
    for (int i = 0; i < LINGERING_MAX; i++)
        if (all->lingering[i].fd >= 0)
            close(all->lingering[i].fd);
    close(all->epoll);
    pthread_mutex_destroy(&all->lock);
    free(all->connections);
    free(all);
}

int connections_answering(Connections *all)
{
    int count = 0;
    pthread_mutex_lock(&all->lock);
    for (int i = 0; i < all->used; i++)
        count += all->connections[i].state == CONNECTION_ANSWERS;
    pthread_mutex_unlock(&all->lock);
    return count;
}

void connections_hang_up_all(Connections *all)
{
    pthread_mutex_lock(&all->lock);
    for (int i = 0; i < all->used; i++) {
        Connection *c = &all->connections[i];
        if (c->state == CONNECTION_ANSWERS && c->hung_up) {
            void (*hung_up)(void *with) = c->hung_up;
            c->hung_up = NULL;
            hung_up(c->with);
        }
    }
    pthread_mutex_unlock(&all->lock);
}
