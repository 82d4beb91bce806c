/* format_list.c -- all formats, from the directory: each folder of formats/ is one. */
#include <strings.h>

#include "core/format.h"

#define FORMAT(name) extern const Format format_##name;
#include "rooms.inc"
#undef FORMAT

static const Format *const formats[] = {
#define FORMAT(name) &format_##name,
#include "rooms.inc"
#undef FORMAT
};

const Format *format_at(int index)
{
    return index >= 0 && (size_t)index < COUNT_OF(formats) ? formats[index] : NULL;
}

const Format *format_find(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(formats); i++)
        if (strcasecmp(formats[i]->name, name) == 0)
            return formats[i];
    return NULL;
}

const Format *format_of_gguf(int gguf_id)
{
    for (size_t i = 0; gguf_id >= 0 && i < COUNT_OF(formats); i++)
        if (formats[i]->gguf_id == gguf_id)
            return formats[i];
    return NULL;
}
