/* jinja_filters_seq.c -- filters of sequences: choosing, ordering, grouping. What Jinja2 gives as a
 * generator is one here too: it prints as none of its items, has no length, and is read once. */
#include "text/jinja_filters.h"

#include <stdlib.h>

#include "text/jinja_lex.h"
#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"

/* ---- attributes by path ---- */

/* "a.b.0" looks up a, then b in it, then its first item; V_NONE and V_MISSING stand for the item. */
typedef struct Path {
    Value parts;
    Value otherwise;    /* V_NONE: undefined stays undefined */
    bool fold_case;
} Path;

static Value path_part(Value part)
{
    int64_t i;
    bool too_large, digits = part.str->bytes > 0;
    for (size_t k = 0; k < part.str->bytes; k++)
        digits &= part.str->data[k] >= '0' && part.str->data[k] <= '9';
    return digits && parse_integer(part, 10, &i, &too_large) && !too_large ? value_int(i) : part;
}

static Value split_at(Jinja *j, Value s, char separator)
{
    Value out = list_new(j, 0);
    size_t start = 0;
    for (size_t i = 0; i <= s.str->bytes; i++)
        if (i == s.str->bytes || s.str->data[i] == separator) {
            list_put(j, out, str_cut(j, s, start, i));
            start = i + 1;
        }
    return out;
}

static Path path_of(Jinja *j, Value attribute, bool fold_case)
{
    Path p = {.parts = list_new(j, 0), .otherwise = value_none(), .fold_case = fold_case};
    if (attribute.kind == V_MISSING || attribute.kind == V_NONE)
        return p;
    if (attribute.kind != V_STRING) {
        list_put(j, p.parts, attribute);
        return p;
    }
    p.parts = split_at(j, attribute, '.');
    for (int32_t i = 0; i < p.parts.list->count; i++)
        p.parts.list->items[i] = path_part(p.parts.list->items[i]);
    return p;
}

static Value path_get(Jinja *j, const Path *p, Value item)
{
    for (int32_t i = 0; i < p->parts.list->count; i++) {
        item = value_item(j, item, p->parts.list->items[i]);
        if (p->otherwise.kind != V_NONE && item.kind == V_UNDEFINED)
            item = p->otherwise;
    }
    return p->fold_case && item.kind == V_STRING ? str_lower(j, item) : item;
}

/* ---- ordering ---- */

typedef struct Keyed {
    Value key, item;
} Keyed;

typedef struct Keys {
    Keyed *items;
    int32_t count;
} Keys;

static Keys keys_of(Jinja *j, Value list)
{
    const List *l = list.list;
    return (Keys){jinja_take_array(j, (size_t)l->count + 1, sizeof(Keyed)), l->count};
}

/* Stable merge sort; only `<` is asked, as Python does. Reversed, equal items keep their order too. */
static void sort_keys(Jinja *j, Keyed *a, Keyed *spare, int32_t n, bool reverse)
{
    if (n < 2)
        return;
    int32_t half = n / 2, left = 0, right = half;
    sort_keys(j, a, spare, half, reverse);
    sort_keys(j, a + half, spare, n - half, reverse);
    memcpy(spare, a, (size_t)n * sizeof *a);
    for (int32_t i = 0; i < n; i++) {
        jinja_work(j, 1);
        bool take_right =
            left == half
            || (right < n
                && (reverse ? value_ordered(j, spare[left].key, LESS, spare[right].key)
                            : value_ordered(j, spare[right].key, LESS, spare[left].key)));
        a[i] = spare[take_right ? right++ : left++];
    }
}

static Value sorted(Jinja *j, Keys keys, bool reverse)
{
    Keyed *spare = jinja_take_array(j, (size_t)keys.count + 1, sizeof *spare);
    sort_keys(j, keys.items, spare, keys.count, reverse);
    Value out = list_new(j, keys.count);
    for (int32_t i = 0; i < keys.count; i++)
        list_put(j, out, keys.items[i].item);
    return out;
}

/* sort takes several attributes: "age,name". */
static Value filter_sort(Jinja *j, Call *c)
{
    bool fold = !given_true(j, c->arg[1]);
    Value attribute = given_or(c->arg[2], value_none()), list = list_of(j, c->self);
    Value names = attribute.kind == V_STRING ? split_at(j, attribute, ',') : list_new(j, 1);
    if (attribute.kind != V_STRING)
        list_put(j, names, attribute);
    Keys keys = keys_of(j, list);
    for (int32_t i = 0; i < keys.count; i++)
        keys.items[i] = (Keyed){list_new(j, names.list->count), list.list->items[i]};
    for (int32_t n = 0; n < names.list->count; n++) {
        Path p = path_of(j, names.list->items[n], fold);
        for (int32_t i = 0; i < keys.count; i++)
            list_put(j, keys.items[i].key, path_get(j, &p, keys.items[i].item));
    }
    return sorted(j, keys, given_true(j, c->arg[0]));
}

static Value filter_dictsort(Jinja *j, Call *c)
{
    Value by = given_or(c->arg[1], str_literal(j, "key"));
    bool by_value = str_is(by, "value"), fold = !given_true(j, c->arg[0]);
    if (!by_value && !str_is(by, "key"))
        TYPE_ERROR(j, "You can only sort by either \"key\" or \"value\"");
    if (c->self.kind == V_UNDEFINED)
        undefined_fail(j, c->self);
    if (c->self.kind != V_DICT)
        TYPE_ERROR(j, "'%s' object has no attribute 'items'", value_type(c->self));
    const Dict *d = c->self.dict;
    Keys keys = {jinja_take_array(j, (size_t)d->count + 1, sizeof(Keyed)), d->count};
    for (int32_t i = 0; i < d->count; i++) {
        Value pair = tuple_new(j, 2), key = by_value ? d->entries[i].value : d->entries[i].key;
        list_put(j, pair, d->entries[i].key);
        list_put(j, pair, d->entries[i].value);
        keys.items[i] = (Keyed){fold && key.kind == V_STRING ? str_lower(j, key) : key, pair};
    }
    return sorted(j, keys, given_true(j, c->arg[2]));
}

static Value filter_groupby(Jinja *j, Call *c)
{
    bool fold = !given_true(j, c->arg[2]);
    Path by = path_of(j, c->arg[0], fold), shown = path_of(j, c->arg[0], false);
    by.otherwise = shown.otherwise = given_or(c->arg[1], value_none());
    Value list = list_of(j, c->self), out = list_new(j, 0);
    Keys keys = keys_of(j, list);
    for (int32_t i = 0; i < keys.count; i++)
        keys.items[i] = (Keyed){path_get(j, &by, list.list->items[i]), list.list->items[i]};
    sorted(j, keys, false);
    Value group = value_missing();
    for (int32_t i = 0; i < keys.count; i++) {
        if (i == 0 || !value_equal(j, keys.items[i - 1].key, keys.items[i].key)) {
            group = tuple_new(j, 2);
            group.list->group = true;
            list_put(j, group, path_get(j, &shown, keys.items[i].item));
            list_put(j, group, list_new(j, 0));
            list_put(j, out, group);
        }
        list_put(j, group.list->items[1], keys.items[i].item);
    }
    return out;
}

static Value extreme(Jinja *j, Call *c, Order order)
{
    Path p = path_of(j, c->arg[1], !given_true(j, c->arg[0]));
    Value list = list_of(j, c->self);
    if (list.list->count == 0)
        return undefined_hint(j, "No aggregated item, sequence was empty.");
    Value best = list.list->items[0], best_key = path_get(j, &p, best);
    for (int32_t i = 1; i < list.list->count; i++) {
        Value key = path_get(j, &p, list.list->items[i]);
        if (value_ordered(j, key, order, best_key)) {
            best = list.list->items[i];
            best_key = key;
        }
    }
    return best;
}

static Value filter_min(Jinja *j, Call *c) { return extreme(j, c, LESS); }
static Value filter_max(Jinja *j, Call *c) { return extreme(j, c, GREATER); }

static Value filter_unique(Jinja *j, Call *c)
{
    Path p = path_of(j, c->arg[1], !given_true(j, c->arg[0]));
    Value seen = dict_new(j), out = list_new(j, 0);
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);) {
        Value key = path_get(j, &p, item);
        jinja_work(j, 1);
        if (dict_find(j, seen.dict, key))
            continue;
        dict_put(j, seen, key, value_none());
        list_put(j, out, item);
    }
    return generator_of(j, out, "generator");
}

/* ---- map, select, reject ---- */

static Args rest_of(const Args *args, int32_t used)
{
    Args out = *args;
    out.items += used;
    out.count -= used;
    return out;
}

static const Value *named(const Args *args, const char *name)
{
    for (int32_t i = 0; i < args->named_count; i++)
        if (str_is(args->named[i].name, name))
            return &args->named[i].value;
    return NULL;
}

static Value map_attribute(Jinja *j, Call *c, const Value *attribute)
{
    const Value *otherwise = named(c->args, "default");
    if (c->args->named_count > 1 + (otherwise != NULL))
        TYPE_ERROR(j, "Unexpected keyword argument");
    Path p = path_of(j, *attribute, false);
    p.otherwise = otherwise ? *otherwise : value_none();
    Value out = list_new(j, 0);
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);)
        list_put(j, out, path_get(j, &p, item));
    return generator_of(j, out, "generator");
}

static Value filter_map(Jinja *j, Call *c)
{
    const Value *attribute = named(c->args, "attribute");
    if (!value_truth(j, c->self))
        return generator_of(j, list_new(j, 0), "generator");
    if (c->args->count == 0 && attribute)
        return map_attribute(j, c, attribute);
    if (c->args->count == 0)
        TYPE_ERROR(j, "map requires a filter argument");
    Args args = rest_of(c->args, 1);
    Value out = list_new(j, 0);
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);)
        list_put(j, out, filter_call(j, c->args->items[0], item, &args));
    return generator_of(j, out, "generator");
}

static Value chosen(Jinja *j, Call *c, bool by_attribute, bool wanted)
{
    Value out = list_new(j, 0);
    if (!value_truth(j, c->self))
        return generator_of(j, out, "generator");
    if (by_attribute && c->args->count == 0)
        TYPE_ERROR(j, "Missing parameter for attribute name");
    Path p = path_of(j, by_attribute ? c->args->items[0] : value_none(), false);
    bool tested = c->args->count > by_attribute;
    Args args = rest_of(c->args, tested ? by_attribute + 1 : by_attribute);
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);) {
        Value v = path_get(j, &p, item);
        bool held =
            tested ? test_call(j, c->args->items[by_attribute], v, &args) : value_truth(j, v);
        if (held == wanted)
            list_put(j, out, item);
        jinja_work(j, 1);
    }
    return generator_of(j, out, "generator");
}

static Value filter_select(Jinja *j, Call *c) { return chosen(j, c, false, true); }
static Value filter_reject(Jinja *j, Call *c) { return chosen(j, c, false, false); }
static Value filter_selectattr(Jinja *j, Call *c) { return chosen(j, c, true, true); }
static Value filter_rejectattr(Jinja *j, Call *c) { return chosen(j, c, true, false); }

/* ---- parts ---- */

static Value filter_batch(Jinja *j, Call *c)
{
    int64_t size = index_of(j, c->arg[0]);
    Value fill = given_or(c->arg[1], value_none()), out = list_new(j, 0), row = list_new(j, 0);
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);) {
        jinja_work(j, 1);
        if (row.list->count == size) {
            list_put(j, out, row);
            row = list_new(j, 0);
        }
        list_put(j, row, item);
    }
    if (row.list->count && fill.kind != V_NONE && row.list->count < size)
        jinja_work(j, (uint64_t)size);
    while (row.list->count && fill.kind != V_NONE && row.list->count < size)
        list_put(j, row, fill);
    if (row.list->count)
        list_put(j, out, row);
    return generator_of(j, out, "generator");
}

static Value filter_slice(Jinja *j, Call *c)
{
    int64_t slices = index_of(j, c->arg[0]);
    Value fill = given_or(c->arg[1], value_none()), list = list_of(j, c->self),
          out = list_new(j, 0);
    if (slices == 0)
        TYPE_ERROR(j, "integer division or modulo by zero");
    int64_t count = list.list->count, each = slices > 0 ? count / slices : 0,
            longer = slices > 0 ? count % slices : 0;
    int64_t at = 0;
    for (int64_t i = 0; i < slices; i++) {
        Value part = list_new(j, 0);
        jinja_work(j, 1);
        for (int64_t end = at + each + (i < longer); at < end; at++)
            list_put(j, part, list.list->items[at]);
        if (fill.kind != V_NONE && i >= longer)
            list_put(j, part, fill);
        list_put(j, out, part);
    }
    return generator_of(j, out, "generator");
}

static Value filter_first(Jinja *j, Call *c)
{
    Iter it = iter_of(j, c->self);
    Value v;
    return iter_next(j, &it, &v) ? v : undefined_hint(j, "No first item, sequence was empty.");
}

static Value reversed(Jinja *j, Value v)
{
    Value in = list_of(j, v), out = list_new(j, in.list->count);
    for (int32_t i = in.list->count; i-- > 0;)
        list_put(j, out, in.list->items[i]);
    return out;
}

static bool reversible(Value v) { return value_has_length(v) && v.kind != V_LOOP; }

static Value filter_last(Jinja *j, Call *c)
{
    if (!reversible(c->self))
        TYPE_ERROR(j, "'%s' object is not reversible", value_type(c->self));
    Value all = list_of(j, c->self);
    return all.list->count ? all.list->items[all.list->count - 1]
                           : undefined_hint(j, "No last item, sequence was empty.");
}

static Value filter_reverse(Jinja *j, Call *c)
{
    Value out = reversed(j, c->self);
    if (c->self.kind == V_STRING) {
        Text t = text_new(j);
        for (int32_t i = 0; i < out.list->count; i++)
            text_put_str(&t, out.list->items[i].str);
        return text_value(&t);
    }
    return reversible(c->self)
               ? generator_of(j, out, c->self.kind == V_LIST ? "list_reverseiterator" : "reversed")
               : out;
}

static Value filter_length(Jinja *j, Call *c) { return value_int(value_length(j, c->self)); }
static Value filter_list(Jinja *j, Call *c) { return list_of(j, c->self); }

static Value filter_items(Jinja *j, Call *c)
{
    if (c->self.kind == V_UNDEFINED)
        return generator_of(j, list_new(j, 0), "generator");
    if (c->self.kind != V_DICT)
        TYPE_ERROR(j, "Can only get item pairs from a mapping.");
    View *v = jinja_take(j, sizeof *v);
    *v = (View){c->self.dict, VIEW_ITEMS};
    return generator_of(j, list_of(j, (Value){.kind = V_VIEW, .view = v}), "generator");
}

static Value filter_join(Jinja *j, Call *c)
{
    Path p = path_of(j, c->arg[1], false);
    Value separator = value_str(j, given_or(c->arg[0], str_literal(j, "")));
    Text t = text_new(j);
    Iter it = iter_of(j, c->self);
    bool first = true;
    for (Value item; iter_next(j, &it, &item); first = false) {
        if (!first)
            text_put_str(&t, separator.str);
        put_str(&t, path_get(j, &p, item));
        jinja_work(j, 1);
    }
    return text_value(&t);
}

static Value filter_sum(Jinja *j, Call *c)
{
    Path p = path_of(j, c->arg[0], false);
    Value total = given_or(c->arg[1], value_int(0));
    if (total.kind == V_STRING)
        TYPE_ERROR(j, "sum() can't sum strings [use ''.join(seq) instead]");
    Iter it = iter_of(j, c->self);
    for (Value item; iter_next(j, &it, &item);)
        total = value_binary(j, T_ADD, total, path_get(j, &p, item));
    return total;
}

const Builtin sequence_filters[] = {
    {"batch", "linecount fill_with?", filter_batch},
    {"count", "/", filter_length},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"first", "", filter_first},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"items", "", filter_items},
    {"join", "d? attribute?", filter_join},
    {"last", "", filter_last},
    {"length", "/", filter_length},
    {"list", "", filter_list},
    {"map", NULL, filter_map},
    {"max", "case_sensitive? attribute?", filter_max},
    {"min", "case_sensitive? attribute?", filter_min},
    {"reject", NULL, filter_reject},
    {"rejectattr", NULL, filter_rejectattr},
    {"reverse", "", filter_reverse},
    {"select", NULL, filter_select},
    {"selectattr", NULL, filter_selectattr},
    {"slice", "slices fill_with?", filter_slice},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"sum", "attribute? start?", filter_sum},
    {"unique", "case_sensitive? attribute?", filter_unique},
};
const size_t sequence_filter_count = COUNT_OF(sequence_filters);
