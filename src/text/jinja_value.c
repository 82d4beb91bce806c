#include "text/jinja_value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checked.h"
#include "text/jinja_print.h"

enum { BLOCK_BYTES = 64 << 10, PIECE_ALIGN = 16, SMALL_DICT = 8 };

/* ---- the machine ---- */

void jinja_fail(Jinja *j, Err code, const char *format, ...)
{
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->code = fail(j->err, code, "%s: line %d: %s", j->name, j->line, text);
    longjmp(j->failed, 1);
}

static void *take_block(Jinja *j, size_t bytes)
{
    void *out = arena_take(j->arena, bytes);
    if (!out)
        jinja_fail(j, LIMIT_REACHED, "the template needs more than %zu MiB of memory",
                   JINJA_MEMORY_BYTES_MAX >> 20);
    return out;
}

void *jinja_take(Jinja *j, size_t bytes)
{
    size_t rounded;
    if (!round_up_fits(bytes, PIECE_ALIGN, &rounded) || rounded > BLOCK_BYTES / 4)
        return take_block(j, bytes);
    if (rounded > (size_t)(j->end - j->at)) {
        j->at = take_block(j, BLOCK_BYTES);
        j->end = j->at + BLOCK_BYTES;
    }
    void *out = j->at;
    j->at += rounded;
    return out;
}

void *jinja_take_array(Jinja *j, size_t count, size_t element_bytes)
{
    size_t bytes;
    if (!mul_fits(count, element_bytes, &bytes))
        jinja_fail(j, LIMIT_REACHED, "the template asks for %zu items at once", count);
    return jinja_take(j, bytes);
}

void *jinja_grow(Jinja *j, void *old, size_t old_bytes, size_t new_bytes)
{
    void *out = jinja_take(j, new_bytes);
    if (old_bytes)
        memcpy(out, old, old_bytes);
    return out;
}

void jinja_work(Jinja *j, uint64_t steps)
{
    j->steps += steps;
    if (j->steps > j->steps_max)
        jinja_fail(j, LIMIT_REACHED, "the template did not end within %llu steps",
                   (unsigned long long)j->steps_max);
}

void jinja_enter(Jinja *j)
{
    if (++j->depth > j->depth_max)
        jinja_fail(j, LIMIT_REACHED, "nested deeper than %d levels", j->depth_max);
}

/* ---- undefined ---- */

static Value undefined_new(Jinja *j, Undefined u)
{
    Undefined *out = jinja_take(j, sizeof *out);
    *out = u;
    return (Value){.kind = V_UNDEFINED, .undefined = out};
}

Value undefined_name(Jinja *j, const Str *name)
{
    return undefined_new(j, (Undefined){.name = {.kind = V_STRING, .str = (Str *)name}});
}

Value undefined_hint(Jinja *j, const char *hint)
{
    return undefined_new(j, (Undefined){.hint = hint});
}

Value undefined_in(Jinja *j, Value owner, Value name)
{
    return undefined_new(j, (Undefined){.owner = value_type(owner), .name = name});
}

static _Noreturn void fail_element(Jinja *j, const char *owner, const char *object, Value key)
{
    Text t = text_new(j);
    put_repr(&t, key);
    jinja_fail(j, BAD_FILE, "%s%s has no element %.*s", owner, object, (int)t.bytes, t.data);
}

void undefined_fail(Jinja *j, Value v)
{
    const Undefined *u = v.undefined;
    if (u->hint)
        jinja_fail(j, BAD_FILE, "%s", u->hint);
    const char *owner = u->owner, *object = owner && strcmp(owner, "NoneType") ? " object" : "";
    if (owner && !*object)
        owner = "None";
    if (u->name.kind != V_STRING)
        fail_element(j, owner, object, u->name);
    const Str *name = u->name.str;
    if (!owner)
        jinja_fail(j, BAD_FILE, "'%.*s' is undefined", (int)name->bytes, name->data);
    jinja_fail(j, BAD_FILE, "'%s%s' has no attribute '%.*s'", owner, object, (int)name->bytes,
               name->data);
}

/* ---- strings ---- */

static uint32_t count_points(const char *data, size_t bytes)
{
    uint32_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += ((uint8_t)data[i] & 0xC0) != 0x80;
    return n;
}

static void check_length(Jinja *j, size_t bytes)
{
    if (bytes > JINJA_TEXT_BYTES_MAX)
        jinja_fail(j, LIMIT_REACHED, "a string of more than %d MiB", JINJA_TEXT_BYTES_MAX >> 20);
}

Value str_borrow(Jinja *j, const char *data, size_t bytes)
{
    check_length(j, bytes);
    jinja_work(j, bytes >> 6);
    Str *s = jinja_take(j, sizeof *s);
    *s = (Str){.data = data, .bytes = (uint32_t)bytes, .points = count_points(data, bytes)};
    return (Value){.kind = V_STRING, .str = s};
}

Value str_new(Jinja *j, const char *data, size_t bytes)
{
    check_length(j, bytes);
    char *copy = jinja_take(j, bytes + 1);
    if (bytes)
        memcpy(copy, data, bytes);
    return str_borrow(j, copy, bytes);
}

Value str_literal(Jinja *j, const char *text) { return str_borrow(j, text, strlen(text)); }

/* A string that is built by appending, one piece a turn, costs the pieces and not their square: the
 * sum has room behind it, and its next sum is written there if nobody else was first. */
Value str_add(Jinja *j, Value left, Value right)
{
    const Str *a = left.str, *b = right.str;
    if (!b->bytes)
        return left;
    if (!a->bytes)
        return right;
    size_t bytes = (size_t)a->bytes + b->bytes;
    check_length(j, bytes);
    jinja_work(j, bytes >> 8);
    Room *room = a->room;
    char *data = (char *)a->data;
    if (!room || a->bytes != room->used || bytes > room->capacity) {
        size_t capacity = bytes < 64 ? bytes : 2 * bytes;
        room = jinja_take(j, sizeof *room + capacity);
        room->capacity = capacity;
        data = (char *)(room + 1);
        memcpy(data, a->data, a->bytes);
    }
    memcpy(data + a->bytes, b->data, b->bytes);
    room->used = bytes;
    Str *s = jinja_take(j, sizeof *s);
    *s = (Str){
        .data = data, .bytes = (uint32_t)bytes, .points = a->points + b->points, .room = room};
    return (Value){.kind = V_STRING, .str = s};
}

Value str_cut(Jinja *j, Value v, size_t from, size_t to)
{
    return str_borrow(j, v.str->data + from, to > from ? to - from : 0);
}

size_t str_byte_of(const Str *s, int64_t point)
{
    if (s->bytes == s->points || point >= s->points)
        return point >= s->points ? s->bytes : (size_t)point;
    size_t i = 0;
    for (int64_t seen = 0; i < s->bytes; i++)
        if (((uint8_t)s->data[i] & 0xC0) != 0x80 && seen++ == point)
            break;
    return i;
}

Value str_slice(Jinja *j, Value v, int64_t from, int64_t to)
{
    if (v.str->bytes != v.str->points)
        jinja_work(j, v.str->bytes >> 6);
    return str_cut(j, v, str_byte_of(v.str, from), str_byte_of(v.str, to));
}

/* ---- lists ---- */

static Value sequence_new(Jinja *j, Kind kind, int64_t capacity)
{
    List *l = jinja_take(j, sizeof *l);
    if (capacity > INT32_MAX)
        jinja_fail(j, LIMIT_REACHED, "a list of %lld items", (long long)capacity);
    l->capacity = (int32_t)capacity;
    l->items = capacity ? jinja_take_array(j, (size_t)capacity, sizeof(Value)) : NULL;
    return (Value){.kind = (uint8_t)kind, .list = l};
}

Value list_new(Jinja *j, int64_t capacity) { return sequence_new(j, V_LIST, capacity); }
Value tuple_new(Jinja *j, int64_t capacity) { return sequence_new(j, V_TUPLE, capacity); }

void list_put(Jinja *j, Value list, Value item)
{
    List *l = list.list;
    if (l->count == l->capacity) {
        if (l->capacity > INT32_MAX / 4)
            jinja_fail(j, LIMIT_REACHED, "a list of more than %d items", l->capacity);
        int32_t capacity = l->capacity ? 2 * l->capacity : 4;
        l->items = jinja_grow(j, l->items, (size_t)l->count * sizeof(Value),
                              (size_t)capacity * sizeof(Value));
        l->capacity = capacity;
    }
    l->items[l->count++] = item;
}

Value generator_of(Jinja *j, Value list, const char *type)
{
    Generator *g = jinja_take(j, sizeof *g);
    *g = (Generator){.type = type, .items = list.list->items, .count = list.list->count};
    return (Value){.kind = V_GENERATOR, .generator = g};
}

/* ---- dicts ---- */

static uint32_t mix(uint64_t h)
{
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93ull;
    return (uint32_t)(h ^ (h >> 32));
}

static uint32_t hash_bytes(uint32_t seed, const char *data, size_t bytes)
{
    uint64_t h = seed ^ 0xCBF29CE484222325ull;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ (uint8_t)data[i]) * 0x100000001B3ull;
    return mix(h ^ seed);
}

uint32_t value_hash(Jinja *j, Value v)
{
    switch (v.kind) {
    case V_STRING:
        return hash_bytes(j->seed, v.str->data, v.str->bytes);
    case V_FLOAT:
        if (v.number == floor(v.number) && fabs(v.number) < 9e18)
            return mix((uint64_t)(int64_t)v.number ^ j->seed);
        return hash_bytes(j->seed, (const char *)&v.number, sizeof v.number);
    case V_INT:
    case V_BOOL:
        return mix((uint64_t)integer_of(v) ^ j->seed);
    case V_TUPLE: {
        uint32_t h = j->seed;
        jinja_enter(j);
        for (int32_t i = 0; i < v.list->count; i++)
            h = mix((uint64_t)h * 31 + value_hash(j, v.list->items[i]));
        jinja_leave(j);
        return h;
    }
    case V_LIST:
    case V_DICT:
    case V_VIEW:
        TYPE_ERROR(j, "unhashable type: '%s'", value_type(v));
    case V_UNDEFINED:
    case V_NONE:
        return mix(v.kind);
    default:
        return mix((uint64_t)(uintptr_t)v.pointer);
    }
}

Value dict_new(Jinja *j)
{
    return (Value){.kind = V_DICT, .dict = jinja_take(j, sizeof(Dict))};
}

static bool entry_is(Jinja *j, const Entry *e, uint32_t hash, Value key)
{
    if (e->hash != hash)
        return false;
    if (e->key.kind == V_STRING && key.kind == V_STRING)
        return span_equal(str_span(e->key), str_span(key));
    return value_same(e->key, key) || value_equal(j, e->key, key);
}

static Value *find_hashed(Jinja *j, const Dict *d, Value key, uint32_t hash)
{
    if (!d->index) {
        for (int32_t i = 0; i < d->count; i++)
            if (entry_is(j, &d->entries[i], hash, key))
                return &d->entries[i].value;
        return NULL;
    }
    for (uint32_t at = hash & d->mask; d->index[at]; at = (at + 1) & d->mask)
        if (entry_is(j, &d->entries[d->index[at] - 1], hash, key))
            return &d->entries[d->index[at] - 1].value;
    return NULL;
}

Value *dict_find(Jinja *j, const Dict *d, Value key)
{
    return find_hashed(j, d, key, value_hash(j, key));
}

static void index_entry(Dict *d, int32_t entry)
{
    uint32_t at = d->entries[entry].hash & d->mask;
    while (d->index[at])
        at = (at + 1) & d->mask;
    d->index[at] = entry + 1;
}

static void dict_grow(Jinja *j, Dict *d)
{
    if (d->capacity > INT32_MAX / 16)
        jinja_fail(j, LIMIT_REACHED, "a dict of more than %d keys", d->capacity);
    int32_t capacity = d->capacity ? 2 * d->capacity : SMALL_DICT;
    d->entries = jinja_grow(j, d->entries, (size_t)d->count * sizeof(Entry),
                            (size_t)capacity * sizeof(Entry));
    d->capacity = capacity;
    if (capacity <= SMALL_DICT)
        return;
    d->mask = (uint32_t)capacity * 2 - 1;
    d->index = jinja_take_array(j, (size_t)d->mask + 1, sizeof *d->index);
    for (int32_t i = 0; i < d->count; i++)
        index_entry(d, i);
}

void dict_put(Jinja *j, Value dict, Value key, Value value)
{
    Dict *d = dict.dict;
    uint32_t hash = value_hash(j, key);
    Value *found = find_hashed(j, d, key, hash);
    if (found) {
        *found = value;
        return;
    }
    if (d->count == d->capacity)
        dict_grow(j, d);
    d->entries[d->count] = (Entry){key, value, hash};
    if (d->index)
        index_entry(d, d->count);
    d->count++;
}

/* ---- asking ---- */

const char *value_type(Value v)
{
    static const char *const names[KINDS] = {
        [V_MISSING] = "missing",
        [V_UNDEFINED] = "Undefined",
        [V_NONE] = "NoneType",
        [V_BOOL] = "bool",
        [V_INT] = "int",
        [V_FLOAT] = "float",
        [V_STRING] = "str",
        [V_LIST] = "list",
        [V_TUPLE] = "tuple",
        [V_DICT] = "dict",
        [V_RANGE] = "range",
        [V_VIEW] = "dict_items",
        [V_NAMESPACE] = "Namespace",
        [V_MACRO] = "Macro",
        [V_FUNCTION] = "function",
        [V_LOOP] = "LoopContext",
        [V_CYCLER] = "Cycler",
        [V_JOINER] = "Joiner",
    };
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    if (v.kind == V_GENERATOR)
        return v.generator->type;
    if (v.kind == V_VIEW)
        return views[v.view->what];
    return v.kind == V_STRING && v.markup ? "Markup" : names[v.kind];
}

bool value_has_length(Value v)
{
    switch (v.kind) {
    case V_UNDEFINED:
    case V_STRING:
    case V_LIST:
    case V_TUPLE:
    case V_DICT:
    case V_RANGE:
    case V_VIEW:
    case V_LOOP:
        return true;
    default:
        return false;
    }
}

int64_t loop_length(Jinja *, Loop *);   /* jinja_run.c */

int64_t value_length(Jinja *j, Value v)
{
    switch (v.kind) {
    case V_UNDEFINED:
        return 0;
    case V_STRING:
        return v.str->points;
    case V_LIST:
    case V_TUPLE:
        return v.list->count;
    case V_DICT:
        return v.dict->count;
    case V_RANGE:
        return v.range->count;
    case V_VIEW:
        return v.view->dict->count;
    case V_LOOP:
        return loop_length(j, v.loop);
    default:
        TYPE_ERROR(j, "object of type '%s' has no len()", value_type(v));
    }
}

bool value_truth(Jinja *j, Value v)
{
    switch (v.kind) {
    case V_NONE:
        return false;
    case V_BOOL:
    case V_INT:
        return integer_of(v) != 0;
    case V_FLOAT:
        return v.number != 0;
    default:
        return !value_has_length(v) || value_length(j, v) != 0;
    }
}

bool value_same(Value a, Value b)
{
    if (a.kind != b.kind)
        return false;
    switch (a.kind) {
    case V_NONE:
    case V_MISSING:
        return true;
    case V_BOOL:
        return a.truth == b.truth;
    case V_INT:
        return a.integer == b.integer;
    case V_FLOAT:
        return false;
    case V_STRING:
        return a.str == b.str || span_equal(str_span(a), str_span(b));
    case V_TUPLE:
        return a.list == b.list || (a.list->count == 0 && b.list->count == 0);
    default:
        return a.pointer == b.pointer;
    }
}

static bool lists_equal(Jinja *j, const List *a, const List *b)
{
    if (a->count != b->count)
        return false;
    for (int32_t i = 0; i < a->count; i++)
        if (!value_equal(j, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool dicts_equal(Jinja *j, const Dict *a, const Dict *b)
{
    if (a->count != b->count)
        return false;
    for (int32_t i = 0; i < a->count; i++) {
        const Value *other = find_hashed(j, b, a->entries[i].key, a->entries[i].hash);
        if (!other || !value_equal(j, a->entries[i].value, *other))
            return false;
    }
    return true;
}

static bool ranges_equal(const Range *a, const Range *b)
{
    return a->count == b->count && (a->count == 0 || a->start == b->start)
           && (a->count < 2 || a->step == b->step);
}

static bool containers_equal(Jinja *j, Value a, Value b)
{
    switch (a.kind) {
    case V_LIST:
    case V_TUPLE:
        return lists_equal(j, a.list, b.list);
    case V_DICT:
        return dicts_equal(j, a.dict, b.dict);
    case V_RANGE:
        return ranges_equal(a.range, b.range);
    default:
        return a.pointer == b.pointer;
    }
}

static int compare_numbers(Value a, Value b)   /* 2: a NaN is among them */
{
    if (is_integer(a) && is_integer(b))
        return (integer_of(a) > integer_of(b)) - (integer_of(a) < integer_of(b));
    long double x = a.kind == V_FLOAT ? (long double)a.number : (long double)integer_of(a);
    long double y = b.kind == V_FLOAT ? (long double)b.number : (long double)integer_of(b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

bool value_equal(Jinja *j, Value a, Value b)
{
    if (is_number(a) && is_number(b))
        return compare_numbers(a, b) == 0;
    if (a.kind != b.kind)
        return false;
    if (a.kind == V_STRING)
        return span_equal(str_span(a), str_span(b));
    if (a.kind == V_NONE || a.kind == V_UNDEFINED)
        return true;
    jinja_enter(j);
    jinja_work(j, 1);
    bool equal = containers_equal(j, a, b);
    jinja_leave(j);
    return equal;
}

static bool order_holds(int sign, Order order)
{
    switch (order) {
    case LESS:
        return sign < 0;
    case LESS_EQUAL:
        return sign <= 0;
    case GREATER:
        return sign > 0;
    default:
        return sign >= 0;
    }
}

static bool lists_ordered(Jinja *j, const List *a, Order order, const List *b)
{
    int32_t i = 0;
    jinja_enter(j);
    while (i < a->count && i < b->count && value_equal(j, a->items[i], b->items[i]))
        i++;
    bool held = i < a->count && i < b->count
                    ? value_ordered(j, a->items[i], order, b->items[i])
                    : order_holds((a->count > b->count) - (a->count < b->count), order);
    jinja_leave(j);
    return held;
}

bool value_ordered(Jinja *j, Value a, Order order, Value b)
{
    static const char *const signs[] = {"<", "<=", ">", ">="};
    if (is_number(a) && is_number(b)) {
        int sign = compare_numbers(a, b);
        return sign != 2 && order_holds(sign, order);
    }
    if (a.kind == V_UNDEFINED)
        undefined_fail(j, a);
    if (b.kind == V_UNDEFINED)
        undefined_fail(j, b);
    if (a.kind == V_STRING && b.kind == V_STRING) {
        size_t bytes = a.str->bytes < b.str->bytes ? a.str->bytes : b.str->bytes;
        int sign = bytes ? memcmp(a.str->data, b.str->data, bytes)
                         : 0; /* UTF-8 keeps the order of points */
        return order_holds(
            sign ? sign : (a.str->bytes > b.str->bytes) - (a.str->bytes < b.str->bytes), order);
    }
    if (a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE))
        return lists_ordered(j, a.list, order, b.list);
    TYPE_ERROR(j, "'%s' not supported between instances of '%s' and '%s'", signs[order],
               value_type(a), value_type(b));
}

bool value_contains(Jinja *j, Value in, Value item)
{
    if (in.kind == V_STRING) {
        if (item.kind == V_UNDEFINED)
            TYPE_ERROR(j, "'in <string>' requires string as left operand, not Undefined");
        if (item.kind != V_STRING)
            TYPE_ERROR(j, "'in <string>' requires string as left operand, not %s",
                       value_type(item));
        jinja_work(j, in.str->bytes >> 4);
        return item.str->bytes == 0
               || memmem(in.str->data, in.str->bytes, item.str->data, item.str->bytes) != NULL;
    }
    if (in.kind == V_DICT)
        return dict_find(j, in.dict, item) != NULL;
    if (in.kind == V_VIEW && in.view->what == VIEW_KEYS)
        return dict_find(j, in.view->dict, item) != NULL;
    if (!value_iterable(in))
        TYPE_ERROR(j, "argument of type '%s' is not iterable", value_type(in));
    Iter it = iter_of(j, in);
    for (Value each; iter_next(j, &it, &each);) {
        jinja_work(j, 1);
        if (value_same(item, each) || value_equal(j, item, each))
            return true;
    }
    return false;
}

/* ---- walking ---- */

bool value_iterable(Value v)
{
    return v.kind != V_LOOP && (value_has_length(v) || v.kind == V_GENERATOR);
}

Iter iter_of(Jinja *j, Value v)
{
    if (!value_iterable(v))
        TYPE_ERROR(j, "'%s' object is not iterable", value_type(v));
    return (Iter){.over = v};
}

static bool next_character(Jinja *j, Iter *it, Value *out)
{
    const Str *s = it->over.str;
    if (it->at >= s->bytes)
        return false;
    size_t end = (size_t)it->at + 1;
    while (end < s->bytes && ((uint8_t)s->data[end] & 0xC0) == 0x80)
        end++;
    *out = str_cut(j, it->over, (size_t)it->at, end);
    it->at = (int64_t)end;
    return true;
}

static bool next_of_view(Jinja *j, Iter *it, const Dict *d, ViewKind what, Value *out)
{
    if (it->at >= d->count)
        return false;
    const Entry *e = &d->entries[it->at++];
    if (what != VIEW_ITEMS) {
        *out = what == VIEW_KEYS ? e->key : e->value;
        return true;
    }
    *out = tuple_new(j, 2);
    list_put(j, *out, e->key);
    list_put(j, *out, e->value);
    return true;
}

bool iter_next(Jinja *j, Iter *it, Value *out)
{
    Value v = it->over;
    switch (v.kind) {
    case V_LIST:
    case V_TUPLE:
        if (it->at >= v.list->count)
            return false;
        *out = v.list->items[it->at++];
        return true;
    case V_STRING:
        return next_character(j, it, out);
    case V_DICT:
        return next_of_view(j, it, v.dict, VIEW_KEYS, out);
    case V_VIEW:
        return next_of_view(j, it, v.view->dict, v.view->what, out);
    case V_RANGE:
        if (it->at >= v.range->count)
            return false;
        *out = value_int(v.range->start + it->at++ * v.range->step);
        return true;
    case V_GENERATOR:
        if (v.generator->at >= v.generator->count)
            return false;
        *out = v.generator->items[v.generator->at++];
        return true;
    default:
        return false;
    }
}

Value list_of(Jinja *j, Value iterable)
{
    Iter it = iter_of(j, iterable);
    Value out = list_new(j, value_has_length(iterable) ? value_length(j, iterable) : 0);
    for (Value each; iter_next(j, &it, &each);) {
        jinja_work(j, 1);
        list_put(j, out, each);
    }
    return out;
}

/* ---- text that is being made ---- */

static char *text_reserve(Text *t, size_t more)
{
    size_t bytes = t->bytes + more;
    check_length(t->j, bytes);
    if (bytes > t->capacity) {
        size_t capacity = t->capacity ? 2 * t->capacity : 64;
        while (capacity < bytes)
            capacity *= 2;
        t->data = jinja_grow(t->j, t->data, t->bytes, capacity);
        t->capacity = capacity;
    }
    char *at = t->data + t->bytes;
    t->bytes = bytes;
    return at;
}

void text_put(Text *t, const void *data, size_t bytes)
{
    if (bytes)
        memcpy(text_reserve(t, bytes), data, bytes);
}

void text_puts(Text *t, const char *s) { text_put(t, s, strlen(s)); }
void text_put_char(Text *t, char c) { *text_reserve(t, 1) = c; }
void text_put_str(Text *t, const Str *s) { text_put(t, s->data, s->bytes); }

void text_put_point(Text *t, uint32_t c)
{
    if (c < 0x80) {
        text_put_char(t, (char)c);
        return;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    char *out = text_reserve(t, (size_t)n);
    for (int i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)(lead[n] | c);
}

void text_fill(Text *t, Value fill, int64_t times)
{
    size_t bytes;
    if (times <= 0 || fill.str->bytes == 0)
        return;
    if (!mul_fits((size_t)times, fill.str->bytes, &bytes))
        bytes = SIZE_MAX / 2;
    check_length(t->j, bytes);
    jinja_work(t->j, bytes >> 6);
    for (int64_t i = 0; i < times; i++)
        text_put_str(t, fill.str);
}

void text_printf(Text *t, const char *format, ...)
{
    char small[512];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    ASSERT(bytes >= 0 && (size_t)bytes < sizeof small);
    text_put(t, small, (size_t)bytes);
}

Value text_value(Text *t) { return str_borrow(t->j, t->data ? t->data : "", t->bytes); }
