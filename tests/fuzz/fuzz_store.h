/* fuzz_store.h -- what both kinds of weight file go through: opened, read to the last byte. */
#ifndef FUZZ_STORE_H
#define FUZZ_STORE_H

#include "store/store.h"
#include "store/store_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline void ignore_note(void *context, const StoreNote *note)
{
    (void)context;
    ASSERT(note->text[0]);
}

static inline Store *fuzz_open(const uint8_t *data, size_t bytes, const char *name)
{
    Store *s;
    Error err = {0};
    if (store_open_bytes(span_of(data, bytes), name, &s, &err) != OK) {
        ASSERT(!s && err.code != OK && strstr(err.text, name));
        return NULL;
    }
    for (size_t i = 0; i < store_count(s); i++)
        ASSERT(store_find(s, store_at(s, i)->name) == store_at(s, i));
    store_check_opened(s, ignore_note, NULL);
    return s;
}

#endif
