#include "store/tensor_table.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/number_text.h"

void tensor_table_deinit(TensorTable *t)
{
    name_index_deinit(&t->index);
    free(t->items);
    *t = (TensorTable){0};
}

/* Names are printed, and used as C strings. */
Err tensor_name_check(const StoreFile *file, Span name, Error *err)
{
    if (name.bytes == 0 || name.bytes > STORE_NAME_BYTES_MAX)
        return fail(err, BAD_FILE,
                    "%s: a tensor's name has %s bytes; 1 to %d are allowed. The file is damaged.",
                    file->path, number_text(name.bytes).text, STORE_NAME_BYTES_MAX);
    for (size_t i = 0; i < name.bytes; i++)
        if (name.data[i] < 0x20 || name.data[i] == 0x7F)
            return fail(err, BAD_FILE,
                        "%s: a tensor's name that begins with '%.*s' has the control character "
                        "0x%02X in it. The file is damaged.",
                        file->path, (int)i, (const char *)name.data, name.data[i]);
    return OK;
}

/* Elements of the tensor, and the bytes that they take. */
static Err measure(const TensorClaim *c, size_t *bytes, Error *err)
{
    size_t elems = 1, block = (size_t)c->format->block_elems;
    for (int d = 0; d < c->dims; d++)
        if (c->dim[d] < 0 || !mul_fits(elems, (size_t)c->dim[d], &elems) || elems > INT64_MAX)
            return fail(err, BAD_FILE,
                        "a dimension of %s makes it larger than any file. The file is damaged.",
                        number_text((uint64_t)c->dim[d]).text);
    size_t width = c->dims ? (size_t)c->dim[c->dims - 1] : 1;
    if (width % block)
        return fail(err, BAD_FILE,
                    "its rows have %s elements, but %s comes in blocks of %zu. The file is "
                    "damaged or was made by a faulty converter.",
                    number_text(width).text, c->format->name, block);
    if (!mul_fits(elems / block, (size_t)c->format->block_bytes, bytes))
        return fail(err, BAD_FILE,
                    "its %s elements of %s are larger than any file. The file is damaged.",
                    number_text(elems).text, c->format->name);
    return OK;
}

static Err place(const StoreFile *file, const TensorClaim *c, size_t bytes, StoreTensor *out,
                 Error *err)
{
    bool said = c->end != END_UNSAID;
    uint64_t end = said ? c->end : c->begin <= UINT64_MAX - bytes ? c->begin + bytes : UINT64_MAX;
    if (said && end < c->begin)
        return fail(err, BAD_FILE,
                    "begins at byte %s of the data and ends before that, at %s. The file is "
                    "damaged.",
                    number_text(c->begin).text, number_text(end).text);
    if (said && end - c->begin != bytes)
        return fail(err, BAD_FILE,
                    "has %s bytes, but its dimensions and type (%s) ask for %s. The file is "
                    "damaged.",
                    number_text(end - c->begin).text, c->format->name, number_text(bytes).text);
    if (end > file->bytes.bytes - file->data_at) {
        uint64_t end_in_file = end <= UINT64_MAX - file->data_at ? end + file->data_at : UINT64_MAX;
        return fail(err, BAD_FILE,
                    "ends at byte %s, but the file has %s bytes. The file is cut short: download "
                    "it again, or check it with `ridge check`.",
                    number_text(end_in_file).text, number_text(file->bytes.bytes).text);
    }
    out->offset = file->data_at + c->begin;
    out->bytes = span_of(file->bytes.data + out->offset, bytes);
    return OK;
}

static Err make_room(TensorTable *t, Error *err)
{
    if (t->index.count == NAMES_MAX)
        return fail(err, LIMIT_REACHED, "is one more than the %s tensors that a model may have",
                    number_text(NAMES_MAX).text);
    if (t->index.count < t->capacity)
        return OK;
    size_t capacity = t->capacity ? 2 * t->capacity : 64;
    StoreTensor *items = realloc(t->items, capacity * sizeof *items);
    if (!items)
        return fail(err, NO_MEMORY, "no memory for a table of %s tensors",
                    number_text(capacity).text);
    t->items = items;
    t->capacity = capacity;
    return OK;
}

static Err put(TensorTable *t, const StoreTensor *tensor, Error *err)
{
    TRY(make_room(t, err));
    bool is_new;
    int64_t number = name_index_put(&t->index, span_text(tensor->name), &is_new);
    if (number < 0)
        return fail(err, NO_MEMORY, "no memory for its name");
    const StoreTensor *old = &t->items[number];
    if (!is_new)
        return fail(err, BAD_FILE,
                    "a tensor of this name is also in %s at byte %s. The file is damaged, or "
                    "files of two models lie together.",
                    old->file->path, number_text(old->offset).text);
    t->items[number] = *tensor;
    return OK;
}

Err tensor_table_add(TensorTable *t, StoreFile *file, const TensorClaim *c, Error *err)
{
    TRY(tensor_name_check(file, c->name, err));
    StoreTensor tensor = {.format = c->format, .dims = c->dims, .file = file};
    for (int d = 0; d < STORE_DIMS; d++)
        tensor.dim[d] = d < c->dims ? c->dim[d] : 1;
    tensor.name = arena_copy_text(t->arena, (const char *)c->name.data, c->name.bytes);
    if (!tensor.name)
        return fail(err, NO_MEMORY, "%s: no memory for the names of its tensors", file->path);

    size_t bytes = 0;
    Err result = measure(c, &bytes, err);
    if (result == OK)
        result = place(file, c, bytes, &tensor, err);
    if (result == OK)
        result = put(t, &tensor, err);
    if (result == OK)
        file->tensors++;
    else if (err)
        fail_within(err, "%s: tensor '%s'", file->path, tensor.name);
    return result;
}

static int compare_places(const void *left, const void *right)
{
    const StoreTensor *const *first = left, *const *second = right, *a = *first, *b = *second;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;   /* the files are one array */
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    if (a->bytes.bytes != b->bytes.bytes)
        return a->bytes.bytes < b->bytes.bytes ? -1 : 1;
    return a < b ? -1 : 1;
}

/* `next` begins where `end` says that its predecessor stopped, or behind that. */
static Err check_neighbour(const StoreTensor *previous, const StoreTensor *next, uint64_t end,
                           Error *err)
{
    if (next->offset < end)
        return fail(err, BAD_FILE,
                    "%s: tensor '%s' begins at byte %s, but tensor '%s' before it ends at byte "
                    "%s. They must not overlap: the file is damaged.",
                    next->file->path, next->name, number_text(next->offset).text, previous->name,
                    number_text(end).text);
    if (next->file->packed && next->offset > end)
        return fail(err, BAD_FILE,
                    "%s: tensor '%s' begins at byte %s, but the data before it ends at byte %s. A "
                    "safetensors file has no holes: the file is damaged.",
                    next->file->path, next->name, number_text(next->offset).text,
                    number_text(end).text);
    return OK;
}

static Err check_end(const StoreFile *file, uint64_t end, Error *err)
{
    if (!file->packed || end == file->bytes.bytes)
        return OK;
    return fail(err, BAD_FILE,
                "%s: the tensors end at byte %s, but the file has %s bytes. A safetensors file "
                "has nothing behind its tensors: the file is damaged.",
                file->path, number_text(end).text, number_text(file->bytes.bytes).text);
}

Err tensor_table_order(TensorTable *t, Error *err)
{
    size_t count = t->index.count;
    t->ordered = ARENA_ARRAY(t->arena, const StoreTensor *, count);
    if (!t->ordered)
        return fail(err, NO_MEMORY, "no memory for a table of %s tensors", number_text(count).text);
    for (size_t i = 0; i < count; i++)
        t->ordered[i] = &t->items[i];
    qsort(t->ordered, count, sizeof *t->ordered, compare_places);

    const StoreTensor *previous = NULL;
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const StoreTensor *next = t->ordered[i];
        if (!previous || previous->file != next->file)
            end = next->file->data_at;
        TRY(check_neighbour(previous, next, end, err));
        end = next->offset + next->bytes.bytes;
        previous = next;
        if (i + 1 == count || t->ordered[i + 1]->file != next->file)
            TRY(check_end(next->file, end, err));
    }
    return OK;
}

static Err put_renamed(TensorTable *t, const StoreTensor *old, StoreRename rename, Error *err)
{
    char name[STORE_NAME_BYTES_MAX + 1];
    StoreTensor tensor = *old;
    if (!rename(old->name, name))
        return OK;
    tensor.name = arena_copy_text(t->arena, name, strlen(name));
    Err result = tensor.name ? put(t, &tensor, err) : fail(err, NO_MEMORY, "no memory for its name");
    return result == OK ? OK : fail_within(err, "%s: tensor '%s', read as '%s'", old->file->path, old->name, name);
}

Err tensor_table_rename(TensorTable *t, StoreRename rename, Error *err)
{
    TensorTable old = *t;
    Err result = OK;
    *t = (TensorTable){.arena = old.arena, .ordered = ARENA_ARRAY(old.arena, const StoreTensor *, old.index.count)};
    if (!t->ordered)
        result = fail(err, NO_MEMORY, "no memory for a table of %s tensors", number_text(old.index.count).text);
    for (size_t i = 0; i < old.index.count && result == OK; i++)
        result = put_renamed(t, old.ordered[i], rename, err);
    for (size_t i = 0; i < t->index.count && result == OK; i++) /* they were put in that order */
        t->ordered[i] = &t->items[i];
    tensor_table_deinit(&old);
    return result;
}
