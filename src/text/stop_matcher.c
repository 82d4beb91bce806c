#include "text/stop_matcher.h"

#include <stdlib.h>

/* A state is the longest end of the text so far that begins a stop string. */
typedef struct StopState {
    uint16_t string, bytes;    /* the text of the state: strings[string][0, bytes) */
    int16_t found;             /* the longest stop string that ends here, or -1 */
} StopState;

struct StopMatcher {
    Buf text;                  /* the strings, one after another */
    uint32_t begin[STOP_STRINGS_MAX + 1];
    StopState *states;
    uint16_t *next;            /* [states][256] */
    uint16_t *fallback;        /* [states] the longest proper end of a state's text that is a state too */
    int state_count;
    int at;                    /* the state now; -1: stopped */
    bool borrowed;             /* all but `at` is another's */
};

static Span string_of(const StopMatcher *m, size_t i)
{
    return span_of(m->text.data + m->begin[i], m->begin[i + 1] - m->begin[i]);
}

static void add_string(StopMatcher *m, size_t index)
{
    Span string = string_of(m, index);
    int state = 0;
    for (size_t i = 0; i < string.bytes; i++) {
        uint16_t *next = &m->next[state * 256 + string.data[i]];
        if (!*next) {
            *next = (uint16_t)m->state_count;
            m->states[m->state_count++] = (StopState){(uint16_t)index, (uint16_t)(i + 1), -1};
        }
        state = *next;
    }
    if (m->states[state].found < 0)
        m->states[state].found = (int16_t)index;
}

/* Breadth first: a state's fallback is shorter, so its row is complete when it is asked for. */
static void link_states(StopMatcher *m, uint16_t *queue)
{
    int head = 0, tail = 0;
    for (int c = 0; c < 256; c++)
        if (m->next[c])
            queue[tail++] = m->next[c];
    while (head < tail) {
        int state = queue[head++];
        const uint16_t *fallback = &m->next[m->fallback[state] * 256];
        if (m->states[state].found < 0)
            m->states[state].found = m->states[m->fallback[state]].found;
        for (int c = 0; c < 256; c++) {
            uint16_t *next = &m->next[state * 256 + c];
            if (*next) {
                m->fallback[*next] = fallback[c];
                queue[tail++] = *next;
            } else {
                *next = fallback[c];
            }
        }
    }
}

static Err build(StopMatcher *m, size_t count, Error *err)
{
    size_t states = m->begin[count] + 1;
    uint16_t *queue = calloc(states, sizeof *queue);
    m->states = calloc(states, sizeof *m->states);
    m->next = calloc(states * 256, sizeof *m->next);
    m->fallback = calloc(states, sizeof *m->fallback);
    bool good = queue && m->states && m->next && m->fallback;
    if (good) {
        m->states[0] = (StopState){0, 0, -1};
        m->state_count = 1;
        for (size_t i = 0; i < count; i++)
            add_string(m, i);
        link_states(m, queue);
    }
    free(queue);
    return good ? OK : fail(err, NO_MEMORY, "no memory for %zu stop strings", count);
}

static Err take_strings(StopMatcher *m, const Span *strings, size_t count, Error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (strings[i].bytes == 0)
            return fail(err, BAD_ARGUMENT, "stop string %zu is empty", i + 1);
        if (!buf_put_span(&m->text, strings[i]))
            return fail(err, LIMIT_REACHED, "the stop strings have more than %d bytes together", STOP_BYTES_MAX);
        m->begin[i + 1] = (uint32_t)m->text.bytes;
    }
    return OK;
}

Err stop_matcher_new(const Span *strings, size_t count, StopMatcher **out, Error *err)
{
    *out = NULL;
    if (count > STOP_STRINGS_MAX)
        return fail(err, LIMIT_REACHED, "there are %zu stop strings; at most %d are allowed", count, STOP_STRINGS_MAX);
    StopMatcher *m = calloc(1, sizeof *m);
    if (!m)
        return fail(err, NO_MEMORY, "no memory for %zu stop strings", count);
    buf_init(&m->text, STOP_BYTES_MAX);
    Err result = take_strings(m, strings, count, err);
    if (result == OK)
        result = build(m, count, err);
    if (result == OK)
        *out = m;
    else
        stop_matcher_free(m);
    return result;
}

StopMatcher *stop_matcher_twin(const StopMatcher *m)
{
    StopMatcher *twin = malloc(sizeof *twin);
    if (!twin)
        return NULL;
    *twin = *m;
    twin->at = 0;
    twin->borrowed = true;
    return twin;
}

static void free_automaton(StopMatcher *m)
{
    buf_deinit(&m->text);
    free(m->states);
    free(m->next);
    free(m->fallback);
}

void stop_matcher_free(StopMatcher *m)
{
    if (m && !m->borrowed)
        free_automaton(m);
    free(m);
}

void stop_matcher_reset(StopMatcher *m) { m->at = 0; }

/* The text that is held back, after `byte`, is longer than what the next state holds: the difference comes out. */
static bool release(const StopMatcher *m, const StopState *now, uint8_t byte, size_t kept, Buf *out)
{
    size_t free_bytes = now->bytes + 1 - kept;
    size_t from_held = free_bytes <= now->bytes ? free_bytes : now->bytes;
    return buf_put(out, string_of(m, now->string).data, from_held) &&
           (free_bytes <= now->bytes || buf_put_char(out, (char)byte));
}

bool stop_matcher_put(StopMatcher *m, Span text, Buf *out, int *stopped)
{
    *stopped = -1;
    for (size_t i = 0; i < text.bytes && m->at >= 0; i++) {
        const StopState *now = &m->states[m->at];
        m->at = m->next[m->at * 256 + text.data[i]];
        const StopState *then = &m->states[m->at];
        bool found = then->found >= 0;
        size_t kept = found ? string_of(m, (size_t)then->found).bytes : then->bytes;
        if (!release(m, now, text.data[i], kept, out))
            return false;
        if (found) {
            *stopped = then->found;
            m->at = -1;
        }
    }
    return true;
}

bool stop_matcher_finish(StopMatcher *m, Buf *out)
{
    if (m->at < 0)
        return true;
    const StopState *now = &m->states[m->at];
    m->at = 0;
    return buf_put(out, string_of(m, now->string).data, now->bytes);
}
