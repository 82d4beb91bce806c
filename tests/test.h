/* test.h -- what every test includes: cmocka and its four headers, in the order it asks for. */
#ifndef TEST_H
#define TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#undef fail   /* cmocka fails a test with it; here it fills an Error */

#include "base/error.h"

/* Fails the test with the error's own text. */
static inline void must_be_ok(Err code, const Error *err)
{
    if (code != OK)
        print_error("%s\n", err->text);
    assert_int_equal(code, OK);
}

/* Where the reference data of the developers lies; NULL, with a loud line, where it is absent. */
static inline const char *shared_path(const char *relative)
{
    static char path[4][512];
    static int turn;
    const char *root = getenv("RIDGE_SHARED");
    char *out = path[turn++ & 3];
    snprintf(out, sizeof path[0], "%s/%s", root ? root : "../shared", relative);
    FILE *probe = fopen(out, "rb");
    if (!probe) {
        fprintf(stderr, "NOT TESTED: %s is absent, what needs it is left out\n", out);
        return NULL;
    }
    fclose(probe);
    return out;
}

#endif
