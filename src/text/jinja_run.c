/* jinja_run.c -- statements: scopes, loops, macros, captured output. */
#include "text/jinja_run.h"

#include "text/jinja_print.h"

typedef enum Flow { GO_ON, BREAK, CONTINUE } Flow;

static Flow run_body(Jinja *, Scope *, const Body *);

/* ---- scopes ---- */

static Scope *scope_new(Jinja *j, Scope *parent)
{
    Scope *s = jinja_take(j, sizeof *s);
    s->parent = parent;
    return s;
}

static void scope_bind(Jinja *j, Scope *s, int32_t name, Value v)
{
    for (int32_t i = 0; i < s->count; i++)
        if (s->items[i].name == name) {
            s->items[i].value = v;
            return;
        }
    if (s->count == s->capacity) {
        int32_t capacity = s->capacity ? 2 * s->capacity : 4;
        s->items = jinja_grow(j, s->items, (size_t)s->count * sizeof *s->items,
                              (size_t)capacity * sizeof *s->items);
        s->capacity = capacity;
    }
    s->items[s->count++] = (Binding){name, v};
}

void scope_set(Jinja *j, Scope *s, int32_t name, Value v)
{
    if (s)
        scope_bind(j, s, name, v);
    else
        j->root[name] = v;
}

Value *scope_find(Jinja *j, Scope *s, int32_t name)
{
    for (; s; s = s->parent)
        for (int32_t i = 0; i < s->count; i++)
            if (s->items[i].name == name)
                return &s->items[i].value;
    return j->root[name].kind != V_MISSING ? &j->root[name] : &j->context[name];
}

static void scope_hide(Jinja *j, Scope *s, const Body *body)
{
    for (int32_t i = 0; i < body->hidden_count; i++)
        scope_bind(j, s, body->hidden[i], value_missing());
}

static Flow run_in_scope(Jinja *j, Scope *parent, const Body *body)
{
    Scope *s = scope_new(j, parent);
    scope_hide(j, s, body);
    return run_body(j, s, body);
}

/* ---- assignment ---- */

static void assign(Jinja *j, Scope *s, const Node *target, Value v);

static void unpack(Jinja *j, Scope *s, const Node *target, Value v)
{
    Iter it = iter_of(j, v);
    Value items = list_new(j, 0), extra;
    int64_t wanted = 0;
    for (const Node *n = target->items; n; n = n->next, wanted++)
        if (iter_next(j, &it, &extra))
            list_put(j, items, extra);
    if (items.list->count < wanted)
        TYPE_ERROR(j, "not enough values to unpack (expected %lld, got %d)", (long long)wanted,
                   items.list->count);
    if (iter_next(j, &it, &extra))
        TYPE_ERROR(j, "too many values to unpack (expected %lld)", (long long)wanted);
    int32_t i = 0;
    for (const Node *n = target->items; n; n = n->next)
        assign(j, s, n, items.list->items[i++]);
}

static void assign_attribute(Jinja *j, Scope *s, const Node *target, Value v)
{
    const Value *space = scope_find(j, s, target->name);
    if (space->kind == V_UNDEFINED)
        undefined_fail(j, *space);
    if (space->kind != V_NAMESPACE)
        TYPE_ERROR(j, "cannot assign attribute on non-namespace object");
    dict_put(j, *space, target->value, v);
}

static void assign(Jinja *j, Scope *s, const Node *target, Value v)
{
    if (target->kind == N_TUPLE)
        unpack(j, s, target, v);
    else if (target->kind == N_NAMESPACE_REF)
        assign_attribute(j, s, target, v);
    else
        scope_set(j, s, target->name, v);
}

void loop_bind(Jinja *j, Scope *s, const Node *target, Value v) { assign(j, s, target, v); }

/* ---- output ---- */

static void out_put(Jinja *j, const char *data, size_t bytes)
{
    if (!buf_put(&j->out, data, bytes))
        jinja_fail(j, LIMIT_REACHED, "the template gives more than %zu bytes of text",
                   j->out.bytes_max);
}

static void out_value(Jinja *j, Value v)
{
    Value s = value_str(j, v);
    out_put(j, s.str->data, s.str->bytes);
}

/* What a filter or call block gives goes out as it is, and so must be text. */
static void out_text(Jinja *j, Value v)
{
    if (v.kind != V_STRING)
        TYPE_ERROR(j, "a block gives text, not %s", value_type(v));
    out_put(j, v.str->data, v.str->bytes);
}

/* What was put out since `mark`, taken back as a string. */
static Value out_take(Jinja *j, size_t mark)
{
    Value v = str_new(j, j->out.data + mark, j->out.bytes - mark);
    buf_cut(&j->out, mark);
    return v;
}

static Value filtered(Jinja *j, Scope *s, const Node *filter, Value v)
{
    if (!filter)
        return v;
    v = filtered(j, s, filter->a, v);
    Args args = eval_arguments(j, s, filter->arguments);
    j->line = filter->line;
    return filter->builtin ? builtin_call(j, filter->builtin, v, &args)
                           : filter_call(j, filter->value, v, &args);
}

/* ---- loops ---- */

static bool loop_draw(Jinja *j, Loop *l, Value *out)
{
    while (iter_next(j, &l->items, out)) {
        jinja_work(j, 1);
        if (!l->node->c || l->drained)
            return true;
        Scope *s = scope_new(j, l->around);
        assign(j, s, l->node->a, *out);
        if (value_truth(j, eval(j, s, l->node->c)))
            return true;
    }
    return false;
}

bool loop_next(Jinja *j, Loop *l, Value *out)
{
    if (l->after.kind != V_MISSING) {
        *out = l->after;
        l->after = value_missing();
    } else if (!loop_draw(j, l, out)) {
        return false;
    }
    l->index++;
    l->before = l->current;
    l->current = *out;
    return true;
}

static Value loop_after(Jinja *j, Loop *l)
{
    Value next;
    if (l->after.kind == V_MISSING && loop_draw(j, l, &next))
        l->after = next;
    return l->after;
}

int64_t loop_length(Jinja *j, Loop *l)
{
    if (l->length >= 0)
        return l->length;
    if (!l->node->c && value_has_length(l->iterable))
        return l->length = value_length(j, l->iterable);
    Value rest = list_new(j, 0);
    for (Value v; loop_draw(j, l, &v);)
        list_put(j, rest, v);
    l->length = rest.list->count + l->index + 1 + (l->after.kind != V_MISSING);
    l->items = iter_of(j, rest);
    l->drained = true;
    return l->length;
}

static Value loop_cycle(Jinja *j, Call *call)
{
    const Args *a = call->args;
    if (a->count == 0)
        TYPE_ERROR(j, "no items for cycling given");
    return a->items[call->self.loop->index % a->count];
}

static Value loop_changed(Jinja *j, Call *call)
{
    Loop *l = call->self.loop;
    Value now = tuple_new(j, call->args->count);
    for (int32_t i = 0; i < call->args->count; i++)
        list_put(j, now, call->args->items[i]);
    if (l->changed.kind != V_MISSING && value_equal(j, l->changed, now))
        return value_bool(false);
    l->changed = now;
    return value_bool(true);
}

Value loop_attribute(Jinja *j, Loop *l, Value name)
{
    static const Builtin methods[] = {{"cycle", NULL, loop_cycle}, {"changed", NULL, loop_changed}};
    static const char *const names[] = {"index", "index0", "first", "last", "length", "revindex",
                                        "revindex0", "depth", "depth0", "previtem", "nextitem"};
    size_t i = 0;
    while (i < COUNT_OF(names) && !str_is(name, names[i]))
        i++;
    switch (i) {
    case 0: return value_int(l->index + 1);
    case 1: return value_int(l->index);
    case 2: return value_bool(l->index == 0);
    case 3: return value_bool(loop_after(j, l).kind == V_MISSING);
    case 4: return value_int(loop_length(j, l));
    case 5: return value_int(loop_length(j, l) - l->index);
    case 6: return value_int(loop_length(j, l) - l->index - 1);
    case 7: return value_int(l->depth + 1);
    case 8: return value_int(l->depth);
    case 9: return l->index == 0 ? undefined_hint(j, "there is no previous item") : l->before;
    case 10:
        return loop_after(j, l).kind == V_MISSING ? undefined_hint(j, "there is no next item")
                                                  : l->after;
    default: break;
    }
    for (i = 0; i < COUNT_OF(methods); i++)
        if (str_is(name, methods[i].name))
            return function_of(j, &methods[i], (Value){.kind = V_LOOP, .loop = l});
    return value_missing();
}

/* As in Jinja2 the else runs when no turn came to its end: a continue or break in all of them counts
 * as none. */
static void run_loop(Jinja *j, Scope *around, const Node *n, Value iterable, int depth)
{
    Loop *l = jinja_take(j, sizeof *l);
    *l = (Loop){.node = n,
                .around = around,
                .iterable = iterable,
                .index = -1,
                .length = -1,
                .depth = depth};
    l->items = iter_of(j, iterable);
    Scope *s = scope_new(j, around);
    bool ended = false;
    for (Value item; loop_next(j, l, &item);) {
        s->count = 0;
        scope_bind(j, s, j->tree->loop_name, (Value){.kind = V_LOOP, .loop = l});
        assign(j, s, n->a, item);
        scope_hide(j, s, &n->body);
        Flow flow = run_body(j, s, &n->body);
        ended |= flow == GO_ON;
        if (flow == BREAK)
            break;
    }
    if (!ended && n->other.first)
        run_in_scope(j, around, &n->other);
}

Value loop_recurse(Jinja *j, Loop *l, Value iterable)
{
    if (!l->node->flag)
        TYPE_ERROR(j, "The loop must have the 'recursive' marker to be called recursively.");
    size_t mark = j->out.bytes;
    jinja_enter(j);
    run_loop(j, l->around, l->node, iterable, l->depth + 1);
    jinja_leave(j);
    return out_take(j, mark);
}

/* ---- macros ---- */

static Value macro_of(Jinja *j, const Node *n, Scope *s)
{
    Macro *m = jinja_take(j, sizeof *m);
    *m = (Macro){n, s};
    return (Value){.kind = V_MACRO, .macro = m};
}

const Str *macro_name(Jinja *j, const Macro *m)
{
    return m->node->kind == N_MACRO ? j->names[m->node->name] : NULL;
}

Value macro_attribute(Jinja *j, Macro *m, Value name)
{
    const Parameters *p = m->node->parameters;
    if (str_is(name, "name")) {
        const Str *s = macro_name(j, m);
        return s ? (Value){.kind = V_STRING, .str = (Str *)s} : value_none();
    }
    if (str_is(name, "arguments")) {
        Value out = tuple_new(j, p->count);
        for (int32_t i = 0; i < p->count; i++)
            list_put(j, out, (Value){.kind = V_STRING, .str = (Str *)j->names[p->names[i]]});
        return out;
    }
    if (str_is(name, "catch_kwargs"))
        return value_bool(p->takes_kwargs);
    if (str_is(name, "catch_varargs"))
        return value_bool(p->takes_varargs);
    return str_is(name, "caller") ? value_bool(p->takes_caller) : value_missing();
}

static bool take_named(const Args *args, bool *taken, Value name, Value *out)
{
    for (int32_t i = 0; i < args->named_count; i++)
        if (!taken[i] && value_same(args->named[i].name, name)) {
            taken[i] = true;
            *out = args->named[i].value;
            return true;
        }
    return false;
}

/* The special names of a macro: caller, the arguments by name that are left, those by position. */
static void bind_specials(Jinja *j, const Macro *m, Scope *s, const Args *args, bool *taken)
{
    const Parameters *p = m->node->parameters;
    const Tree *t = j->tree;
    Value caller = undefined_hint(j, "No caller defined");
    if (p->takes_caller) {
        take_named(args, taken, (Value){.kind = V_STRING, .str = (Str *)j->names[t->caller_name]},
                   &caller);
        scope_bind(j, s, t->caller_name, caller);
    }
    Value kwargs = dict_new(j), varargs = tuple_new(j, 0);
    for (int32_t i = 0; i < args->named_count; i++) {
        const Str *name = args->named[i].name.str;
        if (!taken[i] && !p->takes_kwargs)
            TYPE_ERROR(j, "the macro takes no keyword argument '%.*s'", (int)name->bytes,
                       name->data);
        if (!taken[i])
            dict_put(j, kwargs, args->named[i].name, args->named[i].value);
    }
    if (args->count > p->count && !p->takes_varargs)
        TYPE_ERROR(j, "the macro takes not more than %d argument(s)", p->count);
    for (int32_t i = p->count; i < args->count; i++)
        list_put(j, varargs, args->items[i]);
    if (p->takes_kwargs)
        scope_bind(j, s, t->kwargs_name, kwargs);
    if (p->takes_varargs)
        scope_bind(j, s, t->varargs_name, varargs);
}

static Value parameter_default(Jinja *j, Scope *s, const Parameters *p, int32_t i)
{
    if (p->defaults[i])
        return eval(j, s, p->defaults[i]);
    Text hint = text_new(j);
    text_puts(&hint, "parameter '");
    text_put_str(&hint, j->names[p->names[i]]);
    text_puts(&hint, "' was not provided");
    text_put_char(&hint, 0);
    return undefined_hint(j, hint.data);
}

Value macro_call(Jinja *j, Macro *m, const Args *args)
{
    const Parameters *p = m->node->parameters;
    Scope *s = scope_new(j, m->scope);
    bool *taken = jinja_take(j, (size_t)args->named_count + 1);
    jinja_enter(j);
    for (int32_t i = 0; i < p->count; i++) {
        Value v = value_missing(), name = {.kind = V_STRING, .str = (Str *)j->names[p->names[i]]};
        if (i < args->count)
            v = args->items[i];
        else
            take_named(args, taken, name, &v);
        scope_bind(j, s, p->names[i], v);
    }
    bind_specials(j, m, s, args, taken);
    for (int32_t i = 0; i < p->count; i++)
        if (scope_find(j, s, p->names[i])->kind == V_MISSING)
            scope_bind(j, s, p->names[i], parameter_default(j, s, p, i));
    scope_hide(j, s, &m->node->body);
    size_t mark = j->out.bytes;
    run_body(j, s, &m->node->body);
    jinja_leave(j);
    return out_take(j, mark);
}

/* ---- statements ---- */

static Flow run_text(Jinja *j, Scope *s, const Node *n)
{
    (void)s;
    out_put(j, n->value.str->data, n->value.str->bytes);
    return GO_ON;
}

static Flow run_print(Jinja *j, Scope *s, const Node *n)
{
    out_value(j, eval(j, s, n->a));
    return GO_ON;
}

static Flow run_set(Jinja *j, Scope *s, const Node *n)
{
    Value v = eval(j, s, n->b);
    j->line = n->line;
    assign(j, s, n->a, v);
    return GO_ON;
}

static Flow run_captured(Jinja *j, Scope *s, const Node *n)
{
    size_t mark = j->out.bytes;
    Scope *inner = scope_new(j, s);
    scope_hide(j, inner, &n->body);
    Flow flow = run_body(j, inner, &n->body);
    Value text = out_take(j, mark);
    if (flow != GO_ON)
        return flow;
    text = filtered(j, inner, n->kind == N_SET_BLOCK ? n->b : n->a, text);
    j->line = n->line;
    if (n->kind == N_SET_BLOCK)
        assign(j, s, n->a, text);
    else
        out_text(j, text);
    return GO_ON;
}

static Flow run_for(Jinja *j, Scope *s, const Node *n)
{
    Value iterable = eval(j, s, n->b);
    j->line = n->line;
    run_loop(j, s, n, iterable, 0);
    return GO_ON;
}

static Flow run_if(Jinja *j, Scope *s, const Node *n)
{
    return run_body(j, s, value_truth(j, eval(j, s, n->a)) ? &n->body : &n->other);
}

static Flow run_macro(Jinja *j, Scope *s, const Node *n)
{
    scope_set(j, s, n->name, macro_of(j, n, s));
    return GO_ON;
}

static Flow run_call_block(Jinja *j, Scope *s, const Node *n)
{
    Value callee = eval(j, s, n->a->a);
    Args args = eval_arguments(j, s, n->a->arguments);
    size_t bytes = (size_t)args.named_count * sizeof *args.named;
    args.named = jinja_grow(j, args.named, bytes, bytes + sizeof *args.named);
    args.named[args.named_count++] = (Named){
        {.kind = V_STRING, .str = (Str *)j->names[j->tree->caller_name]}, macro_of(j, n, s)};
    j->line = n->line;
    out_text(j, value_call(j, callee, &args));
    return GO_ON;
}

static Flow run_with(Jinja *j, Scope *s, const Node *n)
{
    Scope *inner = scope_new(j, s);
    for (const Node *target = n->items; target; target = target->next->next)
        assign(j, inner, target, eval(j, s, target->next));
    scope_hide(j, inner, &n->body);
    return run_body(j, inner, &n->body);
}

static Flow run_scope(Jinja *j, Scope *s, const Node *n)
{
    if (value_truth(j, eval(j, s, n->a)))
        jinja_fail(j, UNSUPPORTED, "autoescape: a prompt is not HTML");
    return run_in_scope(j, s, &n->body);
}

static Flow run_generation(Jinja *j, Scope *s, const Node *n)
{
    out_value(j, macro_call(j, macro_of(j, n, s).macro, &(Args){0}));
    return GO_ON;
}

static Flow run_block(Jinja *j, Scope *s, const Node *n)
{
    return run_in_scope(j, n->flag ? s : NULL, &n->body);
}

static Flow run_break(Jinja *j, Scope *s, const Node *n)
{
    (void)j, (void)s;
    return n->kind == N_BREAK ? BREAK : CONTINUE;
}

static Flow (*const runners[])(Jinja *, Scope *, const Node *) = {
    [N_TEXT] = run_text, [N_PRINT] = run_print, [N_SET] = run_set, [N_SET_BLOCK] = run_captured,
    [N_FOR] = run_for, [N_IF] = run_if, [N_MACRO] = run_macro, [N_CALL_BLOCK] = run_call_block,
    [N_FILTER_BLOCK] = run_captured, [N_WITH] = run_with, [N_SCOPE] = run_scope,
    [N_GENERATION] = run_generation, [N_BLOCK] = run_block,
    [N_BREAK] = run_break, [N_CONTINUE] = run_break,
};

static Flow run_body(Jinja *j, Scope *s, const Body *body)
{
    Flow flow = GO_ON;
    jinja_enter(j);
    for (const Node *n = body->first; n && flow == GO_ON; n = n->next) {
        jinja_work(j, 1);
        j->line = n->line;
        flow = runners[n->kind](j, s, n);
    }
    jinja_leave(j);
    return flow;
}

void run_tree(Jinja *j, const Tree *tree)
{
    for (int32_t i = 0; i < tree->body.hidden_count; i++)
        j->context[tree->body.hidden[i]] = value_missing();
    run_body(j, NULL, &tree->body);
}
