#include "cache/kv_block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_out.h"

static const char magic[8] = "ridgekv1";

typedef struct Header {
    char magic[8];
    uint32_t block_tokens, groups;
    uint64_t bytes;
    KvName name, parent;
    uint64_t content_sum, header_sum;
} Header;

_Static_assert(sizeof(Header) == 104, "the header of a file has no holes");

size_t kv_unit_bytes(const KvBlockShape *shape, uint32_t groups)
{
    size_t bytes = 0;
    for (int32_t g = 0; g < shape->groups; g++)
        bytes += groups >> g & 1 ? (size_t)shape->group_bytes[g] : 0;
    return bytes;
}

static size_t token_bytes(const KvBlockShape *shape) { return (size_t)shape->block_tokens * sizeof(int32_t); }

uint64_t kv_file_bytes(const KvBlockShape *shape, uint32_t groups)
{
    return sizeof(Header) + token_bytes(shape) + kv_unit_bytes(shape, groups);
}

/* Four sums side by side, a multiplication for each 8 bytes: against damage, not against forgers. */
static uint64_t checksum(uint64_t seed, const void *data, size_t bytes)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t lane[4] = {seed, seed ^ 1, seed ^ 2, seed ^ 3};
    const uint8_t *at = data;
    size_t i = 0;
    for (uint64_t word; i + 8 <= bytes; i += 8) {
        memcpy(&word, at + i, 8);
        uint64_t *l = &lane[i / 8 % 4];
        *l = (*l ^ word) * odd;
        *l ^= *l >> 29;
    }
    uint64_t rest = bytes;
    for (; i < bytes; i++)
        rest = (rest ^ at[i]) * odd;
    for (int l = 0; l < 4; l++)
        rest = (rest ^ lane[l] ^ rest >> 31) * odd;
    return rest ^ rest >> 32;
}

static uint64_t header_sum(const KvBlockShape *shape, const Header *h, const int32_t *tokens)
{
    return checksum(checksum(1, h, offsetof(Header, header_sum)), tokens, token_bytes(shape));
}

static Header header_of(const KvBlockShape *shape, const KvUnit *u)
{
    size_t bytes = kv_unit_bytes(shape, u->groups);
    Header h = {.block_tokens = (uint32_t)shape->block_tokens, .groups = u->groups, .bytes = bytes, .name = u->name,
                .parent = u->parent, .content_sum = checksum(0, u->bytes, bytes)};
    memcpy(h.magic, magic, sizeof h.magic);
    h.header_sum = header_sum(shape, &h, u->tokens);
    return h;
}

Err kv_block_file_write(const char *path, const KvBlockShape *shape, const KvUnit *u, Error *err)
{
    FileOut *out;
    Header h = header_of(shape, u);
    TRY(file_out_new(path, &out, err));
    Err result = file_out_put(out, &h, sizeof h, err);
    if (result == OK)
        result = file_out_put(out, u->tokens, token_bytes(shape), err);
    if (result == OK)
        result = file_out_put(out, u->bytes, h.bytes, err);
    if (result == OK)
        return file_out_commit(out, err);
    file_out_drop(out);
    return result;
}

static Err read_whole(int fd, const char *path, void *to, size_t bytes, Error *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = read(fd, (uint8_t *)to + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
        if (n == 0)
            return fail(err, BAD_FILE, "%s: is cut short", path);
        done += (size_t)n;
    }
    return OK;
}

static Err check_tokens(int fd, const char *path, const KvBlockShape *shape, const int32_t *wanted, Error *err)
{
    int32_t some[64];
    for (int32_t n, left = shape->block_tokens; left > 0; left -= n, wanted += n) {
        n = left < (int32_t)COUNT_OF(some) ? left : (int32_t)COUNT_OF(some);
        TRY(read_whole(fd, path, some, (size_t)n * sizeof *some, err));
        if (memcmp(some, wanted, (size_t)n * sizeof *some))
            return fail(err, BAD_FILE, "%s: is of other tokens than its name says", path);
    }
    return OK;
}

static Err check_header(const char *path, const KvBlockShape *shape, const Header *h, const KvUnit *u, uint64_t size,
                        Error *err)
{
    if (memcmp(h->magic, magic, sizeof magic))
        return fail(err, BAD_FILE, "%s: is not a block of a cache", path);
    if (h->header_sum != header_sum(shape, h, u->tokens))
        return fail(err, BAD_FILE, "%s: the header is damaged, or is of other tokens", path);
    if (memcmp(&h->name, &u->name, sizeof h->name) || memcmp(&h->parent, &u->parent, sizeof h->parent))
        return fail(err, BAD_FILE, "%s: has the name of another", path);
    if (h->block_tokens != (uint32_t)shape->block_tokens || h->groups == 0 || h->groups >> shape->groups
        || h->bytes != kv_unit_bytes(shape, h->groups) || size != kv_file_bytes(shape, h->groups))
        return fail(err, BAD_FILE, "%s: has %llu bytes, which is not what its header says", path, (unsigned long long)size);
    return OK;
}

static Err read_open(int fd, const char *path, const KvBlockShape *shape, KvUnit *u, Error *err)
{
    struct stat info;
    Header h;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return fail(err, BAD_FILE, "%s: is not a regular file", path);
    TRY(read_whole(fd, path, &h, sizeof h, err));
    TRY(check_header(path, shape, &h, u, (uint64_t)info.st_size, err));
    TRY(check_tokens(fd, path, shape, u->tokens, err));
    TRY(read_whole(fd, path, u->bytes, h.bytes, err));
    if (checksum(0, u->bytes, h.bytes) != h.content_sum)
        return fail(err, BAD_FILE, "%s: the content is damaged", path);
    u->groups = h.groups;
    return OK;
}

Err kv_block_file_read(const char *path, const KvBlockShape *shape, KvUnit *u, Error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(err, errno == ENOENT ? NOT_FOUND : IO_FAILED, "%s: %s", path, strerror(errno));
    Err result = read_open(fd, path, shape, u, err);
    close(fd);
    return result;
}
