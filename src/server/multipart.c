#include "server/multipart.h"

#include <strings.h>

/* Steps over `text` at the start of *s, in any case of letters. */
static bool take_text(Span *s, const char *text)
{
    size_t bytes = strlen(text);
    if (s->bytes < bytes || strncasecmp((const char *)s->data, text, bytes) != 0)
        return false;
    *s = span_from(*s, bytes);
    return true;
}

static void skip_blanks(Span *s)
{
    while (s->bytes && (s->data[0] == ' ' || s->data[0] == '\t'))
        *s = span_from(*s, 1);
}

/* Where `what` begins in s; s.bytes: nowhere. */
static size_t find(Span s, Span what)
{
    const uint8_t *at = s.bytes ? memmem(s.data, s.bytes, what.data, what.bytes) : NULL;
    return at ? (size_t)(at - s.data) : s.bytes;
}

/* A value after "name=": in quotes with \ before a quote, or bare up to a ';'. False: no end, or no room. */
static bool take_value(Span *s, char *to, size_t room)
{
    size_t n = 0, at = 0;
    bool quoted = s->bytes && s->data[0] == '"';
    for (at = quoted; at < s->bytes && s->data[at] != (quoted ? '"' : ';'); at++) {
        if (quoted && s->data[at] == '\\' && at + 1 < s->bytes && (s->data[at + 1] == '"' || s->data[at + 1] == '\\'))
            at++;
        if (n + 1 >= room || s->data[at] < ' ')
            return false;
        to[n++] = (char)s->data[at];
    }
    while (!quoted && n && to[n - 1] == ' ')
        n--;
    to[n] = 0;
    if (quoted && at == s->bytes)
        return false;
    *s = span_from(*s, at + quoted);
    return true;
}

/* Looks for `name` among the parameters "; a=1; b=2". The value stays "" where it is not there. */
static bool parameter(Span s, const char *name, char *to, size_t room)
{
    to[0] = 0;
    while (s.bytes) {
        char other[FORM_FILENAME_BYTES];
        skip_blanks(&s);
        if (!take_text(&s, ";"))
            return s.bytes == 0;
        skip_blanks(&s);
        if (take_text(&s, name) && take_text(&s, "="))
            return take_value(&s, to, room);
        size_t sign = find(s, span_text("="));
        s = span_from(s, sign + 1);
        if (!take_value(&s, other, sizeof other))
            return false;
    }
    return true;
}

static Err read_boundary(const char *content_type, char *to, size_t room, Error *err)
{
    Span s = span_text(content_type ? content_type : "");
    if (!take_text(&s, "multipart/form-data"))
        return fail(err, BAD_ARGUMENT, "the Content-Type is '%.100s'; a file is sent as multipart/form-data",
                    content_type ? content_type : "");
    if (!parameter(s, "boundary", to, room) || !to[0])
        return fail(err, BAD_ARGUMENT, "the Content-Type has no boundary of 1 to %d characters", FORM_BOUNDARY_MAX);
    return OK;
}

static Err read_disposition(FormPart *part, Span value, int number, Error *err)
{
    skip_blanks(&value);
    if (!take_text(&value, "form-data"))
        return fail(err, BAD_ARGUMENT, "part %d of the form: its Content-Disposition is not form-data", number);
    if (!parameter(value, "name", part->name, sizeof part->name) ||
        !parameter(value, "filename", part->filename, sizeof part->filename))
        return fail(err, BAD_ARGUMENT, "part %d of the form: a name has no end, more than %d bytes (a file's: %d), or "
                    "control characters", number, FORM_NAME_BYTES - 1, FORM_FILENAME_BYTES - 1);
    return OK;
}

/* The lines up to the empty one. *s is left at the content. */
static Err read_headers(FormPart *part, Span *s, int number, Error *err)
{
    for (int lines = 0; lines <= FORM_HEADERS_MAX; lines++) {
        size_t bytes = find(*s, span_text("\r\n"));
        Span line = span_first(*s, bytes);
        if (bytes == s->bytes)
            return fail(err, BAD_ARGUMENT, "part %d of the form: its headers have no end", number);
        *s = span_from(*s, bytes + 2);
        if (line.bytes == 0)
            return part->name[0] ? OK : fail(err, BAD_ARGUMENT, "part %d of the form has no name", number);
        if (take_text(&line, "Content-Disposition:"))
            TRY(read_disposition(part, line, number, err));
    }
    return fail(err, LIMIT_REACHED, "part %d of the form has more than %d headers", number, FORM_HEADERS_MAX);
}

/* *s stands behind a boundary: "--" ends the form, a line end begins a part. */
static Err read_parts(Form *form, Span s, Span delimiter, Error *err)
{
    while (!take_text(&s, "--")) {
        int number = form->count + 1;
        skip_blanks(&s);
        if (!take_text(&s, "\r\n"))
            return fail(err, BAD_ARGUMENT, "part %d of the form: its boundary is not followed by the end of a line", number);
        if (form->count == FORM_PARTS_MAX)
            return fail(err, LIMIT_REACHED, "the form has more than %d parts", FORM_PARTS_MAX);
        FormPart *part = &form->part[form->count++];
        TRY(read_headers(part, &s, number, err));
        size_t bytes = find(s, delimiter);
        if (bytes == s.bytes)
            return fail(err, BAD_ARGUMENT, "part %d of the form has no end: the boundary does not come again", number);
        part->content = span_first(s, bytes);
        s = span_from(s, bytes + delimiter.bytes);
    }
    return OK;
}

Err form_read(Form *form, const char *content_type, Span body, Error *err)
{
    char boundary[FORM_BOUNDARY_MAX + 1], delimiter[FORM_BOUNDARY_MAX + 5] = "\r\n--";
    *form = (Form){0};
    TRY(read_boundary(content_type, boundary, sizeof boundary, err));
    strcat(delimiter, boundary);
    Span first = span_text(delimiter + 2);
    size_t at = span_starts(body, first) ? first.bytes : find(body, span_text(delimiter)) + strlen(delimiter);
    if (at > body.bytes)
        return fail(err, BAD_ARGUMENT, "the form does not contain its boundary");
    return read_parts(form, span_from(body, at), span_text(delimiter), err);
}

const FormPart *form_find(const Form *form, const char *name)
{
    for (int i = 0; i < form->count; i++)
        if (!strcmp(form->part[i].name, name))
            return &form->part[i];
    return NULL;
}
