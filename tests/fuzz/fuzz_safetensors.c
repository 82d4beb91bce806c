/* fuzz_safetensors.c -- any bytes as a safetensors file: a sound model, or a named error. */
#include "fuzz_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Store *s = fuzz_open(data, bytes, "x.safetensors");
    if (s)
        store_text(s, "format");
    store_free(s);
    return 0;
}
