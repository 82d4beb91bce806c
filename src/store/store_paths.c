#include "store/store_paths.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/number_text.h"
#include "store/gguf_file.h"
#include "store/shard_index.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* directory/name, or name where directory_bytes is 0. */
static Err join(Arena *arena, const char *directory, size_t directory_bytes, const char *name,
                const char **out, Error *err)
{
    size_t name_bytes = strlen(name);
    bool slash = directory_bytes && directory[directory_bytes - 1] != '/';
    char *path = arena_take(arena, directory_bytes + slash + name_bytes + 1);
    if (!path)
        return fail(err, NO_MEMORY, "%s: no memory for its path", name);
    memcpy(path, directory, directory_bytes);
    if (slash)
        path[directory_bytes] = '/';
    memcpy(path + directory_bytes + slash, name, name_bytes);
    *out = path;
    return OK;
}

static Err paths_new(Arena *arena, size_t count, StorePaths *out, Error *err)
{
    out->paths = ARENA_ARRAY(arena, const char *, count);
    out->count = count;
    return out->paths ? OK : fail(err, NO_MEMORY, "no memory for the paths of %zu files", count);
}

static Err find_one(const char *path, Arena *arena, StorePaths *out, Error *err)
{
    TRY(paths_new(arena, 1, out, err));
    return join(arena, "", 0, path, &out->paths[0], err);
}

/* ---- shards of safetensors ---- */

typedef struct Shards {
    Arena *arena;
    const char *index_path;
    NameIndex names;
} Shards;

static Err note_shard(void *context, const char *tensor, const char *shard, Error *err)
{
    Shards *s = context;
    (void)tensor;
    if (name_index_find(&s->names, span_text(shard)) >= 0)
        return OK;
    if (s->names.count == STORE_FILES_MAX)
        return fail(err, LIMIT_REACHED, "%s: names more than %d files", s->index_path,
                    STORE_FILES_MAX);
    bool is_new;
    const char *kept = arena_copy_text(s->arena, shard, strlen(shard));
    if (!kept || name_index_put(&s->names, span_text(kept), &is_new) < 0)
        return fail(err, NO_MEMORY, "%s: no memory for the names of its files", s->index_path);
    return OK;
}

static Err find_shards(const char *index_path, Arena *arena, StorePaths *out, Error *err)
{
    const char *slash = strrchr(index_path, '/');
    size_t directory_bytes = slash ? (size_t)(slash - index_path) + 1 : 0;
    Shards shards = {.arena = arena, .index_path = index_path};
    Err result = shard_index_visit(index_path, note_shard, &shards, err);
    if (result == OK)
        result = paths_new(arena, shards.names.count, out, err);
    for (size_t i = 0; i < shards.names.count && result == OK; i++) {
        const char *shard = (const char *)shards.names.names[i].data;
        result = join(arena, index_path, directory_bytes, shard, &out->paths[i], err);
        if (result == OK && !file_exists(out->paths[i]))
            result = fail(err, NOT_FOUND,
                          "%s: names the file '%.255s', which is missing: download it again",
                          index_path, shard);
    }
    name_index_deinit(&shards.names);
    out->index = index_path;
    return result;
}

/* ---- parts of a GGUF ---- */

enum { PART_DIGITS = 5, PART_SUFFIX = sizeof "-00001-of-00003.gguf" - 1 };

static bool read_digits(const char *at, uint64_t *out)
{
    *out = 0;
    for (int i = 0; i < PART_DIGITS; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *out = *out * 10 + (uint64_t)(at[i] - '0');
    }
    return true;
}

/* What the name of a part says; `prefix` is the length of what is before the suffix. */
static bool read_part_name(const char *path, size_t *prefix, uint64_t *part, uint64_t *parts)
{
    size_t bytes = strlen(path);
    if (bytes <= PART_SUFFIX)
        return false;
    *prefix = bytes - PART_SUFFIX;
    const char *suffix = path + *prefix;
    return suffix[0] == '-' && read_digits(suffix + 1, part) && !memcmp(suffix + 6, "-of-", 4) &&
           read_digits(suffix + 10, parts) && !strcmp(suffix + 15, ".gguf");
}

/* What the file itself says: part 0 of 1 for a safetensors file as well. */
static Err read_split(const char *path, GgufSplit *out, Error *err)
{
    StoreFile file = {.path = path};
    FileMap map;
    Gguf *gguf = NULL;
    uint64_t tensors;
    *out = (GgufSplit){0, 1, 0};
    TRY(file_map_init(&map, path, err));
    file.bytes = map.span;
    Err result = OK;
    if (gguf_is(file.bytes)) {
        Reader r = {file.bytes, 0};
        result = gguf_read_keys(&file, &r, &tensors, &gguf, err);
        if (result == OK)
            result = gguf_split(gguf, out, err);
    }
    gguf_free(gguf);
    file_map_deinit(&map);
    return result;
}

static Err name_part(const char *path, size_t prefix, uint64_t part, uint64_t parts, Arena *arena,
                     const char **out, Error *err)
{
    char suffix[PART_SUFFIX + 1];
    snprintf(suffix, sizeof suffix, "-%05u-of-%05u.gguf", (unsigned)part % 100000,
             (unsigned)parts % 100000);
    char *name = arena_take(arena, prefix + sizeof suffix);
    if (!name)
        return fail(err, NO_MEMORY, "%s: no memory for the paths of its parts", path);
    memcpy(name, path, prefix);
    memcpy(name + prefix, suffix, sizeof suffix);
    *out = name;
    return OK;
}

static Err find_parts(const char *path, Arena *arena, StorePaths *out, Error *err)
{
    GgufSplit split;
    TRY(read_split(path, &split, err));
    if (split.parts == 1)
        return find_one(path, arena, out, err);
    if (split.parts > STORE_FILES_MAX || split.part >= split.parts)
        return fail(err, BAD_FILE,
                    "%s: says that it is part %s of %s (split.no, split.count); at most %d are "
                    "allowed. The file is damaged.",
                    path, number_text(split.part + 1).text, number_text(split.parts).text,
                    STORE_FILES_MAX);
    size_t prefix;
    uint64_t part, parts;
    if (!read_part_name(path, &prefix, &part, &parts) || part != split.part + 1 ||
        parts != split.parts)
        return fail(err, BAD_FILE,
                    "%s: is part %u of %u of a model, but its name does not end in "
                    "'-%05u-of-%05u.gguf', so the others cannot be found: give it back the name "
                    "that it had",
                    path, (unsigned)split.part + 1, (unsigned)split.parts, (unsigned)split.part + 1,
                    (unsigned)split.parts);
    TRY(paths_new(arena, split.parts, out, err));
    for (uint64_t i = 0; i < split.parts; i++) {
        TRY(name_part(path, prefix, i + 1, split.parts, arena, &out->paths[i], err));
        if (!file_exists(out->paths[i]))
            return fail(err, NOT_FOUND,
                        "%s: part %u of %u is missing: download it next to the others",
                        out->paths[i], (unsigned)i + 1, (unsigned)split.parts);
    }
    return OK;
}

/* ---- a directory ---- */

static int is_weights(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (ends_with(entry->d_name, ".safetensors") || ends_with(entry->d_name, ".gguf"));
}

/* Whether b is another part of the model that a is a part of. */
static bool same_model(const char *a, const char *b)
{
    size_t prefix_a, prefix_b;
    uint64_t part, parts_a, parts_b;
    return read_part_name(a, &prefix_a, &part, &parts_a) &&
           read_part_name(b, &prefix_b, &part, &parts_b) && parts_a == parts_b &&
           prefix_a == prefix_b && !memcmp(a, b, prefix_a);
}

/* The only file with this ending, or the first part of the only model; *out stays NULL: none. */
static Err pick(const char *directory, struct dirent **names, int count, const char *ending,
                const char **out, Error *err)
{
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        if (!ends_with(name, ending) || (*out && same_model(*out, name)))
            continue;
        if (*out)
            return fail(err, BAD_ARGUMENT,
                        "%s: holds '%.200s' and '%.200s', and no model.safetensors.index.json "
                        "that says what belongs together: name the file that you mean",
                        directory, *out, name);
        *out = name;
    }
    return OK;
}

static Err find_single(const char *directory, Arena *arena, StorePaths *out, Error *err)
{
    struct dirent **names;
    int count = scandir(directory, &names, is_weights, alphasort);
    if (count < 0)
        return fail(err, IO_FAILED, "%s: %s", directory, strerror(errno));
    const char *name = NULL, *path;
    Err result = pick(directory, names, count, ".safetensors", &name, err);
    if (result == OK && !name)
        result = pick(directory, names, count, ".gguf", &name, err);
    if (result == OK && !name)
        result = fail(err, NOT_FOUND,
                      "%s: holds no weights: neither *.safetensors nor *.gguf. Where a model has "
                      "only pytorch_model.bin, save it as safetensors first.",
                      directory);
    if (result == OK)
        result = join(arena, directory, strlen(directory), name, &path, err);
    if (result == OK)
        result = find_parts(path, arena, out, err);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return result;
}

static Err find_in_directory(const char *directory, Arena *arena, StorePaths *out, Error *err)
{
    const char *path;
    TRY(join(arena, directory, strlen(directory), "model.safetensors.index.json", &path, err));
    if (file_exists(path))
        return find_shards(path, arena, out, err);
    TRY(join(arena, directory, strlen(directory), "model.safetensors", &path, err));
    if (file_exists(path))
        return find_one(path, arena, out, err);
    return find_single(directory, arena, out, err);
}

Err store_paths_find(const char *path, Arena *arena, StorePaths *out, Error *err)
{
    *out = (StorePaths){0};
    if (directory_exists(path))
        return find_in_directory(path, arena, out, err);
    if (ends_with(path, ".index.json"))
        return find_shards(path, arena, out, err);
    return find_parts(path, arena, out, err);
}
