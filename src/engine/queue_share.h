/* queue_share.h -- how many places of the queue each tenant holds, so that none holds all.
 *
 *     places   [ A A A A . . . . ]     A alone: it has half, and gets no more while it holds as many as are free
 *              [ A A A A B B . . ]     B comes and finds half of the rest, and so on
 *
 * A tenant gets a place while it holds fewer than are free. So a flood fills half of the queue at most, and is
 * told so, and whoever else comes is let in and has its turn (tenants.h).
 *
 * Choudhury and Hahne 1998, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", with alpha 1.
 */
#ifndef ENGINE_QUEUE_SHARE_H
#define ENGINE_QUEUE_SHARE_H

#include "base/arena.h"

typedef struct QueueShare QueueShare;

QueueShare *queue_share_new(Arena *, int32_t places);              /* NULL: the arena is full */

int32_t queue_share_held(const QueueShare *, uint64_t tenant);
bool queue_share_take(QueueShare *, uint64_t tenant, int32_t free_places);   /* false: it has its share */
void queue_share_give(QueueShare *, uint64_t tenant);              /* one that it took */

#endif
