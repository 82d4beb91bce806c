/* waiting.h -- the requests that have not started, and whose turn it is.
 *
 *     policy      who goes first
 *     fcfs        who came first
 *     priority    who has the highest priority; of those, who came first
 *     spf         who has the shortest prompt
 *     lpf         whose prompt the cache knows the longest beginning of
 *
 * Requests of one priority are a class where the policy looks at priorities, else all are one. Where
 * tenants take turns, it is the turn of the one that was served least (tenants.h) within the class, and
 * the policy chooses among its requests. Who was promoted (scheduler.h) goes before all.
 *
 * They lie side by side, in no order, and the first is sought when somebody can start: counters move and
 * the cache learns all the time, and 1,000 comparisons are microseconds. What the cache knows is asked of a
 * few in each step, in turn, and of the one that would be chosen.
 */
#ifndef ENGINE_WAITING_H
#define ENGINE_WAITING_H

#include "cache/kv_cache.h"
#include "engine/tenants.h"

typedef struct Request Request;

typedef struct Waiter {
    Request *request;
    uint64_t promoted, arrival;
    int32_t priority, prompt, known, tenant;   /* priority: 0 where it does not matter */
} Waiter;

typedef struct Policy {
    const char *name;
    bool classes;                              /* priorities matter */
    bool asks_cache;
    int64_t (*key)(const Waiter *);            /* the lowest goes first; of equals, who came first */
} Policy;

const Policy *policy_find(const char *name);   /* NULL: unknown */
const char *policy_names(void);                /* for people */

typedef struct Waiting Waiting;

/* most: requests there can be, those that run included. NULL: the arena is full. */
Waiting *waiting_new(Arena *, const Policy *, bool fair, int32_t most, const KvCache *);

void waiting_add(Waiting *, Request *);
void waiting_remove(Waiting *, Request *);     /* it starts, or ends */
void waiting_forget(Waiting *, Request *);     /* it has ended: its tenant has one less */
void waiting_promote(Waiting *, Request *);    /* request->promoted was set */
void waiting_serve(Waiting *, const Request *, int64_t tokens);

int32_t waiting_count(const Waiting *);
Request *waiting_first(Waiting *);             /* NULL: none */
Request *waiting_oldest(const Waiting *);      /* of those that were not promoted; NULL: none */
void waiting_ask(Waiting *);                   /* a step has passed: the cache may know more, or less */
/* Whether who has waited since step `from` need not be patient any more. */
bool waiting_too_long(int64_t from, int64_t now, int32_t patience);

#endif
