/* jinja_objects.c -- attributes and methods of lists, dicts and the rest, and the globals. */
#include "text/jinja_builtins.h"

#include <math.h>
#include <stdlib.h>

#include "text/jinja_methods.h"
#include "text/jinja_print.h"
#include "text/jinja_run.h"

const Builtin *builtin_find(const Builtin *table, size_t count, Span name)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].name[0] == (char)(name.bytes ? name.data[0] : 0)
            && span_is(name, table[i].name))
            return &table[i];
    return NULL;
}

/* ---- list, tuple ---- */

static Value list_count(Jinja *j, Call *call)
{
    int64_t n = 0;
    for (int32_t i = 0; i < call->self.list->count; i++)
        n += value_equal(j, call->self.list->items[i], call->arg[0]);
    return value_int(n);
}

static Value list_index(Jinja *j, Call *call)
{
    const List *l = call->self.list;
    int64_t edge[2] = {0, l->count};
    for (int i = 0; i < 2; i++)
        if (call->arg[1 + i].kind != V_MISSING) {
            edge[i] = index_of(j, call->arg[1 + i]);
            edge[i] += edge[i] < 0 ? l->count : 0;
        }
    for (int64_t i = edge[0] < 0 ? 0 : edge[0]; i < edge[1] && i < l->count; i++)
        if (value_equal(j, l->items[i], call->arg[0]))
            return value_int(i);
    TYPE_ERROR(j, "the value is not in the list");
}

static Value list_copy(Jinja *j, Call *call) { return list_of(j, call->self); }

static const Builtin list_methods[] = {
    {"count", "/value", list_count},
    {"index", "/value start? stop?", list_index},
    {"copy", "/", list_copy},
};

/* ---- dict ---- */

static Value view_of(Jinja *j, Value dict, ViewKind what)
{
    View *v = jinja_take(j, sizeof *v);
    *v = (View){dict.dict, what};
    return (Value){.kind = V_VIEW, .view = v};
}

static Value dict_keys(Jinja *j, Call *call) { return view_of(j, call->self, VIEW_KEYS); }
static Value dict_values(Jinja *j, Call *call) { return view_of(j, call->self, VIEW_VALUES); }
static Value dict_items(Jinja *j, Call *call) { return view_of(j, call->self, VIEW_ITEMS); }

static Value dict_get(Jinja *j, Call *call)
{
    const Value *found = dict_find(j, call->self.dict, call->arg[0]);
    return found ? *found : call->arg[1].kind == V_MISSING ? value_none() : call->arg[1];
}

static void dict_update(Jinja *j, Value dict, Value other)
{
    for (int32_t i = 0; i < other.dict->count; i++)
        dict_put(j, dict, other.dict->entries[i].key, other.dict->entries[i].value);
}

static Value dict_copy(Jinja *j, Call *call)
{
    Value out = dict_new(j);
    dict_update(j, out, call->self);
    return out;
}

static Value dict_fromkeys(Jinja *j, Call *call)
{
    Value out = dict_new(j);
    Iter it = iter_of(j, call->arg[0]);
    for (Value key; iter_next(j, &it, &key);)
        dict_put(j, out, key, call->arg[1].kind == V_MISSING ? value_none() : call->arg[1]);
    return out;
}

static const Builtin dict_methods[] = {
    {"items", "/", dict_items}, {"keys", "/", dict_keys}, {"values", "/", dict_values},
    {"get", "/key default?", dict_get}, {"copy", "/", dict_copy},
    {"fromkeys", "/iterable value?", dict_fromkeys},
};

bool method_is_unsafe(Value of, Value name)
{
    static const char *const of_lists[] = {"append", "clear", "pop",    "reverse",
                                           "insert", "sort",  "extend", "remove"};
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update"};
    if (of.kind != V_LIST && of.kind != V_DICT)
        return false;
    const char *const *names = of.kind == V_LIST ? of_lists : of_dicts;
    size_t count = of.kind == V_LIST ? COUNT_OF(of_lists) : COUNT_OF(of_dicts);
    for (size_t i = 0; i < count; i++)
        if (str_is(name, names[i]))
            return true;
    return false;
}

/* ---- cycler, numbers, groups ---- */

static Value cycler_next(Jinja *j, Call *call)
{
    (void)j;
    Cycler *c = call->self.cycler;
    Value v = c->items[c->at];
    c->at = (c->at + 1) % c->count;
    return v;
}

static Value cycler_reset(Jinja *j, Call *call)
{
    (void)j;
    call->self.cycler->at = 0;
    return value_none();
}

static Value cycler_attribute(Jinja *j, Value of, Value name)
{
    static const Builtin methods[] = {{"next", "/", cycler_next}, {"reset", "/", cycler_reset}};
    const Cycler *c = of.cycler;
    if (str_is(name, "current"))
        return c->items[c->at];
    if (str_is(name, "pos"))
        return value_int(c->at);
    const Builtin *b = builtin_find(methods, COUNT_OF(methods), str_span(name));
    return b ? function_of(j, b, of) : value_missing();
}

static Value float_is_integer(Jinja *j, Call *call)
{
    (void)j;
    double x = call->self.number;
    return value_bool(isfinite(x) && x == floor(x));
}

static Value number_attribute(Jinja *j, Value of, Value name)
{
    static const Builtin methods[] = {{"is_integer", "/", float_is_integer}};
    if (of.kind == V_FLOAT && str_is(name, "is_integer"))
        return function_of(j, methods, of);
    Value plain = of.kind == V_FLOAT ? of : value_int(integer_of(of));
    if (str_is(name, "real") || (is_integer(of) && str_is(name, "numerator")))
        return plain;
    if (str_is(name, "imag"))
        return of.kind == V_FLOAT ? value_float(0) : value_int(0);
    return is_integer(of) && str_is(name, "denominator") ? value_int(1) : value_missing();
}

static Value range_attribute(Value of, Value name)
{
    const Range *r = of.range;
    if (str_is(name, "start"))
        return value_int(r->start);
    if (str_is(name, "step"))
        return value_int(r->step);
    return str_is(name, "stop") ? value_int(r->stop) : value_missing();
}

static Value method_of(Jinja *j, Value of, const Builtin *b)
{
    return b ? function_of(j, b, of) : value_missing();
}

Value object_attribute(Jinja *j, Value of, Value name)
{
    Span n = str_span(name);
    switch (of.kind) {
    case V_STRING:
        return method_of(j, of, str_method_find(n));
    case V_TUPLE:
        if (of.list->group && (str_is(name, "grouper") || str_is(name, "list")))
            return of.list->items[str_is(name, "list")];
        return method_of(j, of, builtin_find(list_methods, 2, n));
    case V_LIST:
        return method_of(j, of, builtin_find(list_methods, COUNT_OF(list_methods), n));
    case V_DICT:
        return method_of(j, of, builtin_find(dict_methods, COUNT_OF(dict_methods), n));
    case V_MACRO:
        return macro_attribute(j, of.macro, name);
    case V_LOOP:
        return loop_attribute(j, of.loop, name);
    case V_CYCLER:
        return cycler_attribute(j, of, name);
    case V_RANGE:
        return range_attribute(of, name);
    case V_BOOL: case V_INT: case V_FLOAT:
        return number_attribute(j, of, name);
    default:
        return value_missing();
    }
}

/* ---- globals ---- */

static Value global_range(Jinja *j, Call *call)
{
    int64_t first = index_of(j, call->arg[0]), stop = first, step = 1;
    if (call->arg[1].kind == V_MISSING)
        first = 0;
    else
        stop = index_of(j, call->arg[1]);
    if (call->arg[2].kind != V_MISSING)
        step = index_of(j, call->arg[2]);
    if (step == 0)
        TYPE_ERROR(j, "range() arg 3 must not be zero");
    __int128 span = step > 0 ? (__int128)stop - first : (__int128)first - stop;
    __int128 size = step > 0 ? (__int128)step : -(__int128)step;
    __int128 count = span <= 0 ? 0 : (span + size - 1) / size;
    if (count > JINJA_RANGE_MAX)
        jinja_fail(j, LIMIT_REACHED,
                   "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                   JINJA_RANGE_MAX);
    Range *r = jinja_take(j, sizeof *r);
    *r = (Range){.start = first, .stop = stop, .step = step, .count = (int64_t)count};
    return (Value){.kind = V_RANGE, .range = r};
}

static void put_pair(Jinja *j, Value dict, Value pair)
{
    Value items = list_of(j, pair);
    if (items.list->count != 2)
        TYPE_ERROR(j, "a dictionary is made of pairs, not of %d values", items.list->count);
    dict_put(j, dict, items.list->items[0], items.list->items[1]);
}

static Value global_dict(Jinja *j, Call *call)
{
    const Args *a = call->args;
    Value out = dict_new(j);
    if (a->count > 1)
        TYPE_ERROR(j, "dict expected at most 1 argument, got %d", a->count);
    if (a->count == 1 && a->items[0].kind == V_DICT) {
        dict_update(j, out, a->items[0]);
    } else if (a->count == 1) {
        Iter it = iter_of(j, a->items[0]);
        for (Value pair; iter_next(j, &it, &pair);)
            put_pair(j, out, pair);
    }
    for (int32_t i = 0; i < a->named_count; i++)
        dict_put(j, out, a->named[i].name, a->named[i].value);
    return out;
}

static Value global_namespace(Jinja *j, Call *call)
{
    Value out = global_dict(j, call);
    out.kind = V_NAMESPACE;
    return out;
}

static Value global_cycler(Jinja *j, Call *call)
{
    if (call->args->count == 0 || call->args->named_count)
        TYPE_ERROR(j, "at least one item has to be provided");
    Cycler *c = jinja_take(j, sizeof *c);
    *c = (Cycler){.items = call->args->items, .count = call->args->count};
    return (Value){.kind = V_CYCLER, .cycler = c};
}

static Value global_joiner(Jinja *j, Call *call)
{
    Cycler *c = jinja_take(j, sizeof *c);
    c->separator = call->arg[0].kind == V_MISSING ? str_literal(j, ", ") : call->arg[0];
    return (Value){.kind = V_JOINER, .cycler = c};
}

static Value global_lipsum(Jinja *j, Call *call)
{
    (void)call;
    jinja_fail(j, UNSUPPORTED, "lipsum: random text has no place in a prompt");
}

static Value global_raise_exception(Jinja *j, Call *call)
{
    Value message = value_str(j, call->arg[0]);
    jinja_fail(j, BAD_ARGUMENT, "the template refuses: %.*s", (int)message.str->bytes,
               message.str->data);
}

static Value global_strftime_now(Jinja *j, Call *call)
{
    if (call->arg[0].kind != V_STRING)
        TYPE_ERROR(j, "strftime() argument 1 must be str, not %s", value_type(call->arg[0]));
    Text t = text_new(j);
    put_time(&t, call->arg[0].str, &j->calendar);
    return text_value(&t);
}

static const Builtin globals[] = {
    {"range", "/start stop? step?", global_range}, {"dict", NULL, global_dict},
    {"namespace", NULL, global_namespace}, {"cycler", NULL, global_cycler},
    {"joiner", "sep?", global_joiner}, {"lipsum", NULL, global_lipsum},
    {"raise_exception", "message", global_raise_exception},
    {"strftime_now", "format", global_strftime_now},
};

const Builtin *global_find(Span name) { return builtin_find(globals, COUNT_OF(globals), name); }
