/* The driver's map of a tensor, as the emulated copy engine reads it (emulated.h). */
#ifndef TESTS_EMULATED_CUDA_H
#define TESTS_EMULATED_CUDA_H
#include <stdint.h>
typedef struct CUtensorMap {
    const uint8_t *at;
    int dims;
    int64_t size[5], step[5];
    int box[5];
    int swizzle;
} CUtensorMap;
#endif
