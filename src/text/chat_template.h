/* chat_template.h -- a conversation as the text that the model was trained on.
 *
 * A model brings its own template, a program in the Jinja language, and Jinja2 as Hugging Face
 * transformers sets it up is what its author tested it with:
 *
 *     {%- for message in messages %}{{ '<|' + message.role + '|>' + message.content }}{% endfor %}
 *
 * The same template and context give the same bytes here, and a template that refuses a conversation
 * refuses it here. What no prompt needs (other templates, random text, HTML) is refused by name.
 *
 * A template is somebody else's program: it runs in a sandbox with a limit on its steps, depth,
 * memory and output (jinja_value.h), and reaches nothing but the context and the time that it is given.
 *
 * A compiled template never changes: any number of threads may render it at once.
 */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/span.h"

typedef struct ChatTemplate ChatTemplate;

enum { CHAT_TEMPLATE_BYTES_MAX = 1 << 20 };

/* Errors begin with `name` ("chat_template") and the line. BAD_FILE: not Jinja; UNSUPPORTED: refused by
 * name; LIMIT_REACHED: too long or too deep. */
Err chat_template_new(ChatTemplate **out, Span source, const char *name, Error *err);
void chat_template_free(ChatTemplate *);

/* Appends to *out. `context` is an object: messages, tools, add_generation_prompt, bos_token, eos_token,
 * and whatever else a template asks for (enable_thinking, documents ...). `now` is what strftime_now()
 * tells, a date and time of the user's own clock.
 *
 * BAD_ARGUMENT: the template itself refuses, with raise_exception; its text follows "the template
 * refuses: ". BAD_FILE: it fails (an undefined name, a wrong type). LIMIT_REACHED: it would not end, or
 * not in the memory that it has. *out is unchanged after an error. */
Err chat_template_render(const ChatTemplate *, json_t *context, const struct tm *now, Buf *out,
                         Error *err);

/* tokenizer_config.json's "chat_template" is a text, or a list of {name, template}. Of a list, `wanted`
 * names one; when it is NULL, "tool_use" is taken if there are tools, else "default". */
Err chat_template_choose(const json_t *field, const char *wanted, bool has_tools, Span *source,
                         Error *err);

#endif
