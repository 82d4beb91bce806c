#include "text/dialect_reader.h"

#include "text/dialect_tools.h"
#include "text/utf8.h"

static void put(DialectReader *r, Buf *to, uint8_t c)
{
    if (!buf_put_char(to, (char)c))
        r->no_memory = true;
}

/* The next byte is read by another mode, which the pattern says. */
static bool go_on_with(DialectReader *r, const char *at)
{
    reader_follow(r, at);
    return false;
}

static bool name_is_known(DialectReader *r)
{
    r->function = r->options.tools ? tool_find(r->options.tools, buf_span(&r->name)) : NULL;
    return r->name.bytes && (r->function || !r->options.tools);
}

static bool read_name(DialectReader *r, uint8_t c)
{
    if (!tool_name_char(c))
        return name_is_known(r) ? go_on_with(r, r->at + 1) : reader_leave(r, true, 1);
    if (r->name.bytes == TOOL_NAME_BYTES_MAX)
        return reader_leave(r, true, 1);
    put(r, &r->name, c);
    return true;
}

/* ---- JSON ---- */

/* Control characters within strings come out as escapes: everything else as it was written. */
static bool pass(DialectReader *r, JsonSteps *s, uint8_t c)
{
    bool escapes = c < ' ' && json_steps_in_string(s);
    if (!json_steps_put(s, c))
        return false;
    reader_emit(r, DIALECT_ARGUMENTS, &c, !escapes);
    if (escapes && !json_escape_put(&r->out, c))
        r->no_memory = true;
    return true;
}

static bool read_args(DialectReader *r, uint8_t c)
{
    if (!r->open)
        reader_begin_call(r);
    if (!pass(r, &r->json, c))
        return reader_leave(r, true, 1);
    buf_clear(&r->held);
    if (r->json.place != JSON_DONE)
        return true;
    reader_end_call(r);
    return reader_follow(r, r->at + 1);
}

/* ---- {"name": ..., "arguments": {...}} ---- */

/* Some arguments stand before the name, so they were held; or there are none. */
static void give_args(DialectReader *r, Span held)
{
    JsonSteps s;
    json_steps_init(&s);
    buf_clear(&r->word);
    if (!buf_put_span(&r->word, held))
        r->no_memory = true;
    reader_begin_call(r);
    for (size_t i = 0; i < r->word.bytes; i++)
        pass(r, &s, (uint8_t)r->word.data[i]);
    reader_end_call(r);
    r->args_done = true;
}

static Span held_word(const DialectReader *r)   /* without the quote that ends it */
{
    return span_of(r->held.data + r->word_from, r->held.bytes - 1 - r->word_from);
}

/* Other keys (an id, a type) are passed over; but where no marker says that this is a call, they say it is none. */
static bool key_ended(DialectReader *r)
{
    Span key = held_word(r);
    bool name = span_is(key, "name") || span_is(key, "tool_name");
    bool args = span_is(key, "arguments") || span_is(key, "parameters");
    r->key = name ? OBJECT_NAME : args ? OBJECT_ARGS : OBJECT_OTHER;
    bool strange = r->bare && r->key == OBJECT_OTHER && !span_is(key, "type") && !span_is(key, "id");
    return strange ? reader_leave(r, true, 1) : true;
}

static bool name_ended(DialectReader *r)
{
    Span name = held_word(r);
    if (name.bytes > TOOL_NAME_BYTES_MAX)
        return reader_leave(r, true, 1);
    buf_clear(&r->name);
    buf_put_span(&r->name, name);
    if (!name_is_known(r))
        return reader_leave(r, true, 1);
    if (r->args_bytes)
        give_args(r, span_of(r->held.data + r->args_from, r->args_bytes));
    return true;
}

static bool object_ended(DialectReader *r)
{
    if (!r->args_done && (r->bare || !r->name.bytes))
        return reader_leave(r, true, 0);
    if (!r->args_done)
        give_args(r, span_text("{}"));
    buf_clear(&r->held);
    return reader_follow(r, r->at + 1);
}

/* A value of the call's own object begins. */
static bool value_begins(DialectReader *r, uint8_t c)
{
    if (r->key != OBJECT_ARGS || r->args_done || r->args_bytes)
        return true;
    if (c == '{' && r->name.bytes)
        reader_begin_call(r);
    else
        r->args_from = r->held.bytes - 1;
    r->encoded = c == '"' && r->name.bytes;
    return c == '{' || c == 'n' || r->encoded;   /* or null */
}

/* What a byte has meant, after it was read: `was` is the place before it. */
static bool object_noticed(DialectReader *r, JsonPlace was, int depth, uint8_t c)
{
    const JsonSteps *s = &r->json;
    if (s->place == JSON_DONE)
        return object_ended(r);
    if (r->args_done)
        return true;
    if (c == '"' && !json_steps_in_string(&(JsonSteps){.place = (uint8_t)was}) && json_steps_in_string(s) && depth == 1)
        r->word_from = r->held.bytes;
    if (was == JSON_IN_KEY && s->place == JSON_COLON && depth == 1)
        return key_ended(r);
    if (was == JSON_IN_STRING && s->place == JSON_AFTER && depth == 1 && r->key == OBJECT_NAME && !r->name.bytes)
        return name_ended(r);
    if (r->key == OBJECT_ARGS && depth == 2 && s->depth == 1 && !r->args_bytes)
        r->args_bytes = r->held.bytes - r->args_from;
    return true;
}

/* Some models write arguments as a text, with JSON in it: "{\\"city\\": ...}". What stands in it comes out. */
static bool put_decoded(DialectReader *r, uint8_t c)
{
    if (r->inner.place == JSON_DONE || (!r->open && c != '{'))
        return reader_space(c);
    if (!r->open)
        reader_begin_call(r);
    return pass(r, &r->inner, c);
}

static bool decoding_ended(DialectReader *r)
{
    r->encoded = false;
    if (!r->open)
        give_args(r, span_text("{}"));
    else if (r->inner.place == JSON_DONE)
        reader_end_call(r);
    else
        return reader_leave(r, true, 1);
    return r->args_done = true;
}

/* What an escape stands for, once it is whole; the first half of a pair waits for the second. */
static size_t decode(DialectReader *r, JsonPlace was, uint8_t c, uint8_t out[4])
{
    static const char known[] = "nrtbf", means[] = "\n\r\t\b\f";
    uint32_t unit = r->json.unit;
    const char *at = was == JSON_ESCAPE && c ? strchr(known, c) : NULL;
    if (was != JSON_HEX) {
        out[0] = at ? (uint8_t)means[at - known] : c;
        return 1;
    }
    if (r->json.high) {
        r->high = r->json.unit;
        return 0;
    }
    return utf8_write(unit >= 0xDC00 && unit <= 0xDFFF ? 0x10000 + ((r->high - 0xD800u) << 10) + (unit - 0xDC00) : unit, out);
}

static bool read_encoded(DialectReader *r, uint8_t c)
{
    JsonPlace was = (JsonPlace)r->json.place;
    uint8_t text[4];
    if (!json_steps_put(&r->json, c))
        return reader_leave(r, true, 1);
    if (r->json.place == JSON_AFTER)
        return decoding_ended(r);
    size_t bytes = r->json.place == JSON_IN_STRING ? decode(r, was, c, text) : 0;
    for (size_t i = 0; i < bytes; i++)
        if (!put_decoded(r, text[i]))
            return reader_leave(r, true, r->held.bytes ? 1 : 0);
    if (r->open && bytes)
        buf_clear(&r->held);
    return true;
}

static bool read_object(DialectReader *r, uint8_t c)
{
    if (r->encoded)
        return read_encoded(r, c);
    JsonSteps *s = &r->json;
    JsonPlace was = (JsonPlace)s->place;
    int depth = s->depth;
    if (depth == 1 && was == JSON_VALUE && !r->open && !reader_space(c) && !value_begins(r, c))
        return reader_leave(r, true, 1);
    if (!r->open)
        return json_steps_put(s, c) ? object_noticed(r, was, depth, c) : reader_leave(r, true, 1);
    if (!pass(r, s, c))
        return reader_leave(r, true, 1);
    buf_clear(&r->held);
    if (s->depth == 1) {
        reader_end_call(r);
        r->args_done = true;
    }
    return true;
}

/* ---- keys and values ---- */

static void emit_text(DialectReader *r, const char *text)
{
    reader_emit(r, DIALECT_ARGUMENTS, text, strlen(text));
}

static void emit_escaped(DialectReader *r, uint8_t c)
{
    reader_emit(r, DIALECT_ARGUMENTS, NULL, 0);
    if (!json_escape_put(&r->out, c))
        r->no_memory = true;
}

static void begin_keyed(DialectReader *r)
{
    if (r->open)
        return;
    reader_begin_call(r);
    emit_text(r, "{");
}

void reader_end_keyed(DialectReader *r)
{
    begin_keyed(r);
    emit_text(r, "}");
    reader_end_call(r);
}

static bool read_key(DialectReader *r, uint8_t c)
{
    if (c != (uint8_t)r->at[1]) {
        if (c == 0 || r->word.bytes == DIALECT_KEY_BYTES_MAX)
            return reader_leave(r, true, 1);
        put(r, &r->word, c);
        return true;
    }
    if (!r->word.bytes)
        return reader_leave(r, true, 1);
    begin_keyed(r);
    buf_clear(&r->held);
    put(r, &r->held, c);
    emit_text(r, r->keyed ? ", \"" : "\"");
    for (size_t i = 0; i < r->word.bytes; i++)
        emit_escaped(r, (uint8_t)r->word.data[i]);
    emit_text(r, "\": ");
    r->keyed = true;
    r->is_text = schema_is_string(tool_property(r->function, buf_span(&r->word)));
    return go_on_with(r, r->at + 1);
}

static bool read_flag(DialectReader *r, uint8_t c)
{
    if (c >= 'a' && c <= 'z' && r->word.bytes < DIALECT_KEY_BYTES_MAX) {
        put(r, &r->word, c);
        return true;
    }
    r->is_text = span_is(buf_span(&r->word), "true");
    if (!r->is_text && !span_is(buf_span(&r->word), "false"))
        return reader_leave(r, true, 1);
    return go_on_with(r, r->at + 1);
}

/* A value that need not be a string: JSON if it is that, also in Python's words; else a string after all. */
static void emit_value(DialectReader *r, Span word)
{
    static const char *const python[][2] = {{"True", "true"}, {"False", "false"}, {"None", "null"}};
    JsonSteps check, s;
    while (word.bytes && reader_space(word.data[word.bytes - 1]))
        word.bytes--;
    for (size_t i = 0; i < COUNT_OF(python); i++)
        if (span_is(word, python[i][0]))
            word = span_text(python[i][1]);
    json_steps_init(&check);
    json_steps_init(&s);
    bool good = true;
    for (size_t i = 0; i < word.bytes && good; i++)
        good = json_steps_put(&check, word.data[i]);
    if (good && json_steps_whole(&check)) {
        for (size_t i = 0; i < word.bytes; i++)
            pass(r, &s, word.data[i]);
        return;
    }
    emit_text(r, "\"");
    for (size_t i = 0; i < word.bytes; i++)
        emit_escaped(r, word.data[i]);
    emit_text(r, "\"");
}

/* Matches what follows a value, the end of the tail so far: 1 whole, 0 perhaps, -1 not. */
static int match_end(const DialectReader *r, Span end, bool lines)
{
    Span tail = buf_span(&r->tail);
    if (lines && tail.bytes && tail.data[0] == '\n')
        tail = span_from(tail, 1);
    return span_equal(tail, end) ? 1 : span_starts(end, tail) ? 0 : -1;
}

static uint8_t take_tail(DialectReader *r)
{
    uint8_t c = (uint8_t)r->tail.data[0];
    memmove(r->tail.data, r->tail.data + 1, r->tail.bytes - 1);
    buf_cut(&r->tail, r->tail.bytes - 1);
    return c;
}

static bool read_value(DialectReader *r, uint8_t c)
{
    bool lines = *r->at == CODE_LINES, leading = r->first && lines && c == '\n';
    Span end = pattern_text(r->at + 1);
    buf_clear(&r->held);
    r->first = false;
    if (leading)
        return true;
    put(r, &r->tail, c);
    for (int match; (match = match_end(r, end, lines)) != 0;) {
        if (match > 0) {
            r->is_text ? emit_text(r, "\"") : emit_value(r, buf_span(&r->word));
            return reader_follow(r, r->at + 1 + end.bytes);
        }
        if (r->word.bytes == DIALECT_VALUE_BYTES_MAX)
            return reader_leave(r, true, 0);
        uint8_t first = take_tail(r);
        if (r->is_text)
            emit_escaped(r, first);
        else
            put(r, &r->word, first);
    }
    return true;
}

static bool read_loose(DialectReader *r, uint8_t c)
{
    buf_clear(&r->word);
    if (!loose_put(&r->loose, c, &r->word))
        return reader_leave(r, true, 1);
    if (!r->open)
        reader_begin_call(r);
    reader_emit(r, DIALECT_ARGUMENTS, r->word.data, r->word.bytes);
    buf_clear(&r->held);
    if (!loose_done(&r->loose))
        return true;
    reader_end_call(r);
    return reader_follow(r, r->at + 1);
}

static const char *behind_any(const char *at) { return strchr(at, CODE_ANY_END) + 1; }

static bool read_any(DialectReader *r, uint8_t c)
{
    const char *behind = behind_any(r->at);
    Span end = pattern_text(behind);
    put(r, &r->tail, c);
    for (int match; (match = match_end(r, end, false)) != 0; take_tail(r), r->matched++)
        if (match > 0)
            return reader_follow(r, behind + end.bytes);
        else if (r->matched == DIALECT_ANY_BYTES_MAX)
            return reader_leave(r, true, 1);
    return true;
}

/* ---- modes ---- */

bool reader_begin_element(DialectReader *r, const char *at)
{
    switch (*at) {
    case CODE_KEY: r->mode = READ_KEY; break;
    case CODE_FLAG: r->mode = READ_FLAG; break;
    case CODE_ANY: r->mode = READ_ANY; break;
    case CODE_VALUE:
    case CODE_LINES: r->mode = READ_VALUE; break;
    default: return false;
    }
    if (r->mode == READ_VALUE && r->is_text)
        emit_text(r, "\"");
    r->at = at;
    r->first = true;
    r->matched = 0;
    buf_clear(&r->word);
    buf_clear(&r->tail);
    return true;
}

ReadByte *const reader_modes[READ_MODES] = {
    [READ_SCAN] = reader_scan, [READ_CHOOSE] = reader_choose, [READ_NAME] = read_name, [READ_ARGS] = read_args,
    [READ_OBJECT] = read_object, [READ_KEY] = read_key, [READ_VALUE] = read_value, [READ_FLAG] = read_flag,
    [READ_LOOSE] = read_loose, [READ_ANY] = read_any,
};
