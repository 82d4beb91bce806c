#include "server/api_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

/* What was quoted from outside may be no UTF-8, or cut in the middle of a character: JSON could not carry it. */
static void make_utf8(char *text)
{
    for (char *at = text; *at;) {
        at += utf8_valid_bytes(span_text(at));
        if (*at)
            *at++ = '?';
    }
}

static void settle(ApiError *e, int status, const char *param)
{
    e->status = status;
    e->type = api_error_type(status);
    e->retry_after_seconds = status == 429 || status == 503 ? 1 : 0;
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    make_utf8(e->param);
    make_utf8(e->message);
}

bool api_refuse(ApiError *e, int status, const char *param, const char *format, ...)
{
    va_list args;
    *e = (ApiError){0};
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    settle(e, status, param);
    return false;
}

bool api_refuse_error(ApiError *e, const Error *from, const char *param)
{
    static const int statuses[] = {[BAD_ARGUMENT] = 400, [NO_MEMORY] = 400, [IO_FAILED] = 503, [LIMIT_REACHED] = 429,
                                   [CANCELLED] = 499};
    int status = (size_t)from->code < COUNT_OF(statuses) ? statuses[from->code] : 0;
    *e = (ApiError){0};
    memcpy(e->message, from->text, sizeof e->message);
    settle(e, status ? status : 500, param);
    return false;
}

const char *api_error_type(int status)
{
    static const struct { int status; const char *type; } types[] = {
        {401, "authentication_error"}, {403, "permission_error"},     {404, "not_found_error"},
        {413, "request_too_large"},    {429, "rate_limit_error"},     {501, "not_supported_error"},
        {503, "unavailable_error"},
    };
    for (size_t i = 0; i < COUNT_OF(types); i++)
        if (types[i].status == status)
            return types[i].type;
    return status >= 500 ? "server_error" : "invalid_request_error";
}

json_t *api_error_json(const ApiError *e)
{
    return json_pack("{s:{s:s, s:s, s:o, s:o}}", "error", "message", e->message, "type", e->type, "param",
                     e->param[0] ? json_string(e->param) : json_null(), "code", e->code ? json_string(e->code) : json_null());
}
