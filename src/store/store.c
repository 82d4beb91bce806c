#include "store/store.h"

#include <stdlib.h>

#include "base/file_map.h"
#include "base/number_text.h"
#include "store/gguf_file.h"
#include "store/safetensors.h"
#include "store/shard_index.h"
#include "store/store_paths.h"

/* For the names and tables of any file; real ones need a tenth. Addresses only, until used. */
enum { ARENA_BYTES_MAX = 512 << 20 };

struct Store {
    Arena *arena;
    StoreFile *files;
    FileMap *maps;           /* of the files; empty for what came from memory */
    size_t file_count;
    TensorTable table;
    Gguf *gguf;              /* of the first file */
    json_t *metadata;        /* of the first safetensors file that has any */
};

static Err store_new(Store **out, Error *err)
{
    Store *s = calloc(1, sizeof *s);
    if (s)
        s->arena = s->table.arena = arena_new(ARENA_BYTES_MAX);
    if (!s || !s->arena) {
        free(s);
        return fail(err, NO_MEMORY, "no memory for the table of a model's tensors");
    }
    *out = s;
    return OK;
}

void store_free(Store *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->file_count && s->maps; i++)
        file_map_deinit(&s->maps[i]);
    tensor_table_deinit(&s->table);
    gguf_free(s->gguf);
    json_decref(s->metadata);
    arena_free(s->arena);
    free(s);
}

void store_expect(const Store *s)
{
    for (size_t i = 0; i < s->file_count && s->maps; i++)
        file_map_expect(&s->maps[i]);
}

void store_let_go(const Store *s, int part, int parts)
{
    for (size_t i = 0; i < s->file_count && s->maps; i++)
        file_map_let_go(&s->maps[i], part, parts);
}

static Err check_split(const StoreFile *file, size_t number, size_t files, const Gguf *gguf,
                       Error *err)
{
    GgufSplit split;
    TRY(gguf_split(gguf, &split, err));
    if (split.part != number || split.parts != files)
        return fail(err, BAD_FILE,
                    "%s: says that it is part %s of %s (split.no, split.count), but its name says "
                    "%zu of %zu. Files of two models lie together: download them again.",
                    file->path, number_text(split.part + 1).text, number_text(split.parts).text,
                    number + 1, files);
    return OK;
}

static Err read_gguf(Store *s, size_t number, Error *err)
{
    Gguf *gguf = NULL;
    StoreFile *file = &s->files[number];
    Err result = gguf_read(file, &s->table, &gguf, err);
    if (result == OK && s->file_count > 1)
        result = check_split(file, number, s->file_count, gguf, err);
    if (number == 0)
        s->gguf = gguf;
    else
        gguf_free(gguf);
    return result;
}

/* The first bytes decide; the name does where they are damaged, so that the message fits. */
static bool is_gguf(const StoreFile *file)
{
    const char *ending = strrchr(file->path, '.');
    return gguf_is(file->bytes) || (ending && !strcmp(ending, ".gguf"));
}

static Err read_file(Store *s, size_t number, Error *err)
{
    StoreFile *file = &s->files[number];
    return is_gguf(file) ? read_gguf(s, number, err)
                         : safetensors_read(file, &s->table, &s->metadata, err);
}

static Err check_split_total(const Store *s, Error *err)
{
    GgufSplit split;
    if (!s->gguf || s->file_count == 1)
        return OK;
    TRY(gguf_split(s->gguf, &split, err));
    if (split.tensors == store_count(s))
        return OK;
    return fail(err, BAD_FILE,
                "%s: the parts have %s tensors together, but split.tensors.count says %s. Files "
                "of two models lie together: download them again.",
                s->files[0].path, number_text(store_count(s)).text,
                number_text(split.tensors).text);
}

static Err open_paths(Store *s, const char *path, Error *err)
{
    StorePaths found;
    TRY(store_paths_find(path, s->arena, &found, err));
    s->files = ARENA_ARRAY(s->arena, StoreFile, found.count);
    s->maps = ARENA_ARRAY(s->arena, FileMap, found.count);
    if (!s->files || !s->maps)
        return fail(err, NO_MEMORY, "%s: no memory for %zu files", path, found.count);
    s->file_count = found.count;
    for (size_t i = 0; i < found.count; i++) {
        TRY(file_map_init(&s->maps[i], found.paths[i], err));
        s->files[i] = (StoreFile){.path = found.paths[i], .bytes = s->maps[i].span};
        TRY(read_file(s, i, err));
    }
    TRY(check_split_total(s, err));
    if (found.index)
        TRY(shard_index_check(found.index, &s->table, err));
    return tensor_table_order(&s->table, err);
}

Err store_open(const char *path, Store **out, Error *err)
{
    *out = NULL;
    Store *s;
    TRY(store_new(&s, err));
    Err result = open_paths(s, path, err);
    if (result == OK)
        *out = s;
    else
        store_free(s);
    return result;
}

static Err open_bytes(Store *s, Span file, const char *what, Error *err)
{
    s->files = ARENA_NEW(s->arena, StoreFile);
    const char *path = arena_copy_text(s->arena, what, strlen(what));
    if (!s->files || !path)
        return fail(err, NO_MEMORY, "%s: no memory to open it", what);
    s->file_count = 1;
    s->files[0] = (StoreFile){.path = path, .bytes = file};
    TRY(read_file(s, 0, err));
    return tensor_table_order(&s->table, err);
}

Err store_open_bytes(Span file, const char *what, Store **out, Error *err)
{
    *out = NULL;
    Store *s;
    TRY(store_new(&s, err));
    Err result = open_bytes(s, file, what, err);
    if (result == OK)
        *out = s;
    else
        store_free(s);
    return result;
}

Err store_rename(Store *s, StoreRename rename, Error *err) { return tensor_table_rename(&s->table, rename, err); }

size_t store_count(const Store *s) { return s->table.index.count; }

const StoreTensor *store_at(const Store *s, size_t index)
{
    ASSERT(index < store_count(s));
    return s->table.ordered[index];
}

const StoreTensor *store_find(const Store *s, const char *name)
{
    int64_t number = name_index_find(&s->table.index, span_text(name));
    return number < 0 ? NULL : &s->table.items[number];
}

size_t store_number(const Store *s, const StoreTensor *t) { return (size_t)(t - s->table.items); }

size_t store_file_count(const Store *s) { return s->file_count; }

const StoreFile *store_file(const Store *s, size_t index)
{
    ASSERT(index < s->file_count);
    return &s->files[index];
}

const Gguf *store_gguf(const Store *s) { return s->gguf; }

const char *store_text(const Store *s, const char *key)
{
    return json_string_value(json_object_get(s->metadata, key));
}
