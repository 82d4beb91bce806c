#include "store/safetensors_write.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/checked.h"
#include "base/file_out.h"
#include "store/plain_formats.h"
#include "store/safetensors.h"

enum { HEADER_ALIGN = 8 };   /* the header is padded with spaces, so that data begins aligned */

static Err item_bytes(const SafetensorsItem *item, size_t *out, Error *err)
{
    if (format_of_safetensors(item->format->name) != item->format)
        return fail(err, UNSUPPORTED, "tensor '%s' is %s, which safetensors does not have",
                    item->name, item->format->name);
    if (item->dims < 0 || item->dims > STORE_DIMS)
        return fail(err, UNSUPPORTED, "tensor '%s' has %d dimensions; at most %d are written",
                    item->name, item->dims, STORE_DIMS);
    size_t bytes = (size_t)item->format->block_bytes;
    for (int d = 0; d < item->dims; d++)
        if (item->dim[d] < 0 || !mul_fits(bytes, (size_t)item->dim[d], &bytes) || bytes > INT64_MAX)
            return fail(err, BAD_ARGUMENT, "tensor '%s' is larger than any file", item->name);
    *out = bytes;
    return OK;
}

static Err add_item(json_t *header, const SafetensorsItem *item, int64_t *end, Error *err)
{
    size_t bytes;
    int64_t begin = *end;
    TRY(item_bytes(item, &bytes, err));
    if (__builtin_add_overflow(begin, (int64_t)bytes, end))
        return fail(err, BAD_ARGUMENT, "tensor '%s' makes the file larger than any", item->name);
    if (json_object_get(header, item->name) || !strcmp(item->name, "__metadata__"))
        return fail(err, BAD_ARGUMENT, "tensor '%s': its name is taken", item->name);
    json_t *shape = json_array();
    for (int d = 0; d < item->dims; d++)
        json_array_append_new(shape, json_integer(item->dim[d]));
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", item->format->name, "shape", shape,
                              "data_offsets", (json_int_t)begin, (json_int_t)*end);
    if (!entry || json_object_set_new(header, item->name, entry) != 0)
        return fail(err, BAD_ARGUMENT,
                    "tensor '%s': its name is not UTF-8, or there is no memory for it", item->name);
    return OK;
}

static Err build_header(json_t *header, const SafetensorsItem *items, size_t item_count,
                        const SafetensorsText *texts, size_t text_count, Error *err)
{
    int64_t end = 0;
    for (size_t i = 0; i < text_count; i++) {
        json_t *map = json_object_get(header, "__metadata__");
        if (!map) {
            json_object_set_new(header, "__metadata__", json_object());
            map = json_object_get(header, "__metadata__");
        }
        if (json_object_set_new(map, texts[i].key, json_string(texts[i].value)) != 0)
            return fail(err, BAD_ARGUMENT,
                        "the text '%s' is not UTF-8, or there is no memory for it", texts[i].key);
    }
    for (size_t i = 0; i < item_count; i++)
        TRY(add_item(header, &items[i], &end, err));
    return OK;
}

static Err write_all(FileOut *out, const char *text, const SafetensorsItem *items, size_t count,
                     Error *err)
{
    size_t bytes = strlen(text), padded = bytes;
    round_up_fits(bytes, HEADER_ALIGN, &padded);
    uint64_t said = padded;
    TRY(file_out_put(out, &said, sizeof said, err));
    TRY(file_out_put(out, text, bytes, err));
    TRY(file_out_put(out, "        ", padded - bytes, err));
    for (size_t i = 0; i < count; i++) {
        TRY(item_bytes(&items[i], &bytes, err));
        TRY(file_out_put(out, items[i].data, bytes, err));
    }
    return OK;
}

static Err write_file(const char *path, const char *text, const SafetensorsItem *items,
                      size_t count, Error *err)
{
    FileOut *out;
    TRY(file_out_new(path, &out, err));
    Err result = write_all(out, text, items, count, err);
    if (result == OK)
        return file_out_commit(out, err);
    file_out_drop(out);
    return result;
}

Err safetensors_write(const char *path, const SafetensorsItem *items, size_t item_count,
                      const SafetensorsText *texts, size_t text_count, Error *err)
{
    json_t *header = json_object();
    Error why = {0};
    Err result = build_header(header, items, item_count, texts, text_count, &why);
    char *text = result == OK ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (result != OK)
        return fail(err, result, "%s: %s", path, why.text);
    if (!text)
        return fail(err, NO_MEMORY, "%s: no memory for its header", path);
    if (strlen(text) > SAFETENSORS_HEADER_MAX - HEADER_ALIGN)
        result = fail(err, LIMIT_REACHED,
                      "%s: its header would have %zu bytes; at most %d are allowed", path,
                      strlen(text), SAFETENSORS_HEADER_MAX);
    else
        result = write_file(path, text, items, item_count, err);
    free(text);
    return result;
}
