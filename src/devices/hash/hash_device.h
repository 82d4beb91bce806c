/* hash_device.h -- a device on which every number is a hash of all that it was computed from.
 *
 *     linear, norms, ...   y[r] = hash(operation, row r of each input, the whole of each weight)
 *     cache_write          the cache holds hash(k[r], position)
 *     attend               y[r] = fold of the entries of all positions that row r may see, in order
 *     any with a state     y[r] = hash(state, row r of each input), and so becomes the state, row by row
 *
 * A model run on it (hash_model.h) makes tokens that depend on every entry of the cache that they
 * should depend on and on no other: a block that was shared, freed, copied or evicted wrongly, a row
 * at a wrong position, a window that is one too long changes them. So the whole engine is tested by
 * comparing tokens, without weights and in microseconds. To look at a block that the table does not
 * hold is an ASSERT.
 *
 * It wraps a device whose memory the host can read, and takes all of its memory from there.
 */
#ifndef DEVICES_HASH_HASH_DEVICE_H
#define DEVICES_HASH_HASH_DEVICE_H

#include "core/device.h"

Err hash_device_open(Device *inner, Device **out, Error *err);   /* closing it closes inner */

#endif
