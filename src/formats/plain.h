/* plain.h -- formats that are one C number an element, and are only read.
 *
 * Position ids, masks, counters and packed words that lie in checkpoints beside the weights.
 * Decoding converts to f32, rounded where f32 is too narrow.
 */
#ifndef FORMATS_PLAIN_H
#define FORMATS_PLAIN_H

#include <string.h>

#include "core/format.h"

#define PLAIN_FORMAT(lower_name, upper_name, ggml_number, Type, activation_format)          \
    static void lower_name##_decode(float *x, const void *blocks, size_t elems)            \
    {                                                                                      \
        for (size_t i = 0; i < elems; i++) {                                               \
            Type value;                                                                    \
            memcpy(&value, (const uint8_t *)blocks + i * sizeof value, sizeof value);      \
            x[i] = (float)value;                                                           \
        }                                                                                  \
    }                                                                                      \
    const Format format_##lower_name = {                                                   \
        .name = upper_name,                                                                \
        .gguf_id = ggml_number,                                                            \
        .block_elems = 1,                                                                  \
        .block_bytes = sizeof(Type),                                                       \
        .activation = activation_format,                                                   \
        .decode = lower_name##_decode,                                                     \
    };

#endif
