/* batches.h -- all batches of a service: kept in a directory, run by one thread beside live traffic.
 *
 *     STATE_DIR/files/      what was uploaded, and what came of batches     file_store.h
 *     STATE_DIR/batches/    where each batch stands                         batch_job.h
 *
 * One batch of each owner runs at a time, of at most BATCH_RUNS_MAX owners, the oldest first; the others wait. Their
 * lines go behind all live calls in the engine. When the service stops, what is in flight is dropped and asked
 * again after the next start.
 */
#ifndef SERVER_BATCHES_H
#define SERVER_BATCHES_H

#include "server/batch_job.h"
#include "server/api_keys.h"

enum { BATCH_RUNS_MAX = 4, BATCHES_MAX = 10000, OWNED_BATCHES_MAX = 1000 };

typedef struct Batches Batches;

/* keys: NULL where nobody is asked for one. Batches of an earlier life go on. The service's workers must run. */
Err batches_open(Batches **, Service *, const char *state_dir, Keys *keys, Error *);
void batches_stop(Batches *);                /* nothing runs any more; what is asked for is still answered. NULL: none */
void batches_close(Batches *);               /* NULL is allowed */
FileStore *batches_files(Batches *);

/* Objects as the API shows them, for the caller to give away. */
/* LIMIT_REACHED: too many that have not ended. */
bool batches_add(Batches *, const BatchOrder *, json_t **object, Error *);
json_t *batches_show(Batches *, const char *owner, const char *id);          /* NULL: none of this owner */
/* NULL: none of this owner. *cancelled false: it had ended, or was about to. */
json_t *batches_cancel(Batches *, const char *owner, const char *id, bool *cancelled);
/* Newest first; NULL: no memory. */
json_t *batches_list(Batches *, const char *owner, const char *after, int most, bool *more);

#endif
