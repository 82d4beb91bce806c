/* u16.c -- 16-bit words of safetensors. */
#include "formats/plain.h"

PLAIN_FORMAT(u16, "U16", -1, uint16_t, NULL)
