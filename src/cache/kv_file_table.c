#include "cache/kv_file_table.h"

#include <stdlib.h>
#include <string.h>

bool kv_file_table_init(KvFileTable *t, int32_t max)
{
    uint32_t buckets = 1;
    while (buckets < (uint32_t)max)
        buckets *= 2;
    *t = (KvFileTable){.max = max, .mask = buckets - 1, .oldest = ENTRY_NONE, .newest = ENTRY_NONE, .unused = ENTRY_NONE};
    t->entry = calloc((size_t)max, sizeof *t->entry);
    t->bucket = malloc(buckets * sizeof *t->bucket);
    if (!t->entry || !t->bucket) {
        kv_file_table_deinit(t);
        return false;
    }
    memset(t->bucket, 0xff, buckets * sizeof *t->bucket);   /* ENTRY_NONE */
    for (int32_t i = max - 1; i >= 0; i--) {
        t->entry[i].next = t->unused;
        t->unused = i;
    }
    return true;
}

void kv_file_table_deinit(KvFileTable *t)
{
    free(t->entry);
    free(t->bucket);
    *t = (KvFileTable){0};
}

/* A name is a hash already. */
static int32_t *bucket_of(const KvFileTable *t, const KvName *name)
{
    uint32_t hash;
    memcpy(&hash, name, sizeof hash);
    return &t->bucket[hash & t->mask];
}

int32_t kv_file_table_find(const KvFileTable *t, const KvName *name)
{
    int32_t i = *bucket_of(t, name);
    while (i != ENTRY_NONE && memcmp(&t->entry[i].name, name, sizeof *name))
        i = t->entry[i].next;
    return i;
}

int32_t kv_file_table_add(KvFileTable *t, const KvName *name)
{
    int32_t i = t->unused, *bucket = bucket_of(t, name);
    if (i == ENTRY_NONE)
        return i;
    t->unused = t->entry[i].next;
    t->entry[i] = (KvEntry){.name = *name, .next = *bucket, .older = ENTRY_NONE, .newer = ENTRY_NONE};
    *bucket = i;
    t->used++;
    return i;
}

static void append(KvFileTable *t, int32_t i)
{
    t->entry[i].older = t->newest;
    t->entry[i].newer = ENTRY_NONE;
    if (t->newest == ENTRY_NONE)
        t->oldest = i;
    else
        t->entry[t->newest].newer = i;
    t->newest = i;
}

static void take_out(KvFileTable *t, int32_t i)
{
    int32_t older = t->entry[i].older, newer = t->entry[i].newer;
    if (older == ENTRY_NONE)
        t->oldest = newer;
    else
        t->entry[older].newer = newer;
    if (newer == ENTRY_NONE)
        t->newest = older;
    else
        t->entry[newer].older = older;
}

static void forget_file(KvFileTable *t, int32_t i)
{
    if (t->entry[i].groups == 0)
        return;
    take_out(t, i);
    t->bytes -= t->entry[i].bytes;
    t->files--;
}

void kv_file_table_remove(KvFileTable *t, int32_t i)
{
    int32_t *link = bucket_of(t, &t->entry[i].name);
    forget_file(t, i);
    while (*link != i)
        link = &t->entry[*link].next;
    *link = t->entry[i].next;
    t->entry[i].next = t->unused;
    t->unused = i;
    t->used--;
}

void kv_file_table_put(KvFileTable *t, int32_t i, uint32_t groups, int64_t bytes)
{
    forget_file(t, i);
    t->entry[i].groups = groups;
    t->entry[i].bytes = bytes;
    t->bytes += bytes;
    t->files++;
    append(t, i);
}

void kv_file_table_use(KvFileTable *t, int32_t i)
{
    if (t->entry[i].groups == 0)
        return;
    take_out(t, i);
    append(t, i);
}
