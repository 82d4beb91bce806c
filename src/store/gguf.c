#include "store/gguf.h"

#include <stdlib.h>

#include "base/checked.h"
#include "base/number_text.h"
#include "store/gguf_file.h"

struct Gguf {
    const char *path;
    uint32_t version;
    GgufEntry *entries;    /* by number of the key */
    size_t capacity;
    NameIndex keys;
};

typedef struct TypeInfo {
    const char *name;
    uint8_t bytes;         /* 0: the value says itself */
    uint8_t bytes_min;
    bool integer, real;
} TypeInfo;

static const TypeInfo types[GGUF_TYPES] = {
    [GGUF_U8] = {"u8", 1, 1, true, false},     [GGUF_I8] = {"i8", 1, 1, true, false},
    [GGUF_U16] = {"u16", 2, 2, true, false},   [GGUF_I16] = {"i16", 2, 2, true, false},
    [GGUF_U32] = {"u32", 4, 4, true, false},   [GGUF_I32] = {"i32", 4, 4, true, false},
    [GGUF_U64] = {"u64", 8, 8, true, false},   [GGUF_I64] = {"i64", 8, 8, true, false},
    [GGUF_F32] = {"f32", 4, 4, false, true},   [GGUF_F64] = {"f64", 8, 8, false, true},
    [GGUF_BOOL] = {"bool", 1, 1, false, false},
    [GGUF_STRING] = {"string", 0, 8, false, false},
    [GGUF_ARRAY] = {"array", 0, 12, false, false},
};

const char *gguf_type_name(GgufType type) { return types[type].name; }
size_t gguf_type_bytes(GgufType type) { return types[type].bytes; }

/* ---- stepping over values while a file is opened ---- */

static Err cut_short(const char *path, const Reader *r, Error *err)
{
    return fail(err, BAD_FILE,
                "%s: the value at byte %s goes past the end of the file at %s. The file is cut "
                "short: download it again, or check it with `ridge check`.",
                path, number_text(r->at).text, number_text(r->span.bytes).text);
}

static Err read_type(const char *path, Reader *r, GgufType *out, Error *err)
{
    uint32_t type;
    if (!read_u32(r, &type))
        return cut_short(path, r, err);
    if (type >= GGUF_TYPES)
        return fail(err, BAD_FILE,
                    "%s: byte %s: a value of type %u; GGUF has the types 0 to %d. The file is "
                    "damaged.",
                    path, number_text(r->at - sizeof type).text, type, GGUF_TYPES - 1);
    *out = (GgufType)type;
    return OK;
}

static bool skip_string(Reader *r)
{
    Span bytes;
    return gguf_next_string(r, &bytes);
}

static Err skip_value(const char *path, Reader *r, GgufType type, int depth, Error *err);

static Err skip_array(const char *path, Reader *r, int depth, Error *err)
{
    if (depth > GGUF_ARRAY_DEPTH_MAX)
        return fail(err, LIMIT_REACHED,
                    "%s: byte %s: arrays within arrays, more than %d deep. The file is damaged.",
                    path, number_text(r->at).text, GGUF_ARRAY_DEPTH_MAX);
    GgufType type;
    uint64_t count;
    TRY(read_type(path, r, &type, err));
    if (!read_u64(r, &count))
        return cut_short(path, r, err);
    if (count > reader_left(r) / types[type].bytes_min)
        return fail(err, BAD_FILE,
                    "%s: byte %s: an array of %s values of type %s, but only %s bytes are left in "
                    "the file. The file is damaged or cut short: download it again.",
                    path, number_text(r->at - sizeof count).text, number_text(count).text,
                    types[type].name, number_text(reader_left(r)).text);
    if (types[type].bytes) {
        r->at += count * types[type].bytes;
        return OK;
    }
    for (uint64_t i = 0; i < count; i++)
        TRY(skip_value(path, r, type, depth + 1, err));
    return OK;
}

static Err skip_value(const char *path, Reader *r, GgufType type, int depth, Error *err)
{
    Span fixed;
    if (type == GGUF_ARRAY)
        return skip_array(path, r, depth, err);
    bool whole = type == GGUF_STRING ? skip_string(r) : read_bytes(r, types[type].bytes, &fixed);
    return whole ? OK : cut_short(path, r, err);
}

/* ---- the keys of a file ---- */

static Err read_key(const char *path, Reader *r, Span *key, Error *err)
{
    size_t at = r->at;
    if (!gguf_next_string(r, key))
        return cut_short(path, r, err);
    if (key->bytes == 0 || key->bytes > GGUF_KEY_BYTES_MAX)
        return fail(err, BAD_FILE,
                    "%s: byte %s: a key of %s bytes; 1 to %s are allowed. The file is damaged.",
                    path, number_text(at).text, number_text(key->bytes).text,
                    number_text(GGUF_KEY_BYTES_MAX).text);
    for (size_t i = 0; i < key->bytes; i++)
        if (key->data[i] < 0x20 || key->data[i] > 0x7E)
            return fail(err, BAD_FILE,
                        "%s: byte %s: a key with the byte 0x%02X in it; keys are ASCII. The file "
                        "is damaged.",
                        path, number_text(at + 8 + i).text, key->data[i]);
    return OK;
}

static Err make_room(Gguf *g, Error *err)
{
    if (g->keys.count < g->capacity)
        return OK;
    size_t capacity = g->capacity ? 2 * g->capacity : 64;
    GgufEntry *entries = realloc(g->entries, capacity * sizeof *entries);
    if (!entries)
        return fail(err, NO_MEMORY, "%s: no memory for %s keys", g->path,
                    number_text(capacity).text);
    g->entries = entries;
    g->capacity = capacity;
    return OK;
}

static Err read_entry(Gguf *g, Reader *r, Error *err)
{
    GgufEntry entry;
    TRY(read_key(g->path, r, &entry.key, err));
    int shown = (int)(entry.key.bytes < 128 ? entry.key.bytes : 128);
    TRY(make_room(g, err));
    bool is_new;
    int64_t number = name_index_put(&g->keys, entry.key, &is_new);
    if (number < 0)
        return fail(err, NO_MEMORY, "%s: no memory for %s keys", g->path,
                    number_text(g->keys.count).text);
    if (!is_new)
        return fail(err, BAD_FILE, "%s: has the key '%.*s' twice. The file is damaged.", g->path,
                    shown, (const char *)entry.key.data);
    size_t at = r->at;
    Err result = read_type(g->path, r, &entry.type, err);
    if (result == OK) {
        at = r->at;
        result = skip_value(g->path, r, entry.type, 1, err);
    }
    if (result != OK)
        return err ? fail_within(err, "key '%.*s'", shown, (const char *)entry.key.data) : result;
    entry.value = span_of(r->span.data + at, r->at - at);
    g->entries[number] = entry;
    return OK;
}

bool gguf_is(Span file) { return span_starts(file, span_text("GGUF")); }

static Err check_version(const char *path, uint32_t version, Error *err)
{
    if (version == 2 || version == 3)
        return OK;
    if (version == 1)
        return fail(err, UNSUPPORTED,
                    "%s: is of GGUF version 1, which was in use for a few weeks of 2023; ridge "
                    "reads 2 and 3. Convert the model again, or look for a newer file.",
                    path);
    if ((version & 0xFFFF) == 0 && version)
        return fail(err, UNSUPPORTED,
                    "%s: is a big-endian GGUF file; ridge reads little-endian ones. Convert the "
                    "model again for this machine.",
                    path);
    return fail(err, UNSUPPORTED, "%s: is of GGUF version %u; ridge reads 2 and 3", path, version);
}

Err gguf_read_keys(const StoreFile *file, Reader *r, uint64_t *tensors, Gguf **out, Error *err)
{
    Span magic;
    uint32_t version;
    uint64_t keys;
    if (!gguf_is(file->bytes))
        return fail(err, BAD_FILE,
                    "%s: does not begin with 'GGUF'. This is no GGUF file, or it is damaged.",
                    file->path);
    if (!read_bytes(r, 4, &magic) || !read_u32(r, &version))
        return cut_short(file->path, r, err);
    TRY(check_version(file->path, version, err));
    if (!read_u64(r, tensors) || !read_u64(r, &keys))
        return cut_short(file->path, r, err);
    if (keys > NAMES_MAX || keys > reader_left(r) / 14)   /* a key of one byte, a type, a byte */
        return fail(err, BAD_FILE,
                    "%s: says that it has %s keys, which %s bytes cannot hold (and %s are the "
                    "limit). The file is damaged or cut short: download it again.",
                    file->path, number_text(keys).text, number_text(reader_left(r)).text,
                    number_text(NAMES_MAX).text);
    Gguf *g = calloc(1, sizeof *g);
    if (!g)
        return fail(err, NO_MEMORY, "%s: no memory for its keys", file->path);
    *out = g;
    g->path = file->path;
    g->version = version;
    for (uint64_t i = 0; i < keys; i++)
        TRY(read_entry(g, r, err));
    return OK;
}

void gguf_free(Gguf *g)
{
    if (!g)
        return;
    name_index_deinit(&g->keys);
    free(g->entries);
    free(g);
}

/* ---- getters ---- */

uint32_t gguf_version(const Gguf *g) { return g->version; }
size_t gguf_count(const Gguf *g) { return g->keys.count; }
GgufEntry gguf_at(const Gguf *g, size_t index)
{
    ASSERT(index < g->keys.count);
    return g->entries[index];
}

const GgufEntry *gguf_find(const Gguf *g, const char *key)
{
    int64_t number = name_index_find(&g->keys, span_text(key));
    return number < 0 ? NULL : &g->entries[number];
}

bool gguf_has(const Gguf *g, const char *key) { return gguf_find(g, key) != NULL; }

static Err find(const Gguf *g, const char *key, const GgufEntry **out, Error *err)
{
    *out = gguf_find(g, key);
    return *out ? OK : fail(err, NOT_FOUND, "%s: the key '%s' is missing", g->path, key);
}

static Err wrong_type(const Gguf *g, const GgufEntry *e, const char *wanted, Error *err)
{
    return fail(err, BAD_FILE,
                "%s: the key '%.*s' is of type %s, but %s is needed. The file was made by a "
                "faulty converter, or is damaged.",
                g->path, (int)e->key.bytes, (const char *)e->key.data, types[e->type].name, wanted);
}

/* An integer as sign and size, so that u64 and i64 both fit. */
typedef struct Whole {
    bool negative;
    uint64_t bits;      /* as int64_t where negative */
} Whole;

static Whole load_whole(GgufType type, const uint8_t *at)
{
    uint64_t bits = 0;
    int width = 8 * types[type].bytes;
    memcpy(&bits, at, types[type].bytes);
    bool is_signed = type == GGUF_I8 || type == GGUF_I16 || type == GGUF_I32 || type == GGUF_I64;
    bool negative = is_signed && bits >> (width - 1);
    if (negative && width < 64)
        bits |= UINT64_MAX << width;
    return (Whole){negative, bits};
}

static double load_real(GgufType type, const uint8_t *at)
{
    float single;
    double value;
    if (type == GGUF_F32) {
        memcpy(&single, at, sizeof single);
        return (double)single;
    }
    if (type == GGUF_F64) {
        memcpy(&value, at, sizeof value);
        return value;
    }
    Whole whole = load_whole(type, at);
    return whole.negative ? (double)(int64_t)whole.bits : (double)whole.bits;
}

Err gguf_u64(const Gguf *g, const char *key, uint64_t *out, Error *err)
{
    const GgufEntry *e;
    TRY(find(g, key, &e, err));
    if (!types[e->type].integer)
        return wrong_type(g, e, "a whole number", err);
    Whole whole = load_whole(e->type, e->value.data);
    if (whole.negative)
        return fail(err, BAD_FILE, "%s: the key '%s' is -%s, but must not be negative", g->path,
                    key, number_text(-whole.bits).text);
    *out = whole.bits;
    return OK;
}

Err gguf_i64(const Gguf *g, const char *key, int64_t *out, Error *err)
{
    const GgufEntry *e;
    TRY(find(g, key, &e, err));
    if (!types[e->type].integer)
        return wrong_type(g, e, "a whole number", err);
    Whole whole = load_whole(e->type, e->value.data);
    if (!whole.negative && whole.bits > INT64_MAX)
        return fail(err, BAD_FILE, "%s: the key '%s' is %s, larger than any number of its kind",
                    g->path, key, number_text(whole.bits).text);
    *out = (int64_t)whole.bits;
    return OK;
}

Err gguf_f64(const Gguf *g, const char *key, double *out, Error *err)
{
    const GgufEntry *e;
    TRY(find(g, key, &e, err));
    if (!types[e->type].integer && !types[e->type].real)
        return wrong_type(g, e, "a number", err);
    *out = load_real(e->type, e->value.data);
    return OK;
}

Err gguf_bool(const Gguf *g, const char *key, bool *out, Error *err)
{
    const GgufEntry *e;
    TRY(find(g, key, &e, err));
    if (e->type != GGUF_BOOL)
        return wrong_type(g, e, "true or false", err);
    *out = e->value.data[0] != 0;
    return OK;
}

Err gguf_string(const Gguf *g, const char *key, Span *out, Error *err)
{
    const GgufEntry *e;
    TRY(find(g, key, &e, err));
    if (e->type != GGUF_STRING)
        return wrong_type(g, e, "a string", err);
    *out = span_from(e->value, sizeof(uint64_t));
    return OK;
}

static Err find_array(const Gguf *g, const char *key, const char *wanted, const GgufEntry **entry,
                      GgufArray *out, Error *err)
{
    TRY(find(g, key, entry, err));
    if ((*entry)->type != GGUF_ARRAY)
        return wrong_type(g, *entry, wanted, err);
    Reader r = {(*entry)->value, 0};
    uint32_t type;
    bool whole = read_u32(&r, &type) && read_u64(&r, &out->count);
    ASSERT(whole);   /* skip_array() was here before */
    out->type = (GgufType)type;
    out->bytes = span_from(r.span, r.at);
    return OK;
}

static Err wrong_element(const Gguf *g, const char *key, GgufType type, const char *wanted,
                         Error *err)
{
    return fail(err, BAD_FILE,
                "%s: the key '%s' is an array of %s, but %s is needed. The file was made by a "
                "faulty converter, or is damaged.",
                g->path, key, types[type].name, wanted);
}

Err gguf_strings(const Gguf *g, const char *key, GgufArray *out, Error *err)
{
    const GgufEntry *e;
    TRY(find_array(g, key, "an array of strings", &e, out, err));
    return out->type == GGUF_STRING ? OK : wrong_element(g, key, out->type, "one of strings", err);
}

Err gguf_integers(const Gguf *g, const char *key, GgufArray *out, Error *err)
{
    const GgufEntry *e;
    TRY(find_array(g, key, "an array of whole numbers", &e, out, err));
    return types[out->type].integer || out->type == GGUF_BOOL
               ? OK : wrong_element(g, key, out->type, "one of whole numbers", err);
}

Err gguf_floats(const Gguf *g, const char *key, GgufArray *out, Error *err)
{
    const GgufEntry *e;
    TRY(find_array(g, key, "an array of numbers", &e, out, err));
    return types[out->type].integer || types[out->type].real
               ? OK : wrong_element(g, key, out->type, "one of numbers", err);
}

bool gguf_next_string(Reader *r, Span *out)
{
    Reader ahead = *r;
    uint64_t bytes;
    if (!read_u64(&ahead, &bytes) || !read_bytes(&ahead, bytes, out))
        return false;
    *r = ahead;
    return true;
}

int64_t gguf_array_i64(const GgufArray *a, uint64_t index)
{
    ASSERT(index < a->count && (types[a->type].integer || a->type == GGUF_BOOL));
    Whole whole = load_whole(a->type, a->bytes.data + index * types[a->type].bytes);
    return !whole.negative && whole.bits > INT64_MAX ? INT64_MAX : (int64_t)whole.bits;
}

double gguf_array_f64(const GgufArray *a, uint64_t index)
{
    ASSERT(index < a->count && (types[a->type].integer || types[a->type].real));
    return load_real(a->type, a->bytes.data + index * types[a->type].bytes);
}
