/* jinja_scope.c -- which names a body hides, and which macros take a caller, kwargs, varargs.
 *
 * Jinja2 binds names when it compiles. A body gets a symbol for each name in it, in the order of the
 * text: one that is set first, and that no outer scope knows, starts as undefined, whatever the
 * context says. One that is read first, or set only in a branch, starts with the outer value. Scopes
 * here are looked through when the template runs, so only the first sort needs to be known: hidden.
 */
#include "text/jinja_ast.h"

typedef enum Start { START_OUTER, START_GIVEN, START_HIDDEN } Start;

typedef struct Symbol {
    int32_t name;
    Start start;
    bool stored;
} Symbol;

typedef struct Symbols Symbols;
struct Symbols {
    Jinja *j;
    const Symbols *parent;
    Symbol *items;
    int32_t count, capacity;
};

static Symbol *symbol_find(const Symbols *s, int32_t name)
{
    for (int32_t i = 0; i < s->count; i++)
        if (s->items[i].name == name)
            return &s->items[i];
    return NULL;
}

static bool known_outside(const Symbols *s, int32_t name)
{
    for (const Symbols *p = s->parent; p; p = p->parent)
        if (symbol_find(p, name))
            return true;
    return false;
}

static Symbol *symbol_put(Symbols *s, int32_t name, Start start)
{
    if (s->count == s->capacity) {
        int32_t capacity = s->capacity ? 2 * s->capacity : 16;
        s->items = jinja_grow(s->j, s->items, (size_t)s->count * sizeof *s->items,
                              (size_t)capacity * sizeof *s->items);
        s->capacity = capacity;
    }
    s->items[s->count] = (Symbol){.name = name, .start = start};
    return &s->items[s->count++];
}

static void symbol_load(Symbols *s, int32_t name)
{
    if (!symbol_find(s, name) && !known_outside(s, name))
        symbol_put(s, name, START_OUTER);
}

static void symbol_store(Symbols *s, int32_t name)
{
    Symbol *known = symbol_find(s, name);
    if (!known)
        known = symbol_put(s, name, known_outside(s, name) ? START_OUTER : START_HIDDEN);
    known->stored = true;
}

static void symbol_give(Symbols *s, int32_t name)
{
    Symbol *known = symbol_find(s, name);
    if (!known)
        known = symbol_put(s, name, START_GIVEN);
    known->start = START_GIVEN;
    known->stored = true;
}

static Symbols symbols_copy(const Symbols *s)
{
    Symbols out = *s;
    size_t bytes = (size_t)s->capacity * sizeof *s->items;
    out.items = bytes ? jinja_grow(s->j, s->items, bytes, bytes) : NULL;
    return out;
}

/* What a branch stores may not have happened: it starts with the outer value. */
static void symbols_join(Symbols *s, const Symbols *branch, int32_t known)
{
    for (int32_t i = 0; i < branch->count; i++) {
        const Symbol *b = &branch->items[i];
        Symbol *mine = symbol_find(s, b->name);
        bool was_stored = mine && mine - s->items < known && mine->stored;
        if (!mine)
            mine = symbol_put(s, b->name, b->start);
        if (b->stored && !was_stored)
            mine->start = START_OUTER;
    }
}

static void visit(Symbols *s, const Node *n);

static void visit_list(Symbols *s, const Node *n)
{
    for (; n; n = n->next)
        visit(s, n);
}

static void visit_if(Symbols *s, const Node *n)
{
    visit(s, n->a);
    Symbols yes = symbols_copy(s), no = symbols_copy(s);
    visit_list(&yes, n->body.first);
    visit_list(&no, n->other.first);
    int32_t known = s->count;
    symbols_join(s, &yes, known);
    symbols_join(s, &no, known);
    for (int32_t i = 0; i < s->count; i++) {
        const Symbol *a = symbol_find(&yes, s->items[i].name),
                     *b = symbol_find(&no, s->items[i].name);
        s->items[i].stored |= (a && a->stored) || (b && b->stored);
    }
}

static void visit_arguments(Symbols *s, const Arguments *a)
{
    if (!a)
        return;
    visit_list(s, a->items);
    for (int32_t i = 0; i < a->named_count; i++)
        visit(s, a->named[i].value);
    visit(s, a->star);
    visit(s, a->star_star);
}

static void visit(Symbols *s, const Node *n)
{
    if (!n)
        return;
    jinja_enter(s->j);
    switch (n->kind) {
    case N_NAME:
        if (n->flag)
            symbol_store(s, n->name);
        else
            symbol_load(s, n->name);
        break;
    case N_NAMESPACE_REF:
        symbol_load(s, n->name);
        break;
    case N_IF:
        visit_if(s, n);
        break;
    case N_MACRO:
        symbol_store(s, n->name);
        break;
    case N_SET:
        visit(s, n->b);
        visit(s, n->a);
        break;
    case N_FOR:
        visit(s, n->b);
        break;
    case N_WITH:
        for (const Node *target = n->items; target; target = target->next->next)
            visit(s, target->next);
        break;
    case N_SCOPE:
    case N_GENERATION:
    case N_BLOCK:
        break;
    case N_SET_BLOCK:
        visit(s, n->a);
        break;
    default:
        visit(s, n->a);
        visit(s, n->b);
        visit(s, n->c);
        visit_list(s, n->items);
        visit_arguments(s, n->arguments);
    }
    jinja_leave(s->j);
}

/* ---- each body with the symbols of those around it ---- */

static void bodies_within(const Symbols *s, const Tree *t, Node *first);

static void note_hidden(const Symbols *s, Body *body)
{
    body->hidden = jinja_take_array(s->j, (size_t)s->count, sizeof *body->hidden);
    for (int32_t i = 0; i < s->count; i++)
        if (s->items[i].start == START_HIDDEN)
            body->hidden[body->hidden_count++] = s->items[i].name;
}

static void give_target(Symbols *s, const Node *target)
{
    if (target->kind == N_NAME)
        symbol_give(s, target->name);
    for (const Node *n = target->items; n; n = n->next)
        give_target(s, n);
}

static void finish_body(Symbols *s, const Tree *t, Body *body)
{
    visit_list(s, body->first);
    note_hidden(s, body);
    bodies_within(s, t, body->first);
}

static void parameters_of(Symbols *s, const Tree *t, Node *n)
{
    const Parameters *p = n->parameters;
    for (int32_t i = 0; i < p->count; i++)
        symbol_give(s, p->names[i]);
    if (p->takes_caller)
        symbol_give(s, t->caller_name);
    if (p->takes_kwargs)
        symbol_give(s, t->kwargs_name);
    if (p->takes_varargs)
        symbol_give(s, t->varargs_name);
    for (int32_t i = 0; i < p->count; i++)
        visit(s, p->defaults[i]);
}

/* How `name` comes first in a function's body: read (1), bound (-1), or not at all (0). */
static int first_use(Jinja *j, const Node *n, int32_t name);

static int first_use_in_list(Jinja *j, const Node *n, int32_t name)
{
    int use = 0;
    for (; n && !use; n = n->next)
        use = first_use(j, n, name);
    return use;
}

static int first_use_in_arguments(Jinja *j, const Arguments *a, int32_t name)
{
    int use = first_use_in_list(j, a->items, name);
    for (int32_t i = 0; i < a->named_count && !use; i++)
        use = first_use(j, a->named[i].value, name);
    use = use ? use : first_use(j, a->star, name);
    return use ? use : first_use(j, a->star_star, name);
}

static int first_use(Jinja *j, const Node *n, int32_t name)
{
    if (!n || n->kind == N_BLOCK)
        return 0;
    if (n->kind == N_NAME && n->name == name)
        return n->flag ? -1 : 1;
    jinja_enter(j);
    int use = 0;
    for (int32_t i = 0; n->parameters && i < n->parameters->count && !use; i++)
        use = n->parameters->names[i] == name ? -1 : 0;
    const Node *const parts[] = {n->a, n->b, n->c};
    for (size_t i = 0; i < COUNT_OF(parts) && !use; i++)
        use = first_use(j, parts[i], name);
    use = use ? use : first_use_in_list(j, n->items, name);
    use = use || !n->arguments ? use : first_use_in_arguments(j, n->arguments, name);
    use = use ? use : first_use_in_list(j, n->body.first, name);
    use = use ? use : first_use_in_list(j, n->other.first, name);
    jinja_leave(j);
    return use;
}

static bool is_parameter(const Parameters *p, int32_t name)
{
    for (int32_t i = 0; i < p->count; i++)
        if (p->names[i] == name)
            return true;
    return false;
}

static void note_specials(Jinja *j, const Tree *t, Node *n)
{
    Parameters *p = n->parameters;
    j->line = n->line;
    bool calls = first_use_in_list(j, n->body.first, t->caller_name) == 1;
    for (int32_t i = 0; calls && i < p->count; i++)
        if (p->names[i] == t->caller_name && !p->defaults[i])
            TYPE_ERROR(j, "the special parameter 'caller' must be left out or be given a default");
    p->takes_caller = calls && !is_parameter(p, t->caller_name);
    p->takes_kwargs = first_use_in_list(j, n->body.first, t->kwargs_name) == 1
                      && !is_parameter(p, t->kwargs_name);
    p->takes_varargs = first_use_in_list(j, n->body.first, t->varargs_name) == 1
                       && !is_parameter(p, t->varargs_name);
}

static void scope_of(const Symbols *around, const Tree *t, Node *n)
{
    Symbols s = {.j = around->j, .parent = n->kind == N_BLOCK ? NULL : around};
    if (n->kind == N_FOR) {
        give_target(&s, n->a);
        symbol_give(&s, t->loop_name);
        Symbols other = {.j = around->j, .parent = around};
        finish_body(&other, t, &n->other);
    }
    if (n->parameters) {
        note_specials(around->j, t, n);
        parameters_of(&s, t, n);
    }
    if (n->kind == N_WITH)
        for (const Node *target = n->items; target; target = target->next->next)
            give_target(&s, target);
    finish_body(&s, t, &n->body);
}

static void bodies_within(const Symbols *s, const Tree *t, Node *first)
{
    jinja_enter(s->j);
    for (Node *n = first; n; n = n->next) {
        if (n->kind == N_IF) {
            bodies_within(s, t, n->body.first);
            bodies_within(s, t, n->other.first);
        } else if (n->kind >= N_TEXT) {
            scope_of(s, t, n);
        }
    }
    jinja_leave(s->j);
}

/* ---- filters and tests that do not exist ---- */

static void check_builtins(Jinja *j, const Node *n, bool soft);

static void check_list(Jinja *j, const Node *n, bool soft)
{
    for (; n; n = n->next)
        check_builtins(j, n, soft);
}

static void check_builtins(Jinja *j, const Node *n, bool soft)
{
    if (!n)
        return;
    jinja_enter(j);
    if ((n->kind == N_FILTER || n->kind == N_TEST) && !n->builtin && !soft) {
        j->line = n->line;
        TYPE_ERROR(j, "No %s named '%.*s'", n->kind == N_FILTER ? "filter" : "test",
                   (int)n->value.str->bytes, n->value.str->data);
    }
    bool branch = n->kind == N_IF || n->kind == N_COND;
    soft |= branch;
    check_builtins(j, n->a, soft);
    check_builtins(j, n->b, soft);
    check_builtins(j, n->c, soft && n->kind != N_FOR);
    check_list(j, n->items, soft);
    if (n->arguments) {
        check_list(j, n->arguments->items, soft);
        for (int32_t i = 0; i < n->arguments->named_count; i++)
            check_builtins(j, n->arguments->named[i].value, soft);
        check_builtins(j, n->arguments->star, soft);
        check_builtins(j, n->arguments->star_star, soft);
    }
    for (int32_t i = 0; n->parameters && i < n->parameters->count; i++)
        check_builtins(j, n->parameters->defaults[i], false);
    check_list(j, n->body.first, branch);
    check_list(j, n->other.first, branch);
    jinja_leave(j);
}

void jinja_scope(Jinja *j, Tree *t)
{
    Symbols s = {.j = j};
    j->depth_max = JINJA_DEPTH_MAX;
    finish_body(&s, t, &t->body);
    check_list(j, t->body.first, false);
}
