#include "engine/queue_share.h"

typedef struct Share {
    uint64_t tenant;
    int32_t held;                  /* > 0 */
} Share;

struct QueueShare {
    Share *share;                  /* [places] */
    int32_t places, count;
};

QueueShare *queue_share_new(Arena *arena, int32_t places)
{
    QueueShare *s = ARENA_NEW(arena, QueueShare);
    if (!s || !(s->share = ARENA_ARRAY(arena, Share, (size_t)places)))
        return NULL;
    s->places = places;
    return s;
}

static Share *find(const QueueShare *s, uint64_t tenant)
{
    for (int32_t i = 0; i < s->count; i++)
        if (s->share[i].tenant == tenant)
            return &s->share[i];
    return NULL;
}

int32_t queue_share_held(const QueueShare *s, uint64_t tenant)
{
    const Share *share = find(s, tenant);
    return share ? share->held : 0;
}

bool queue_share_take(QueueShare *s, uint64_t tenant, int32_t free_places)
{
    Share *share = find(s, tenant);
    if ((share ? share->held : 0) >= free_places)
        return false;
    if (!share) {
        ASSERT(s->count < s->places);
        share = &s->share[s->count++];
        *share = (Share){.tenant = tenant};
    }
    share->held++;
    return true;
}

void queue_share_give(QueueShare *s, uint64_t tenant)
{
    Share *share = find(s, tenant);
    ASSERT(share);
    if (--share->held == 0)
        *share = s->share[--s->count];
}
