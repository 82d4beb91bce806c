#include "engine/tenants.h"

typedef struct Tenant {
    uint64_t id;
    int64_t served;
    int32_t requests, waiting;     /* requests 0: it is away */
} Tenant;

struct Tenants {
    Tenant *tenant;                /* [most]; a request of each at least, or its counter is worth keeping */
    int32_t most, count;
    int64_t level;                 /* the counter of who waited last */
};

Tenants *tenants_new(Arena *arena, int32_t most)
{
    Tenants *t = ARENA_NEW(arena, Tenants);
    if (!t || !(t->tenant = ARENA_ARRAY(arena, Tenant, (size_t)most)))
        return NULL;
    t->most = most;
    return t;
}

/* Who is away and was served least is forgotten: it would be lifted further than others anyway. */
static int32_t place_for(Tenants *t, uint64_t id)
{
    int32_t forgotten = -1;
    for (int32_t i = 0; i < t->count; i++) {
        if (t->tenant[i].id == id)
            return i;
        if (t->tenant[i].requests == 0 && (forgotten < 0 || t->tenant[i].served < t->tenant[forgotten].served))
            forgotten = i;
    }
    int32_t place = t->count < t->most ? t->count++ : forgotten;
    ASSERT(place >= 0);
    t->tenant[place] = (Tenant){.id = id};
    return place;
}

/* Where those that wait are: the least of them; when nobody waits, where the last one was. */
static int64_t level(const Tenants *t)
{
    int64_t least = INT64_MAX;
    for (int32_t i = 0; i < t->count; i++)
        if (t->tenant[i].waiting > 0 && t->tenant[i].served < least)
            least = t->tenant[i].served;
    return least == INT64_MAX ? t->level : least;
}

int32_t tenants_enter(Tenants *t, uint64_t id)
{
    int32_t place = place_for(t, id);
    Tenant *tenant = &t->tenant[place];
    if (tenant->waiting == 0 && tenant->served < level(t))
        tenant->served = level(t);
    tenant->requests++;
    tenant->waiting++;
    return place;
}

void tenants_start(Tenants *t, int32_t place)
{
    ASSERT(t->tenant[place].waiting > 0);
    if (--t->tenant[place].waiting == 0)
        t->level = t->tenant[place].served;
}

void tenants_leave(Tenants *t, int32_t place)
{
    ASSERT(t->tenant[place].requests > t->tenant[place].waiting);
    t->tenant[place].requests--;
}

void tenants_serve(Tenants *t, int32_t place, int64_t tokens) { t->tenant[place].served += tokens; }

int64_t tenants_served(const Tenants *t, int32_t place) { return t->tenant[place].served; }
