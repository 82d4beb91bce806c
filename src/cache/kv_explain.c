#include "cache/kv_explain.h"

#include <stdio.h>

static double percent(int64_t part, int64_t whole) { return whole > 0 ? 100.0 * (double)part / (double)whole : 0; }

static void name_of(const KvGroupUsage *g, char *out, size_t bytes)
{
    switch (g->kind) {
    case KV_WINDOW: snprintf(out, bytes, "window of %d", g->window); break;
    case KV_CHUNK: snprintf(out, bytes, "chunk of %d", g->window); break;
    case KV_STATE: snprintf(out, bytes, "state"); break;
    default: snprintf(out, bytes, "full"); break;
    }
}

static void explain_group(const KvGroupUsage *g, Buf *out)
{
    char name[32], wasted[16] = "-";
    name_of(g, name, sizeof name);
    if (g->kind != KV_STATE)
        snprintf(wasted, sizeof wasted, "%.1f%%", percent(g->wasted, g->places));
    buf_printf(out, "  %-18s %7d %7d %7d %7d %7d %7s %8lld\n", name, g->blocks.blocks, g->blocks.held, g->shared,
               g->blocks.cached, g->blocks.free, wasted, (long long)g->evictions);
}

static void explain_sharing(const KvUsage *u, Buf *out)
{
    int64_t references = 0, held = 0;
    for (int32_t g = 0; g < u->groups; g++) {
        references += u->group[g].references;
        held += u->group[g].blocks.held;
    }
    buf_printf(out, "sharing: %lld references to %lld blocks: %.0f%% less than without\n", (long long)references,
               (long long)held, percent(references - held, references));
}

bool kv_explain(const KvUsage *u, Buf *out)
{
    int64_t blocks = 0;
    for (int32_t g = 0; g < u->groups; g++)
        blocks += u->group[g].blocks.blocks;
    buf_printf(out, "cache of %lld blocks: %.1f%% held by %d sequence%s, %.1f%% of that wasted\n", (long long)blocks,
               100 * kv_usage_held(u), u->sequences, u->sequences == 1 ? "" : "s", 100 * kv_usage_wasted(u));
    buf_printf(out, "  %-18s %7s %7s %7s %7s %7s %7s %8s\n", "group", "blocks", "held", "shared", "cached", "free", "wasted",
               "evicted");
    for (int32_t g = 0; g < u->groups; g++)
        explain_group(&u->group[g], out);
    explain_sharing(u, out);
    buf_printf(out, "prefixes: %d known", u->prefixes);
    if (u->snapshots > 0)
        buf_printf(out, ", %d of them with a state", u->snapshots);
    buf_printf(out, "; of %lld tokens asked for, %lld were known (%.1f%%)\n", (long long)u->asked.asked,
               (long long)u->asked.found, percent(u->asked.found, u->asked.asked));
    return !out->full;
}
