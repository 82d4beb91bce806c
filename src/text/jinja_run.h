/* jinja_run.h -- a template that runs: scopes, calls, and what the builtins may ask of the machine. */
#ifndef TEXT_JINJA_RUN_H
#define TEXT_JINJA_RUN_H

#include "text/jinja_ast.h"

/* Names bound by a loop, a macro, a with ...; outermost names are in Jinja.root instead. A binding of
 * V_MISSING hides what lies further out. */
typedef struct Binding {
    int32_t name;
    Value value;
} Binding;

struct Scope {
    Scope *parent;              /* NULL: next comes the outermost */
    Binding *items;
    int32_t count, capacity;
};

struct Macro {
    const Node *node;
    Scope *scope;               /* where it was defined */
};

/* A for that runs. Items are drawn one at a time: the condition of the loop may depend on what the
 * body did before. Only loop.last and loop.nextitem look one ahead, loop.length draws all. */
struct Loop {
    const Node *node;
    Scope *around;
    Iter items;
    Value iterable;
    Value before, current, after;   /* V_MISSING: none */
    Value changed;                  /* the arguments of the last loop.changed() */
    int64_t index, length;          /* length -1: not known yet */
    int depth;
    bool drained;                   /* the items left have passed the condition */
};

void run_tree(Jinja *, const Tree *);
int64_t loop_length(Jinja *, Loop *);
Value loop_attribute(Jinja *, Loop *, Value name);      /* V_MISSING: no such attribute */
Value loop_recurse(Jinja *, Loop *, Value iterable);
Value macro_call(Jinja *, Macro *, const Args *);
const Str *macro_name(Jinja *, const Macro *);          /* NULL: the body of a call block */
Value macro_attribute(Jinja *, Macro *, Value name);    /* V_MISSING: no such attribute */
bool loop_next(Jinja *, Loop *, Value *out);
void loop_bind(Jinja *, Scope *, const Node *target, Value);

Value eval(Jinja *, Scope *, const Node *);
Args eval_arguments(Jinja *, Scope *, const Arguments *);
void scope_set(Jinja *, Scope *, int32_t name, Value);
Value *scope_find(Jinja *, Scope *, int32_t name);

Value function_of(Jinja *, const Builtin *, Value self);

/* Calls anything callable. */
Value value_call(Jinja *, Value callee, const Args *);
Value builtin_call(Jinja *, const Builtin *, Value self, const Args *);
Value filter_call(Jinja *, Value name, Value self, const Args *);
bool test_call(Jinja *, Value name, Value self, const Args *);

/* a.name and a[key], as Jinja2's sandbox looks them up; V_UNDEFINED when there is nothing. */
Value value_attribute(Jinja *, Value of, Value name);
Value value_item(Jinja *, Value of, Value key);
Value value_own_attribute(Jinja *, Value of, Value name);   /* never an item; V_MISSING: none */
Value value_slice(Jinja *, Value of, Value start, Value stop, Value step);

Value value_binary(Jinja *, int token, Value a, Value b);
Value value_negate(Jinja *, Value, bool negative);
int64_t index_of(Jinja *, Value);   /* an integer, or it fails */

#endif
