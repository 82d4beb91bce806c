#include "tools/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/team.h"
#include "kernels/cpu_kernel.h"
#include "store/gguf_write.h"
#include "tools/gguf_vocabulary.h"
#include "model/tensor_plan.h"

enum { CHUNK_ELEMS = 1 << 20 };

typedef struct Conversion {
    const Package *package;
    TensorPlans plans;
    const Format **format; /* that each tensor becomes */
    const Progress *progress;
    ConvertReport *report;
    double done, total;
    Team *team;
} Conversion;

typedef struct Chunk { /* lines that the team encodes together */
    const TensorPlan *plan;
    const Format *format;
    int64_t from, lines;
    float *wide; /* [lines, width] */
    uint8_t *narrow;
} Chunk;

static void encode_lines(void *context, int index, int count)
{
    const Chunk *c = context;
    int64_t width = c->plan->width;
    Range mine = part_range((CpuPart){.index = index, .count = count}, c->lines, 1);
    for (int64_t i = mine.from; i < mine.to; i++) {
        float *wide = c->wide + i * width;
        uint8_t *narrow = c->narrow + (size_t)i * format_row_bytes(c->format, width);
        if (c->format == tensor_plan_blocks(c->plan)) {
            tensor_plan_stored_line(c->plan, c->from + i, narrow);
            continue;
        }
        tensor_plan_line(c->plan, c->from + i, wide);
        c->format->encode(narrow, wide, (size_t)width, NULL);
    }
}

static Err fill(void *context, size_t tensor, FileOut *out, Error *err)
{
    Conversion *c = context;
    const TensorPlan *plan = &c->plans.items[tensor];
    const Format *f = c->format[tensor];
    int64_t step = max_i64(1, min_i64(plan->lines, CHUNK_ELEMS / plan->width));
    float *wide = malloc((size_t)(step * plan->width) * sizeof *wide);
    uint8_t *narrow = malloc((size_t)step * format_row_bytes(f, plan->width));
    Err result = wide && narrow ? OK : fail(err, NO_MEMORY, "no memory to convert '%s'", plan->name);
    for (int64_t from = 0; from < plan->lines && result == OK; from += step) {
        Chunk chunk = {plan, f, from, min_i64(step, plan->lines - from), wide, narrow};
        team_run(c->team, team_threads(c->team), encode_lines, &chunk);
        size_t bytes = (size_t)chunk.lines * format_row_bytes(f, plan->width);
        result = file_out_put(out, narrow, bytes, err);
        c->report->bytes_out += (double)bytes;
        c->done += (double)(chunk.lines * plan->width);
        if (c->progress && c->progress->report)
            c->progress->report(c->progress->context, c->done, c->total);
    }
    free(wide);
    free(narrow);
    return result;
}

static bool is_larger(const Format *f, const Format *than)
{
    return (int64_t)f->block_bytes * than->block_elems > (int64_t)than->block_bytes * f->block_elems;
}

/* What is small, and what decides between experts, stays exact; so does llama.cpp keep it. */
static const Format *format_for(const ConvertOptions *options, const TensorPlan *plan, ConvertReport *report)
{
    const WeightDecl *decl = plan->decl;
    const Format *blocks = tensor_plan_blocks(plan);
    bool table = decl->use == USE_TABLE || decl->use == USE_TABLE_AND_MATRIX || !strcmp(plan->name, "output.weight");
    const Format *f = table && options->table_format ? options->table_format : options->format;
    if (!decl->rows || decl->use == USE_VECTOR || decl->use == USE_EXACT_MATRIX)
        return &format_f32;
    if (blocks && blocks->gguf_id >= 0 && is_larger(f, blocks)) {
        report->kept_blocks++;
        return blocks;
    }
    if (plan->width % f->block_elems == 0)
        return f;
    report->kept_f32++;
    return &format_f32;
}

static Err announce(Conversion *c, const ConvertOptions *options, GgufWriter *w, Error *err)
{
    c->format = malloc((size_t)(c->plans.count + 1) * sizeof *c->format);
    if (!c->format)
        return fail(err, NO_MEMORY, "%s: no memory to convert it", c->package->path);
    for (int i = 0; i < c->plans.count; i++) {
        const TensorPlan *plan = &c->plans.items[i];
        c->format[i] = format_for(options, plan, c->report);
        c->total += (double)plan->lines * (double)plan->width;
        gguf_put_tensor(w, plan->name, c->format[i], plan->dims, plan->dim);
    }
    const Store *store = c->package->checkpoint.store;
    for (size_t i = 0; i < store_count(store); i++)
        c->report->bytes_in += (double)store_at(store, i)->bytes.bytes;
    c->report->tensors = c->plans.count;
    return OK;
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
    if (result == OK)
        result = tensor_plans_init(&c->plans, &p->checkpoint, &list, err);
    if (result == OK)
        result = announce(c, options, w, err);
    if (result == OK)
        result = gguf_write(w, out_path, fill, c, err);
    tensor_plans_deinit(&c->plans);
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
    free(c.format);
    return result;
}
