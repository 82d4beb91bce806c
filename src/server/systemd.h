/* systemd.h -- telling the service manager how it goes, where there is one: datagrams to $NOTIFY_SOCKET.
 *
 *     READY=1    RELOADING=1    STOPPING=1    WATCHDOG=1    STATUS=16 requests run
 */
#ifndef SERVER_SYSTEMD_H
#define SERVER_SYSTEMD_H

/* Does nothing where nobody listens. */
void systemd_notify(const char *state);
/* How often WATCHDOG=1 is expected, in seconds; 0: never. */
double systemd_watchdog_seconds(void);

#endif
