#include "tools/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/team.h"
#include "kernels/cpu_kernel.h"
#include "store/gguf_write.h"
#include "tools/gguf_vocabulary.h"

enum { CHUNK_ELEMS = 1 << 20 };

typedef struct Item { /* a tensor on its way */
    const WeightDecl *decl;
    const StoreTensor *source; /* NULL: a constant */
    const Format *format; /* that it becomes */
} Item;

typedef struct Conversion {
    const Package *package;
    Item *items;
    int count;
    const Progress *progress;
    ConvertReport *report;
    double done, total;
    Team *team;
} Conversion;

typedef struct Chunk { /* rows that the team encodes together */
    const Item *item;
    int64_t from, rows, width;
    const float *wide; /* [rows, width] */
    uint8_t *narrow;
} Chunk;

static int64_t item_rows(const Item *item) { return item->decl->rows ? item->decl->rows : 1; }

/* Where row r of the written tensor lies in the source: GGUF wants the pairs that turn together side
 * by side, new row 2i + j of a head is old row i + j half. */
static int64_t source_row(const WeightDecl *decl, int64_t r, int64_t rows)
{
    int64_t head = decl->gguf.turned_heads ? rows / decl->gguf.turned_heads : 0;
    if (!head)
        return r;
    int64_t in_head = r % head;
    return r - in_head + in_head % 2 * (head / 2) + in_head / 2;
}

static void decode_row(const Item *item, int64_t row, int64_t width, float *out)
{
    if (!item->source) {
        memcpy(out, item->decl->constant + row * width, (size_t)width * sizeof *out);
        return;
    }
    const Format *f = item->source->format;
    if (item->decl->rows) {
        f->decode(out,
                  item->source->bytes.data +
                      (size_t)source_row(item->decl, row, item->decl->rows) * format_row_bytes(f, width),
                  (size_t)width);
        return;
    }
    for (int64_t i = 0; i < width; i++) { /* a vector: its elements are its rows */
        int64_t from = source_row(item->decl, i, width);
        f->decode(out + i, item->source->bytes.data + (size_t)from * (size_t)f->block_bytes, 1);
    }
}

static void encode_rows(void *context, int index, int count)
{
    const Chunk *c = context;
    const Format *f = c->item->format;
    Range mine = part_range((CpuPart){index, count, NULL}, c->rows, 1);
    for (int64_t r = mine.from; r < mine.to; r++) {
        float *wide = (float *)c->wide + r * c->width;
        decode_row(c->item, c->from + r, c->width, wide);
        f->encode(c->narrow + (size_t)r * format_row_bytes(f, c->width), wide, (size_t)c->width, NULL);
    }
}

static Err fill(void *context, size_t tensor, FileOut *out, Error *err)
{
    Conversion *c = context;
    const Item *item = &c->items[tensor];
    int64_t width = item->decl->width, rows = item_rows(item), step = max_i64(1, min_i64(rows, CHUNK_ELEMS / width));
    float *wide = malloc((size_t)(step * width) * sizeof *wide);
    uint8_t *narrow = malloc((size_t)step * format_row_bytes(item->format, width));
    Err result = wide && narrow ? OK : fail(err, NO_MEMORY, "no memory to convert '%s'", item->decl->gguf.name);
    for (int64_t from = 0; from < rows && result == OK; from += step) {
        Chunk chunk = {item, from, min_i64(step, rows - from), width, wide, narrow};
        team_run(c->team, team_threads(c->team), encode_rows, &chunk);
        size_t bytes = (size_t)chunk.rows * format_row_bytes(item->format, width);
        result = file_out_put(out, narrow, bytes, err);
        c->report->bytes_out += (double)bytes;
        c->done += (double)(chunk.rows * width);
        if (c->progress && c->progress->report)
            c->progress->report(c->progress->context, c->done, c->total);
    }
    free(wide);
    free(narrow);
    return result;
}

static const Format *format_for(const ConvertOptions *options, const WeightDecl *decl, ConvertReport *report)
{
    if (!decl->rows)
        return &format_f32;
    bool table = decl->use != USE_MATRIX || !strcmp(decl->gguf.name, "output.weight");
    const Format *f = table && options->table_format ? options->table_format : options->format;
    if (decl->width % f->block_elems == 0)
        return f;
    report->kept_f32++;
    return &format_f32;
}

static void list_items(Conversion *c, const WeightList *list, const ConvertOptions *options)
{
    for (int i = 0; i < list->count; i++) {
        const WeightDecl *decl = &list->items[i];
        const StoreTensor *source = weight_source(&c->package->checkpoint, decl);
        if (!source && !(decl->constant && decl->gguf.name[0]))
            continue;
        c->items[c->count++] = (Item){decl, source, format_for(options, decl, c->report)};
        c->total += (double)decl->width * (decl->rows ? decl->rows : 1);
        c->report->bytes_in += source ? (double)source->bytes.bytes : 0;
    }
    c->report->tensors = c->count;
}

static void announce(const Conversion *c, GgufWriter *w)
{
    for (int i = 0; i < c->count; i++) {
        const WeightDecl *decl = c->items[i].decl;
        int64_t dims[2] = {decl->rows, decl->width};
        gguf_put_tensor(w, decl->gguf.name, c->items[i].format, decl->rows ? 2 : 1, decl->rows ? dims : dims + 1);
    }
}

/* What a GGUF says of its tokenizer, its template and its origin goes along. */
static void copy_entries(const Gguf *g, GgufWriter *w)
{
    for (size_t i = 0; i < gguf_count(g); i++) {
        GgufEntry entry = gguf_at(g, i);
        bool about_file = span_is(entry.key, "general.alignment") || span_is(entry.key, "general.file_type") ||
                          span_is(entry.key, "general.quantization_version") ||
                          span_starts(entry.key, span_text("split."));
        if (!about_file)
            gguf_put_entry(w, &entry);
    }
}

/* general.file_type says what most matrices are; its numbers are older than those of the formats, by which
 * they stand here, plus one. 0: none. */
static void put_file_type(const Format *f, GgufWriter *w)
{
    static const uint8_t types[] = {[0] = 1,   [1] = 2,   [2] = 3,   [3] = 4,   [6] = 9,   [7] = 10,  [8] = 8,  [10] = 11,
                                    [11] = 12, [12] = 15, [13] = 17, [14] = 19, [20] = 26, [23] = 31, [30] = 33, [39] = 39};
    int id = f->gguf_id;
    if (id >= 0 && (size_t)id < COUNT_OF(types) && types[id])
        gguf_put_u32(w, "general.file_type", types[id] - 1u);
}

static const char *model_name(const Package *p, const ConvertOptions *options, char out[128])
{
    const char *end = p->path + strlen(p->path), *start;
    while (end > p->path && end[-1] == '/')
        end--;
    for (start = end; start > p->path && start[-1] != '/'; start--)
        ;
    snprintf(out, 128, "%.*s", (int)(end - start), start);
    return options->name ? options->name : out;
}

static Err put_new_metadata(const Package *p, const Model *m, const ConvertOptions *options, GgufWriter *w, Error *err)
{
    char name[128];
    gguf_put_text(w, "general.type", "model");
    gguf_put_text(w, "general.name", model_name(p, options, name));
    snprintf(name, sizeof name, "%s.vocab_size", arch_gguf_name(m->arch, m->shape.family)); /* for files without a tokenizer */
    gguf_put_u32(w, name, (uint32_t)m->shape.V);
    return gguf_vocabulary_put(p, m->shape.V, w, err);
}

static Err convert(const Package *p, const ConvertOptions *options, const char *out_path, Conversion *c, GgufWriter *w,
                   Error *err)
{
    Checkpoint recorded = p->checkpoint;
    bool from_gguf = keys_are_gguf(&p->checkpoint.keys);
    const Arch *arch = arch_find(p->checkpoint.keys.family);
    const char *gguf_name = arch ? arch_gguf_name(arch, p->checkpoint.keys.family) : NULL;
    if (arch && !gguf_name)
        return fail(err, UNSUPPORTED, "%s: GGUF has no name for family '%s'", p->path, p->checkpoint.keys.family);
    if (!from_gguf && arch) {
        gguf_put_text(w, "general.architecture", gguf_name);
        recorded.keys.record = w;
        recorded.keys.record_family = gguf_name;
    }
    WeightList list;
    Model *m;
    TRY(model_declare(&recorded, &m, &list, err));
    Err result = OK;
    if (from_gguf)
        copy_entries(p->checkpoint.keys.gguf, w);
    else
        result = put_new_metadata(p, m, options, w, err);
    put_file_type(options->format, w);
    gguf_put_u32(w, "general.quantization_version", 2); /* of ggml's block formats: unchanged since 2023 */
    c->items = malloc((size_t)list.count * sizeof *c->items);
    if (result == OK && !c->items)
        result = fail(err, NO_MEMORY, "%s: no memory to convert it", p->path);
    if (result == OK) {
        list_items(c, &list, options);
        for (int i = 0; i < c->count && from_gguf; i++)
            ((WeightDecl *)c->items[i].decl)->gguf.turned_heads = 0; /* they are turned already */
        announce(c, w);
        result = gguf_write(w, out_path, fill, c, err);
    }
    weight_list_deinit(&list);
    model_close(m);
    return result;
}

Err convert_model(const Package *p, const ConvertOptions *options, const char *out_path, const Progress *progress,
                  ConvertReport *report, Error *err)
{
    *report = (ConvertReport){0};
    if (!options->format->encode)
        return fail(err, UNSUPPORTED, "%s can be read but not written", options->format->name);
    Conversion c = {.package = p, .progress = progress, .report = report};
    TRY(team_new(&c.team, options->threads, false, err));
    GgufWriter *w = gguf_writer_new();
    Err result =
        w ? convert(p, options, out_path, &c, w, err) : fail(err, NO_MEMORY, "no memory to write %s", out_path);
    gguf_writer_free(w);
    team_free(c.team);
    free(c.items);
    return result;
}
