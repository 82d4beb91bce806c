/* dialect_parts.h -- the rows of the table of dialects, and the small language that their calls are written in.
 *
 * A pattern is a text with codes in it. The text stands for itself; a code stands for what changes from call to call:
 *
 *     "<tool_call>" WS OBJECT WS "</tool_call>"
 *     "[TOOL_CALLS]" NAME "[ARGS]" ARGS
 *     "<function=" NAME ">" WS MANY("<parameter=" KEY ">" LINES "</parameter>" WS) "</function>" END
 *
 * One pattern serves twice: the reader follows it while a call is being written (dialect_reader.c), and the
 * grammar of forced calls is made of it (dialect_grammar.c). After each code or text the next byte decides
 * where to go on, so a pattern must leave no choice that needs more than a text's own first bytes.
 */
#ifndef TEXT_DIALECT_PARTS_H
#define TEXT_DIALECT_PARTS_H

#include "text/dialect.h"

enum { CODE_WS = 1, CODE_NAME, CODE_ARGS, CODE_OBJECT, CODE_KEY, CODE_VALUE, CODE_LINES, CODE_FLAG = 14, CODE_END,
       CODE_BRACES, CODE_PARENS, CODE_ANY, CODE_ANY_END, CODE_MANY, CODE_MANY_END };

#define WS          "\001"                        /* white space, or none */
#define NAME        "\002"                        /* of the tool */
#define ARGS        "\003"                        /* a JSON object */
#define OBJECT      "\004"                        /* {"name": ..., "arguments": {...}} */
#define KEY         "\005"                        /* of one argument */
#define VALUE       "\006"                        /* of one argument, up to the text that follows */
#define LINES       "\007"                        /* the same, on lines of its own */
#define FLAG        "\016"                        /* true: the value that follows is a string; false: JSON */
#define END         "\017"                        /* all keys and values were read */
#define BRACES      "\020"                        /* {key:value}, see dialect_loose.h */
#define PARENS      "\021"                        /* (key=value) */
#define ANY(usual)  "\022" usual "\023"           /* anything short, up to the text that follows */
#define MANY(part)  "\024" part "\025"            /* any number of times */

/* A section of calls: opened once, calls with something between them, closed once. */
typedef struct DialectForm {
    const char *whole, *open, *call, *between, *close;   /* between NULL: one call, no more */
    bool bare;                                           /* only where an answer begins: it has no marker */
} DialectForm;

#define CALLS(open, call, between, close) \
    {open WS call MANY(WS between WS call) WS close, open, call, between, close, false}
#define BARE_CALLS(call, between) {WS call MANY(WS between WS call) WS, "", call, between, "", true}
#define ONE_CALL(call) {call, "", call, NULL, "", false}

enum { DIALECT_FORMS_MAX = 4, DIALECT_IGNORED_MAX = 8 };

struct Dialect {
    const char *name;
    const char *mark, *also;                  /* what a template of it contains */
    DialectForm forms[DIALECT_FORMS_MAX];     /* the first is the one that grammars write */
    const char *think, *think_end;            /* around a section of reasoning */
    const char *ignored[DIALECT_IGNORED_MAX]; /* patterns that say nothing to a reader of the answer */
    const char *begun;                        /* the beginning of a marker that prompts end with */
    const char *name_key, *args_key;          /* of OBJECT; NULL: "name", "arguments" */
};

static inline bool pattern_is_code(char c) { return c > 0 && c < ' ' && c != '\n'; }
static inline size_t pattern_text_bytes(const char *at)   /* of the text that begins here */
{
    size_t n = 0;
    while (at[n] && !pattern_is_code(at[n]))
        n++;
    return n;
}
static inline Span pattern_text(const char *at) { return span_of(at, pattern_text_bytes(at)); }
/* The text that a pattern is known by when it comes; empty where it begins with a code. */
static inline Span pattern_trigger(const char *at)
{
    while (*at == CODE_WS)
        at++;
    return pattern_text(at);
}

#endif
