/* arch_list.c -- all families, from the directory: each file of archs/ is one. */
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

#define ARCH(name) extern const Arch arch_##name;
#include "rooms.inc"
#undef ARCH

static const Arch *const archs[] = {
#define ARCH(name) &arch_##name,
#include "rooms.inc"
#undef ARCH
};

const Arch *arch_at(int index) { return index >= 0 && (size_t)index < COUNT_OF(archs) ? archs[index] : NULL; }

const Arch *arch_find(const char *name)
{
    for (size_t a = 0; a < COUNT_OF(archs); a++)
        for (size_t n = 0; n < COUNT_OF(archs[a]->names) && archs[a]->names[n]; n++)
            if (!strcmp(archs[a]->names[n], name))
                return archs[a];
    return NULL;
}

const char *arch_gguf_name(const Arch *arch, const char *name)
{
    for (int n = 0; n < NAMES_MAX && arch->names[n]; n++)
        if (!strcmp(arch->names[n], name) && arch->gguf_names[n])
            return arch->gguf_names[n];
    return arch->gguf_name;
}

/* Levenshtein's distance, of names of at most 63 characters. */
static int distance(const char *a, const char *b)
{
    int row[64], m = (int)strnlen(b, 63);
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = best < row[j] + 1 ? best : row[j] + 1;
            row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
        }
    }
    return row[m];
}

void arch_nearest(const char *name, char *out, size_t bytes)
{
    enum { SHOWN = 5 };
    const char *best[SHOWN] = {0};
    int far[SHOWN];
    for (size_t i = 0; i < COUNT_OF(archs) * NAMES_MAX; i++) {
        const char *known = archs[i / NAMES_MAX]->names[i % NAMES_MAX];
        int d = known ? distance(name, known) : 0, at = known ? SHOWN : 0;
        for (; at > 0 && (!best[at - 1] || d < far[at - 1]); at--)
            if (at < SHOWN)
                best[at] = best[at - 1], far[at] = far[at - 1];
        if (known && at < SHOWN)
            best[at] = known, far[at] = d;
    }
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < SHOWN && best[i] && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s", i ? ", " : "", best[i]);
}
