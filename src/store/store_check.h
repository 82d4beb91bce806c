/* store_check.h -- what `ridge check MODEL` does: opens a model, reads every byte of its tensors.
 *
 * Opening already refuses whatever contradicts itself (store.h). On top of that, this looks at the
 * numbers: a value that is no number, a matrix of nothing but zeros, bytes that no tensor owns.
 * Such a file can be run, and may be meant so; it is reported, not refused.
 */
#ifndef STORE_STORE_CHECK_H
#define STORE_STORE_CHECK_H

#include "store/store.h"

typedef struct StoreNote {
    const char *file;
    const char *text;        /* one line, without the name of the file */
    bool warning;            /* else a fact */
} StoreNote;

typedef void StoreReport(void *context, const StoreNote *note);

/* The error of store_open(), or OK: then every file has had its facts and warnings reported. */
Err store_check(const char *path, StoreReport *report, void *context, Error *err);
void store_check_opened(const Store *, StoreReport *report, void *context);

#endif
