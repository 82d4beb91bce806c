/* plain_formats.h -- the formats that tensors are stored in but not computed with.
 *
 * Beside the weights a checkpoint holds position ids, masks, packed blocks and counters. They are
 * one number an element, so a Format says all there is: its size, and what the number is. Formats that
 * take part in products have a folder in formats/, which is always asked first.
 */
#ifndef STORE_PLAIN_FORMATS_H
#define STORE_PLAIN_FORMATS_H

#include "core/format.h"

const Format *format_of_safetensors(const char *dtype);   /* NULL: not one that safetensors has, or unknown here */
const Format *format_of_ggml(int64_t type);               /* NULL: unknown */

#endif
