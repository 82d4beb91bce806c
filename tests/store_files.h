/* store_files.h -- builds files byte by byte, well formed and otherwise, and opens them.
 *
 * A GgufDraft is what a GGUF says, part by part, so that a test can lie about any of it.
 */
#ifndef TEST_STORE_FILES_H
#define TEST_STORE_FILES_H

#include <unistd.h>

#include "base/buf.h"
#include "store/store.h"

static inline void put_u32(Buf *b, uint32_t v) { buf_put(b, &v, sizeof v); }
static inline void put_u64(Buf *b, uint64_t v) { buf_put(b, &v, sizeof v); }
static inline void put_string(Buf *b, const char *text)
{
    put_u64(b, strlen(text));
    buf_put_text(b, text);
}

typedef struct GgufDraft {
    uint32_t version;
    uint64_t keys, tensors;
    uint32_t alignment;
    Buf head, infos, data;
} GgufDraft;

static inline GgufDraft draft_new(void)
{
    GgufDraft d = {.version = 3, .alignment = 32};
    buf_init(&d.head, 1 << 26);
    buf_init(&d.infos, 1 << 20);
    buf_init(&d.data, 1 << 20);
    return d;
}

static inline void draft_key(GgufDraft *d, const char *key, uint32_t type)
{
    put_string(&d->head, key);
    put_u32(&d->head, type);
    d->keys++;
}
static inline void draft_u32(GgufDraft *d, const char *key, uint32_t v)
{
    draft_key(d, key, GGUF_U32);
    put_u32(&d->head, v);
}
static inline void draft_u16(GgufDraft *d, const char *key, uint16_t v)
{
    draft_key(d, key, GGUF_U16);
    buf_put(&d->head, &v, sizeof v);
}
static inline void draft_text(GgufDraft *d, const char *key, const char *text)
{
    draft_key(d, key, GGUF_STRING);
    put_string(&d->head, text);
}

/* A description only; dim[] innermost first, as in the file. */
static inline void draft_info(GgufDraft *d, const char *name, uint32_t dims, const uint64_t *dim,
                              uint32_t type, uint64_t offset)
{
    put_string(&d->infos, name);
    put_u32(&d->infos, dims);
    for (uint32_t i = 0; i < dims; i++)
        put_u64(&d->infos, dim[i]);
    put_u32(&d->infos, type);
    put_u64(&d->infos, offset);
    d->tensors++;
}

static inline void pad(Buf *b, size_t alignment)
{
    while (b->bytes % alignment)
        buf_put_char(b, 0);
}

/* [rows, width] of F32: 0, 1, 2, ... */
static inline void draft_tensor(GgufDraft *d, const char *name, uint64_t width, uint64_t rows)
{
    pad(&d->data, d->alignment);
    draft_info(d, name, 2, (uint64_t[]){width, rows}, 0, d->data.bytes);
    for (uint64_t i = 0; i < width * rows; i++) {
        float x = (float)i;
        buf_put(&d->data, &x, sizeof x);
    }
}

/* The file; the draft is used up. */
static inline Buf draft_file(GgufDraft *d)
{
    Buf out;
    buf_init(&out, 1 << 27);
    buf_put_text(&out, "GGUF");
    put_u32(&out, d->version);
    put_u64(&out, d->tensors);
    put_u64(&out, d->keys);
    buf_put_span(&out, buf_span(&d->head));
    buf_put_span(&out, buf_span(&d->infos));
    if (d->data.bytes)
        pad(&out, d->alignment);
    buf_put_span(&out, buf_span(&d->data));
    buf_deinit(&d->head);
    buf_deinit(&d->infos);
    buf_deinit(&d->data);
    return out;
}

/* A safetensors file of this header and `data_bytes` bytes 0, 1, 2, ... */
static inline Buf safetensors_file(const char *header, size_t data_bytes)
{
    Buf out;
    buf_init(&out, 1 << 26);
    put_u64(&out, strlen(header));
    buf_put_text(&out, header);
    for (size_t i = 0; i < data_bytes; i++)
        buf_put_char(&out, (char)i);
    return out;
}

/* ---- opening ---- */

/* A copy of exactly the file's size, so that a sanitizer sees the first byte read past its end. */
static inline Err open_copy(const void *data, size_t bytes, Store **store, uint8_t **copy,
                            Error *err)
{
    *copy = malloc(bytes ? bytes : 1);
    if (bytes)
        memcpy(*copy, data, bytes);
    return store_open_bytes(span_of(*copy, bytes), "broken.file", store, err);
}

static inline void assert_refused(Buf file, const char *words)
{
    Store *store;
    uint8_t *copy;
    Error err = {0};
    Err result = open_copy(file.data, file.bytes, &store, &copy, &err);
    if (result == OK || !strstr(err.text, words) || !strstr(err.text, "broken.file"))
        print_error("wanted '%s', got %d: %s\n", words, result,
                    result == OK ? "it opens" : err.text);
    assert_int_not_equal(result, OK);
    assert_int_equal(result, err.code);
    assert_non_null(strstr(err.text, words));
    assert_non_null(strstr(err.text, "broken.file"));
    assert_null(store);
    free(copy);
    buf_deinit(&file);
}

/* Opens, reads all there is, or refuses with words: nothing else. Returns whether it opened. */
static inline bool opens_or_refuses(const void *data, size_t bytes)
{
    Store *store;
    uint8_t *copy;
    Error err = {0};
    Err result = open_copy(data, bytes, &store, &copy, &err);
    if (result != OK) {
        assert_null(store);
        assert_int_equal(result, err.code);
        assert_non_null(strstr(err.text, "broken.file"));
    } else {
        for (size_t i = 0; i < store_count(store); i++) {
            const StoreTensor *t = store_at(store, i);
            assert_ptr_equal(store_find(store, t->name), t);
            assert_true(t->bytes.bytes <= bytes && t->offset <= bytes - t->bytes.bytes);
            assert_ptr_equal(t->bytes.data, copy + t->offset);
        }
        store_free(store);
    }
    free(copy);
    return result == OK;
}

/* ---- on disk ---- */

static inline const char *temporary_directory(char out[64])
{
    strcpy(out, "/tmp/ridge-test-XXXXXX");
    assert_non_null(mkdtemp(out));
    return out;
}

static inline const char *write_file(const char *directory, const char *name, Buf file)
{
    static char path[8][256];
    static int turn;
    char *out = path[turn++ & 7];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    FILE *f = fopen(out, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(file.data, 1, file.bytes, f), file.bytes);
    assert_int_equal(fclose(f), 0);
    buf_deinit(&file);
    return out;
}

static inline Buf text_file(const char *text)
{
    Buf b;
    buf_init(&b, 1 << 20);
    buf_put_text(&b, text);
    return b;
}

static inline void remove_directory(const char *directory)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
}

static inline void assert_open_fails(const char *path, Err code, const char *words)
{
    Store *store;
    Error err = {0};
    Err result = store_open(path, &store, &err);
    if (result != code || !strstr(err.text, words))
        print_error("wanted '%s', got %d: %s\n", words, result, err.text);
    assert_int_equal(result, code);
    assert_non_null(strstr(err.text, words));
    assert_null(store);
}

static inline Store *assert_opens(const char *path)
{
    Store *store;
    Error err = {0};
    if (store_open(path, &store, &err) != OK)
        print_error("%s\n", err.text);
    assert_non_null(store);
    return store;
}

#endif
