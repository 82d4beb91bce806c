#include "main/id_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/flags.h"

static Err put(IdList *list, int64_t id, int32_t vocabulary, Error *err)
{
    if (id < 0 || id >= vocabulary)
        return fail(err, BAD_ARGUMENT, "%lld is not a token; the vocabulary has %d", (long long)id, vocabulary);
    if ((list->count & (list->count - 1)) == 0) { /* a power of two: full */
        int32_t *grown = realloc(list->ids, sizeof *grown * (size_t)(list->count ? 2 * list->count : 1));
        if (!grown)
            return fail(err, NO_MEMORY, "no memory for %d tokens", list->count);
        list->ids = grown;
    }
    list->ids[list->count++] = (int32_t)id;
    return OK;
}

Err id_list_read(IdList *list, const char *text, int32_t vocabulary, Error *err)
{
    static const char apart[] = ", \t\r\n[]";
    for (const char *at = text + strspn(text, apart); *at; at += strspn(at, apart)) {
        char number[32];
        size_t bytes = strcspn(at, apart);
        int64_t id;
        snprintf(number, sizeof number, "%.*s", (int)(bytes < sizeof number ? bytes : sizeof number), at);
        if (bytes >= sizeof number || !integer_read(number, &id))
            return fail(err, BAD_ARGUMENT, "'%s' is not a token id", number);
        TRY(put(list, id, vocabulary, err));
        at += bytes;
    }
    return OK;
}

void id_list_deinit(IdList *list)
{
    free(list->ids);
    *list = (IdList){0};
}
