/* i16.c -- 16-bit integers. */
#include "formats/plain.h"

PLAIN_FORMAT(i16, "I16", 25, int16_t, NULL)
