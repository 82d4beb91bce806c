/* share.h -- the files that come with the program: share/shapes/, share/machines/.
 *
 * They lie beside it: ../share from build/, ../../share from build/sanitize/ and its like and from build/tests/,
 * ../share/ridge where it is installed.
 */
#ifndef BASE_SHARE_H
#define BASE_SHARE_H

#include <limits.h>
#include <stdio.h>

#include "base/error.h"

/* share/FOLDER/NAME.json; false: there is none. */
bool share_find(const char *folder, const char *name, char path[PATH_MAX]);
Err share_print(const char *folder, FILE *, Error *err);   /* the names, one a line, in order */

#endif
