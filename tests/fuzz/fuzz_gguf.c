/* fuzz_gguf.c -- any bytes as a GGUF file: a sound model, or an error that names the file; then
 * every getter on every key, since what opened must also be readable. */
#include "fuzz_store.h"

static void read_array(const Gguf *g, const char *key)
{
    GgufArray a;
    if (gguf_strings(g, key, &a, NULL) == OK) {
        Reader r = {a.bytes, 0};
        Span text;
        for (uint64_t i = 0; i < a.count; i++)
            ASSERT(gguf_next_string(&r, &text));
        ASSERT(reader_left(&r) == 0);
    }
    if (gguf_integers(g, key, &a, NULL) == OK)
        for (uint64_t i = 0; i < a.count; i++)
            gguf_array_i64(&a, i);
    if (gguf_floats(g, key, &a, NULL) == OK)
        for (uint64_t i = 0; i < a.count; i++)
            gguf_array_f64(&a, i);
}

static void read_keys(const Gguf *g)
{
    for (size_t i = 0; i < gguf_count(g); i++) {
        char key[64] = {0};
        Span name = gguf_at(g, i).key;
        if (name.bytes >= sizeof key)
            continue;
        memcpy(key, name.data, name.bytes);
        uint64_t u;
        int64_t n;
        double x;
        bool b;
        Span text;
        Error err;
        gguf_u64(g, key, &u, &err);
        gguf_i64(g, key, &n, &err);
        gguf_f64(g, key, &x, &err);
        gguf_bool(g, key, &b, &err);
        gguf_string(g, key, &text, &err);
        read_array(g, key);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Store *s = fuzz_open(data, bytes, "x.gguf");
    if (s)
        read_keys(store_gguf(s));
    store_free(s);
    return 0;
}
