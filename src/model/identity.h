/* identity.h -- a text that two checkpoints have in common only if they are the same.
 *
 * Made of the config, and of each file's size, time of last change, and 64 pieces of 4 KiB spread over it. Not
 * of all bytes: that would read every page of a file that is mapped and otherwise touched as needed. A file that was
 * merely touched counts as another: what is kept for the model (cache/kv_files.h) is computed again then.
 */
#ifndef MODEL_IDENTITY_H
#define MODEL_IDENTITY_H

#include "model/model_open.h"

enum { IDENTITY_BYTES = 65 };      /* hex, and a zero */

Err checkpoint_identity(const Checkpoint *, char out[IDENTITY_BYTES], Error *);

#endif
