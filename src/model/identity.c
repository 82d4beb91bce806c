#include "model/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sha256.h"
#include "store/store.h"

enum { PIECES = 64, PIECE_BYTES = 4096 };

static void put_pieces(Sha256 *h, Span bytes)
{
    size_t last = bytes.bytes > PIECE_BYTES ? bytes.bytes - PIECE_BYTES : 0;
    for (size_t i = 0; i < PIECES; i++) {
        Span piece = span_first(span_from(bytes, last / (PIECES - 1) * i), PIECE_BYTES);
        sha256_put(h, piece.data, piece.bytes);
    }
    Span end = span_from(bytes, last);
    sha256_put(h, end.data, end.bytes);
}

static Err put_file(Sha256 *h, const StoreFile *f, Error *err)
{
    struct stat info;
    if (stat(f->path, &info) != 0)
        return fail(err, IO_FAILED, "%s: %s", f->path, strerror(errno));
    const int64_t numbers[] = {(int64_t)f->bytes.bytes, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
    sha256_put(h, numbers, sizeof numbers);
    put_pieces(h, f->bytes);
    return OK;
}

Err checkpoint_identity(const Checkpoint *c, char out[IDENTITY_BYTES], Error *err)
{
    Sha256 h = sha256_begin();
    if (c->config) {
        char *text = json_dumps(c->config, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
            return fail(err, NO_MEMORY, "%s: no memory", c->config_path);
        sha256_put(&h, text, strlen(text));
        free(text);
    }
    for (size_t i = 0; i < store_file_count(c->store); i++)
        TRY(put_file(&h, store_file(c->store, i), err));
    Digest d = sha256_end(&h);
    for (int i = 0; i < DIGEST_BYTES; i++)
        snprintf(out + 2 * i, 3, "%02x", d.byte[i]);
    return OK;
}
