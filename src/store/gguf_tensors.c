#include <stdio.h>

#include "base/checked.h"
#include "base/number_text.h"
#include "store/gguf_file.h"
#include "store/plain_formats.h"

enum {
    GGUF_DIMS = 4,
    GGUF_ALIGNMENT = 32, /* where general.alignment is absent */
    TENSOR_BYTES_MIN = 8 + 4 + 4 +
                       8, /* of a description: a name of no bytes, no dimensions, type, offset */
};

static Err read_alignment(StoreFile *file, const Gguf *g, Error *err)
{
    uint64_t alignment = GGUF_ALIGNMENT;
    if (gguf_has(g, "general.alignment"))
        TRY(gguf_u64(g, "general.alignment", &alignment, err));
    if (alignment == 0 || alignment > GGUF_ALIGNMENT_MAX || (alignment & (alignment - 1)))
        return fail(err, BAD_FILE,
                    "%s: the key 'general.alignment' is %s, but must be a power of two of at most "
                    "%s. The file is damaged.",
                    file->path, number_text(alignment).text, number_text(GGUF_ALIGNMENT_MAX).text);
    file->alignment = (uint32_t)alignment;
    return OK;
}

/* Everything of a description but its name; false where the file ends within. */
static bool read_numbers(Reader *r, uint32_t *dims, uint64_t dim[GGUF_DIMS], uint32_t *type,
                         uint64_t *offset)
{
    if (!read_u32(r, dims))
        return false;
    for (uint32_t d = 0; d < *dims && *dims <= GGUF_DIMS; d++)
        if (!read_u64(r, &dim[d]))
            return false;
    return *dims > GGUF_DIMS || (read_u32(r, type) && read_u64(r, offset));
}

static Err read_claim(const StoreFile *file, Reader *r, TensorClaim *out, Error *err)
{
    uint32_t dims, type = 0;
    uint64_t dim[GGUF_DIMS] = {0};
    size_t at = r->at;
    if (!gguf_next_string(r, &out->name))
        return fail(err, BAD_FILE,
                    "%s: the description of a tensor at byte %s goes past the end of the file at "
                    "%s. The file is cut short: download it again.",
                    file->path, number_text(at).text, number_text(file->bytes.bytes).text);
    TRY(tensor_name_check(file, out->name, err));
    int shown = (int)out->name.bytes;
    const char *name = (const char *)out->name.data;
    if (!read_numbers(r, &dims, dim, &type, &out->begin))
        return fail(err, BAD_FILE,
                    "%s: the description of tensor '%.*s' at byte %s goes past the end of the "
                    "file at %s. The file is cut short: download it again.",
                    file->path, shown, name, number_text(at).text,
                    number_text(file->bytes.bytes).text);
    if (dims > GGUF_DIMS)
        return fail(err, BAD_FILE,
                    "%s: tensor '%.*s' has %u dimensions; GGUF allows at most %d. The file is "
                    "damaged.",
                    file->path, shown, name, dims, GGUF_DIMS);
    out->format = format_of_ggml(type);
    if (!out->format)
        return fail(err, UNSUPPORTED,
                    "%s: tensor '%.*s' is of ggml's type %u, which ridge does not know", file->path,
                    shown, name, type);
    out->dims = (int)dims;
    for (uint32_t d = 0; d < dims;
         d++) /* above INT64_MAX it becomes negative, and is refused as that */
        out->dim[dims - 1 - d] = (int64_t)dim[d];
    out->end = END_UNSAID;
    return OK;
}

/* Offsets count from the first aligned byte behind the descriptions, so those are read twice: to
 * find that byte, and then for good. */
static Err find_data(StoreFile *file, Reader r, uint64_t tensors, Error *err)
{
    TensorClaim claim;
    for (uint64_t i = 0; i < tensors; i++)
        TRY(read_claim(file, &r, &claim, err));
    size_t data_at;
    if (!round_up_fits(r.at, file->alignment, &data_at) || data_at > file->bytes.bytes)
        data_at = file->bytes.bytes;   /* a vocabulary may end here */
    file->data_at = data_at;
    return OK;
}

Err gguf_read_tensors(StoreFile *file, Reader *r, uint64_t tensors, const Gguf *g,
                      TensorTable *table, Error *err)
{
    TRY(read_alignment(file, g, err));
    if (tensors > reader_left(r) / TENSOR_BYTES_MIN)
        return fail(err, BAD_FILE,
                    "%s: says that it has %s tensors, which the %s bytes behind byte %s cannot "
                    "describe. The file is damaged or cut short: download it again.",
                    file->path, number_text(tensors).text, number_text(reader_left(r)).text,
                    number_text(r->at).text);
    TRY(find_data(file, *r, tensors, err));
    for (uint64_t i = 0; i < tensors; i++) {
        TensorClaim claim;
        TRY(read_claim(file, r, &claim, err));
        if (claim.begin % file->alignment)
            return fail(err, BAD_FILE,
                        "%s: tensor '%.*s' begins at byte %s of the data, which is no multiple of "
                        "the alignment %s. The file is damaged.",
                        file->path, (int)claim.name.bytes, (const char *)claim.name.data,
                        number_text(claim.begin).text, number_text(file->alignment).text);
        TRY(tensor_table_add(table, file, &claim, err));
    }
    return OK;
}

Err gguf_read(StoreFile *file, TensorTable *table, Gguf **gguf, Error *err)
{
    Reader r = {file->bytes, 0};
    uint64_t tensors;
    TRY(gguf_read_keys(file, &r, &tensors, gguf, err));
    return gguf_read_tensors(file, &r, tensors, *gguf, table, err);
}

Err gguf_split(const Gguf *g, GgufSplit *out, Error *err)
{
    *out = (GgufSplit){0, 1, 0};
    if (!gguf_has(g, "split.count"))
        return OK;
    TRY(gguf_u64(g, "split.count", &out->parts, err));
    if (out->parts <= 1) {
        out->parts = 1;
        return OK;
    }
    TRY(gguf_u64(g, "split.no", &out->part, err));
    return gguf_u64(g, "split.tensors.count", &out->tensors, err);
}
