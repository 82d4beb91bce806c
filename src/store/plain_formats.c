#include "store/plain_formats.h"

#include <string.h>

const Format *format_of_safetensors(const char *dtype)
{
    const Format *known = format_find(dtype);
    return known && known->block_elems == 1 && !strcmp(known->name, dtype) ? known : NULL;
}

const Format *format_of_ggml(int64_t type)
{
    return type >= 0 && type <= INT32_MAX ? format_of_gguf((int)type) : NULL;
}
