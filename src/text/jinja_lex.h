/* jinja_lex.h -- a template's source as tokens, as Jinja2's lexer with trim_blocks and lstrip_blocks.
 *
 *     text {{ name | filter }} text {% if x -%}   text   {%- endif %} text {# nothing #}
 *
 * White space is settled here: a '-' at a tag eats all of it on that side, the first newline after a
 * block or comment goes, and so does white space from the start of a line to a block or comment,
 * unless a '+' says to keep it. Text is what remains. The last newline of the source is dropped.
 */
#ifndef TEXT_JINJA_LEX_H
#define TEXT_JINJA_LEX_H

#include "text/jinja_value.h"

typedef enum TokenKind {
    T_END, T_TEXT, T_BLOCK_BEGIN, T_BLOCK_END, T_PRINT_BEGIN, T_PRINT_END,
    T_NAME, T_STRING, T_INTEGER, T_FLOAT,
    T_ADD, T_SUB, T_MUL, T_DIV, T_FLOOR_DIV, T_MOD, T_POW, T_TILDE,
    T_EQUAL, T_UNEQUAL, T_LESS, T_LESS_EQUAL, T_GREATER, T_GREATER_EQUAL,
    T_ASSIGN, T_DOT, T_COLON, T_PIPE, T_COMMA, T_SEMICOLON,
    T_LPAREN, T_RPAREN, T_LBRACKET, T_RBRACKET, T_LBRACE, T_RBRACE,
    TOKEN_KINDS,
} TokenKind;

typedef struct Token {
    TokenKind kind;
    int line;
    Span text;      /* as written; of a text: what remains of it */
    Value value;    /* of a string, an integer, a float */
} Token;

/* All tokens, ended by T_END. `source` must be valid UTF-8 and outlive them. */
Token *jinja_lex(Jinja *, Span source);
const char *token_name(TokenKind);

#endif
