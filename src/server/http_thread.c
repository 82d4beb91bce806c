#include "server/http_thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { SLEEP_MS_MAX = 1000 };

struct HttpThread {
    struct MHD_Daemon *daemon;
    int bell, epoll;                 /* epoll: of the bell, and of the library's own */
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;            /* for this */
    PutAside *going_on;
};

void http_thread_go_on(HttpThread *t, PutAside *p)
{
    pthread_mutex_lock(&t->lock);
    p->next = t->going_on;
    t->going_on = p;
    pthread_mutex_unlock(&t->lock);
}

void http_thread_wake(HttpThread *t) { eventfd_write(t->bell, 1); }

static void let_go_on(HttpThread *t)
{
    pthread_mutex_lock(&t->lock);
    PutAside *p = t->going_on;
    t->going_on = NULL;
    pthread_mutex_unlock(&t->lock);
    for (PutAside *next; p; p = next) {
        next = p->next;
        MHD_resume_connection(p->connection);
    }
}

/* What the library's own limits of time need, and now and then in any case. */
static int sleep_ms(const HttpThread *t)
{
    MHD_UNSIGNED_LONG_LONG ms;
    return MHD_get_timeout(t->daemon, &ms) == MHD_YES && ms < SLEEP_MS_MAX ? (int)ms : SLEEP_MS_MAX;
}

static void *http_loop(void *with)
{
    pthread_setname_np(pthread_self(), "http");
    HttpThread *t = with;
    while (!atomic_load(&t->stop)) {
        struct epoll_event events[2];
        eventfd_t rung;
        int count = epoll_wait(t->epoll, events, 2, sleep_ms(t));
        for (int i = 0; i < count; i++)
            if (events[i].data.fd == t->bell)
                eventfd_read(t->bell, &rung);
        let_go_on(t);
        MHD_run(t->daemon);
    }
    return NULL;
}

static bool watch(HttpThread *t, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(t->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

Err http_thread_new(HttpThread **out, struct MHD_Daemon *daemon, Error *err)
{
    HttpThread *t = calloc(1, sizeof *t);
    if (!t)
        return fail(err, NO_MEMORY, "no memory for the thread of the HTTP server");
    t->daemon = daemon;
    t->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    pthread_mutex_init(&t->lock, NULL);
    bool good = t->bell >= 0 && t->epoll >= 0 && watch(t, t->bell) &&
                watch(t, MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    if (good && pthread_create(&t->thread, NULL, http_loop, t) == 0) {
        *out = t;
        return OK;
    }
    if (t->bell >= 0)
        close(t->bell);
    if (t->epoll >= 0)
        close(t->epoll);
    pthread_mutex_destroy(&t->lock);
    free(t);
    return fail(err, NO_MEMORY, "the thread of the HTTP server could not be started");
}

void http_thread_free(HttpThread *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    http_thread_wake(t);
    pthread_join(t->thread, NULL);
    close(t->epoll);
    close(t->bell);
    pthread_mutex_destroy(&t->lock);
    free(t);
}
