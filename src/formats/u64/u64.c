/* u64.c -- 64-bit words of safetensors. */
#include "formats/plain.h"

PLAIN_FORMAT(u64, "U64", -1, uint64_t, NULL)
