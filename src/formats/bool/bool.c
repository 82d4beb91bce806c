/* bool.c -- truth values of safetensors, a byte each: 0 or 1, kept as the byte that it is. */
#include "formats/plain.h"

PLAIN_FORMAT(bool, "BOOL", -1, uint8_t, NULL)
