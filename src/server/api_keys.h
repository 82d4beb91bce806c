/* api_keys.h -- who may call, from a file that may be read again while the server runs.
 *
 *     # key                      name      what is different for it
 *     sk-3b1f0c6a2e              alice     priority=10 requests/min=60
 *     sk-77d0a1b44c              alice
 *     sk-52c9fe8d10              ops       admin
 *
 * One key a line. Keys with the same name are one tenant: so a key can be replaced while the old one still works.
 * A key without a name is a tenant of its own. A tenant has a salt: what it sends shares no past with others.
 *
 * Somebody who guesses learns nothing from the time that a refusal takes: the text is compared with all keys,
 * each over the same number of bytes.
 */
#ifndef SERVER_API_KEYS_H
#define SERVER_API_KEYS_H

#include "base/error.h"
#include "base/span.h"

enum { KEY_BYTES_MAX = 256, KEY_NAME_BYTES = 64, KEYS_MAX = 4096, KEYS_FILE_BYTES_MAX = 1 << 21 };

typedef struct ApiKey {
    char name[KEY_NAME_BYTES];   /* "key-3fa94c21" of a key without one: of its hash */
    uint64_t tenant, salt;
    int32_t priority;
    bool admin;                  /* may see what others do */
    double per_minute;           /* requests; 0: any number */
    struct KeySet *set;          /* api_keys.c's own, as what follows */
    uint8_t secret[KEY_BYTES_MAX];
    int32_t at;
} ApiKey;

typedef struct Keys Keys;

Err keys_new(Keys **, Error *);                              /* without keys: nobody is asked for one */
void keys_free(Keys *);
/* All or nothing: an error (it names the line) leaves the keys as they were. `text` is a file's content. */
Err keys_read(Keys *, Span text, const char *what, Error *);
Err keys_read_file(Keys *, const char *path, const char *const *more, int more_count, Error *);   /* path NULL: `more` only */
int keys_count(Keys *);

/* NULL: unknown. The key stays, with what is counted of it, until it is dropped, whatever is read meanwhile. */
const ApiKey *keys_find(Keys *, Span secret);
const ApiKey *keys_named(Keys *, const char *name);   /* one of that name; likewise */
const ApiKey *key_share(const ApiKey *);   /* NULL is allowed, here and below */
void key_drop(const ApiKey *);
/* Whether one more request is within its requests/min at `now`; else *wait says for how many seconds it is not. */
bool key_admits(const ApiKey *, double now, double *wait);

#endif
