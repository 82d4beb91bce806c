#include "store/shard_index.h"

#include <string.h>

#include "base/file_map.h"
#include "store/json_cursor.h"

static bool stays_inside(const char *shard)
{
    if (shard[0] == '/' || shard[0] == 0)
        return false;
    for (const char *part = shard; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || part[2] == 0))
            return false;
    }
    return true;
}

static Err visit_shard(const char *index_path, const char *tensor, const json_t *value,
                       ShardVisit *visit, void *context, Error *err)
{
    const char *shard = json_string_value(value);
    if (!shard)
        return fail(err, BAD_FILE, "%s: the file of tensor '%.255s' is no string", index_path,
                    tensor);
    if (!stays_inside(shard))
        return fail(err, BAD_FILE,
                    "%s: tensor '%.255s' is said to be in '%.255s', which is outside of the "
                    "directory. Do not trust this model.",
                    index_path, tensor, shard);
    return visit(context, tensor, shard, err);
}

static Err visit_map(JsonCursor *c, ShardVisit *visit, void *context, Error *err)
{
    TRY(json_cursor_enter(c, err));
    for (;;) {
        json_t *key, *value;
        TRY(json_cursor_key(c, &key, err));
        if (!key)
            return OK;
        Err result = json_cursor_value(c, JSON_KEY_BYTES_MAX, &value, err);
        if (result == OK) {
            result = visit_shard(c->what, json_string_value(key), value, visit, context, err);
            json_decref(value);
        }
        json_decref(key);
        TRY(result);
    }
}

static Err visit_members(JsonCursor *c, ShardVisit *visit, void *context, Error *err)
{
    bool seen = false;
    TRY(json_cursor_enter(c, err));
    for (;;) {
        json_t *key, *other;
        TRY(json_cursor_key(c, &key, err));
        if (!key)
            break;
        bool is_map = !strcmp(json_string_value(key), "weight_map");
        json_decref(key);
        if (is_map && seen)
            return fail(err, BAD_FILE, "%s: has 'weight_map' twice. The file is damaged.", c->what);
        if (is_map) {
            TRY(visit_map(c, visit, context, err));
            seen = true;
        } else {
            TRY(json_cursor_value(c, JSON_MEMBER_BYTES_MAX, &other, err));
            json_decref(other);
        }
    }
    if (!seen)
        return fail(err, BAD_FILE,
                    "%s: has no 'weight_map', so it does not say where the tensors are", c->what);
    return json_cursor_end(c, err);
}

Err shard_index_visit(const char *index_path, ShardVisit *visit, void *context, Error *err)
{
    FileMap map;
    TRY(file_map_init(&map, index_path, err));
    JsonCursor c = {.text = map.span, .what = index_path};
    Err result = visit_members(&c, visit, context, err);
    file_map_deinit(&map);
    return result;
}

typedef struct Check {
    const char *index_path;
    const TensorTable *table;
} Check;

static bool is_file(const char *path, const char *index_path, const char *shard)
{
    const char *slash = strrchr(index_path, '/');
    size_t directory = slash ? (size_t)(slash - index_path) + 1 : 0;
    return !strncmp(path, index_path, directory) && !strcmp(path + directory, shard);
}

static Err check_tensor(void *context, const char *tensor, const char *shard, Error *err)
{
    const Check *check = context;
    int64_t number = name_index_find(&check->table->index, span_text(tensor));
    if (number < 0)
        return fail(err, NOT_FOUND,
                    "%s: tensor '%.255s' should be in '%.255s', but is not there. The files do "
                    "not belong together: download them again.",
                    check->index_path, tensor, shard);
    const StoreTensor *found = &check->table->items[number];
    if (!is_file(found->file->path, check->index_path, shard))
        return fail(err, BAD_FILE,
                    "%s: tensor '%.255s' should be in '%.255s', but is in %.255s. The files do "
                    "not belong together: download them again.",
                    check->index_path, tensor, shard, found->file->path);
    return OK;
}

Err shard_index_check(const char *index_path, const TensorTable *table, Error *err)
{
    Check check = {index_path, table};
    return shard_index_visit(index_path, check_tensor, &check, err);
}
