#include "engine/waiting.h"

#include <string.h>

#include "base/checked.h"
#include "engine/sequence.h"

enum { ASKED_A_STEP = 16, CHOICES_MAX = 8 };

struct Waiting {
    const Policy *policy;
    const KvCache *cache;
    Tenants *tenants;
    bool fair;
    Waiter *waiter;                /* [most] */
    int32_t most, count, asked;    /* asked: of which the cache was asked last */
};

/* --- policies --- */

static int64_t all_alike(const Waiter *w)
{
    (void)w;
    return 0;
}
static int64_t by_prompt(const Waiter *w) { return w->prompt; }
static int64_t by_known(const Waiter *w) { return -w->known; }

static const Policy policies[] = {
    {"fcfs", false, false, all_alike},
    {"priority", true, false, all_alike},
    {"spf", false, false, by_prompt},
    {"lpf", false, true, by_known},
};

const char *policy_names(void) { return "fcfs, priority, spf, lpf"; }

const Policy *policy_find(const char *name)
{
    for (size_t i = 0; name && i < COUNT_OF(policies); i++)
        if (!strcmp(policies[i].name, name))
            return &policies[i];
    return NULL;
}

static bool goes_before(const Waiting *w, const Waiter *a, const Waiter *b)
{
    if (a->promoted != b->promoted)
        return promoted_before(a->promoted, b->promoted);
    if (a->priority != b->priority)
        return a->priority > b->priority;
    int64_t served_a = w->fair ? tenants_served(w->tenants, a->tenant) : 0;
    int64_t served_b = w->fair ? tenants_served(w->tenants, b->tenant) : 0;
    if (served_a != served_b)
        return served_a < served_b;
    int64_t key_a = w->policy->key(a), key_b = w->policy->key(b);
    return key_a != key_b ? key_a < key_b : a->arrival < b->arrival;
}

/* --- who is there --- */

Waiting *waiting_new(Arena *arena, const Policy *policy, bool fair, int32_t most, const KvCache *cache)
{
    Waiting *w = ARENA_NEW(arena, Waiting);
    if (!w)
        return NULL;
    *w = (Waiting){.policy = policy, .cache = cache, .fair = fair, .most = most};
    w->waiter = ARENA_ARRAY(arena, Waiter, (size_t)most);
    w->tenants = tenants_new(arena, most);
    return w->waiter && w->tenants ? w : NULL;
}

static int32_t ask(const Waiting *w, const Request *r)
{
    const Sequence *q = request_leader(r);
    return w->policy->asks_cache ? kv_cache_known(w->cache, q->tokens, sequence_reusable(q), q->salt) : 0;
}

void waiting_add(Waiting *w, Request *r)
{
    ASSERT(w->count < w->most);
    r->tenant = tenants_enter(w->tenants, r->options.tenant);
    r->waiter = w->count;
    r->priority = w->policy->classes ? r->options.priority : 0;
    w->waiter[w->count++] = (Waiter){.request = r, .arrival = r->arrival, .priority = r->priority,
                                     .prompt = r->options.prompt_count, .known = ask(w, r), .tenant = r->tenant};
}

void waiting_remove(Waiting *w, Request *r)
{
    ASSERT(r->waiter >= 0 && w->waiter[r->waiter].request == r);
    tenants_start(w->tenants, r->tenant);
    w->waiter[r->waiter] = w->waiter[--w->count];
    w->waiter[r->waiter].request->waiter = r->waiter;
    r->waiter = -1;
}

void waiting_forget(Waiting *w, Request *r) { tenants_leave(w->tenants, r->tenant); }

void waiting_promote(Waiting *w, Request *r)
{
    if (r->waiter >= 0)
        w->waiter[r->waiter].promoted = r->promoted;
}

void waiting_serve(Waiting *w, const Request *r, int64_t tokens) { tenants_serve(w->tenants, r->tenant, tokens); }

int32_t waiting_count(const Waiting *w) { return w->count; }

/* --- whose turn it is --- */

static Waiter *first(const Waiting *w)
{
    Waiter *best = NULL;
    for (int32_t i = 0; i < w->count; i++)
        if (!best || goes_before(w, &w->waiter[i], best))
            best = &w->waiter[i];
    return best;
}

/* What was known of it may be gone: then another one may be first. */
Request *waiting_first(Waiting *w)
{
    Waiter *best = first(w);
    for (int32_t i = 0; best && w->policy->asks_cache && i < CHOICES_MAX; i++) {
        int32_t thought = best->known;
        best->known = ask(w, best->request);
        if (best->known >= thought)
            break;
        best = first(w);
    }
    return best ? best->request : NULL;
}

Request *waiting_oldest(const Waiting *w)
{
    const Waiter *oldest = NULL;
    for (int32_t i = 0; i < w->count; i++)
        if (w->waiter[i].promoted == 0 && (!oldest || w->waiter[i].arrival < oldest->arrival))
            oldest = &w->waiter[i];
    return oldest ? oldest->request : NULL;
}

bool waiting_too_long(int64_t from, int64_t now, int32_t patience) { return now - from >= patience; }

void waiting_ask(Waiting *w)
{
    for (int32_t i = 0; w->policy->asks_cache && i < ASKED_A_STEP && i < w->count; i++) {
        w->asked = (w->asked + 1) % w->count;
        w->waiter[w->asked].known = ask(w, w->waiter[w->asked].request);
    }
}
