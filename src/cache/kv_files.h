/* kv_files.h -- a directory of blocks: the second home of pasts, which outlives evictions and restarts.
 *
 *     engine's thread       stage -> fill -> write ------> [ units ] --> writer's thread --> DIR/NAME-GROUPS.kv
 *                           read -> ... -> read_done <---- [ units ] <-- reader's thread <--
 *
 * A block is named by SHA-256 over a chain that begins with a secret of the directory (DIR/key), the model
 * and the salt, and takes in the tokens block by block. So equal names mean equal pasts of the same model for
 * the same tenant, and a name tells nobody a salt. The tokens are compared all the same.
 *
 * Files are written whole, hold a checksum, and never pass bytes_max together: the one that was used longest
 * ago goes first, other models' too. What is damaged or foreign is removed or passed over, and counted, with
 * the reason. Where the disk says no, nothing is written for a while; nobody notices but the statistics.
 *
 * The engine's thread never waits for the disk: it copies into staging memory that was taken at start, and
 * where none is free the block is passed over this time. One process at a time uses a directory. Prompts can be
 * read from its files, so a new directory is made for the owner alone.
 */
#ifndef CACHE_KV_FILES_H
#define CACHE_KV_FILES_H

#include "cache/kv_block_file.h"

typedef struct KvFiles KvFiles;

typedef struct KvFilesOptions {
    const char *directory;       /* NULL: there is none */
    int64_t bytes_max;           /* of all files; 0: 8 GiB */
    int64_t staging_bytes;       /* host memory for blocks on their way, half of it each way; 0: 64 MiB. A block fits always */
    const char *model;           /* whose weights (model/identity.h): others' files are never taken for them; NULL: "" */
} KvFilesOptions;

typedef struct KvFilesStats {
    int64_t files, bytes;        /* at this moment */
    int64_t written, read, evicted;
    int64_t passed_over;         /* for want of staging memory, or while the disk says no */
    int64_t refused;             /* files that could not be read or were not right */
    char problem[ERROR_TEXT_BYTES];      /* the newest; "": none so far */
} KvFilesStats;

/* Called on the reader's thread when a read is done. */
typedef struct KvFilesWake {
    void (*call)(void *with);
    void *with;
} KvFilesWake;

/* `what` says all that the content depends on beside the model. IO_FAILED; LIMIT_REACHED: another process uses it. */
Err kv_files_open(KvFiles **, const KvFilesOptions *, const KvBlockShape *, const char *what, KvFilesWake, Error *);
void kv_files_close(KvFiles *);                /* writes what was handed over; NULL is allowed */

KvName kv_files_root(const KvFiles *, uint64_t salt);
KvName kv_files_next(const KvFiles *, const KvName *parent, const int32_t *tokens);
uint32_t kv_files_groups(KvFiles *, const KvName *);      /* whose content can be read; 0: unknown */
bool kv_files_empty(KvFiles *);

typedef enum KvStage { KV_STAGED, KV_NOTHING_NEW, KV_NO_STAGE } KvStage;
/* A unit to be filled (all of it but the name) and handed over. */
KvStage kv_files_stage(KvFiles *, const KvName *, uint32_t groups, KvUnit **out);
void kv_files_write(KvFiles *, KvUnit *);

/* One read at a time: units, of which so many get their name, parent and tokens; NULL: one is under way. */
KvUnit *kv_files_read_begin(KvFiles *, int32_t *most);
void kv_files_read(KvFiles *, int32_t count);
/* Whether it is done: groups say what each holds now, 0: nothing. The units are the caller's until read_end. */
bool kv_files_read_done(KvFiles *);
const KvUnit *kv_files_read_units(const KvFiles *);
void kv_files_read_end(KvFiles *);

KvFilesStats kv_files_stats(KvFiles *);        /* from any thread */

#endif
