/* i64.c -- 64-bit integers: ids and counters as PyTorch keeps them. */
#include "formats/plain.h"

PLAIN_FORMAT(i64, "I64", 27, int64_t, NULL)
