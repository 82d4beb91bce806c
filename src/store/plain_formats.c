#include "store/plain_formats.h"

#include <math.h>
#include <string.h>

#define DECODE(name, Type)                                                   \
    static void decode_##name(float *x, const void *blocks, size_t elems)    \
    {                                                                        \
        for (size_t i = 0; i < elems; i++) {                                 \
            Type value;                                                      \
            memcpy(&value, (const char *)blocks + i * sizeof value, sizeof value); \
            x[i] = (float)value;                                             \
        }                                                                    \
    }
DECODE(f64, double)
DECODE(i64, int64_t)
DECODE(i16, int16_t)
DECODE(i8, int8_t)
DECODE(u64, uint64_t)
DECODE(u32, uint32_t)
DECODE(u16, uint16_t)
DECODE(u8, uint8_t)

/* The exponent alone, as the OCP microscaling formats scale with it: 2^(e - 127), 255 is NaN. */
static void decode_e8m0(float *x, const void *blocks, size_t elems)
{
    const uint8_t *e = blocks;
    for (size_t i = 0; i < elems; i++)
        x[i] = e[i] == 255 ? NAN : ldexpf(1.0f, e[i] - 127);
}

static const Format plain[] = {
    {"F64", 28, 1, 8, NULL, decode_f64, NULL},
    {"I64", 27, 1, 8, NULL, decode_i64, NULL},
    {"I16", 25, 1, 2, NULL, decode_i16, NULL},
    {"I8", 24, 1, 1, NULL, decode_i8, NULL},
    {"U64", -1, 1, 8, NULL, decode_u64, NULL},
    {"U32", -1, 1, 4, NULL, decode_u32, NULL},
    {"U16", -1, 1, 2, NULL, decode_u16, NULL},
    {"U8", -1, 1, 1, NULL, decode_u8, NULL},
    {"BOOL", -1, 1, 1, NULL, decode_u8, NULL},
    {"F8_E8M0", -1, 1, 1, NULL, decode_e8m0, NULL},
};

const Format *format_of_safetensors(const char *dtype)
{
    const Format *known = format_find(dtype);
    if (known && known->block_elems == 1 && !strcmp(known->name, dtype))
        return known;
    for (size_t i = 0; i < COUNT_OF(plain); i++)
        if (!strcmp(plain[i].name, dtype))
            return &plain[i];
    return NULL;
}

const Format *format_of_ggml(int64_t type)
{
    const Format *known = type >= 0 && type <= INT32_MAX ? format_of_gguf((int)type) : NULL;
    for (size_t i = 0; i < COUNT_OF(plain) && !known; i++)
        if (type >= 0 && plain[i].gguf_id == type)
            known = &plain[i];
    return known;
}
