/* fuzz_dialect.c -- any text in any dialect: the first byte chooses the dialect, the second what is told apart and
 * whether there are tools, the third seeds where the text is cut. However it is cut, the same parts come out; the
 * arguments of a call that has an end are an object of JSON; text without markers comes out as it went in. */
#include "base/prng.h"
#include "text/dialect_parts.h"
#include "text/utf8.h"

static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {\"a\": {\"type\": \"string\"},"
    " \"b\": {\"type\": \"integer\"}}}}}, {\"type\": \"function\", \"function\": {\"name\": \"fun\"}}]";

typedef struct Parts {
    Buf all, text;       /* a transcript; text and reasoning only */
    Buf arguments;       /* of the call that is open */
    int last;
    int32_t call;        /* -1: none is open */
    int32_t calls;
    bool valid;          /* the input is UTF-8 */
} Parts;

static void check_arguments(const Parts *p)
{
    json_error_t why;
    json_t *json = json_loadb(p->arguments.data, p->arguments.bytes, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
    ASSERT(!p->valid || json_is_object(json) || json_error_code(&why) == json_error_numeric_overflow);
    json_decref(json);
}

static void collect(void *with, const DialectPart *part)
{
    Parts *p = with;
    if ((int)part->kind != p->last)
        buf_put_char(&p->all, (char)('0' + part->kind));
    p->last = part->kind == DIALECT_CALL || part->kind == DIALECT_CALL_END ? -1 : (int)part->kind;
    buf_put_span(&p->all, part->text);
    switch (part->kind) {
    case DIALECT_CALL:
        ASSERT(part->call == p->calls++ && part->text.bytes);
        p->call = part->call;
        buf_clear(&p->arguments);
        break;
    case DIALECT_ARGUMENTS:
        ASSERT(part->call == p->call && part->text.bytes);
        buf_put_span(&p->arguments, part->text);
        break;
    case DIALECT_CALL_END:
        ASSERT(part->call == p->call);
        check_arguments(p);
        p->call = -1;
        break;
    default:
        ASSERT(part->text.bytes);
        p->call = -1;
        buf_put_span(&p->text, part->text);
    }
}

static void read_all(const Dialect *d, const DialectOptions *options, Span text, int cuts, uint8_t seed, Parts *p)
{
    DialectReader *r;
    PrngStream random = {seed, 0};
    *p = (Parts){.last = -1, .call = -1, .valid = utf8_is_valid(text)};
    buf_init(&p->all, SIZE_MAX / 2);
    buf_init(&p->text, SIZE_MAX / 2);
    buf_init(&p->arguments, SIZE_MAX / 2);
    ASSERT(dialect_reader_new(&r, d, options, NULL) == OK);
    while (text.bytes) {
        size_t bytes = cuts == 0 ? text.bytes : cuts == 1 ? 1 : 1 + stream_below(&random, 9);
        ASSERT(dialect_reader_put(r, span_first(text, bytes), collect, p));
        text = span_from(text, bytes);
    }
    ASSERT(dialect_reader_finish(r, collect, p));
    dialect_reader_free(r);
}

static void parts_deinit(Parts *p)
{
    buf_deinit(&p->all);
    buf_deinit(&p->text);
    buf_deinit(&p->arguments);
}

static bool contains(Span text, const char *pattern)
{
    Span mark = pattern ? pattern_trigger(pattern) : (Span){0};
    return mark.bytes && memmem(text.data, text.bytes, mark.data, mark.bytes);
}

static bool has_marker(const Dialect *d, Span text)
{
    bool found = contains(text, d->think) || contains(text, d->think_end) || d->begun;
    for (int i = 0; i < DIALECT_FORMS_MAX; i++)
        found |= contains(text, d->forms[i].whole);
    for (int i = 0; i < DIALECT_IGNORED_MAX; i++)
        found |= contains(text, d->ignored[i]);
    return found;
}

static const Dialect *dialect_number(unsigned number)
{
    char names[600], *at = names;
    strcpy(names, dialect_names());
    unsigned count = 1;
    for (const char *c = names; *c; c++)
        count += *c == ',';
    for (number %= count; number; number--)
        at = strchr(at, ',') + 2;
    at[strcspn(at, ",")] = 0;
    return dialect_find(at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    Parts parts[3];
    json_t *tools;
    if (bytes < 3)
        return 0;
    const Dialect *d = dialect_number(data[0]);
    Span text = span_of(data + 3, bytes - 3);
    ASSERT(json_read(span_text(tools_text), sizeof tools_text, "tools", &tools, NULL) == OK);
    DialectOptions options = {.calls = !(data[1] & 1), .reasoning = !(data[1] & 2), .in_reasoning = data[1] & 4,
                              .tools = data[1] & 8 ? NULL : tools};
    for (int i = 0; i < 3; i++)
        read_all(d, &options, text, i, data[2], &parts[i]);
    for (int i = 1; i < 3; i++)
        ASSERT(span_equal(buf_span(&parts[0].all), buf_span(&parts[i].all)));
    bool apart = options.calls || options.reasoning;
    bool said = !apart || (!has_marker(d, text) && !parts[0].calls && !options.in_reasoning);
    ASSERT(!said || span_equal(buf_span(&parts[0].text), text));
    for (int i = 0; i < 3; i++)
        parts_deinit(&parts[i]);
    json_decref(tools);
    return 0;
}
