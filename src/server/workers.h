/* workers.h -- the threads that run handlers and work(), one exchange at a time each.
 *
 *     exchange_poke  --> [ woken: what the engine has news for  ]  --> worker
 *     workers_take   --> [ fresh: requests that have just come  ]  --> worker
 *
 * What is woken goes first, so that a running answer does not wait behind the parsing of a long prompt; but of
 * so many turns one is for a fresh one, so that many running answers never shut the door.
 */
#ifndef SERVER_WORKERS_H
#define SERVER_WORKERS_H

#include "server/exchange.h"

typedef struct Workers Workers;

enum { WORKERS_MAX = 256 };

Err workers_new(Workers **, int count, Error *);
void workers_free(Workers *);                /* all exchanges must have ended; ends and joins the threads */

void workers_enter(Workers *, Exchange *);   /* it is born: counted until it leaves */
void workers_leave(Workers *, Exchange *);
void workers_take(Workers *, Exchange *);    /* a fresh one */
void workers_poke(Workers *, Exchange *);
/* The same, but nobody is woken until workers_wake(): for the engine's thread, which has news of many at a time, and
 * whose own cores the woken threads take. */
void workers_poke_later(Workers *, Exchange *);
void workers_wake(Workers *);
bool workers_ended(Workers *, Exchange *);   /* its last turn is over */

/* Waits until no exchange has a turn to come. False: some had after so many seconds. */
bool workers_drain(Workers *, double seconds);
void workers_poke_all(Workers *);
void workers_hang_up_all(Workers *);
int workers_running(Workers *);              /* exchanges that were taken and have not ended */

#endif
