#include "server/systemd.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof at.sun_path)
        return;
    size_t bytes = strlen(path);
    memcpy(at.sun_path, path, bytes);
    if (path[0] == '@')   /* a name that is in no file system */
        at.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&at,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
    close(fd);
}

double systemd_watchdog_seconds(void)
{
    const char *every = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!every || (pid && atol(pid) != (long)getpid()))
        return 0;
    double seconds = atof(every) / 1e6;
    return seconds > 0 ? seconds : 0;
}
