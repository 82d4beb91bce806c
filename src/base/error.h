/* error.h -- the two kinds of wrong.
 *
 * The world's (a file, a request, a device) travels as an Err code together with an Error that names
 * the file, tensor, offset or field and says what to do. TRY forwards it. Library code never exits
 * and never prints.
 *
 * A programmer's is an ASSERT. It stays on in release builds: it is never the check of outside data.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Err {
    OK = 0,
    BAD_ARGUMENT,   /* an option or a field of a request is wrong */
    BAD_FILE,       /* the bytes of a file contradict its format */
    NOT_FOUND,      /* no such file, tensor, key */
    UNSUPPORTED,    /* well formed, but not something that ridge can do */
    NO_MEMORY,
    IO_FAILED,      /* the operating system said no: full disk, closed pipe */
    LIMIT_REACHED,  /* a bound of the house: queue, context, depth, steps */
    CANCELLED,
} Err;

enum { ERROR_TEXT_BYTES = 1024 };

typedef struct Error {
    Err code;
    char text[ERROR_TEXT_BYTES];   /* one sentence or two, no newline at the end */
} Error;

/* Fills *err (which may be NULL) and returns code, so that `return fail(err, ...)` reads as one. */
Err fail(Error *err, Err code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "where: " before the text of an error on its way up; returns err->code. */
Err fail_within(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define TRY(call)                          \
    do {                                   \
        Err try_code_ = (call);            \
        if (try_code_ != OK)               \
            return try_code_;              \
    } while (0)

void assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn));
#define ASSERT(condition) \
    ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
