#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Err fail(Error *err, Err code, const char *format, ...)
{
    ASSERT(code != OK);
    if (!err)
        return code;
    err->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return code;
}

Err fail_within(Error *err, const char *format, ...)
{
    ASSERT(err && err->code != OK);
    char inner[ERROR_TEXT_BYTES];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used + 2 < sizeof err->text) {   /* the outer words come first; the inner are cut */
        size_t room = sizeof err->text - (size_t)used - 3, bytes = strlen(inner);
        char *end = err->text + used;
        memcpy(end, ": ", 2);
        memcpy(end + 2, inner, bytes < room ? bytes : room);
        end[2 + (bytes < room ? bytes : room)] = 0;
    }
    return err->code;
}

void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "ridge: %s:%d: this must hold and does not: %s\n", file, line, condition);
    abort();
}
