#include "text/dialect_reader.h"

#include <stdlib.h>

#include "text/dialect_tools.h"

/* ---- what comes out ---- */

static void put(DialectReader *r, Buf *to, const void *data, size_t bytes)
{
    if (!buf_put(to, data, bytes))
        r->no_memory = true;
}

static void give(DialectReader *r, DialectKind kind, int32_t call, Span text)
{
    r->sink(r->with, &(DialectPart){kind, call, text});
}

static void flush(DialectReader *r)
{
    if (r->out.bytes)
        give(r, r->out_kind, r->out_kind == DIALECT_ARGUMENTS ? r->calls - 1 : -1, buf_span(&r->out));
    buf_clear(&r->out);
}

void reader_emit(DialectReader *r, DialectKind kind, const void *data, size_t bytes)
{
    if (r->out_kind != kind)
        flush(r);
    r->out_kind = kind;
    put(r, &r->out, data, bytes);
}

/* A byte that is no part of a marker. */
static void say(DialectReader *r, uint8_t c)
{
    DialectKind kind = r->in_reasoning ? DIALECT_REASONING : DIALECT_TEXT;
    if (r->phantom) {
        r->phantom--;
        return;
    }
    if (reader_space(c) && r->edge)
        return;
    if (reader_space(c) && r->spaces.bytes < DIALECT_SPACES_MAX && r->mark_count[r->in_reasoning]) {
        put(r, &r->spaces, &c, 1);
        return;
    }
    if (!reader_space(c) && !r->in_reasoning)
        r->fresh = false;
    r->edge = false;
    reader_emit(r, kind, r->spaces.data, r->spaces.bytes);
    buf_clear(&r->spaces);
    reader_emit(r, kind, &c, 1);
}

void reader_begin_call(DialectReader *r)
{
    flush(r);
    give(r, DIALECT_CALL, r->calls++, buf_span(&r->name));
    buf_clear(&r->held);
    buf_clear(&r->spaces);
    r->phantom = 0;
    r->fresh = false;
    r->open = true;
}

void reader_end_call(DialectReader *r)
{
    flush(r);
    give(r, DIALECT_CALL_END, r->calls - 1, (Span){0});
    buf_clear(&r->held);
    r->open = false;
    r->settled = true;
}

/* ---- where a pattern goes on ---- */

/* From an opening code to behind its closing one, or back: MANY nests, ANY does not. */
static const char *behind_many(const char *at)
{
    int depth = 0;
    do {
        depth += (*at == CODE_MANY) - (*at == CODE_MANY_END);
        at++;
    } while (depth);
    return at;
}

static const char *begin_of_many(const char *end)
{
    int depth = 0;
    do {
        depth += (*end == CODE_MANY_END) - (*end == CODE_MANY);
        end--;
    } while (depth);
    return end + 2;
}

/* The texts and codes that may come at this place of a pattern. again: the part that it stands in may come again. */
static void collect(DialectReader *r, const char *at, bool again)
{
    switch (*at) {
    case 0:
        r->end_may = true;
        return;
    case CODE_WS:
        r->spaces_may = true;
        collect(r, at + 1, again);
        return;
    case CODE_MANY:
        collect(r, at + 1, false);
        collect(r, behind_many(at), again);
        return;
    case CODE_MANY_END:
        if (again)
            collect(r, begin_of_many(at), false);
        collect(r, at + 1, again);
        return;
    default:
        for (int i = 0; i < r->place_count; i++)
            if (r->places[i] == at)
                return;
        ASSERT(r->place_count < DIALECT_PLACES_MAX);
        r->places[r->place_count++] = at;
    }
}

static void begin_choice(DialectReader *r)
{
    r->mode = READ_CHOOSE;
    r->place_count = 0;
    r->matched = 0;
    r->spaces_may = r->end_may = false;
}

bool reader_follow(DialectReader *r, const char *at)
{
    if (*at == CODE_END) {
        reader_end_keyed(r);
        at++;
    }
    if (reader_begin_element(r, at))
        return true;
    begin_choice(r);
    collect(r, at, true);
    return r->place_count ? true : reader_leave(r, false, 0);
}

bool reader_leave(DialectReader *r, bool broken, size_t again)
{
    uint8_t anew[DIALECT_ANY_BYTES_MAX];
    ASSERT(again <= sizeof anew && again <= r->held.bytes);
    size_t first = r->held.bytes - again;
    for (size_t i = 0; i < again; i++)
        anew[i] = (uint8_t)r->held.data[first + i];
    r->mode = READ_SCAN;
    r->bare = false;
    for (size_t i = 0; i < first && broken; i++)
        say(r, (uint8_t)r->held.data[i]);
    if (!broken && r->settled)
        r->edge = true;
    if (!broken)
        r->phantom = 0;
    buf_clear(&r->held);
    r->open = r->settled = false;
    for (size_t i = 0; i < again; i++) {
        put(r, &r->held, &anew[i], 1);
        while (!reader_modes[r->mode](r, anew[i])) {}
    }
    return true;
}

/* How a code is read that begins with this byte; READ_CHOOSE: none does. */
static ReadMode mode_of(char code, uint8_t c)
{
    switch (code) {
    case CODE_NAME: return tool_name_char(c) ? READ_NAME : READ_CHOOSE;
    case CODE_ARGS: return c == '{' ? READ_ARGS : READ_CHOOSE;
    case CODE_OBJECT: return c == '{' ? READ_OBJECT : READ_CHOOSE;
    case CODE_BRACES: return c == '{' ? READ_LOOSE : READ_CHOOSE;
    case CODE_PARENS: return c == '(' ? READ_LOOSE : READ_CHOOSE;
    default: return READ_CHOOSE;
    }
}

static bool begin_at(DialectReader *r, uint8_t c)
{
    ReadMode mode = READ_CHOOSE;
    for (int i = 0; i < r->place_count && mode == READ_CHOOSE; i++) {
        r->at = r->places[i];
        mode = mode_of(*r->at, c);
    }
    r->mode = mode;
    if (mode == READ_NAME || mode == READ_OBJECT) {   /* of another call */
        r->settled = r->args_done = r->encoded = r->keyed = false;
        r->args_bytes = 0;
        r->key = OBJECT_OTHER;
        buf_clear(&r->name);
    }
    json_steps_init(&r->json);
    json_steps_init(&r->inner);
    loose_init(&r->loose);
    return mode != READ_CHOOSE;
}

/* What matched a text so far is the beginning of a name: "fun" of "function<...", and a tool is called funny. */
static bool begin_name_with(DialectReader *r, size_t bytes)
{
    const uint8_t *from = (const uint8_t *)r->held.data + r->held.bytes - bytes;
    for (size_t i = 0; i + 1 < bytes; i++)
        if (!tool_name_char(from[i]))
            return false;
    if (bytes < 2 || !begin_at(r, from[0]) || r->mode != READ_NAME)
        return false;
    put(r, &r->name, from, bytes - 1);
    return true;
}

bool reader_choose(DialectReader *r, uint8_t c)
{
    const char *complete = NULL;
    int alive = 0;
    if (r->matched == 0 && r->spaces_may && reader_space(c))
        return true;
    for (int i = 0; i < r->place_count; i++)
        alive += pattern_text_bytes(r->places[i]) > r->matched && (uint8_t)r->places[i][r->matched] == c;
    if (!alive) {
        if (r->matched == 0 && begin_at(r, c))
            return false;
        if (r->matched && begin_name_with(r, r->matched + 1))
            return false;
        return reader_leave(r, !r->end_may, r->matched + 1);
    }
    int kept = 0;
    for (int i = 0; i < r->place_count; i++) {
        const char *place = r->places[i];
        size_t bytes = pattern_text_bytes(place);
        bool fits = bytes > r->matched && (uint8_t)place[r->matched] == c;
        if (fits && bytes == r->matched + 1)
            complete = place + bytes;
        if (fits || *place == CODE_NAME)
            r->places[kept++] = place;
    }
    r->place_count = kept;
    r->matched++;
    return complete ? reader_follow(r, complete) : true;
}

/* ---- text and reasoning ---- */

static void enter(DialectReader *r, bool reasoning)
{
    r->in_reasoning = reasoning;
    r->edge = true;
    r->phantom = 0;
    buf_clear(&r->held);
    buf_clear(&r->spaces);
}

/* Where a pattern that begins with this mark goes on; ANY goes on at once, and is the only pattern of its mark. */
static void collect_marked(DialectReader *r, const char *pattern, Span mark)
{
    if (!pattern || !span_equal(pattern_trigger(pattern), mark))
        return;
    while (*pattern == CODE_WS)
        pattern++;
    if (!r->place_count && pattern[mark.bytes] && reader_begin_element(r, pattern + mark.bytes))
        return;
    collect(r, pattern + mark.bytes, true);
}

/* A marker is complete. */
static bool act(DialectReader *r, Span mark)
{
    const Dialect *d = r->dialect;
    bool thinks = r->options.reasoning && d->think;
    if (r->in_reasoning || (thinks && span_is(mark, d->think))) {
        enter(r, span_is(mark, d->think));
        return true;
    }
    begin_choice(r);
    for (int i = 0; i < DIALECT_FORMS_MAX && r->options.calls; i++)
        collect_marked(r, d->forms[i].whole, mark);
    for (int i = 0; i < DIALECT_IGNORED_MAX; i++)
        collect_marked(r, d->ignored[i], mark);
    if (r->mode != READ_CHOOSE || r->place_count)
        return true;
    if (thinks && span_is(mark, d->think_end)) {
        enter(r, false);
        r->mode = READ_SCAN;
        return true;
    }
    return reader_leave(r, false, 0);
}

/* An answer that begins with a call without a mark. */
static bool begin_bare(DialectReader *r, uint8_t c)
{
    begin_choice(r);
    for (int i = 0; i < DIALECT_FORMS_MAX; i++)
        if (r->dialect->forms[i].bare)
            collect(r, r->dialect->forms[i].whole, true);
    r->bare = begin_at(r, c);
    if (!r->bare)
        r->mode = READ_SCAN;
    return r->bare;
}

bool reader_scan(DialectReader *r, uint8_t c)
{
    if (r->fresh && !r->in_reasoning && r->options.calls && r->held.bytes == 1 && begin_bare(r, c))
        return false;
    while (r->held.bytes) {
        bool maybe = false;
        Span held = buf_span(&r->held);
        for (int i = 0; i < r->mark_count[r->in_reasoning]; i++) {
            Span mark = r->marks[r->in_reasoning][i];
            if (span_equal(mark, held) && !(r->in_reasoning && span_is(mark, r->dialect->think) && !r->edge))
                return act(r, mark);
            maybe |= mark.bytes > held.bytes && span_starts(mark, held);
        }
        if (maybe)
            return true;
        say(r, held.data[0]);
        memmove(r->held.data, r->held.data + 1, held.bytes - 1);
        buf_cut(&r->held, held.bytes - 1);
    }
    return true;
}

/* ---- birth and life ---- */

static void add_mark(DialectReader *r, bool reasoning, Span mark)
{
    Span *marks = r->marks[reasoning];
    int *count = &r->mark_count[reasoning];
    for (int i = 0; i < *count; i++)
        if (span_equal(marks[i], mark))
            return;
    ASSERT(*count < DIALECT_MARKS_MAX);
    if (mark.bytes)
        marks[(*count)++] = mark;
}

static void add_marks(DialectReader *r)
{
    const Dialect *d = r->dialect;
    bool calls = r->options.calls && dialect_has_calls(d), thinks = r->options.reasoning && d->think;
    for (int i = 0; i < DIALECT_FORMS_MAX && calls; i++)
        if (d->forms[i].whole)
            add_mark(r, false, pattern_trigger(d->forms[i].whole));
    for (int i = 0; i < DIALECT_IGNORED_MAX && (calls || r->options.reasoning); i++)
        if (d->ignored[i])
            add_mark(r, false, pattern_trigger(d->ignored[i]));
    if (!thinks)
        return;
    for (int in = 0; in < 2; in++) {
        add_mark(r, in, span_text(d->think));
        add_mark(r, in, span_text(d->think_end));
    }
}

Err dialect_reader_new(DialectReader **out, const Dialect *d, const DialectOptions *options, Error *err)
{
    DialectReader *r = calloc(1, sizeof *r);
    *out = r;
    if (!r)
        return fail(err, NO_MEMORY, "no memory to read an answer");
    r->dialect = d;
    r->options = *options;
    r->fresh = true;
    r->in_reasoning = options->in_reasoning && options->reasoning && d->think;
    r->edge = r->in_reasoning;
    buf_init(&r->held, DIALECT_HELD_BYTES_MAX + DIALECT_ANY_BYTES_MAX);
    buf_init(&r->spaces, DIALECT_SPACES_MAX);
    buf_init(&r->out, SIZE_MAX / 2);
    buf_init(&r->name, TOOL_NAME_BYTES_MAX + 1);
    buf_init(&r->word, DIALECT_VALUE_BYTES_MAX);
    buf_init(&r->tail, DIALECT_ANY_BYTES_MAX);
    add_marks(r);
    if (d->begun && !r->in_reasoning && r->mark_count[0]) {
        r->phantom = strlen(d->begun);
        dialect_reader_put(r, span_text(d->begun), NULL, NULL);
    }
    return OK;
}

void dialect_reader_free(DialectReader *r)
{
    if (!r)
        return;
    buf_deinit(&r->held);
    buf_deinit(&r->spaces);
    buf_deinit(&r->out);
    buf_deinit(&r->name);
    buf_deinit(&r->word);
    buf_deinit(&r->tail);
    free(r);
}

bool dialect_reader_put(DialectReader *r, Span text, DialectSink *sink, void *with)
{
    r->sink = sink;
    r->with = with;
    for (size_t i = 0; i < text.bytes && !r->no_memory; i++) {
        put(r, &r->held, &text.data[i], 1);
        while (!reader_modes[r->mode](r, text.data[i])) {}
        if (r->mode != READ_SCAN && r->held.bytes >= DIALECT_HELD_BYTES_MAX)
            reader_leave(r, true, 0);
    }
    flush(r);
    return !r->no_memory;
}

/* Text that waited comes out; the closing marks of a whole call, and what was begun of an unfinished one, do not. */
bool dialect_reader_finish(DialectReader *r, DialectSink *sink, void *with)
{
    r->sink = sink;
    r->with = with;
    bool over = r->mode == READ_CHOOSE && r->end_may && !r->matched;
    if (!over && !r->open && !r->settled)
        for (size_t i = 0; i < r->held.bytes; i++)
            say(r, (uint8_t)r->held.data[i]);
    if (!r->edge)
        reader_emit(r, r->in_reasoning ? DIALECT_REASONING : DIALECT_TEXT, r->spaces.data, r->spaces.bytes);
    flush(r);
    return !r->no_memory;
}
