#include "server/response_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct StoredResponse {
    json_t *part[RESPONSE_PARTS];
    const char *id;                /* within the first; NULL: the place is free */
    uint64_t tenant, used;         /* used: when last; greater is later */
    Exchange *works;               /* on it; held. NULL: nobody does */
    ResponseEvents *events;        /* NULL: it was not streamed */
    size_t bytes;
} StoredResponse;

struct ResponseStore {
    pthread_mutex_t lock;
    StoredResponse entry[RESPONSES_MAX];
    size_t bytes;
    uint64_t turn;
};

Err response_store_new(ResponseStore **out, Error *err)
{
    ResponseStore *s = calloc(1, sizeof *s);
    if (!s)
        return fail(err, NO_MEMORY, "no memory for stored responses");
    pthread_mutex_init(&s->lock, NULL);
    *out = s;
    return OK;
}

static void let_go(StoredResponse *e)
{
    if (e->works)
        exchange_let_go(e->works);
    e->works = NULL;
}

static void drop(ResponseStore *s, StoredResponse *e)
{
    let_go(e);
    for (int i = 0; i < RESPONSE_PARTS; i++)
        json_decref(e->part[i]);
    response_events_drop(e->events);
    s->bytes -= e->bytes;
    *e = (StoredResponse){0};
}

void response_store_free(ResponseStore *s)
{
    if (!s)
        return;
    for (int i = 0; i < RESPONSES_MAX; i++)
        drop(s, &s->entry[i]);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static StoredResponse *find(ResponseStore *s, uint64_t tenant, const char *id)
{
    for (int i = 0; i < RESPONSES_MAX; i++)
        if (s->entry[i].id && s->entry[i].tenant == tenant && !strcmp(s->entry[i].id, id))
            return &s->entry[i];
    return NULL;
}

/* Free places were never used, so they come first. */
static StoredResponse *oldest(ResponseStore *s, bool held)
{
    StoredResponse *best = NULL;
    for (int i = 0; i < RESPONSES_MAX; i++)
        if ((!held || s->entry[i].id) && (!best || s->entry[i].used < best->used))
            best = &s->entry[i];
    return best;
}

static size_t text_bytes(json_t *json)
{
    return json_dumpb(json, NULL, 0, JSON_COMPACT);
}

static size_t parts_bytes(json_t *parts[RESPONSE_PARTS])
{
    size_t bytes = 0;
    for (int i = 0; i < RESPONSE_PARTS; i++)
        bytes += text_bytes(parts[i]);
    return bytes;
}

static bool has_status(const StoredResponse *e, const char *status)
{
    const char *text = json_string_value(json_object_get(e->part[RESPONSE_SHOWN], "status"));
    return text && !strcmp(text, status);
}

static void free_parts(json_t *parts[RESPONSE_PARTS])
{
    for (int i = 0; i < RESPONSE_PARTS; i++)
        json_decref(parts[i]);
}

void response_store_put(ResponseStore *s, uint64_t tenant, json_t *parts[RESPONSE_PARTS], Exchange *maker,
                        ResponseEvents *events)
{
    StoredResponse made = {.id = json_string_value(json_object_get(parts[RESPONSE_SHOWN], "id")), .tenant = tenant};
    memcpy(made.part, parts, sizeof made.part);
    size_t bytes = made.bytes = parts_bytes(parts) + (events ? response_events_bytes(events) : 0);
    if (!made.id || bytes > RESPONSES_BYTES_MAX) {
        free_parts(parts);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (maker && exchange_stopped(maker)) {
        pthread_mutex_unlock(&s->lock);
        free_parts(parts);
        return;
    }
    if (maker && has_status(&made, "in_progress")) {
        exchange_hold(maker);
        made.works = maker;
    }
    made.events = response_events_share(events);
    StoredResponse *same = find(s, tenant, made.id);
    if (same)
        drop(s, same);
    while (s->bytes + bytes > RESPONSES_BYTES_MAX)
        drop(s, oldest(s, true));
    StoredResponse *e = oldest(s, false);
    drop(s, e);
    *e = made;
    e->used = ++s->turn;
    s->bytes += bytes;
    pthread_mutex_unlock(&s->lock);
}

ResponseEvents *response_store_events(ResponseStore *s, uint64_t tenant, const char *id)
{
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    ResponseEvents *events = e ? response_events_share(e->events) : NULL;
    pthread_mutex_unlock(&s->lock);
    return events;
}

json_t *response_store_get(ResponseStore *s, uint64_t tenant, const char *id, ResponsePart part)
{
    json_t *copy = NULL;
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    if (e) {
        e->used = ++s->turn;
        copy = json_deep_copy(e->part[part]);
    }
    pthread_mutex_unlock(&s->lock);
    return copy;
}

bool response_store_change(ResponseStore *s, uint64_t tenant, const char *id,
                           void (*change)(void *with, json_t *parts[RESPONSE_PARTS]), void *with)
{
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    if (e) {
        change(with, e->part);
        s->bytes -= e->bytes;
        e->bytes = parts_bytes(e->part);
        s->bytes += e->bytes;
        e->used = ++s->turn;
    }
    while (s->bytes > RESPONSES_BYTES_MAX)
        drop(s, oldest(s, true));
    pthread_mutex_unlock(&s->lock);
    return e;
}

bool response_store_drop(ResponseStore *s, uint64_t tenant, const char *id)
{
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    if (e && e->works)
        exchange_stop(e->works);
    if (e)
        drop(s, e);
    pthread_mutex_unlock(&s->lock);
    return e;
}

void response_store_ended(ResponseStore *s, uint64_t tenant, const char *id)
{
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    if (e)
        let_go(e);
    pthread_mutex_unlock(&s->lock);
}

json_t *response_store_cancel(ResponseStore *s, uint64_t tenant, const char *id)
{
    json_t *copy = NULL;
    pthread_mutex_lock(&s->lock);
    StoredResponse *e = find(s, tenant, id);
    json_t *shown = e ? e->part[RESPONSE_SHOWN] : NULL;
    if (e && e->works && has_status(e, "in_progress")) {
        exchange_stop(e->works);
        json_object_set_new(shown, "status", json_string("cancelled"));
    }
    if (json_is_true(json_object_get(shown, "background")))
        copy = json_deep_copy(shown);
    pthread_mutex_unlock(&s->lock);
    return copy;
}
