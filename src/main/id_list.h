/* id_list.h -- token ids as people write them: "1,2,3", "[1, 2, 3]", "1 2 3". */
#ifndef MAIN_ID_LIST_H
#define MAIN_ID_LIST_H

#include "base/error.h"

typedef struct IdList {
    int32_t *ids;
    int32_t count;
} IdList;

/* Appends. Every id must be in [0, vocabulary). */
Err id_list_read(IdList *, const char *text, int32_t vocabulary, Error *err);
void id_list_deinit(IdList *);

#endif
