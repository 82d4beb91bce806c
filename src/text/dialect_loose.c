#include "text/dialect_loose.h"

#include "text/json_steps.h"

static bool is_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("_-.+$", c));
}

bool json_escape_put(Buf *out, uint8_t c)
{
    static const char named[] = {['\n'] = 'n', ['\t'] = 't', ['\r'] = 'r', ['\b'] = 'b', ['\f'] = 'f'};
    if (c == '"' || c == '\\')
        return buf_put_char(out, '\\') && buf_put_char(out, (char)c);
    if (c >= ' ')
        return buf_put_char(out, (char)c);
    return c < sizeof named && named[c] ? buf_put_char(out, '\\') && buf_put_char(out, named[c])
                                        : buf_printf(out, "\\u%04x", c);
}

static bool in_object(const Loose *l) { return l->closes[l->depth - 1] != ']'; }

static bool go(Loose *l, LoosePlace place)
{
    l->place = (uint8_t)place;
    return true;
}

static bool open_container(Loose *l, char close, Buf *out)
{
    if (l->depth == LOOSE_DEPTH_MAX)
        return false;
    l->closes[l->depth++] = close;
    return go(l, LOOSE_FIRST) && buf_put_char(out, close == ']' ? '[' : '{');
}

static bool close_container(Loose *l, uint8_t c, Buf *out)
{
    if (c != (uint8_t)l->closes[l->depth - 1])
        return false;
    l->depth--;
    return go(l, l->depth ? LOOSE_AFTER : LOOSE_DONE) && buf_put_char(out, c == ']' ? ']' : '}');
}

static bool open_text(Loose *l, uint8_t c, Buf *out)
{
    l->quote = (char)c;
    l->quote_bytes = c == '<';
    l->escaped = false;
    return go(l, LOOSE_TEXT) && (c == '<' || buf_put_char(out, '"'));
}

/* A text or a word. */
static bool simple(Loose *l, uint8_t c, bool is_key, Buf *out)
{
    l->is_key = is_key;
    if (is_space(c))
        return true;
    if (c == '"' || c == '\'' || c == '<')
        return open_text(l, c, out);
    l->word[0] = (char)c;
    l->word_bytes = 1;
    return is_word(c) && go(l, LOOSE_WORD);
}

static bool value(Loose *l, uint8_t c, Buf *out)
{
    if (c == '{' || c == '[')
        return open_container(l, c == '{' ? '}' : ']', out);
    return simple(l, c, false, out);
}

static bool first(Loose *l, uint8_t c, Buf *out)
{
    if (l->depth == 0)
        return (c == '{' || c == '(') && open_container(l, c == '{' ? '}' : ')', out);
    if (c == (uint8_t)l->closes[l->depth - 1])
        return close_container(l, c, out);
    return in_object(l) ? simple(l, c, true, out) : value(l, c, out);
}

/* ---- words ---- */

static bool is_json(Span word)   /* a number, true, false or null */
{
    JsonSteps s;
    bool good = true;
    json_steps_init(&s);
    for (size_t i = 0; i < word.bytes && good; i++)
        good = json_steps_put(&s, word.data[i]);
    return good && json_steps_whole(&s);
}

static bool put_word(Loose *l, Buf *out)
{
    static const char *const python[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    Span word = span_of(l->word, l->word_bytes);
    if (l->is_key)
        return buf_put_char(out, '"') && buf_put_span(out, word) && buf_put_text(out, "\": ");
    for (size_t i = 0; i < 3; i++)
        if (span_is(word, python[i][0]))
            return buf_put_text(out, python[i][1]);
    return is_json(word) && buf_put_span(out, word);
}

static bool after(Loose *l, uint8_t c, Buf *out)
{
    if (is_space(c))
        return true;
    if (c == ',')
        return go(l, in_object(l) ? LOOSE_KEY : LOOSE_VALUE) && buf_put_text(out, ", ");
    return close_container(l, c, out);
}

static bool separator(Loose *l, uint8_t c)
{
    if (is_space(c))
        return true;
    return (c == ':' || c == '=') && go(l, LOOSE_VALUE);
}

static bool word(Loose *l, uint8_t c, Buf *out)
{
    if (is_word(c)) {
        if (l->word_bytes == LOOSE_WORD_MAX)
            return false;
        l->word[l->word_bytes++] = (char)c;
        return true;
    }
    if (!put_word(l, out))
        return false;
    return l->is_key ? go(l, LOOSE_SEPARATOR) && separator(l, c) : go(l, LOOSE_AFTER) && after(l, c, out);
}

/* ---- texts ---- */

static bool text_ended(Loose *l, Buf *out)
{
    return buf_put_text(out, l->is_key ? "\": " : "\"") && go(l, l->is_key ? LOOSE_SEPARATOR : LOOSE_AFTER);
}

static bool escaped(Loose *l, uint8_t c, Buf *out)
{
    static const char known[] = "ntrbf", means[] = "\n\t\r\b\f";
    const char *at = c ? strchr(known, c) : NULL;
    l->escaped = false;
    if (at)
        return json_escape_put(out, (uint8_t)means[at - known]);
    if (c == '\'' || c == '"' || c == '\\')
        return json_escape_put(out, c);
    return json_escape_put(out, '\\') && json_escape_put(out, c);   /* as Python: \d is a backslash and a d */
}

/* Between LOOSE_QUOTEs: what begins like one and is none belongs to the text. quote_bytes counts on from the
 * opening one: up to its length it opens, beyond it closes. */
static bool marked_text(Loose *l, uint8_t c, Buf *out)
{
    const size_t bytes = strlen(LOOSE_QUOTE);
    if (l->quote_bytes < bytes)
        return c == (uint8_t)LOOSE_QUOTE[l->quote_bytes] && (++l->quote_bytes < bytes || buf_put_char(out, '"'));
    size_t seen = l->quote_bytes - bytes;
    if (c == (uint8_t)LOOSE_QUOTE[seen])
        return ++l->quote_bytes < 2 * bytes || text_ended(l, out);
    for (size_t i = 0; i < seen; i++)
        if (!json_escape_put(out, (uint8_t)LOOSE_QUOTE[i]))
            return false;
    l->quote_bytes = (uint8_t)(bytes + (c == '<'));
    return c == '<' || json_escape_put(out, c);
}

static bool text(Loose *l, uint8_t c, Buf *out)
{
    if (c == 0 && l->is_key)
        return false;
    if (l->quote == '<')
        return marked_text(l, c, out);
    if (l->escaped)
        return escaped(l, c, out);
    if (c == '\\')
        return l->escaped = true;
    return c == (uint8_t)l->quote ? text_ended(l, out) : json_escape_put(out, c);
}

bool loose_put(Loose *l, uint8_t c, Buf *out)
{
    switch (l->place) {
    case LOOSE_FIRST: return first(l, c, out);
    case LOOSE_KEY: return simple(l, c, true, out);
    case LOOSE_VALUE: return value(l, c, out);
    case LOOSE_AFTER: return after(l, c, out);
    case LOOSE_SEPARATOR: return separator(l, c);
    case LOOSE_WORD: return word(l, c, out);
    case LOOSE_TEXT: return text(l, c, out);
    default: return false;
    }
}
