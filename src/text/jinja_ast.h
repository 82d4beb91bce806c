/* jinja_ast.h -- a template as a tree, and the parser that makes it.
 *
 * One kind of node for all: `a`, `b`, `c` and the list `items` mean what the comment beside the kind
 * says. A body also knows its hidden names: those that it sets before it reads them, which are then
 * undefined at its beginning even where an outer scope or the context defines them. (Jinja2 decides
 * this when it compiles, so a set further down changes what a loop further up can see.)
 */
#ifndef TEXT_JINJA_AST_H
#define TEXT_JINJA_AST_H

#include "text/jinja_value.h"

typedef enum NodeKind {
    /* expressions */
    N_CONST,        /* value */
    N_NAME,         /* name; flag: it is bound here, not read */
    N_NAMESPACE_REF,/* name . value, as the target of a set */
    N_TUPLE,        /* items */
    N_LIST,         /* items */
    N_DICT,         /* items: key, value, key, value ... */
    N_COND,         /* b if a else c; c may be NULL */
    N_OR, N_AND,    /* a, b */
    N_NOT, N_NEGATE, N_PLUS,   /* a */
    N_COMPARE,      /* a, then items: N_OPERAND */
    N_OPERAND,      /* op a */
    N_BINARY,       /* a op b */
    N_CONCAT,       /* items */
    N_ATTRIBUTE,    /* a . value */
    N_ITEM,         /* a[b] */
    N_SLICE,        /* [a:b:c], each may be NULL */
    N_CALL,         /* a(arguments) */
    N_FILTER,       /* a|builtin(arguments); a is NULL at the start of a filter block */
    N_TEST,         /* a is builtin(arguments) */
    /* statements */
    N_TEXT,         /* value */
    N_PRINT,        /* a */
    N_SET,          /* a = b */
    N_SET_BLOCK,    /* a = body, through the filter b or NULL */
    N_FOR,          /* for a in b if c: body, else other; flag: recursive */
    N_IF,           /* if a: body, else other */
    N_MACRO,        /* name(parameters): body */
    N_CALL_BLOCK,   /* call(parameters) a: body */
    N_FILTER_BLOCK, /* filter a: body */
    N_WITH,         /* items: target, value, target, value ...; body */
    N_SCOPE,        /* autoescape a: body */
    N_GENERATION,   /* body, as a macro that is called at once */
    N_BLOCK,        /* body, in a scope of its own that sees only the outermost */
    N_BREAK, N_CONTINUE,
} NodeKind;

typedef enum Operator { OP_EQUAL, OP_UNEQUAL, OP_ORDERED, OP_IN, OP_NOT_IN } Operator;

typedef struct Body {
    Node *first;
    int32_t *hidden;
    int32_t hidden_count;
} Body;

typedef struct Keyword {
    Value name;
    Node *value;
} Keyword;

typedef struct Arguments {
    Node *items;
    Keyword *named;
    int32_t count, named_count;
    Node *star, *star_star;
} Arguments;

typedef struct Parameters {
    int32_t *names;
    Node **defaults;            /* of each name; NULL: none */
    int32_t count;
    bool takes_caller, takes_kwargs, takes_varargs;
} Parameters;

struct Node {
    uint8_t kind, op;           /* op: Operator (`order` with OP_ORDERED), or the TokenKind of a N_BINARY */
    uint8_t order;
    bool flag;
    int32_t line, name;
    Node *next;                 /* in the list that this node is part of */
    Node *a, *b, *c, *items;
    Value value;
    Body body, other;
    const Builtin *builtin;     /* NULL: unknown, an error once it is reached */
    Arguments *arguments;
    Parameters *parameters;
};

typedef struct Tree {
    Body body;
    const Str **names;
    int32_t name_count;
    int32_t loop_name, caller_name, kwargs_name, varargs_name;
} Tree;

Tree *jinja_parse(Jinja *, Span source);

/* Within the parser: statements call expressions, never the other way. */
typedef struct Token Token;
typedef struct Parser {
    Jinja *j;
    const Token *at;
    Tree *tree;
    Value interned;             /* dict: name -> number */
    int32_t names_capacity;
    int loops;                  /* around here within the same function: may one break? */
    int fors;                   /* around here at all: `loop` may not be set */
} Parser;

Node *node_new(Parser *, NodeKind);
int32_t name_number(Parser *, Span name);
bool at_kind(const Parser *, int kind);
bool at_word(const Parser *, const char *word);
bool skip_kind(Parser *, int kind);
bool skip_word(Parser *, const char *word);
void expect(Parser *, int kind);
_Noreturn void fail_at_token(Parser *, const char *expected);
Node *parse_expression(Parser *);
Node *parse_without_condition(Parser *);
/* One expression, or several with commas between: then a tuple. `stop` is a word that ends it. */
Node *parse_tuple(Parser *, Node *(*parse_part)(Parser *), const char *stop, bool may_be_empty);
Node *parse_target_part(Parser *);      /* a name, or a tuple of them */
Node *parse_set_target_part(Parser *);  /* or namespace.attribute */
Node *parse_filters(Parser *, Node *of, bool first_is_here);

/* Finds the hidden names of all bodies, and refuses unknown filters and tests outside of any `if`:
 * inside they are an error only when they are reached (jinja_scope.c). */
void jinja_scope(Jinja *, Tree *);

#endif
