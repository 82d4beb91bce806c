/* plain_formats.h -- what the two kinds of file call a format.
 *
 * safetensors spells names exactly and knows no blocks: a tensor there is one number an element.
 * GGUF has numbers. What the numbers mean is for formats/.
 */
#ifndef STORE_PLAIN_FORMATS_H
#define STORE_PLAIN_FORMATS_H

#include "core/format.h"

const Format *format_of_safetensors(const char *dtype);   /* NULL: unknown */
const Format *format_of_ggml(int64_t type);               /* NULL: unknown */

#endif
