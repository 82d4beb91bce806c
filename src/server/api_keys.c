#include "server/api_keys.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/sha256.h"
#include "text/utf8.h"

/* What has been read at one time; it lives until nobody uses a key of it. */
typedef struct KeySet {
    atomic_int holders;
    int count, capacity;
    ApiKey *keys;
    double *tokens, *filled;       /* [count] of each key's bucket: what it may still ask for, and when that was so */
    pthread_mutex_t lock;          /* for the buckets */
} KeySet;

struct Keys {
    pthread_mutex_t lock;
    KeySet *set;
};

/* ---- sets ---- */

static KeySet *set_new(int capacity)
{
    KeySet *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->capacity = capacity;
    s->keys = calloc((size_t)capacity + 1, sizeof *s->keys);
    s->tokens = calloc((size_t)capacity + 1, sizeof *s->tokens);
    s->filled = calloc((size_t)capacity + 1, sizeof *s->filled);
    atomic_init(&s->holders, 1);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

static void set_drop(KeySet *s)
{
    if (!s || atomic_fetch_sub(&s->holders, 1) != 1)
        return;
    if (s->keys)
        explicit_bzero(s->keys, (size_t)s->capacity * sizeof *s->keys);
    pthread_mutex_destroy(&s->lock);
    free(s->keys);
    free(s->tokens);
    free(s->filled);
    free(s);
}

/* ---- reading ---- */

/* The same after a restart, so that what files keep of a tenant's past is found again. */
static uint64_t text_hash(const char *purpose, Span text)
{
    uint64_t h;
    Sha256 sha = sha256_begin();
    sha256_put(&sha, purpose, strlen(purpose) + 1);
    sha256_put(&sha, text.data, text.bytes);
    Digest d = sha256_end(&sha);
    memcpy(&h, d.byte, sizeof h);
    return h;
}

static Span next_word(Span *line)
{
    size_t at = 0, end;
    while (at < line->bytes && (line->data[at] == ' ' || line->data[at] == '\t' || line->data[at] == '\r'))
        at++;
    for (end = at; end < line->bytes && line->data[end] != ' ' && line->data[end] != '\t' && line->data[end] != '\r';)
        end++;
    Span word = span_of(line->data + at, end - at);
    *line = span_from(*line, end);
    return word;
}

/* "priority=10" -> 10 */
static bool number_of(Span word, const char *name, double min, double max, double *out)
{
    char text[32];
    size_t skip = strlen(name);
    Span value = span_from(word, skip);
    if (value.bytes == 0 || value.bytes >= sizeof text)
        return false;
    *span_copy(text, value) = 0;
    char *end;
    *out = strtod(text, &end);
    return end == text + value.bytes && isfinite(*out) && *out >= min && *out <= max;
}

static Err read_attribute(ApiKey *k, Span word, const char *what, int line, Error *err)
{
    double priority;
    if (span_is(word, "admin")) {
        k->admin = true;
        return OK;
    }
    if (span_starts(word, span_text("priority="))) {
        if (!number_of(word, "priority=", -1000, 1000, &priority) || priority != floor(priority))
            return fail(err, BAD_FILE, "%s: line %d: priority= wants a whole number from -1000 to 1000", what, line);
        k->priority = (int32_t)priority;
        return OK;
    }
    if (span_starts(word, span_text("requests/min="))) {
        if (!number_of(word, "requests/min=", 1, 1e9, &k->per_minute))
            return fail(err, BAD_FILE, "%s: line %d: requests/min= wants a number from 1 to 1e9", what, line);
        return OK;
    }
    return fail(err, BAD_FILE, "%s: line %d: after the key come a name, admin, priority=N and requests/min=N; '%.*s' is none",
                what, line, (int)(word.bytes < 40 ? word.bytes : 40), (const char *)word.data);
}

static bool is_attribute(Span word) { return span_is(word, "admin") || memchr(word.data, '=', word.bytes); }

static Err read_name(ApiKey *k, Span name, Span secret, const char *what, int line, Error *err)
{
    if (name.bytes >= KEY_NAME_BYTES || !utf8_is_valid(name))
        return fail(err, BAD_FILE, "%s: line %d: a name has at most %d bytes of UTF-8", what, line, KEY_NAME_BYTES - 1);
    Span who = name.bytes ? name : secret;
    uint64_t h = text_hash("tenant", who);
    if (name.bytes)
        *span_copy(k->name, name) = 0;
    else
        snprintf(k->name, sizeof k->name, "key-%08x", (unsigned)(h >> 32));
    k->tenant = h;
    k->salt = text_hash("salt", who);
    return OK;
}

static Err read_line(KeySet *s, Span text, const char *what, int line, Error *err)
{
    Span secret = next_word(&text), word = next_word(&text);
    if (secret.bytes == 0 || secret.data[0] == '#')
        return OK;
    if (secret.bytes > KEY_BYTES_MAX)
        return fail(err, BAD_FILE, "%s: line %d: a key has at most %d bytes", what, line, KEY_BYTES_MAX);
    if (s->count == s->capacity)
        return fail(err, LIMIT_REACHED, "%s: line %d: more than %d keys", what, line, s->capacity);
    for (int i = 0; i < s->count; i++)
        if (span_is(secret, (char *)s->keys[i].secret))
            return fail(err, BAD_FILE, "%s: line %d: this key is there twice: as %s", what, line, s->keys[i].name);
    ApiKey *k = &s->keys[s->count];
    *k = (ApiKey){.set = s, .at = s->count};
    Span name = word.bytes && !is_attribute(word) ? word : (Span){0};
    if (memchr(secret.data, 0, secret.bytes))
        return fail(err, BAD_FILE, "%s: line %d: a key holds no zero bytes", what, line);
    TRY(read_name(k, name, secret, what, line, err));
    if (name.bytes)
        word = next_word(&text);
    for (; word.bytes && word.data[0] != '#'; word = next_word(&text))
        TRY(read_attribute(k, word, what, line, err));
    span_copy((char *)k->secret, secret);
    s->tokens[s->count++] = k->per_minute;
    return OK;
}

static Err read_lines(KeySet *s, Span text, const char *what, Error *err)
{
    for (int line = 1; text.bytes > 0; line++) {
        const uint8_t *end = memchr(text.data, '\n', text.bytes);
        size_t bytes = end ? (size_t)(end - text.data) : text.bytes;
        TRY(read_line(s, span_first(text, bytes), what, line, err));
        text = span_from(text, bytes + 1);
    }
    return OK;
}

/* The new set takes the place of the old one, or goes. */
static Err settle(Keys *k, KeySet *s, Err result)
{
    if (result != OK) {
        set_drop(s);
        return result;
    }
    pthread_mutex_lock(&k->lock);
    KeySet *old = k->set;
    k->set = s;
    pthread_mutex_unlock(&k->lock);
    set_drop(old);
    return OK;
}

static int lines_of(Span text)
{
    int lines = 1;
    for (size_t i = 0; i < text.bytes && lines < KEYS_MAX; i++)
        lines += text.data[i] == '\n';
    return lines;
}

static Err new_set(int lines, KeySet **out, Error *err)
{
    *out = set_new(lines < KEYS_MAX ? lines : KEYS_MAX);
    if (*out && (*out)->keys && (*out)->tokens && (*out)->filled)
        return OK;
    set_drop(*out);
    return fail(err, NO_MEMORY, "no memory for keys");
}

Err keys_read(Keys *k, Span text, const char *what, Error *err)
{
    KeySet *s;
    TRY(new_set(lines_of(text), &s, err));
    return settle(k, s, read_lines(s, text, what, err));
}

Err keys_read_file(Keys *k, const char *path, const char *const *more, int more_count, Error *err)
{
    FileMap map = {0};
    KeySet *s = NULL;
    if (path)
        TRY(file_map_init(&map, path, err));
    Err result = map.span.bytes > KEYS_FILE_BYTES_MAX
                     ? fail(err, LIMIT_REACHED, "%s: has %zu bytes; a file of keys has at most %d", path, map.span.bytes,
                            KEYS_FILE_BYTES_MAX)
                     : new_set(lines_of(map.span) + more_count, &s, err);
    if (result == OK) {
        result = read_lines(s, map.span, path ? path : "keys", err);
        if (result == OK && path && s->count == 0)
            result = fail(err, BAD_FILE, "%s: holds no key; a line is: KEY [NAME] [admin] [priority=N] [requests/min=N]", path);
        for (int i = 0; i < more_count && result == OK; i++)
            result = read_line(s, span_text(more[i]), "--api-key", i + 1, err);
        result = settle(k, s, result);
    }
    if (path)
        file_map_deinit(&map);
    return result;
}

/* ---- asking ---- */

Err keys_new(Keys **out, Error *err)
{
    Keys *k = calloc(1, sizeof *k);
    if (!k)
        return fail(err, NO_MEMORY, "no memory for keys");
    pthread_mutex_init(&k->lock, NULL);
    if (new_set(0, &k->set, err) != OK) {
        free(k);
        return NO_MEMORY;
    }
    *out = k;
    return OK;
}

void keys_free(Keys *k)
{
    if (!k)
        return;
    set_drop(k->set);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

int keys_count(Keys *k)
{
    pthread_mutex_lock(&k->lock);
    int count = k->set->count;
    pthread_mutex_unlock(&k->lock);
    return count;
}

/* All bytes are looked at, whatever the first ones say: the optimiser may not know better. */
static bool same_secret(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t differs = 0;
    for (int i = 0; i < KEY_BYTES_MAX; i++)
        differs |= a[i] ^ b[i];
    return differs == 0;
}

static KeySet *set_share(Keys *k)
{
    pthread_mutex_lock(&k->lock);
    KeySet *s = k->set;
    atomic_fetch_add(&s->holders, 1);
    pthread_mutex_unlock(&k->lock);
    return s;
}

const ApiKey *keys_find(Keys *k, Span secret)
{
    uint8_t padded[KEY_BYTES_MAX] = {0};
    span_copy((char *)padded, span_first(secret, KEY_BYTES_MAX));
    bool possible = secret.bytes > 0 && secret.bytes <= KEY_BYTES_MAX;
    const ApiKey *found = NULL;
    KeySet *s = set_share(k);
    for (int i = 0; i < s->count; i++)
        found = same_secret(padded, s->keys[i].secret) && possible ? &s->keys[i] : found;
    if (!found)
        set_drop(s);
    return found;
}

const ApiKey *keys_named(Keys *k, const char *name)
{
    KeySet *s = set_share(k);
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->keys[i].name, name))
            return &s->keys[i];
    set_drop(s);
    return NULL;
}

const ApiKey *key_share(const ApiKey *k)
{
    if (k)
        atomic_fetch_add(&k->set->holders, 1);
    return k;
}

void key_drop(const ApiKey *k)
{
    if (k)
        set_drop(k->set);
}

/* A bucket that holds a minute's worth and fills evenly. */
bool key_admits(const ApiKey *k, double now, double *wait)
{
    *wait = 0;
    if (!k || k->per_minute == 0)
        return true;
    KeySet *s = k->set;
    pthread_mutex_lock(&s->lock);
    double *left = &s->tokens[k->at], *filled = &s->filled[k->at];
    double more = *filled > 0 ? (now - *filled) * k->per_minute / 60 : 0;
    *filled = now;
    *left = fmin(k->per_minute, *left + fmax(0, more));
    bool admits = *left >= 1;
    if (admits)
        *left -= 1;
    else
        *wait = (1 - *left) * 60 / k->per_minute;
    pthread_mutex_unlock(&s->lock);
    return admits;
}
