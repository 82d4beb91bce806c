/* api_page.c -- the page for people: the files of web/, as they were when the program was built.
 *
 * Nothing is fetched from elsewhere, and the browser is told that nothing may be.
 */
#include <stdio.h>

#include "server/service.h"

typedef struct EmbeddedFile {
    const char *name;
    const unsigned char *data;
    size_t bytes;
} EmbeddedFile;

#include "web.inc"

static const char *type_of(const char *name)
{
    static const struct { const char *end, *type; } types[] = {
        {".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"}, {".svg", "image/svg+xml"}, {".png", "image/png"},
        {".ico", "image/x-icon"}, {".json", "application/json"}, {".woff2", "font/woff2"},
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < COUNT_OF(types); i++)
        if (!strcmp(dot, types[i].end))
            return types[i].type;
    return "application/octet-stream";
}

/* A name of the content: FNV-1a. */
static void tag_of(const EmbeddedFile *f, char out[24])
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < f->bytes; i++)
        h = (h ^ f->data[i]) * 0x100000001b3u;
    snprintf(out, 24, "\"%016llx\"", (unsigned long long)h);
}

static void send_file(Exchange *x, const EmbeddedFile *f)
{
    char tag[24];
    tag_of(f, tag);
    const char *known = exchange_header(x, "If-None-Match");
    exchange_add_header(x, "ETag", tag);
    exchange_add_header(x, "Cache-Control", "no-cache");   /* asks each time whether it is still the same */
    exchange_add_header(x, "Content-Security-Policy",
                        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; "
                        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'");
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    if (known && strstr(known, tag))
        exchange_text(x, 304, type_of(f->name), (Span){0});
    else
        exchange_text(x, 200, type_of(f->name), span_of(f->data, f->bytes));
}

static void send_named(Exchange *x, const char *name)
{
    for (size_t i = 0; i < COUNT_OF(embedded); i++)
        if (!strcmp(embedded[i].name, name)) {
            send_file(x, &embedded[i]);
            return;
        }
    exchange_refuse_path(x);
}

static void index_page(Exchange *x) { send_named(x, "index.html"); }
static void file(Exchange *x) { send_named(x, exchange_path_part(x, 0)); }

static const Route list[] = {
    {"GET", "/", ACCESS_OPEN, index_page},
    {"GET", "/web/{}", ACCESS_OPEN, file},
};
const RouteList routes_page = ROUTES(list, api_error_json);
