/* api_files.c -- OpenAI's /v1/files: what batches read, and what they wrote. */
#include <stdio.h>
#include <stdlib.h>

#include "server/batch_parts.h"
#include "server/multipart.h"
#include "server/routes.h"
#include "text/utf8.h"

enum { FILES_PAGE_MAX = 10000 };

static json_t *file_json(const StoredFile *f)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:n, s:s, s:s, s:s, s:n}", "id", f->id, "object", "file", "bytes",
                     (json_int_t)f->bytes, "created_at", (json_int_t)f->created_at, "expires_at", "filename", f->filename,
                     "purpose", f->purpose, "status", "processed", "status_details");
}

/* ---- taking ---- */

/* False: refused. *content: what was sent as the file. */
static bool read_upload(Exchange *x, StoredFile *about, Span *content, ApiError *error)
{
    Form form;
    Error err;
    if (form_read(&form, exchange_header(x, "Content-Type"), exchange_body(x), &err) != OK)
        return api_refuse(error, 400, NULL, "%s", err.text);
    const FormPart *file = form_find(&form, "file"), *purpose = form_find(&form, "purpose");
    if (!file || !file->filename[0])
        return api_refuse(error, 400, "file", "file: the form has no file of that name");
    if (!purpose)
        return api_refuse(error, 400, "purpose", "purpose: is missing");
    if (!span_is(purpose->content, "batch"))
        return api_refuse(error, 400, "purpose", "purpose: '%.*s' is not something that this server has a use for; it takes "
                          "\"batch\"", (int)span_first(purpose->content, 40).bytes, (const char *)purpose->content.data);
    if (!utf8_is_valid(span_text(file->filename)))
        return api_refuse(error, 400, "file", "file: its name is no UTF-8");
    snprintf(about->owner, sizeof about->owner, "%s", owner_of(x));
    snprintf(about->filename, sizeof about->filename, "%s", file->filename);
    snprintf(about->purpose, sizeof about->purpose, "batch");
    *content = file->content;
    return true;
}

static void upload(Exchange *x)
{
    Batches *b = batches_of(x);
    StoredFile about = {0};
    ApiError error;
    Error err;
    Span content;
    if (!b)
        return;
    if (!read_upload(x, &about, &content, &error)) {
        exchange_refuse(x, &error);
    } else if (file_store_add(batches_files(b), &about, content, &err) != OK) {
        api_refuse(&error, err.code == LIMIT_REACHED ? 400 : 500, "file", "%s",
                   err.code == LIMIT_REACHED ? err.text : "the file could not be kept");
        exchange_refuse(x, &error);
    } else {
        exchange_json(x, 200, file_json(&about));
    }
}

/* ---- giving ---- */

/* False: refused, or there is no state. */
static bool find(Exchange *x, Batches *b, StoredFile *file)
{
    ApiError error;
    const char *id = exchange_path_part(x, 0);
    if (!b)
        return false;
    if (id && file_store_find(batches_files(b), owner_of(x), id, file))
        return true;
    api_refuse(&error, 404, "id", "there is no file '%.60s'", id ? id : "");
    exchange_refuse(x, &error);
    return false;
}

static void show(Exchange *x)
{
    StoredFile file;
    if (find(x, batches_of(x), &file))
        exchange_json(x, 200, file_json(&file));
}

/* A file on its way out, as fast as it is read. */
typedef struct Content {
    FileMap map;
    Span rest;
} Content;

static void content_free(void *content)
{
    Content *c = content;
    file_map_deinit(&c->map);
    free(c);
}

static void put_content(Exchange *x)
{
    Content *c = exchange_state(x);
    if (exchange_is_done(x))
        return;
    for (size_t room; c->rest.bytes && !exchange_gone(x) && (room = exchange_room(x)) > 0;) {
        Span part = span_first(c->rest, room);
        exchange_put(x, part);
        c->rest = span_from(c->rest, part.bytes);
    }
    if (c->rest.bytes == 0 || exchange_gone(x))
        exchange_done(x);
}

static void give_content(Exchange *x)
{
    StoredFile file;
    Error err;
    ApiError error;
    Batches *b = batches_of(x);
    if (!find(x, b, &file))
        return;
    Content *c = calloc(1, sizeof *c);
    if (!c || file_store_map(batches_files(b), &file, &c->map, &err) != OK) {
        free(c);
        api_refuse(&error, 500, NULL, "the file could not be read");
        exchange_refuse(x, &error);
        return;
    }
    c->rest = c->map.span;
    exchange_stream(x, "application/octet-stream");
    exchange_continue(x, c, put_content, content_free);
    exchange_poke(x);
}

static void delete(Exchange *x)
{
    StoredFile file;
    Batches *b = batches_of(x);
    if (!find(x, b, &file))
        return;
    bool deleted = file_store_delete(batches_files(b), owner_of(x), file.id);
    exchange_json(x, 200, json_pack("{s:s, s:s, s:b}", "id", file.id, "object", "file", "deleted", deleted));
}

static void list(Exchange *x)
{
    Batches *b = batches_of(x);
    int limit;
    bool more;
    const char *order = exchange_query(x, "order");
    FileQuery query = {.owner = owner_of(x), .purpose = exchange_query(x, "purpose"), .after = exchange_query(x, "after"),
                       .newest = !order || strcmp(order, "asc") != 0};
    if (!b || !limit_of(x, FILES_PAGE_MAX, FILES_PAGE_MAX, &limit))
        return;
    int most = limit < OWNED_FILES_MAX ? limit : OWNED_FILES_MAX;
    StoredFile *files = calloc((size_t)most, sizeof *files);
    json_t *data = files ? json_array() : NULL;
    int count = files ? file_store_list(batches_files(b), &query, files, most, &more) : 0;
    for (int i = 0; i < count; i++)
        json_array_append_new(data, file_json(&files[i]));
    free(files);
    exchange_json(x, 200, data ? page_json(data, more) : NULL);
}

static const Route routes[] = {
    {"POST", "/v1/files", ACCESS_KEY, upload},
    {"GET", "/v1/files", ACCESS_KEY, list},
    {"GET", "/v1/files/{}", ACCESS_KEY, show},
    {"DELETE", "/v1/files/{}", ACCESS_KEY, delete},
    {"GET", "/v1/files/{}/content", ACCESS_KEY, give_content},
};
const RouteList routes_files = ROUTES(routes, api_error_json);
