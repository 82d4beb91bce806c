#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 2 << 20 };   /* of a file, that one thread lets go: a huge page */

Err file_map_init(FileMap *map, const char *path, Error *err)
{
    *map = (FileMap){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a FIFO without a writer must not hang us */
    if (fd < 0)
        return fail(err, errno == ENOENT ? NOT_FOUND : IO_FAILED, "%s: %s", path, strerror(errno));
    struct stat info;
    Err result = OK;
    if (fstat(fd, &info) != 0) {
        result = fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        result = fail(err, BAD_FILE, "%s: is not a regular file", path);
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            result = fail(err, IO_FAILED, "%s: cannot be mapped: %s", path, strerror(errno));
        else
            map->span = span_of(data, (size_t)info.st_size);
    }
    close(fd);
    return result;
}

void file_map_deinit(FileMap *map)
{
    if (map->span.bytes)
        munmap((void *)map->span.data, map->span.bytes);
    *map = (FileMap){0};
}

void file_map_expect(const FileMap *map)
{
    if (map->span.bytes)
        madvise((void *)map->span.data, map->span.bytes, MADV_HUGEPAGE);
}

void file_map_let_go(const FileMap *map, int part, int parts)
{
    size_t pieces = (map->span.bytes + PIECE - 1) / PIECE;
    size_t from = pieces * (size_t)part / (size_t)parts * PIECE, to = pieces * ((size_t)part + 1) / (size_t)parts * PIECE;
    to = to < map->span.bytes ? to : map->span.bytes;
    if (from < to)
        madvise((void *)(map->span.data + from), to - from, MADV_DONTNEED);
}

bool file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool directory_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}
