#include "store/gguf_write.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/checked.h"
#include "base/number_text.h"
#include "store/name_index.h"

enum {
    WRITER_DIMS = 4,
    WRITER_NAME_BYTES_MAX = 63,      /* what ggml has room for */
    WRITER_ALIGNMENT = 32,
    WRITER_BYTES_MAX = 1 << 30,      /* of all keys; addresses only, until used */
};

struct GgufWriter {
    Arena *names;
    Buf keys, infos;                 /* as they will lie in the file */
    NameIndex key_index, tensor_index;
    size_t *tensor_bytes;            /* by number */
    size_t capacity;
    uint64_t data_bytes;             /* up to the end of the last tensor, before padding */
    uint32_t alignment;
    Error wrong;                     /* the first thing that was; OK: none */
};

GgufWriter *gguf_writer_new(void)
{
    GgufWriter *w = calloc(1, sizeof *w);
    if (!w || !(w->names = arena_new(WRITER_BYTES_MAX))) {
        free(w);
        return NULL;
    }
    buf_init(&w->keys, WRITER_BYTES_MAX);
    buf_init(&w->infos, WRITER_BYTES_MAX);
    w->alignment = WRITER_ALIGNMENT;
    return w;
}

void gguf_writer_free(GgufWriter *w)
{
    if (!w)
        return;
    name_index_deinit(&w->key_index);
    name_index_deinit(&w->tensor_index);
    buf_deinit(&w->keys);
    buf_deinit(&w->infos);
    arena_free(w->names);
    free(w->tensor_bytes);
    free(w);
}

/* Only the first mistake is kept: the others may follow from it. */
#define WRONG(w, why, ...)                                                                         \
    ((w)->wrong.code == OK ? (void)fail(&(w)->wrong, why, __VA_ARGS__) : (void)0)

static void put_text(Buf *b, Span text)
{
    uint64_t bytes = text.bytes;
    buf_put(b, &bytes, sizeof bytes);
    buf_put_span(b, text);
}

/* Takes a name that must be new. */
static bool take_name(GgufWriter *w, NameIndex *index, Span name, const char *kind)
{
    bool is_new = false;
    char *kept = arena_copy_text(w->names, (const char *)name.data, name.bytes);
    if (!kept || name_index_put(index, span_of(kept, name.bytes), &is_new) < 0)
        WRONG(w, NO_MEMORY, "%s '%.*s': no memory for its name", kind, (int)name.bytes,
              (const char *)name.data);
    else if (!is_new)
        WRONG(w, BAD_ARGUMENT, "%s '%.*s' is given twice", kind, (int)name.bytes,
              (const char *)name.data);
    return is_new;
}

bool gguf_written(const GgufWriter *w, const char *key) { return name_index_find(&w->key_index, span_text(key)) >= 0; }

static bool begin_key(GgufWriter *w, Span key, GgufType type)
{
    if (key.bytes == 0 || key.bytes > GGUF_KEY_BYTES_MAX) {
        WRONG(w, BAD_ARGUMENT, "a key has %zu bytes; 1 to %d are allowed", key.bytes,
              GGUF_KEY_BYTES_MAX);
        return false;
    }
    if (!take_name(w, &w->key_index, key, "key"))
        return false;
    uint32_t number = type;
    put_text(&w->keys, key);
    buf_put(&w->keys, &number, sizeof number);
    return true;
}

static void note_alignment(GgufWriter *w, Span key, GgufType type, const void *value)
{
    if (!span_is(key, "general.alignment"))
        return;
    uint32_t alignment = 0;
    if (type == GGUF_U32)
        memcpy(&alignment, value, sizeof alignment);
    if (alignment == 0 || alignment > GGUF_ALIGNMENT_MAX || (alignment & (alignment - 1)))
        WRONG(w, BAD_ARGUMENT, "key 'general.alignment' must be a power of two of type u32");
    else if (w->tensor_index.count)
        WRONG(w, BAD_ARGUMENT, "key 'general.alignment' must come before the tensors");
    else
        w->alignment = alignment;
}

void gguf_put(GgufWriter *w, const char *key, GgufType type, const void *value)
{
    ASSERT(gguf_type_bytes(type));
    note_alignment(w, span_text(key), type, value);
    if (begin_key(w, span_text(key), type))
        buf_put(&w->keys, value, gguf_type_bytes(type));
}

void gguf_put_string(GgufWriter *w, const char *key, Span text)
{
    if (begin_key(w, span_text(key), GGUF_STRING))
        put_text(&w->keys, text);
}

static bool begin_array(GgufWriter *w, const char *key, GgufType element, uint64_t count)
{
    uint32_t number = element;
    return begin_key(w, span_text(key), GGUF_ARRAY) && buf_put(&w->keys, &number, sizeof number) &&
           buf_put(&w->keys, &count, sizeof count);
}

void gguf_put_strings(GgufWriter *w, const char *key, const Span *values, uint64_t count)
{
    if (begin_array(w, key, GGUF_STRING, count))
        for (uint64_t i = 0; i < count; i++)
            put_text(&w->keys, values[i]);
}

void gguf_put_array(GgufWriter *w, const char *key, GgufType element, const void *values,
                    uint64_t count)
{
    size_t bytes;
    ASSERT(gguf_type_bytes(element));
    if (!mul_fits(count, gguf_type_bytes(element), &bytes))
        WRONG(w, BAD_ARGUMENT, "key '%s' has %s values", key, number_text(count).text);
    else if (begin_array(w, key, element, count))
        buf_put(&w->keys, values, bytes);
}

void gguf_put_entry(GgufWriter *w, const GgufEntry *e)
{
    note_alignment(w, e->key, e->type, e->value.data);
    if (begin_key(w, e->key, e->type))
        buf_put_span(&w->keys, e->value);
}

/* ---- tensors ---- */

static bool measure(GgufWriter *w, const char *name, const Format *f, int dims, const int64_t *dim,
                    size_t *bytes)
{
    if (f->gguf_id < 0) {
        WRONG(w, UNSUPPORTED, "tensor '%s' is %s, which GGUF has no number for", name, f->name);
        return false;
    }
    if (dims < 1 || dims > WRITER_DIMS) {
        WRONG(w, UNSUPPORTED, "tensor '%s' has %d dimensions; GGUF allows 1 to %d", name, dims,
              WRITER_DIMS);
        return false;
    }
    size_t elems = 1;
    for (int d = 0; d < dims; d++)
        if (dim[d] < 0 || !mul_fits(elems, (size_t)dim[d], &elems)) {
            WRONG(w, BAD_ARGUMENT, "tensor '%s' is larger than any file", name);
            return false;
        }
    if (dim[dims - 1] % f->block_elems) {
        WRONG(w, BAD_ARGUMENT,
              "tensor '%s' has rows of %lld elements, but %s comes in blocks of %d", name,
              (long long)dim[dims - 1], f->name, f->block_elems);
        return false;
    }
    if (!mul_fits(elems / (size_t)f->block_elems, (size_t)f->block_bytes, bytes)) {
        WRONG(w, BAD_ARGUMENT, "tensor '%s' is larger than any file", name);
        return false;
    }
    return true;
}

static bool make_room(GgufWriter *w)
{
    if (w->tensor_index.count < w->capacity)
        return true;
    size_t capacity = w->capacity ? 2 * w->capacity : 64;
    size_t *tensor_bytes = realloc(w->tensor_bytes, capacity * sizeof *tensor_bytes);
    if (!tensor_bytes) {
        WRONG(w, NO_MEMORY, "no memory for a table of %s tensors", number_text(capacity).text);
        return false;
    }
    w->tensor_bytes = tensor_bytes;
    w->capacity = capacity;
    return true;
}

void gguf_put_tensor(GgufWriter *w, const char *name, const Format *f, int dims, const int64_t *dim)
{
    size_t bytes, begin, end;
    if (strlen(name) == 0 || strlen(name) > WRITER_NAME_BYTES_MAX) {
        WRONG(w, BAD_ARGUMENT, "tensor '%.100s': a name may have 1 to %d bytes", name,
              WRITER_NAME_BYTES_MAX);
        return;
    }
    if (!measure(w, name, f, dims, dim, &bytes) || !make_room(w))
        return;
    if (!round_up_fits(w->data_bytes, w->alignment, &begin) || !add_fits(begin, bytes, &end)) {
        WRONG(w, BAD_ARGUMENT, "tensor '%s' makes the file larger than any", name);
        return;
    }
    if (!take_name(w, &w->tensor_index, span_text(name), "tensor"))
        return;
    w->tensor_bytes[w->tensor_index.count - 1] = bytes;
    w->data_bytes = end;

    uint32_t dims_said = (uint32_t)dims, type = (uint32_t)f->gguf_id;
    uint64_t offset = begin;
    put_text(&w->infos, span_text(name));
    buf_put(&w->infos, &dims_said, sizeof dims_said);
    for (int d = dims - 1; d >= 0; d--)   /* innermost first, in the file */
        buf_put(&w->infos, &dim[d], sizeof dim[d]);
    buf_put(&w->infos, &type, sizeof type);
    buf_put(&w->infos, &offset, sizeof offset);
}

/* ---- the file ---- */

static Err pad(const GgufWriter *w, FileOut *out, Error *err)
{
    return file_out_zeros(out, -file_out_bytes(out) & (w->alignment - 1), err);
}

Err gguf_write_head(const GgufWriter *w, const char *what, Buf *out, Error *err)
{
    static const uint8_t zeros[4096];
    struct { char magic[4]; uint32_t version; uint64_t tensors, keys; } head = {
        {'G', 'G', 'U', 'F'}, 3, w->tensor_index.count, w->key_index.count,
    };
    buf_init(out, 3 * (size_t)WRITER_BYTES_MAX);
    if (w->wrong.code != OK)
        return fail(err, w->wrong.code, "%s: %s", what, w->wrong.text);
    bool fits = !w->keys.full && !w->infos.full && buf_put(out, &head, sizeof head) &&
                buf_put(out, w->keys.data, w->keys.bytes) && buf_put(out, w->infos.data, w->infos.bytes);
    size_t padding = w->tensor_index.count ? -out->bytes & (w->alignment - 1) : 0;
    for (size_t n; fits && padding; padding -= n) {
        n = padding < sizeof zeros ? padding : sizeof zeros;
        fits = buf_put(out, zeros, n);
    }
    return fits ? OK : fail(err, NO_MEMORY, "%s: no memory for its keys", what);
}

uint64_t gguf_data_bytes(const GgufWriter *w) { return w->data_bytes; }

static Err write_tensor(const GgufWriter *w, size_t number, FileOut *out, GgufFill *fill,
                        void *context, Error *err)
{
    uint64_t begin = file_out_bytes(out);
    Span name = w->tensor_index.names[number];
    TRY(fill(context, number, out, err));
    uint64_t bytes = file_out_bytes(out) - begin;
    if (bytes != w->tensor_bytes[number])
        return fail(err, BAD_ARGUMENT,
                    "%s: tensor '%.*s' was given %s bytes, but its dimensions and type ask for %s",
                    file_out_path(out), (int)name.bytes, (const char *)name.data,
                    number_text(bytes).text, number_text(w->tensor_bytes[number]).text);
    return pad(w, out, err);   /* the last one too: other readers take the data in whole units */
}

static Err write_tensors(const GgufWriter *w, FileOut *out, GgufFill *fill, void *context, Error *err)
{
    for (size_t i = 0; i < w->tensor_index.count; i++)
        TRY(write_tensor(w, i, out, fill, context, err));
    return OK;
}

static Err write_after_head(const GgufWriter *w, const char *path, const Buf *head, GgufFill *fill, void *context, Error *err)
{
    FileOut *out;
    TRY(file_out_new(path, &out, err));
    Err result = file_out_put(out, head->data, head->bytes, err);
    if (result == OK)
        result = write_tensors(w, out, fill, context, err);
    if (result == OK)
        return file_out_commit(out, err);
    file_out_drop(out);
    return result;
}

Err gguf_write(const GgufWriter *w, const char *path, GgufFill *fill, void *context, Error *err)
{
    Buf head;
    Err result = gguf_write_head(w, path, &head, err);
    if (result == OK)
        result = write_after_head(w, path, &head, fill, context, err);
    buf_deinit(&head);
    return result;
}
