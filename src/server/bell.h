/* bell.h -- how any thread tells one that sleeps that there is something to look at.
 *
 * A ring is never lost: one that comes while nobody waits ends the next wait at once. Several rings before a
 * wait are one.
 */
#ifndef SERVER_BELL_H
#define SERVER_BELL_H

#include <pthread.h>
#include <stdbool.h>

typedef struct Bell {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool rung;
} Bell;

void bell_init(Bell *);
void bell_deinit(Bell *);
void bell_ring(void *bell);                  /* a `Bell *`, so that it may be given as a callback */
void bell_wait(Bell *, double seconds);      /* until it rings, or so long */

#endif
