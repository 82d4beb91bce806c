/* u8.c -- bytes: packed weights and masks in safetensors. */
#include "formats/plain.h"

PLAIN_FORMAT(u8, "U8", -1, uint8_t, NULL)
