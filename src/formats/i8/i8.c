/* i8.c -- 8-bit integers. */
#include "formats/plain.h"

PLAIN_FORMAT(i8, "I8", 24, int8_t, NULL)
