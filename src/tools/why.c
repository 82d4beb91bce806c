#include "tools/why.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/number_text.h"

enum { LINE_BYTES_MAX = 1 << 23, REQUESTS_MAX = 100000, PROMPTS_MOST = 128 };

/* ---- the log ---- */

static Err take_stories(const json_t *list, WhyRequest *r, Error *err)
{
    size_t count = json_array_size(list);
    if (count < 1 || count > PROMPTS_MOST)
        return fail(err, BAD_FILE, "'why' must be a list of 1 to %d stories", PROMPTS_MOST);
    r->story = calloc(count, sizeof *r->story);
    if (!r->story)
        return fail(err, NO_MEMORY, "no memory for its story");
    for (; r->stories < count; r->stories++)
        TRY(story_read(json_array_get(list, r->stories), &r->story[r->stories], err));
    return OK;
}

/* Whatever a log says, no control character reaches a terminal. */
static void make_plain(char *text)
{
    for (; *text; text++)
        *text = (unsigned char)*text < ' ' || *text == 127 ? '?' : *text;
}

static Err take_request(const json_t *line, WhyRequest *r, Error *err)
{
    const char *id, *method, *path;
    json_int_t number = 0;
    json_t *why = NULL;
    if (json_unpack((json_t *)line, "{s:s, s:s, s:s, s:i, s:F, s?I, s?o}", "id", &id, "method", &method, "path", &path,
                    "status", &r->status, "total_ms", &r->total_ms, "number", &number, "why", &why) != 0)
        return fail(err, BAD_FILE, "a request needs 'id', 'method', 'path', 'status' and 'total_ms', each of its kind");
    if (!(r->total_ms >= 0) || number < 0 || (why && number == 0))
        return fail(err, BAD_FILE, "'total_ms' must not be negative, and 'number' be 1 or more where there is a story");
    snprintf(r->id, sizeof r->id, "%s", id);
    snprintf(r->what, sizeof r->what, "%.15s %.79s", method, path);
    make_plain(r->id);
    make_plain(r->what);
    r->number = (uint64_t)number;
    return why ? take_stories(why, r, err) : OK;
}

static void free_request(WhyRequest *r) { free(r->story); }

static Err make_room(WhyLog *log, Error *err)
{
    if (log->count == REQUESTS_MAX)
        return fail(err, LIMIT_REACHED, "this is request %d, and no more are read: cut the log (tail -n)", REQUESTS_MAX + 1);
    if (log->count < log->capacity)
        return OK;
    size_t capacity = log->capacity ? 2 * log->capacity : 64;
    WhyRequest *request = realloc(log->request, capacity * sizeof *request);
    if (!request)
        return fail(err, NO_MEMORY, "no memory for %zu requests", capacity);
    log->request = request;
    log->capacity = capacity;
    return OK;
}

static Err take_line(WhyLog *log, Span text, int64_t number, Error *err)
{
    json_t *line;
    WhyRequest r = {.line = number};
    TRY(json_read(text, LINE_BYTES_MAX, "its JSON", &line, err));
    Err result = json_is_object(line) ? OK : fail(err, BAD_FILE, "it is no JSON object");
    if (result == OK && json_object_get(line, "id")) {
        result = make_room(log, err);
        if (result == OK)
            result = take_request(line, &r, err);
        if (result == OK)
            log->request[log->count++] = r;
        else
            free_request(&r);
    } else if (result == OK && !json_is_string(json_object_get(line, "event"))) {
        result = fail(err, BAD_FILE, "it has neither 'id' nor 'event'");
    }
    json_decref(line);
    return result;
}

/* What `ridge serve` says at its start, where both of its outputs go into one file. */
static bool is_start(const char *text) { return !strncmp(text, "ridge: ", 7); }

static Err read_lines(FILE *file, const char *name, char *text, WhyLog *log, Error *err)
{
    Error inner;
    for (int64_t number = 1; fgets(text, LINE_BYTES_MAX, file); number++) {
        size_t bytes = strlen(text);
        bool whole = bytes > 0 && text[bytes - 1] == '\n';
        if (!whole && !feof(file))
            return fail(err, BAD_FILE, "%s: line %lld: is longer than %d bytes, or has a zero byte", name, (long long)number,
                        LINE_BYTES_MAX - 2);
        if ((bytes == 1 || is_start(text)) && whole)
            continue;
        if (take_line(log, span_of(text, bytes), number, &inner) != OK)
            return fail(err, inner.code, "%s: line %lld%s: %s; `ridge why` reads what `ridge serve --log-format json "
                        "--explain-requests` wrote", name, (long long)number, whole ? "" : ", which is cut short", inner.text);
    }
    return ferror(file) ? fail(err, IO_FAILED, "%s: %s", name, strerror(errno)) : OK;
}

Err why_read(FILE *file, const char *name, WhyLog *log, Error *err)
{
    *log = (WhyLog){0};
    char *text = malloc(LINE_BYTES_MAX);
    if (!text)
        return fail(err, NO_MEMORY, "no memory for a line of %s", name);
    Err result = read_lines(file, name, text, log, err);
    free(text);
    if (result != OK)
        why_free(log);
    return result;
}

void why_free(WhyLog *log)
{
    for (size_t i = 0; i < log->count; i++)
        free_request(&log->request[i]);
    free(log->request);
    *log = (WhyLog){0};
}

const WhyRequest *why_find(const WhyLog *log, const char *which)
{
    char *end;
    uint64_t number = strtoull(which + (*which == '#'), &end, 10);
    bool is_number = *end == 0 && number > 0;
    for (size_t i = log->count; i > 0; i--) {
        const WhyRequest *r = &log->request[i - 1];
        if (!strcmp(r->id, which) || (is_number && r->number == number))
            return r;
    }
    return NULL;
}

const WhyRequest *why_slowest(const WhyLog *log)
{
    const WhyRequest *slowest = NULL;
    for (size_t i = 0; i < log->count; i++) {
        const WhyRequest *r = &log->request[i];
        bool told = r->stories > 0, was = slowest && slowest->stories > 0;
        if (!slowest || told > was || (told == was && r->total_ms > slowest->total_ms))
            slowest = r;
    }
    return slowest;
}

/* ---- in words ---- */

static void put_name(const WhyLog *log, uint64_t number, Buf *out)
{
    for (size_t i = log->count; i > 0; i--)
        if (log->request[i - 1].number == number) {
            buf_put_text(out, log->request[i - 1].id);
            return;
        }
    buf_printf(out, "#%llu, which has no line here", (unsigned long long)number);
}

static const char *plural(int64_t n) { return n == 1 ? "" : "s"; }

static void put_head(const char *name, double seconds, Buf *out)
{
    buf_printf(out, "  %-10s%10.1f ms   ", name, 1e3 * seconds);
}

/* The next line of the same paragraph. */
static void put_more(Buf *out) { buf_printf(out, "\n%28s", ""); }

static void put_queue(const StoryTold *t, Buf *out)
{
    static const char *const reasons[STORY_WAITS] = {
        [STORY_STEP] = "for the step that ran when it came", [STORY_FILES] = "for its past, which was read from files",
        [STORY_SLOT] = "for a place among the running: all were taken", [STORY_BLOCKS] = "for room in the cache",
        [STORY_ROWS] = "for its turn: the steps were full"};
    static const double LEAST = 5e-5;          /* what rounds to 0.0 ms is not told */
    const Story *s = &t->story;
    const char *between = "";
    bool never = t->times.started <= 0;
    put_head("queued", never ? t->times.ended : t->times.started, out);
    for (int i = 0; i < STORY_WAITS; i++)
        if (s->waits[i] >= LEAST) {
            buf_printf(out, "%s%.1f ms %s", between, 1e3 * s->waits[i], reasons[i]);
            between = "; ";
        }
    if (s->ahead > 0)
        buf_printf(out, "%s%d request%s waited when it came", between, s->ahead, plural(s->ahead));
    else if (!*between && !never)
        buf_put_text(out, "it started at once");
    buf_put_text(out, !never ? "" : *between || s->ahead > 0 ? "; it never started" : "it never started");
    buf_put_char(out, '\n');
}

static void put_prefix(const KvFound *p, Buf *out)
{
    buf_printf(out, "  %-10s%10s      ", "prefix", "");
    buf_printf(out, "%d of %d tokens were found in the cache", p->found, p->asked);
    switch (p->why) {
    case KV_MISS_NOTHING: buf_put_text(out, ": all whole blocks that there are"); break;
    case KV_MISS_NEW: buf_printf(out, "; missed at token %d: nothing that is kept goes on from there", p->at); break;
    case KV_MISS_DIFFERS: buf_printf(out, "; missed at token %d: what is kept goes on with other tokens", p->at); break;
    case KV_MISS_EVICTED: buf_printf(out, "; missed at token %d: it was kept once, and its memory was needed", p->at); break;
    case KV_MISS_STATE: buf_printf(out, "; missed at token %d: no state of the model is kept behind it", p->at); break;
    }
    buf_put_char(out, '\n');
}

/* again: its answer had begun, and it computes what a preemption took. */
static void put_chunk(const WhyLog *log, const StoryChunk *c, bool again, Buf *out)
{
    put_more(out);
    buf_put_text(out, again ? "again, " : "");
    buf_printf(out, "step %lld at %.1f ms: tokens %d to %d, %d of %d rows, %.1f ms, ", (long long)c->step, 1e3 * c->at,
               c->first, c->first + c->rows - 1, c->rows, c->step_rows, 1e3 * c->seconds);
    if (c->others == 0)
        buf_put_text(out, "alone");
    for (int32_t i = 0; i < c->others && i < STORY_COMPANY; i++) {
        buf_put_text(out, i ? ", " : "with ");
        put_name(log, c->with[i], out);
    }
    if (c->others > STORY_COMPANY)
        buf_printf(out, " and %d more", c->others - STORY_COMPANY);
}

static void put_prefill(const WhyLog *log, const StoryTold *t, Buf *out)
{
    const Story *s = &t->story;
    int64_t rows = 0;
    for (int32_t i = 0; i < s->chunks && i < STORY_CHUNKS; i++)
        rows += s->chunk[i].rows;
    put_head("prefill", t->times.first_token > 0 ? t->times.first_token - t->times.started : 0, out);
    buf_printf(out, "%lld tokens in %d chunk%s", (long long)rows, s->chunks, plural(s->chunks));
    if (t->times.first_token == 0)
        buf_put_text(out, "; it ended before its first token");
    for (int32_t i = 0; i < s->chunks && i < STORY_CHUNKS; i++)
        put_chunk(log, &s->chunk[i], t->times.first_token > 0 && s->chunk[i].at > t->times.first_token, out);
    if (s->chunks > STORY_CHUNKS) {
        put_more(out);
        buf_printf(out, "and %d more, which the log does not tell one by one", s->chunks - STORY_CHUNKS);
    }
    buf_put_char(out, '\n');
}

static void put_preemption(const WhyLog *log, const StoryPreemption *p, Buf *out)
{
    static const char *const reasons[] = {[STORY_FOR_SLOT] = "which needed its place",
                                          [STORY_FOR_BLOCKS] = "which needed its blocks of the cache",
                                          [STORY_RESTED] = "as nobody read its answer"};
    put_more(out);
    buf_printf(out, "at %.1f ms by ", 1e3 * p->at);
    put_name(log, p->by, out);
    buf_printf(out, ", %s: it had %d tokens; ", reasons[p->reason], p->computed);
    if (p->back > 0)
        buf_printf(out, "back %.1f ms later, with %d of them still in the cache", 1e3 * (p->back - p->at), p->found);
    else
        buf_put_text(out, "it never went on");
}

static void put_preemptions(const WhyLog *log, const StoryTold *t, Buf *out)
{
    const Story *s = &t->story;
    double away = 0;
    for (int32_t i = 0; i < s->preemptions && i < STORY_PREEMPTIONS; i++)
        away += s->preemption[i].back > 0 ? s->preemption[i].back - s->preemption[i].at : 0;
    if (s->preemptions == 0)
        return;
    put_head("preempted", away, out);
    buf_printf(out, "%d time%s, for which %d tokens were computed again", s->preemptions, plural(s->preemptions),
               t->times.recomputed_tokens);
    for (int32_t i = 0; i < s->preemptions && i < STORY_PREEMPTIONS; i++)
        put_preemption(log, &s->preemption[i], out);
    if (s->preemptions > STORY_PREEMPTIONS) {
        put_more(out);
        buf_printf(out, "and %d more, which the log does not tell one by one", s->preemptions - STORY_PREEMPTIONS);
    }
    buf_put_char(out, '\n');
}

static void put_company(const WhyLog *log, const Story *s, Buf *out)
{
    for (int32_t i = 0; i < s->met; i++) {
        if (i % 4 == 0) {
            put_more(out);
            buf_put_text(out, i ? "     " : "with ");
        }
        put_name(log, s->with[i].tag, out);
        buf_printf(out, " (%lld step%s)%s", (long long)s->with[i].steps, plural(s->with[i].steps), i + 1 < s->met ? ", " : "");
    }
}

static void put_answer(const WhyLog *log, const StoryTold *t, Buf *out)
{
    const Story *s = &t->story;
    double steps = s->answer_steps > 0 ? (double)s->answer_steps : 1;
    if (t->times.first_token == 0)
        return;
    put_head("answer", t->times.ended - t->times.first_token, out);
    buf_printf(out, "%d token%s, %lld step%s after the first: %.1f sequences in a step, %d at most", t->times.generated_tokens,
               plural(t->times.generated_tokens), (long long)s->answer_steps, plural(s->answer_steps),
               (double)s->answer_entries / steps, s->answer_most);
    put_company(log, s, out);
    if (s->mixed_steps > 0) {
        put_more(out);
        buf_printf(out, "%lld of the steps also computed %s rows of others' prompts: %.1f ms a step",
                   (long long)s->mixed_steps, number_text((uint64_t)s->mixed_rows).text,
                   1e3 * s->mixed_seconds / (double)s->mixed_steps);
        if (s->answer_steps > s->mixed_steps)
            buf_printf(out, " instead of %.1f",
                       1e3 * (s->answer_seconds - s->mixed_seconds) / (double)(s->answer_steps - s->mixed_steps));
    }
    buf_put_char(out, '\n');
    put_head("sampling", s->sampling_seconds, out);
    buf_printf(out, "of it\n");
    if (s->grammar_seconds > 0) {
        put_head("grammar", s->grammar_seconds, out);
        buf_printf(out, "of it\n");
    }
}

static void put_story(const WhyLog *log, const StoryTold *t, Buf *out)
{
    put_head("prepared", t->submitted, out);
    buf_put_text(out, "reading the call, templates, tokens, grammar\n");
    put_queue(t, out);
    if (t->times.started > 0) {
        put_prefix(&t->story.prefix, out);
        put_prefill(log, t, out);
    }
    put_preemptions(log, t, out);
    put_answer(log, t, out);
}

void why_explain(const WhyLog *log, const WhyRequest *r, Buf *out)
{
    buf_printf(out, "%s  %s  status %d  %.1f ms in all  (line %lld)\n", r->id, r->what, r->status, r->total_ms,
               (long long)r->line);
    if (r->stories == 0)
        buf_put_text(out, "  Its line has no story: nothing was generated for it, or the server ran without "
                          "--explain-requests.\n");
    for (size_t i = 0; i < r->stories; i++) {
        if (r->stories > 1)
            buf_printf(out, "  prompt %zu of %zu\n", i + 1, r->stories);
        put_story(log, &r->story[i], out);
    }
}

void why_list(const WhyLog *log, Buf *out)
{
    buf_printf(out, "%-40s %6s %11s %11s %11s %11s %9s\n", "request", "status", "total ms", "queued", "prefill", "answer",
               "preempted");
    for (size_t i = 0; i < log->count; i++) {
        const WhyRequest *r = &log->request[i];
        if (r->stories == 0)
            continue;
        const RequestTimes *t = &r->story->times;
        double first = t->first_token > 0 ? t->first_token : t->ended;
        buf_printf(out, "%-40s %6d %11.1f %11.1f %11.1f %11.1f %9d\n", r->id, r->status, r->total_ms, 1e3 * t->started,
                   1e3 * (t->started > 0 ? first - t->started : 0), 1e3 * (t->ended - first), r->story->story.preemptions);
    }
}
