/* u32.c -- 32-bit words of safetensors: packed weights. */
#include "formats/plain.h"

PLAIN_FORMAT(u32, "U32", -1, uint32_t, NULL)
