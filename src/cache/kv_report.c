#include "cache/kv_report.h"

#include <stdio.h>
#include <string.h>

enum { CONTEXT_ANY = 1 << 26 };      /* the ledger's longest: no window is longer */

/* What a line is called; "": the layer keeps nothing of this sort. A layer with keys, values and a state
 * has two lines. */
static void name_kind(const KvLayer *layer, bool state, char *out, size_t bytes)
{
    static const char *const names[] = {[KV_NONE] = "nothing", [KV_FULL] = "full",    [KV_WINDOW] = "window",
                                        [KV_CHUNK] = "chunk",  [KV_ALIAS] = "alias", [KV_STATE] = ""};
    if (state)
        snprintf(out, bytes, "%s", layer->state_width ? "state" : "");
    else if (layer->kind == KV_WINDOW || layer->kind == KV_CHUNK)
        snprintf(out, bytes, "%s of %d", names[layer->kind], layer->window);
    else if (layer->kind == KV_FULL && layer->value_width == 0)
        snprintf(out, bytes, "latent");
    else
        snprintf(out, bytes, "%s", layer->kind == KV_NONE && layer->state_width ? "" : names[layer->kind]);
}

/* The part of a layer that a line is about. An alias owns nothing: without its owner it is no layer at all. */
static KvLayer part_of(const KvLayer *layer, bool state)
{
    KvLayer part = *layer;
    if (state || part.kind == KV_ALIAS)
        part.kind = KV_NONE;
    if (!state)
        part.state_width = 0;
    return part;
}

/* "0-2, 4-5", or its beginning and "..." */
static void name_layers(const bool *in, int32_t layers, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = 0;
    for (int32_t l = 0; l < layers; l++) {
        if (!in[l])
            continue;
        int32_t last = l;
        while (last + 1 < layers && in[last + 1])
            last++;
        if (used + 24 > bytes) {
            snprintf(out + used, bytes - used, ", ...");
            return;
        }
        used += (size_t)snprintf(out + used, bytes - used, last > l ? "%s%d-%d" : "%s%d", used ? ", " : "", l, last);
        l = last;
    }
}

static Err fill_line(KvReportLine *line, const KvLayout *own, const Format *format, const char *kind, Error *err)
{
    KvOptions o = {.format = format, .block_tokens = 1, .sequences = 1, .context = CONTEXT_ANY, .rows = 1};
    snprintf(line->kind, sizeof line->kind, "%s", kind);
    TRY(kv_ledger_init(&line->ledger, own, &o, err));
    line->token_bytes = line->ledger.token_bytes;
    line->fixed_bytes = line->ledger.window_bytes + line->ledger.state_bytes;
    return OK;
}

static Err add_line(KvReport *r, const KvLayout *layout, const Format *format, const char *kind, bool state, Error *err)
{
    KvLayout own = {.layers = layout->layers};
    bool in[LAYERS_MAX] = {0};
    if (r->lines == KV_REPORT_LINES_MAX)
        return fail(err, UNSUPPORTED, "more than %d kinds of layers in one model", KV_REPORT_LINES_MAX);
    KvReportLine *line = &r->line[r->lines++];
    for (int32_t l = 0; l < layout->layers; l++) {
        char name[sizeof line->kind];
        name_kind(&layout->layer[l], state, name, sizeof name);
        in[l] = !strcmp(name, kind);
        if (in[l])
            own.layer[l] = part_of(&layout->layer[l], state);
        line->count += in[l];
    }
    name_layers(in, layout->layers, line->layers, sizeof line->layers);
    return fill_line(line, &own, format, kind, err);
}

static bool has_line(const KvReport *r, const char *kind)
{
    for (int32_t i = 0; i < r->lines; i++)
        if (!strcmp(r->line[i].kind, kind))
            return true;
    return false;
}

/* Of as many layers as mix positions at all, or of all where no layer says so; where a family has no heads,
 * of its whole width. */
static int64_t multi_head_bytes(const ModelShape *s, const KvLayout *layout, const Format *format)
{
    int64_t width = s->N && s->H ? (int64_t)s->N * s->H : s->D, layers = 0;
    for (int32_t l = 0; l < layout->layers; l++)
        layers += layout->layer[l].kind != KV_NONE || layout->layer[l].state_width;
    return (int64_t)format_row_bytes(format, 2 * width) * (layers ? layers : s->L);
}

Err kv_report_init(KvReport *r, const ModelShape *s, const KvLayout *layout, const Format *format, Error *err)
{
    *r = (KvReport){.multi_head_bytes = multi_head_bytes(s, layout, format)};
    r->all.count = layout->layers;
    TRY(fill_line(&r->all, layout, format, "all", err));
    for (int state = 0; state < 2; state++)
        for (int32_t l = 0; l < layout->layers; l++) {
            char kind[sizeof r->line[0].kind];
            name_kind(&layout->layer[l], state, kind, sizeof kind);
            if (kind[0] && !has_line(r, kind))
                TRY(add_line(r, layout, format, kind, state, err));
        }
    return OK;
}

int64_t kv_report_bytes(const KvReportLine *line, int64_t tokens) { return kv_ledger_sequence_bytes(&line->ledger, tokens); }
