#include "store/safetensors.h"

#include "base/number_text.h"
#include "store/json_cursor.h"
#include "store/plain_formats.h"

static Err find_header(StoreFile *file, Span *header, Error *err)
{
    Reader r = {file->bytes, 0};
    uint64_t bytes;
    if (!read_u64(&r, &bytes))
        return fail(err, BAD_FILE,
                    "%s: has %s bytes, but a safetensors file begins with 8 that give the length "
                    "of its header. The file is empty or cut short: download it again.",
                    file->path, number_text(file->bytes.bytes).text);
    if (bytes > SAFETENSORS_HEADER_MAX)
        return fail(err, BAD_FILE,
                    "%s: the first 8 bytes ask for a header of %s bytes; at most %s are allowed. "
                    "This is no safetensors file, or it is damaged.",
                    file->path, number_text(bytes).text, number_text(SAFETENSORS_HEADER_MAX).text);
    if (!read_bytes(&r, bytes, header))
        return fail(err, BAD_FILE,
                    "%s: the header ends at byte %s, but the file has %s bytes. The file is cut "
                    "short: download it again.",
                    file->path, number_text(bytes + 8).text, number_text(file->bytes.bytes).text);
    if (header->bytes == 0 || header->data[0] != '{')
        return fail(err, BAD_FILE,
                    "%s: the header at byte 8 does not begin with '{'. This is no safetensors "
                    "file, or it is damaged.",
                    file->path);
    file->data_at = r.at;
    return OK;
}

static bool read_whole(const json_t *value, int64_t *out)
{
    *out = json_is_integer(value) ? json_integer_value(value) : -1;
    return *out >= 0;
}

static Err read_dims(const json_t *shape, TensorClaim *out, Error *err)
{
    if (!json_is_array(shape))
        return fail(err, BAD_FILE, "'shape' is missing or no list");
    size_t dims = json_array_size(shape);
    if (dims > STORE_DIMS)
        return fail(err, UNSUPPORTED, "has %zu dimensions; ridge reads at most %d", dims,
                    STORE_DIMS);
    out->dims = (int)dims;
    for (size_t d = 0; d < dims; d++)
        if (!read_whole(json_array_get(shape, d), &out->dim[d]))
            return fail(err, BAD_FILE, "number %zu of 'shape' is no whole number of 0 or more",
                        d + 1);
    return OK;
}

static Err read_claim(const json_t *value, TensorClaim *out, Error *err)
{
    const char *dtype = json_string_value(json_object_get(value, "dtype"));
    if (!dtype)
        return fail(err, BAD_FILE, "'dtype' is missing or no string");
    out->format = format_of_safetensors(dtype);
    if (!out->format)
        return fail(err, UNSUPPORTED, "has dtype '%.32s', which ridge does not know", dtype);
    TRY(read_dims(json_object_get(value, "shape"), out, err));
    const json_t *offsets = json_object_get(value, "data_offsets");
    int64_t begin, end;
    if (json_array_size(offsets) != 2 || !read_whole(json_array_get(offsets, 0), &begin) ||
        !read_whole(json_array_get(offsets, 1), &end))
        return fail(err, BAD_FILE, "'data_offsets' is not two whole numbers of 0 or more");
    out->begin = (uint64_t)begin;
    out->end = (uint64_t)end;
    return OK;
}

static Err read_tensor(JsonCursor *c, StoreFile *file, TensorTable *table, Span name, Error *err)
{
    TRY(tensor_name_check(file, name, err));
    json_t *value;
    TRY(json_cursor_value(c, JSON_MEMBER_BYTES_MAX, &value, err));
    TensorClaim claim = {.name = name};
    Err result = read_claim(value, &claim, err);
    if (result != OK && err)
        fail_within(err, "%s: tensor '%.*s'", file->path, (int)name.bytes, (const char *)name.data);
    json_decref(value);
    return result == OK ? tensor_table_add(table, file, &claim, err) : result;
}

static Err read_metadata(JsonCursor *c, const StoreFile *file, json_t **metadata, Error *err)
{
    json_t *value, *text;
    const char *key;
    TRY(json_cursor_value(c, SAFETENSORS_METADATA_MAX, &value, err));
    Err result = OK;
    if (!json_is_object(value))
        result = fail(err, BAD_FILE, "%s: '__metadata__' is no object", file->path);
    json_object_foreach(value, key, text)
        if (!json_is_string(text))
            result = fail(err, BAD_FILE, "%s: '%.64s' of '__metadata__' is no string", file->path,
                          key);
    if (result == OK && !*metadata)
        *metadata = json_incref(value);
    json_decref(value);
    return result;
}

Err safetensors_read(StoreFile *file, TensorTable *table, json_t **metadata, Error *err)
{
    JsonCursor c = {.what = file->path};
    bool metadata_seen = false;
    TRY(find_header(file, &c.text, err));
    file->packed = true;
    file->alignment = 1;
    TRY(json_cursor_enter(&c, err));
    for (;;) {
        json_t *key;
        TRY(json_cursor_key(&c, &key, err));
        if (!key)
            break;
        Span name = span_of(json_string_value(key), json_string_length(key));
        Err result;
        if (!span_is(name, "__metadata__"))
            result = read_tensor(&c, file, table, name, err);
        else if (metadata_seen)
            result = fail(err, BAD_FILE, "%s: has '__metadata__' twice. The file is damaged.",
                          file->path);
        else
            result = read_metadata(&c, file, metadata, err);
        metadata_seen |= span_is(name, "__metadata__");
        json_decref(key);
        TRY(result);
    }
    TRY(json_cursor_end(&c, err));
    if (file->tensors == 0 && file->data_at != file->bytes.bytes)
        return fail(err, BAD_FILE,
                    "%s: has no tensors, but %s bytes behind the header. The file is damaged.",
                    file->path, number_text(file->bytes.bytes - file->data_at).text);
    return OK;
}
