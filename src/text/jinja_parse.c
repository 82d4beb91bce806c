#include "text/jinja_lex.h"

#include "text/jinja_ast.h"
#include "text/jinja_unicode.h"

/* ---- tokens and nodes ---- */

bool at_kind(const Parser *p, int kind) { return (int)p->at->kind == kind; }
bool at_word(const Parser *p, const char *word)
{
    return p->at->kind == T_NAME && span_is(p->at->text, word);
}

bool skip_kind(Parser *p, int kind)
{
    bool there = at_kind(p, kind);
    p->at += there;
    return there;
}

bool skip_word(Parser *p, const char *word)
{
    bool there = at_word(p, word);
    p->at += there;
    return there;
}

void fail_at_token(Parser *p, const char *expected)
{
    const Token *t = p->at;
    bool named = t->kind == T_NAME;
    p->j->line = t->line;
    TYPE_ERROR(p->j, "unexpected %.*s%s%s", named ? (int)t->text.bytes : 30,
               named ? (const char *)t->text.data : token_name(t->kind),
               expected ? ", expected " : "", expected ? expected : "");
}

void expect(Parser *p, int kind)
{
    if (!skip_kind(p, kind))
        fail_at_token(p, token_name((TokenKind)kind));
}

Node *node_new(Parser *p, NodeKind kind)
{
    Node *n = jinja_take(p->j, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = p->at->line;
    p->j->line = p->at->line;
    return n;
}

int32_t name_number(Parser *p, Span name)
{
    Value key = str_borrow(p->j, (const char *)name.data, name.bytes);
    const Value *known = dict_find(p->j, p->interned.dict, key);
    if (known)
        return (int32_t)known->integer;
    Tree *t = p->tree;
    if (t->name_count == p->names_capacity) {
        int32_t capacity = p->names_capacity ? 2 * p->names_capacity : 32;
        t->names = jinja_grow(p->j, t->names, (size_t)t->name_count * sizeof *t->names,
                              (size_t)capacity * sizeof *t->names);
        p->names_capacity = capacity;
    }
    dict_put(p->j, p->interned, key, value_int(t->name_count));
    t->names[t->name_count] = key.str;
    return t->name_count++;
}

/* ---- targets ---- */

/* Names that are bound get their flag set; whatever cannot be bound is refused. */
static void check_target(Parser *p, Node *target, bool bound_by_loop)
{
    p->j->line = target->line;
    target->flag = target->kind == N_NAME;
    if (target->kind == N_TUPLE) {
        for (Node *n = target->items; n; n = n->next)
            check_target(p, n, bound_by_loop);
    } else if (target->kind != N_NAME && target->kind != N_NAMESPACE_REF) {
        TYPE_ERROR(p->j, "can't assign to this expression");
    } else if (target->kind == N_NAME && bound_by_loop && target->name == p->tree->loop_name) {
        TYPE_ERROR(p->j, "can't assign to the special variable 'loop'");
    }
}

static int32_t parse_bare_name(Parser *p)
{
    Node *n = parse_target_part(p);
    if (n->kind != N_NAME)
        TYPE_ERROR(p->j, "can't assign to this expression");
    return n->name;
}

static Parameters *parse_parameters(Parser *p)
{
    enum { PARAMETERS_MAX = 64 };
    Parameters *out = jinja_take(p->j, sizeof *out);
    out->names = jinja_take_array(p->j, PARAMETERS_MAX, sizeof *out->names);
    out->defaults = jinja_take_array(p->j, PARAMETERS_MAX, sizeof *out->defaults);
    if (!skip_kind(p, T_LPAREN))
        return out;
    while (!at_kind(p, T_RPAREN)) {
        if (out->count)
            expect(p, T_COMMA);
        if (out->count == PARAMETERS_MAX)
            jinja_fail(p->j, LIMIT_REACHED, "a macro with more than %d parameters", PARAMETERS_MAX);
        int32_t i = out->count++;
        if (!at_kind(p, T_NAME))
            fail_at_token(p, "name");
        out->names[i] = parse_bare_name(p);
        for (int32_t other = 0; other < i; other++)
            if (out->names[other] == out->names[i])
                TYPE_ERROR(p->j, "a parameter's name is given twice");
        if (skip_kind(p, T_ASSIGN))
            out->defaults[i] = parse_expression(p);
        else if (i > 0 && out->defaults[i - 1])
            TYPE_ERROR(p->j, "non-default argument follows default argument");
    }
    expect(p, T_RPAREN);
    return out;
}

/* ---- statements ---- */

static Body parse_body(Parser *p, const char *const ends[]);

static void parse_single_body(Parser *p, Node *n, const char *end)
{
    n->body = parse_body(p, (const char *const[]){end, NULL});
    p->at++;
}

/* A body that is a function of its own: no break out of it. */
static void parse_function_body(Parser *p, Node *n, const char *end)
{
    int loops = p->loops;
    p->loops = 0;
    parse_single_body(p, n, end);
    p->loops = loops;
}

static Node *parse_set(Parser *p)
{
    Node *n = node_new(p, N_SET);
    n->a = parse_tuple(p, parse_set_target_part, NULL, false);
    check_target(p, n->a, p->fors > 0);
    if (skip_kind(p, T_ASSIGN)) {
        n->b = parse_tuple(p, parse_expression, NULL, false);
        return n;
    }
    n->kind = N_SET_BLOCK;
    n->b = parse_filters(p, NULL, false);
    parse_single_body(p, n, "endset");
    return n;
}

static Node *parse_for(Parser *p)
{
    Node *n = node_new(p, N_FOR);
    p->fors++;
    n->a = parse_tuple(p, parse_target_part, "in", false);
    check_target(p, n->a, true);
    if (!skip_word(p, "in"))
        fail_at_token(p, "in");
    n->b = parse_tuple(p, parse_without_condition, "recursive", false);
    if (skip_word(p, "if"))
        n->c = parse_expression(p);
    n->flag = skip_word(p, "recursive");
    p->loops++;
    n->body = parse_body(p, (const char *const[]){"endfor", "else", NULL});
    p->loops--;
    if (!skip_word(p, "endfor")) {
        p->at++;
        n->other = parse_body(p, (const char *const[]){"endfor", NULL});
        p->at++;
    }
    p->fors--;
    return n;
}

/* An elif is an if within the else. */
static Node *parse_if(Parser *p)
{
    Node *n = node_new(p, N_IF), *inner = n;
    for (;;) {
        inner->a = parse_tuple(p, parse_without_condition, NULL, false);
        inner->body = parse_body(p, (const char *const[]){"elif", "else", "endif", NULL});
        if (!skip_word(p, "elif"))
            break;
        inner = inner->other.first = node_new(p, N_IF);
    }
    if (skip_word(p, "else"))
        inner->other = parse_body(p, (const char *const[]){"endif", NULL});
    p->at++;
    return n;
}

static Node *parse_macro(Parser *p)
{
    Node *n = node_new(p, N_MACRO);
    if (!at_kind(p, T_NAME))
        fail_at_token(p, "name");
    n->name = parse_bare_name(p);
    if (!at_kind(p, T_LPAREN))
        fail_at_token(p, "(");
    n->parameters = parse_parameters(p);
    parse_function_body(p, n, "endmacro");
    return n;
}

static Node *parse_call_block(Parser *p)
{
    Node *n = node_new(p, N_CALL_BLOCK);
    n->parameters = parse_parameters(p);
    n->a = parse_expression(p);
    if (n->a->kind != N_CALL)
        TYPE_ERROR(p->j, "expected call");
    parse_function_body(p, n, "endcall");
    return n;
}

static Node *parse_filter_block(Parser *p)
{
    Node *n = node_new(p, N_FILTER_BLOCK);
    n->a = parse_filters(p, NULL, true);
    parse_single_body(p, n, "endfilter");
    return n;
}

static Node *parse_with(Parser *p)
{
    Node *n = node_new(p, N_WITH), **last = &n->items;
    while (!at_kind(p, T_BLOCK_END)) {
        if (n->items)
            expect(p, T_COMMA);
        *last = parse_tuple(p, parse_target_part, NULL, false);
        check_target(p, *last, false);
        last = &(*last)->next;
        expect(p, T_ASSIGN);
        *last = parse_expression(p);
        last = &(*last)->next;
    }
    parse_single_body(p, n, "endwith");
    return n;
}

static Node *parse_autoescape(Parser *p)
{
    Node *n = node_new(p, N_SCOPE);
    n->a = parse_expression(p);
    parse_single_body(p, n, "endautoescape");
    return n;
}

/* {% generation %} marks what the assistant says, for training; its content is printed as it is. In
 * transformers it is a call block, so its body is a macro's. */
static Node *parse_generation(Parser *p)
{
    Node *n = node_new(p, N_GENERATION);
    n->parameters = jinja_take(p->j, sizeof *n->parameters);
    parse_function_body(p, n, "endgeneration");
    return n;
}

static Node *parse_block(Parser *p)
{
    Node *n = node_new(p, N_BLOCK);
    Span name = p->at->text;
    expect(p, T_NAME);
    n->flag = skip_word(p, "scoped");
    if (at_word(p, "required"))
        jinja_fail(p->j, UNSUPPORTED,
                   "a required block: a chat template has no parent that could fill it");
    parse_function_body(p, n, "endblock");
    if (p->at->kind == T_NAME && span_equal(p->at->text, name))
        p->at++;
    return n;
}

static Node *parse_print(Parser *p)
{
    Node *n = node_new(p, N_PRINT);
    n->a = node_new(p, N_CONCAT);
    for (Node **last = &n->a->items; !at_kind(p, T_BLOCK_END); last = &(*last)->next) {
        if (n->a->items)
            expect(p, T_COMMA);
        *last = parse_expression(p);
    }
    return n;
}

static Node *parse_jump(Parser *p)
{
    bool is_break = span_is(p->at[-1].text, "break");
    if (!p->loops)
        TYPE_ERROR(p->j, "'%s' outside loop", is_break ? "break" : "continue");
    return node_new(p, is_break ? N_BREAK : N_CONTINUE);
}

static Node *refuse_file(Parser *p)
{
    jinja_fail(p->j, UNSUPPORTED,
               "'%.*s': a chat template stands alone, there are no other templates to load",
               (int)p->at[-1].text.bytes, (const char *)p->at[-1].text.data);
}

static Node *parse_statement(Parser *p)
{
    static const struct {
        const char *word;
        Node *(*parse)(Parser *);
    } statements[] = {
        {"set", parse_set},         {"if", parse_if},
        {"for", parse_for},         {"macro", parse_macro},
        {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},       {"generation", parse_generation},
        {"break", parse_jump},      {"continue", parse_jump},
        {"print", parse_print},     {"autoescape", parse_autoescape},
        {"block", parse_block},     {"include", refuse_file},
        {"extends", refuse_file},   {"import", refuse_file},
        {"from", refuse_file},
    };
    p->j->line = p->at->line;
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        if (skip_word(p, statements[i].word))
            return statements[i].parse(p);
    if (p->at->kind != T_NAME)
        fail_at_token(p, "tag name");
    TYPE_ERROR(p->j, "Encountered unknown tag '%.*s'", (int)p->at->text.bytes,
               (const char *)p->at->text.data);
}

static bool at_end(const Parser *p, const char *const ends[])
{
    for (size_t i = 0; ends && ends[i]; i++)
        if (at_word(p, ends[i]))
            return true;
    return false;
}

static Node *parse_output(Parser *p)
{
    Node *n = node_new(p, at_kind(p, T_TEXT) ? N_TEXT : N_PRINT);
    if (n->kind == N_TEXT) {
        n->value = str_borrow(p->j, (const char *)p->at->text.data, p->at->text.bytes);
        p->at++;
        return n;
    }
    expect(p, T_PRINT_BEGIN);
    n->a = parse_tuple(p, parse_expression, NULL, false);
    expect(p, T_PRINT_END);
    return n;
}

/* Statements up to one of the tags in `ends`, at whose word it stops; all of them when NULL. */
static Body parse_statements(Parser *p, const char *const ends[])
{
    Body out = {0};
    for (Node **last = &out.first; !at_kind(p, T_END); last = &(*last)->next) {
        if (!at_kind(p, T_BLOCK_BEGIN)) {
            *last = parse_output(p);
            continue;
        }
        p->at++;
        if (at_end(p, ends))
            return out;
        *last = parse_statement(p);
        expect(p, T_BLOCK_END);
    }
    if (ends) {
        p->j->line = p->at->line;
        TYPE_ERROR(p->j, "unexpected end of template, looking for '%s'", ends[0]);
    }
    return out;
}

static Body parse_body(Parser *p, const char *const ends[])
{
    skip_kind(p, T_COLON);
    expect(p, T_BLOCK_END);
    jinja_enter(p->j);
    Body out = parse_statements(p, ends);
    jinja_leave(p->j);
    return out;
}

Tree *jinja_parse(Jinja *j, Span source)
{
    if (!utf8_valid((const char *)source.data, source.bytes))
        TYPE_ERROR(j, "the template is not valid UTF-8");
    Tree *tree = jinja_take(j, sizeof *tree);
    Parser p = {.j = j, .at = jinja_lex(j, source), .tree = tree, .interned = dict_new(j)};
    tree->loop_name = name_number(&p, span_text("loop"));
    tree->caller_name = name_number(&p, span_text("caller"));
    tree->kwargs_name = name_number(&p, span_text("kwargs"));
    tree->varargs_name = name_number(&p, span_text("varargs"));
    tree->body = parse_statements(&p, NULL);
    jinja_scope(j, tree);
    return tree;
}
