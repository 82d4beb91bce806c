/* sha256.h -- a name for bytes that nobody can find other bytes for (FIPS 180-4).
 *
 *     Sha256 h = sha256_begin();
 *     sha256_put(&h, data, bytes);           as often as one likes
 *     Digest d = sha256_end(&h);
 *
 * About 300 MB a second: for names and keys, not for the checksums of large things.
 */
#ifndef BASE_SHA256_H
#define BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32 };

typedef struct Digest { uint8_t byte[DIGEST_BYTES]; } Digest;

typedef struct Sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
} Sha256;

Sha256 sha256_begin(void);
void sha256_put(Sha256 *, const void *data, size_t bytes);
Digest sha256_end(Sha256 *);

#endif
