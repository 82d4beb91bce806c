/* jinja_eval.c -- expressions, calls, and the binding of arguments to signatures. */
#include "text/jinja_builtins.h"

#include "text/jinja_print.h"
#include "text/jinja_run.h"

/* ---- calls ---- */

static void put_named(Jinja *j, Args *a, int32_t capacity, Value name, Value v)
{
    for (int32_t i = 0; i < a->named_count; i++)
        if (value_same(a->named[i].name, name))
            TYPE_ERROR(j, "got multiple values for keyword argument '%.*s'", (int)name.str->bytes,
                       name.str->data);
    ASSERT(a->named_count < capacity);
    a->named[a->named_count++] = (Named){name, v};
}

static void add_star(Jinja *j, Args *a, Value more)
{
    Value items = list_of(j, more);
    int64_t count = (int64_t)a->count + items.list->count;
    Value all = list_new(j, count);
    for (int32_t i = 0; i < a->count; i++)
        list_put(j, all, a->items[i]);
    for (int32_t i = 0; i < items.list->count; i++)
        list_put(j, all, items.list->items[i]);
    a->items = all.list->items;
    a->count = all.list->count;
}

Args eval_arguments(Jinja *j, Scope *s, const Arguments *in)
{
    Args a = {.items = jinja_take_array(j, (size_t)in->count + 1, sizeof(Value))};
    for (const Node *n = in->items; n; n = n->next)
        a.items[a.count++] = eval(j, s, n);
    if (in->star)
        add_star(j, &a, eval(j, s, in->star));
    if (!in->named_count && !in->star_star)
        return a;
    int32_t capacity = in->named_count;
    a.named = jinja_take_array(j, (size_t)capacity + 1, sizeof *a.named);
    for (int32_t i = 0; i < in->named_count; i++)
        put_named(j, &a, capacity, in->named[i].name, eval(j, s, in->named[i].value));
    if (!in->star_star)
        return a;
    Value more = eval(j, s, in->star_star);
    if (more.kind != V_DICT)
        TYPE_ERROR(j, "argument after ** must be a mapping, not %s", value_type(more));
    capacity += more.dict->count;
    a.named = jinja_grow(j, a.named, (size_t)a.named_count * sizeof *a.named,
                         ((size_t)capacity + 1) * sizeof *a.named);
    for (int32_t i = 0; i < more.dict->count; i++) {
        if (more.dict->entries[i].key.kind != V_STRING)
            TYPE_ERROR(j, "keywords must be strings");
        put_named(j, &a, capacity, more.dict->entries[i].key, more.dict->entries[i].value);
    }
    return a;
}

/* One name of a signature. */
typedef struct Slot {
    Span name;
    bool optional;
} Slot;

static bool next_slot(const char **signature, Slot *out)
{
    const char *at = *signature;
    while (*at == ' ')
        at++;
    size_t n = strcspn(at, " ?");
    *out = (Slot){span_of(at, n), at[n] == '?'};
    *signature = at + n + out->optional;
    return n > 0;
}

static bool named_argument(const Args *args, Span name, Value *out)
{
    for (int32_t i = 0; i < args->named_count; i++)
        if (span_equal(str_span(args->named[i].name), name)) {
            *out = args->named[i].value;
            return true;
        }
    return false;
}

static void bind_call(Jinja *j, const Builtin *b, const Args *args, Call *call)
{
    const char *signature = b->signature;
    bool by_position = *signature == '/';
    int32_t slots = 0, used = 0;
    signature += by_position;
    for (Slot slot; next_slot(&signature, &slot); slots++) {
        bool named = !by_position && named_argument(args, slot.name, &call->arg[slots]);
        if (named && slots < args->count)
            TYPE_ERROR(j, "%s() got multiple values for argument '%.*s'", b->name,
                       (int)slot.name.bytes, (const char *)slot.name.data);
        used += named;
        if (slots < args->count)
            call->arg[slots] = args->items[slots];
        else if (!named && !slot.optional)
            TYPE_ERROR(j, "%s() misses its argument '%.*s'", b->name, (int)slot.name.bytes,
                       (const char *)slot.name.data);
    }
    if (args->count > slots)
        TYPE_ERROR(j, "%s() takes at most %d argument(s), %d given", b->name, slots, args->count);
    if (args->named_count > used)
        TYPE_ERROR(j, "%s() got an unexpected keyword argument", b->name);
}

Value builtin_call(Jinja *j, const Builtin *b, Value self, const Args *args)
{
    Call call = {.self = self, .args = args};
    if (b->signature)
        bind_call(j, b, args, &call);
    jinja_work(j, 1);
    return b->call(j, &call);
}

Value function_of(Jinja *j, const Builtin *b, Value self)
{
    Function *f = jinja_take(j, sizeof *f);
    *f = (Function){b, self};
    return (Value){.kind = V_FUNCTION, .function = f};
}

static Value call_loop(Jinja *j, Loop *l, const Args *args)
{
    if (args->count != 1 || args->named_count)
        TYPE_ERROR(j, "loop() takes one iterable");
    return loop_recurse(j, l, args->items[0]);
}

static Value call_joiner(Jinja *j, Cycler *c)
{
    Value v = c->used ? c->separator : str_literal(j, "");
    c->used = true;
    return v;
}

/* What a method makes of escaped text is escaped text. */
static Value marked(Value v)
{
    v.markup = v.kind == V_STRING;
    if (v.kind == V_LIST || v.kind == V_TUPLE)
        for (int32_t i = 0; i < v.list->count; i++)
            v.list->items[i].markup = v.list->items[i].kind == V_STRING;
    return v;
}

static Value call_function(Jinja *j, const Function *f, const Args *args)
{
    Value out = builtin_call(j, f->builtin, f->self, args);
    return f->self.kind == V_STRING && f->self.markup ? marked(out) : out;
}

Value value_call(Jinja *j, Value callee, const Args *args)
{
    switch (callee.kind) {
    case V_FUNCTION:
        return call_function(j, callee.function, args);
    case V_MACRO:
        return macro_call(j, callee.macro, args);
    case V_LOOP:
        return call_loop(j, callee.loop, args);
    case V_UNDEFINED:
        undefined_fail(j, callee);
    case V_JOINER:
        bind_call(j, &(Builtin){"joiner", "/", NULL}, args, &(Call){0});
        return call_joiner(j, callee.cycler);
    default:
        TYPE_ERROR(j, "'%s' object is not callable", value_type(callee));
    }
}

/* ---- filters and tests by name, as map and select use them ---- */

Value filter_call(Jinja *j, Value name, Value self, const Args *args)
{
    const Builtin *b = name.kind == V_STRING ? filter_find(str_span(name)) : NULL;
    if (!b && name.kind == V_STRING)
        TYPE_ERROR(j, "No filter named '%.*s'", (int)name.str->bytes, name.str->data);
    if (!b)
        TYPE_ERROR(j, "a filter's name must be a string, not %s", value_type(name));
    return builtin_call(j, b, self, args);
}

bool test_call(Jinja *j, Value name, Value self, const Args *args)
{
    const Builtin *b = name.kind == V_STRING ? test_find(str_span(name)) : NULL;
    if (!b && name.kind == V_STRING)
        TYPE_ERROR(j, "No test named '%.*s'", (int)name.str->bytes, name.str->data);
    if (!b)
        TYPE_ERROR(j, "a test's name must be a string, not %s", value_type(name));
    return value_truth(j, builtin_call(j, b, self, args));
}

/* ---- expressions ---- */

static Value eval_constant(Jinja *j, Scope *s, const Node *n)
{
    (void)j, (void)s;
    return n->value;
}

static Value eval_name(Jinja *j, Scope *s, const Node *n)
{
    const Value *v = scope_find(j, s, n->name);
    return v->kind == V_MISSING ? undefined_name(j, j->names[n->name]) : *v;
}

static Value eval_sequence(Jinja *j, Scope *s, const Node *n)
{
    Value out = n->kind == N_TUPLE ? tuple_new(j, 0) : list_new(j, 0);
    for (const Node *item = n->items; item; item = item->next)
        list_put(j, out, eval(j, s, item));
    return out;
}

static Value eval_dict(Jinja *j, Scope *s, const Node *n)
{
    Value out = dict_new(j);
    for (const Node *key = n->items; key; key = key->next->next) {
        Value k = eval(j, s, key), v = eval(j, s, key->next);
        j->line = n->line;
        dict_put(j, out, k, v);
    }
    return out;
}

static Value eval_condition(Jinja *j, Scope *s, const Node *n)
{
    if (value_truth(j, eval(j, s, n->a)))
        return eval(j, s, n->b);
    if (n->c)
        return eval(j, s, n->c);
    return undefined_hint(
        j, "the inline if-expression evaluated to false and no else section was defined.");
}

static Value eval_logic(Jinja *j, Scope *s, const Node *n)
{
    Value left = eval(j, s, n->a);
    return value_truth(j, left) == (n->kind == N_OR) ? left : eval(j, s, n->b);
}

static Value eval_not(Jinja *j, Scope *s, const Node *n)
{
    return value_bool(!value_truth(j, eval(j, s, n->a)));
}

static Value eval_sign(Jinja *j, Scope *s, const Node *n)
{
    Value v = eval(j, s, n->a);
    j->line = n->line;
    return value_negate(j, v, n->kind == N_NEGATE);
}

static bool compare(Jinja *j, const Node *operand, Value a, Value b)
{
    switch ((Operator)operand->op) {
    case OP_EQUAL:
        return value_equal(j, a, b);
    case OP_UNEQUAL:
        return !value_equal(j, a, b);
    case OP_ORDERED:
        return value_ordered(j, a, (Order)operand->order, b);
    case OP_IN:
        return value_contains(j, b, a);
    default:
        return !value_contains(j, b, a);
    }
}

static Value eval_compare(Jinja *j, Scope *s, const Node *n)
{
    Value left = eval(j, s, n->a);
    for (const Node *operand = n->items; operand; operand = operand->next) {
        Value right = eval(j, s, operand->a);
        j->line = n->line;
        if (!compare(j, operand, left, right))
            return value_bool(false);
        left = right;
    }
    return value_bool(true);
}

static Value eval_binary(Jinja *j, Scope *s, const Node *n)
{
    Value a = eval(j, s, n->a), b = eval(j, s, n->b);
    j->line = n->line;
    return value_binary(j, n->op, a, b);
}

static Value eval_concat(Jinja *j, Scope *s, const Node *n)
{
    Value out = str_literal(j, "");
    for (const Node *item = n->items; item; item = item->next)
        out = str_add(j, out, value_str(j, eval(j, s, item)));
    return out;
}

static Value eval_attribute(Jinja *j, Scope *s, const Node *n)
{
    Value of = eval(j, s, n->a);
    j->line = n->line;
    return value_attribute(j, of, n->value);
}

static Value eval_or_none(Jinja *j, Scope *s, const Node *n)
{
    return n ? eval(j, s, n) : value_none();
}

static Value eval_item(Jinja *j, Scope *s, const Node *n)
{
    Value of = eval(j, s, n->a);
    if (n->b->kind != N_SLICE) {
        Value key = eval(j, s, n->b);
        j->line = n->line;
        return value_item(j, of, key);
    }
    Value start = eval_or_none(j, s, n->b->a), stop = eval_or_none(j, s, n->b->b);
    Value step = eval_or_none(j, s, n->b->c);
    j->line = n->line;
    return value_slice(j, of, start, stop, step);
}

static Value eval_slice(Jinja *j, Scope *s, const Node *n)
{
    (void)s;
    j->line = n->line;
    TYPE_ERROR(j, "a slice among several subscripts");
}

static Value eval_call(Jinja *j, Scope *s, const Node *n)
{
    Value callee = eval(j, s, n->a);
    Args args = eval_arguments(j, s, n->arguments);
    j->line = n->line;
    Value out = value_call(j, callee, &args);
    j->line = n->line;
    return out;
}

static Value eval_filter(Jinja *j, Scope *s, const Node *n)
{
    Value self = eval(j, s, n->a);
    Args args = eval_arguments(j, s, n->arguments);
    j->line = n->line;
    return n->builtin ? builtin_call(j, n->builtin, self, &args)
                      : filter_call(j, n->value, self, &args);
}

static Value eval_test(Jinja *j, Scope *s, const Node *n)
{
    Value self = eval(j, s, n->a);
    Args args = eval_arguments(j, s, n->arguments);
    j->line = n->line;
    return n->builtin ? builtin_call(j, n->builtin, self, &args)
                      : value_bool(test_call(j, n->value, self, &args));
}

static Value (*const evaluators[])(Jinja *, Scope *, const Node *) = {
    [N_CONST] = eval_constant,      [N_NAME] = eval_name,
    [N_NAMESPACE_REF] = eval_name,  [N_TUPLE] = eval_sequence,
    [N_LIST] = eval_sequence,       [N_DICT] = eval_dict,
    [N_COND] = eval_condition,      [N_OR] = eval_logic,
    [N_AND] = eval_logic,           [N_NOT] = eval_not,
    [N_NEGATE] = eval_sign,         [N_PLUS] = eval_sign,
    [N_COMPARE] = eval_compare,     [N_OPERAND] = eval_constant,
    [N_BINARY] = eval_binary,       [N_CONCAT] = eval_concat,
    [N_ATTRIBUTE] = eval_attribute, [N_ITEM] = eval_item,
    [N_SLICE] = eval_slice,         [N_CALL] = eval_call,
    [N_FILTER] = eval_filter,       [N_TEST] = eval_test,
};

Value eval(Jinja *j, Scope *s, const Node *n)
{
    jinja_enter(j);
    jinja_work(j, 1);
    Value v = evaluators[n->kind](j, s, n);
    jinja_leave(j);
    return v;
}
