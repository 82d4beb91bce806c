/* dialect.h -- how models write what is not plain text: sections of reasoning, and calls of tools.
 *
 *     <think>Paris is rainy...</think>I'll look.<tool_call>{"name": "weather", "arguments": {"city": "Paris"}}</tool_call>
 *     reasoning                       text       a call: name, and arguments as they come
 *
 * Each dialect is a row of a table, recognised by what stands in the model's own chat template:
 *
 *     hermes      <tool_call>{"name": ..., "arguments": {...}}</tool_call>                   Qwen, Hermes
 *     llama3      {"name": ..., "parameters": {...}}, also behind <|python_tag|>
 *     mistral     [TOOL_CALLS][{"name": ..., "arguments": {...}}]  or  [TOOL_CALLS]name[ARGS]{...}
 *     qwen-coder  <tool_call><function=name><parameter=city>Paris</parameter></function></tool_call>
 *     deepseek    <|tool calls begin|> ... (V3, R1, V3.1 and V3.2's forms)
 *     plain       none: all is text
 *
 *     and command, gemma, glm, granite, harmony, kimi, lfm2, ...: see dialect.c
 *
 * A DialectReader takes text as it becomes certain and tells what each part is as soon as that is certain: the
 * arguments of a call stream while they are being written. Text that only looked like a marker comes out as
 * text; a call that is broken comes out as the text that it was. Nothing a model writes is an error.
 *
 * A call begins when its name is known to be a tool's and its arguments begin; what was streamed by then cannot be
 * taken back. So a call whose arguments break, or are cut by the end of the answer, has no DIALECT_CALL_END: its
 * arguments are not whole, and what follows is text. Arguments that have their end are an object of JSON.
 * White space around calls and sections of reasoning is nobody's, and does not come out.
 */
#ifndef TEXT_DIALECT_H
#define TEXT_DIALECT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/span.h"

typedef struct Dialect Dialect;

const Dialect *dialect_find(const char *name);              /* NULL: unknown */
const char *dialect_names(void);                            /* "hermes, llama3, ..." for messages */
const Dialect *dialect_of_template(Span source);            /* "plain" where nothing is recognised */
const char *dialect_name(const Dialect *);
bool dialect_has_calls(const Dialect *);
bool dialect_has_reasoning(const Dialect *);

/* Whether the text of a control token must reach the reader, because it is one of the dialect's markers. */
bool dialect_is_marker(const Dialect *, Span piece);
/* Whether a rendered prompt ends inside a section of reasoning ("...<think>\n"). */
bool dialect_opens_reasoning(const Dialect *, Span prompt);
Span dialect_reasoning_begin(const Dialect *);              /* the markers around such a section; empty: it has none */
Span dialect_reasoning_end(const Dialect *);

typedef enum DialectKind {
    DIALECT_TEXT, DIALECT_REASONING,
    DIALECT_CALL,              /* a call begins: text is the name */
    DIALECT_ARGUMENTS,         /* more of its arguments: JSON text, in order, an object when whole */
    DIALECT_CALL_END,
} DialectKind;

typedef struct DialectPart { DialectKind kind; int32_t call; Span text; } DialectPart;
typedef void DialectSink(void *with, const DialectPart *);

typedef struct DialectOptions {
    bool calls, reasoning;     /* whether each is told apart; what is not is text */
    bool in_reasoning;         /* the prompt ended inside a section of it */
    json_t *tools;             /* the request's tools (OpenAI's form), borrowed; NULL: any name counts as a call.
                                  With them a name that is not in the list leaves the text a text, and parameters
                                  of a dialect without JSON get their types from the schemas */
} DialectOptions;

typedef struct DialectReader DialectReader;

Err dialect_reader_new(DialectReader **, const Dialect *, const DialectOptions *, Error *);
void dialect_reader_free(DialectReader *);
/* False: no memory. */
bool dialect_reader_put(DialectReader *, Span text, DialectSink *, void *with);
bool dialect_reader_finish(DialectReader *, DialectSink *, void *with);

/* Appends calls (OpenAI's tool_calls, their arguments as objects) as the model would have written them, for chat
 * templates that leave them out. False: the dialect cannot, or out is full; then what was appended is of no use. */
bool dialect_write_calls(const Dialect *, json_t *calls, Buf *out);

/* For tool_choice "required" or one tool by name (only; NULL: any): a GBNF grammar of exactly such calls in this
 * dialect, with arguments by the tools' schemas. parallel: several calls may follow each other. in_reasoning: the
 * prompt ended inside a section of it, which ends before the calls; otherwise one may come first. For
 * "auto" there is none: the model may write what it likes, and the reader tells. UNSUPPORTED: the dialect has no
 * calls; BAD_ARGUMENT: no tools, or none of that name. */
Err dialect_call_grammar(const Dialect *, json_t *tools, const char *only, bool parallel, bool in_reasoning, Buf *gbnf,
                         Error *);

#endif
