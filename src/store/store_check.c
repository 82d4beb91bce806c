#include "store/store_check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checked.h"
#include "base/number_text.h"

enum { CHUNK_ELEMS = 4096, NOTE_BYTES = STORE_NAME_BYTES_MAX + 256 };

typedef struct Check {
    StoreReport *report;
    void *context;
    const StoreFile *file;
} Check;

__attribute__((format(printf, 3, 4)))
static void note(const Check *c, bool warning, const char *format, ...)
{
    char text[NOTE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->report(c->context, &(StoreNote){c->file->path, text, warning});
}

typedef struct Values {
    uint64_t wild, zero, first_wild;   /* neither finite; nought; the index of the first */
} Values;

static void look_at(const float *x, size_t n, uint64_t at, Values *v)
{
    for (size_t i = 0; i < n; i++) {
        v->zero += x[i] == 0;
        if (!isfinite(x[i]) && v->wild++ == 0)
            v->first_wild = at + i;
    }
}

static Values read_values(const StoreTensor *t)
{
    float x[CHUNK_ELEMS];
    Values v = {0};
    size_t block = (size_t)t->format->block_elems, chunk = CHUNK_ELEMS / block * block;
    uint64_t elems = (uint64_t)store_tensor_elems(t);
    const uint8_t *from = t->bytes.data;
    ASSERT(chunk);
    for (uint64_t at = 0, n; at < elems; at += n) {
        n = elems - at < chunk ? elems - at : chunk;
        t->format->decode(x, from, n);
        from += n / block * (size_t)t->format->block_bytes;
        look_at(x, n, at, &v);
    }
    return v;
}

static void check_values(const Check *c, const StoreTensor *t)
{
    Values v = read_values(t);
    uint64_t elems = (uint64_t)store_tensor_elems(t);
    if (v.wild)
        note(c, true,
             "tensor '%s': %s of %s values are infinite or no number, the first at index %s",
             t->name, number_text(v.wild).text, number_text(elems).text,
             number_text(v.first_wild).text);
    if (t->dims > 1 && elems && v.zero == elems)
        note(c, true,
             "tensor '%s': all %s values are zero, as a download that stopped may leave them",
             t->name, number_text(elems).text);
}

/* More than the padding up to the next multiple of the file's alignment. */
static void check_hole(const Check *c, uint64_t from, uint64_t to, const char *where)
{
    size_t padded;
    if (round_up_fits(from, c->file->alignment, &padded) && padded < to)
        note(c, true, "%s bytes from byte %s on belong to no tensor (%s)",
             number_text(to - padded).text, number_text(padded).text, where);
}

static size_t check_file(const Check *c, const Store *s, size_t index)
{
    uint64_t end = c->file->data_at, bytes = 0;
    size_t tensors = c->file->tensors;
    for (size_t i = 0; i < tensors; i++, index++) {
        const StoreTensor *t = store_at(s, index);
        check_hole(c, end, t->offset, t->name);
        check_values(c, t);
        end = t->offset + t->bytes.bytes;
        bytes += t->bytes.bytes;
    }
    check_hole(c, end, c->file->bytes.bytes, "at the end of the file");
    note(c, false, "%s tensors of %s bytes, file of %s bytes", number_text(tensors).text,
         number_text(bytes).text, number_text(c->file->bytes.bytes).text);
    return index;
}

void store_check_opened(const Store *s, StoreReport *report, void *context)
{
    size_t index = 0;
    for (size_t i = 0; i < store_file_count(s); i++) {
        Check c = {report, context, store_file(s, i)};
        index = check_file(&c, s, index);
    }
}

Err store_check(const char *path, StoreReport *report, void *context, Error *err)
{
    Store *s;
    TRY(store_open(path, &s, err));
    store_check_opened(s, report, context);
    store_free(s);
    return OK;
}
