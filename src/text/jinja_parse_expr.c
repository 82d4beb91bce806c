/* jinja_parse_expr.c -- expressions, by precedence climbing over Jinja2's levels:
 *
 *     if-else < or < and < not < comparisons < + - < ~ < * / // % < ** < unary < . [] () | is
 *
 * ** is left associative and binds weaker than a sign on its right, as in Jinja2 (not as in Python).
 */
#include "text/jinja_ast.h"

#include "text/jinja_builtins.h"
#include "text/jinja_lex.h"

static Node *parse_unary(Parser *, bool with_filters);

static Node *binary(Parser *p, NodeKind kind, Node *a, Node *b)
{
    Node *n = node_new(p, kind);
    n->line = a->line;
    n->a = a;
    n->b = b;
    return n;
}

/* ---- arithmetic ---- */

static Node *parse_power(Parser *p)
{
    Node *left = parse_unary(p, true);
    while (skip_kind(p, T_POW)) {
        left = binary(p, N_BINARY, left, parse_unary(p, true));
        left->op = T_POW;
    }
    return left;
}

static Node *parse_product(Parser *p)
{
    Node *left = parse_power(p);
    while (at_kind(p, T_MUL) || at_kind(p, T_DIV) || at_kind(p, T_FLOOR_DIV) || at_kind(p, T_MOD)) {
        TokenKind op = p->at++->kind;
        left = binary(p, N_BINARY, left, parse_power(p));
        left->op = op;
    }
    return left;
}

static Node *parse_concat(Parser *p)
{
    Node *first = parse_product(p);
    if (!at_kind(p, T_TILDE))
        return first;
    Node *n = node_new(p, N_CONCAT);
    n->items = first;
    for (Node **last = &first->next; skip_kind(p, T_TILDE); last = &(*last)->next)
        *last = parse_product(p);
    return n;
}

static Node *parse_sum(Parser *p)
{
    Node *left = parse_concat(p);
    while (at_kind(p, T_ADD) || at_kind(p, T_SUB)) {
        TokenKind op = p->at++->kind;
        left = binary(p, N_BINARY, left, parse_concat(p));
        left->op = op;
    }
    return left;
}

/* ---- truth ---- */

static bool skip_comparison(Parser *p, Node *operand)
{
    static const struct {
        TokenKind token;
        Operator op;
        Order order;
    } signs[] = {
        {T_EQUAL, OP_EQUAL, 0}, {T_UNEQUAL, OP_UNEQUAL, 0}, {T_LESS, OP_ORDERED, LESS},
        {T_LESS_EQUAL, OP_ORDERED, LESS_EQUAL}, {T_GREATER, OP_ORDERED, GREATER},
        {T_GREATER_EQUAL, OP_ORDERED, GREATER_EQUAL},
    };
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (skip_kind(p, signs[i].token)) {
            operand->op = (uint8_t)signs[i].op;
            operand->order = (uint8_t)signs[i].order;
            return true;
        }
    operand->op = OP_IN;
    if (skip_word(p, "in"))
        return true;
    operand->op = OP_NOT_IN;
    if (!at_word(p, "not") || p->at[1].kind != T_NAME || !span_is(p->at[1].text, "in"))
        return false;
    p->at += 2;
    return true;
}

static Node *parse_comparison(Parser *p)
{
    Node *first = parse_sum(p), *n = NULL, **last = NULL;
    for (Node operand = {0}; skip_comparison(p, &operand);) {
        if (!n) {
            n = node_new(p, N_COMPARE);
            n->a = first;
            last = &n->items;
        }
        *last = node_new(p, N_OPERAND);
        (*last)->op = operand.op;
        (*last)->order = operand.order;
        (*last)->a = parse_sum(p);
        last = &(*last)->next;
    }
    return n ? n : first;
}

static Node *parse_not(Parser *p)
{
    if (!at_word(p, "not"))
        return parse_comparison(p);
    Node *n = node_new(p, N_NOT);
    p->at++;
    jinja_enter(p->j);
    n->a = parse_not(p);
    jinja_leave(p->j);
    return n;
}

static Node *parse_and(Parser *p)
{
    Node *left = parse_not(p);
    while (skip_word(p, "and"))
        left = binary(p, N_AND, left, parse_not(p));
    return left;
}

Node *parse_without_condition(Parser *p)
{
    jinja_enter(p->j);
    Node *left = parse_and(p);
    while (skip_word(p, "or"))
        left = binary(p, N_OR, left, parse_and(p));
    jinja_leave(p->j);
    return left;
}

Node *parse_expression(Parser *p)
{
    jinja_enter(p->j);
    Node *then = parse_without_condition(p);
    while (skip_word(p, "if")) {
        Node *n = node_new(p, N_COND);
        n->line = then->line;
        n->b = then;
        n->a = parse_without_condition(p);
        if (skip_word(p, "else"))
            n->c = parse_expression(p);
        then = n;
    }
    jinja_leave(p->j);
    return then;
}

/* ---- names, literals, brackets ---- */

static Node *constant(Parser *p, Value v)
{
    Node *n = node_new(p, N_CONST);
    n->value = v;
    return n;
}

static Node *parse_name(Parser *p)
{
    static const struct {
        const char *word;
        Value value;
    } words[] = {
        {"true", {.kind = V_BOOL, .truth = true}}, {"True", {.kind = V_BOOL, .truth = true}},
        {"false", {.kind = V_BOOL}}, {"False", {.kind = V_BOOL}},
        {"none", {.kind = V_NONE}}, {"None", {.kind = V_NONE}},
    };
    Span name = p->at->text;
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (span_is(name, words[i].word)) {
            Node *n = constant(p, words[i].value);
            p->at++;
            return n;
        }
    Node *n = node_new(p, N_NAME);
    n->name = name_number(p, name);
    p->at++;
    return n;
}

static Node *parse_strings(Parser *p)
{
    Node *n = constant(p, p->at++->value);
    while (at_kind(p, T_STRING))
        n->value = str_add(p->j, n->value, p->at++->value);
    n->value.str->room = NULL;   /* a constant must not grow in place: renderings share it */
    return n;
}

/* Expressions with commas between up to a closing bracket, which is eaten. */
static Node *parse_items(Parser *p, NodeKind kind, TokenKind close)
{
    Node *n = node_new(p, kind), **last = &n->items;
    p->at++;
    while (!at_kind(p, close)) {
        if (n->items)
            expect(p, T_COMMA);
        if (at_kind(p, close))
            break;
        *last = parse_expression(p);
        last = &(*last)->next;
        if (kind == N_DICT) {
            expect(p, T_COLON);
            *last = parse_expression(p);
            last = &(*last)->next;
        }
    }
    expect(p, close);
    return n;
}

static Node *parse_primary(Parser *p)
{
    Node *n;
    switch (p->at->kind) {
    case T_NAME:
        return parse_name(p);
    case T_STRING:
        return parse_strings(p);
    case T_INTEGER:
    case T_FLOAT:
        n = constant(p, p->at->value);
        p->at++;
        return n;
    case T_LPAREN:
        p->at++;
        n = parse_tuple(p, parse_expression, NULL, true);
        expect(p, T_RPAREN);
        return n;
    case T_LBRACKET:
        return parse_items(p, N_LIST, T_RBRACKET);
    case T_LBRACE:
        return parse_items(p, N_DICT, T_RBRACE);
    default:
        fail_at_token(p, NULL);
    }
}

Node *parse_target_part(Parser *p)
{
    jinja_enter(p->j);
    Node *n = parse_primary(p);
    jinja_leave(p->j);
    return n;
}

Node *parse_set_target_part(Parser *p)
{
    Node *n = parse_target_part(p);
    if (n->kind != N_NAME || !skip_kind(p, T_DOT))
        return n;
    n->kind = N_NAMESPACE_REF;
    expect(p, T_NAME);
    n->value = str_borrow(p->j, (const char *)p->at[-1].text.data, p->at[-1].text.bytes);
    return n;
}

static bool at_tuple_end(const Parser *p, const char *stop)
{
    return at_kind(p, T_PRINT_END) || at_kind(p, T_BLOCK_END) || at_kind(p, T_RPAREN)
           || (stop && at_word(p, stop));
}

Node *parse_tuple(Parser *p, Node *(*parse_part)(Parser *), const char *stop, bool may_be_empty)
{
    Node *n = node_new(p, N_TUPLE), **last = &n->items;
    bool commas = false;
    while (!at_tuple_end(p, stop)) {
        *last = parse_part(p);
        last = &(*last)->next;
        if (!skip_kind(p, T_COMMA))
            break;
        commas = true;
    }
    if (!commas && n->items)
        return n->items;
    if (!commas && !may_be_empty)
        fail_at_token(p, "an expression");
    return n;
}

/* ---- what follows an operand ---- */

static Keyword parse_keyword(Parser *p, const Arguments *before)
{
    Keyword k = {.name = str_borrow(p->j, (const char *)p->at->text.data, p->at->text.bytes)};
    for (int32_t i = 0; i < before->named_count; i++)
        if (value_same(before->named[i].name, k.name))
            TYPE_ERROR(p->j, "the argument '%.*s' is given twice", (int)k.name.str->bytes,
                       k.name.str->data);
    p->at += 2;
    k.value = parse_expression(p);
    return k;
}

static void parse_argument(Parser *p, Arguments *a)
{
    bool named = at_kind(p, T_NAME) && p->at[1].kind == T_ASSIGN;
    if (a->star_star || (at_kind(p, T_MUL) && a->star)
        || (!named && !at_kind(p, T_MUL) && !at_kind(p, T_POW) && (a->star || a->named_count)))
        TYPE_ERROR(p->j, "invalid syntax for function call expression");
    if (skip_kind(p, T_MUL)) {
        a->star = parse_expression(p);
    } else if (skip_kind(p, T_POW)) {
        a->star_star = parse_expression(p);
    } else if (named) {
        size_t bytes = (size_t)a->named_count * sizeof *a->named;
        Keyword k = parse_keyword(p, a);
        a->named = jinja_grow(p->j, a->named, bytes, bytes + sizeof k);
        a->named[a->named_count++] = k;
    } else {
        Node **last = &a->items;
        while (*last)
            last = &(*last)->next;
        *last = parse_expression(p);
        a->count++;
    }
}

static Arguments *parse_arguments(Parser *p)
{
    enum { ARGUMENTS_MAX = 255 };
    Arguments *a = jinja_take(p->j, sizeof *a);
    expect(p, T_LPAREN);
    for (bool first = true; !at_kind(p, T_RPAREN); first = false) {
        if (!first) {
            expect(p, T_COMMA);
            if (at_kind(p, T_RPAREN))
                break;
        }
        if (a->count + a->named_count == ARGUMENTS_MAX)
            jinja_fail(p->j, LIMIT_REACHED, "a call with more than %d arguments", ARGUMENTS_MAX);
        parse_argument(p, a);
    }
    expect(p, T_RPAREN);
    return a;
}

static Node *parse_subscript_part(Parser *p)
{
    Node *first = at_kind(p, T_COLON) ? NULL : parse_expression(p);
    if (!at_kind(p, T_COLON))
        return first;
    Node *n = node_new(p, N_SLICE);
    Node **parts[] = {&n->b, &n->c};
    n->a = first;
    for (size_t i = 0; i < COUNT_OF(parts) && skip_kind(p, T_COLON); i++)
        if (!at_kind(p, T_COLON) && !at_kind(p, T_RBRACKET) && !at_kind(p, T_COMMA))
            *parts[i] = parse_expression(p);
    return n;
}

static Node *parse_subscript(Parser *p)
{
    Node *n = node_new(p, N_TUPLE), **last = &n->items;
    expect(p, T_LBRACKET);
    while (!at_kind(p, T_RBRACKET)) {
        if (n->items)
            expect(p, T_COMMA);
        *last = parse_subscript_part(p);
        last = &(*last)->next;
    }
    expect(p, T_RBRACKET);
    return n->items && !n->items->next ? n->items : n;
}

static Node *parse_dot(Parser *p, Node *of)
{
    Node *n = node_new(p, N_ATTRIBUTE);
    n->a = of;
    p->at++;
    if (at_kind(p, T_INTEGER)) {
        n->kind = N_ITEM;
        n->b = constant(p, p->at++->value);
        return n;
    }
    expect(p, T_NAME);
    n->value = str_borrow(p->j, (const char *)p->at[-1].text.data, p->at[-1].text.bytes);
    return n;
}

static Node *parse_call(Parser *p, Node *callee)
{
    Node *n = node_new(p, N_CALL);
    n->a = callee;
    n->arguments = parse_arguments(p);
    return n;
}

static Node *parse_postfix(Parser *p, Node *n)
{
    for (;;) {
        if (at_kind(p, T_DOT)) {
            n = parse_dot(p, n);
        } else if (at_kind(p, T_LBRACKET)) {
            Node *item = node_new(p, N_ITEM);
            item->a = n;
            item->b = parse_subscript(p);
            n = item;
        } else if (at_kind(p, T_LPAREN)) {
            n = parse_call(p, n);
        } else {
            return n;
        }
    }
}

/* The name of a filter or a test, which may have dots in it. */
static void parse_builtin_name(Parser *p, Node *n, const Builtin *(*find)(Span))
{
    Span name = p->at->text;
    expect(p, T_NAME);
    while (skip_kind(p, T_DOT)) {
        expect(p, T_NAME);
        name.bytes = (size_t)(p->at[-1].text.data + p->at[-1].text.bytes - name.data);
    }
    n->value = str_borrow(p->j, (const char *)name.data, name.bytes);
    n->builtin = find(name);
}

Node *parse_filters(Parser *p, Node *of, bool first_is_here)
{
    while (first_is_here || skip_kind(p, T_PIPE)) {
        Node *n = node_new(p, N_FILTER);
        n->a = of;
        parse_builtin_name(p, n, filter_find);
        n->arguments =
            at_kind(p, T_LPAREN) ? parse_arguments(p) : jinja_take(p->j, sizeof(Arguments));
        of = n;
        first_is_here = false;
    }
    return of;
}

static bool at_bare_argument(const Parser *p)
{
    switch (p->at->kind) {
    case T_NAME:
        return !at_word(p, "else") && !at_word(p, "or") && !at_word(p, "and");
    case T_STRING: case T_INTEGER: case T_FLOAT: case T_LBRACKET: case T_LBRACE:
        return true;
    default:
        return false;
    }
}

static Node *parse_test(Parser *p, Node *of)
{
    Node *n = node_new(p, N_TEST);
    n->a = of;
    p->at++;
    bool negated = skip_word(p, "not");
    parse_builtin_name(p, n, test_find);
    if (at_kind(p, T_LPAREN)) {
        n->arguments = parse_arguments(p);
    } else {
        n->arguments = jinja_take(p->j, sizeof(Arguments));
        if (at_bare_argument(p)) {
            if (at_word(p, "is"))
                TYPE_ERROR(p->j, "You cannot chain multiple tests with is");
            n->arguments->items = parse_postfix(p, parse_primary(p));
            n->arguments->count = 1;
        }
    }
    if (!negated)
        return n;
    Node *not = node_new(p, N_NOT);
    not->a = n;
    return not;
}

static Node *parse_unary(Parser *p, bool with_filters)
{
    Node *n;
    if (at_kind(p, T_SUB) || at_kind(p, T_ADD)) {
        n = node_new(p, at_kind(p, T_SUB) ? N_NEGATE : N_PLUS);
        p->at++;
        jinja_enter(p->j);
        n->a = parse_unary(p, false);
        jinja_leave(p->j);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    while (with_filters) {
        if (at_kind(p, T_PIPE))
            n = parse_filters(p, n, false);
        else if (at_word(p, "is"))
            n = parse_test(p, n);
        else if (at_kind(p, T_LPAREN))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}
