/* cmd_inspect.c -- ridge inspect: what a model is, what it weighs, what it keeps of the past. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/kv_report.h"
#include "main/session.h"

typedef struct InspectFlags {
    bool json, tensors;
    int32_t context;
} InspectFlags;

#define AT(field) offsetof(InspectFlags, field)
static const Flag own_flags[] = {
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), "the same as one JSON object", 0, 0, 0, 0},
    {"--tensors", NULL, NULL, FLAG_SWITCH, AT(tensors), "the table of tensors as well", 0, 0, 0, 0},
    {"--context", "-c", "N", FLAG_INT, AT(context),
     "positions that the bytes of a sequence are told for; 0: the model's own", 0, 1 << 28, 0, 0},
};

typedef struct Part { /* of the weights: everything that belongs together */
    const char *name;
    const char *marks[8]; /* its tensors' names contain one of these */
    int64_t bytes, parameters;
} Part;

static void add_to_parts(Part *parts, int count, const StoreTensor *t)
{
    for (int p = 0; p < count; p++)
        for (int m = 0; m < 8 && parts[p].marks[m]; m++)
            if (strstr(t->name, parts[p].marks[m])) {
                parts[p].bytes += (int64_t)t->bytes.bytes;
                parts[p].parameters += store_tensor_elems(t);
                return;
            }
}

/* ---- what it keeps of the past ---- */

enum { LENGTHS = 4 };

/* The lengths that a sequence is told for: the asked one, or the model's own, and three that all models share. */
static int lengths_of(int32_t context, int64_t out[LENGTHS])
{
    static const int64_t usual[] = {1024, 8192, 131072};
    int count = 0;
    bool told = context < 1;
    for (size_t i = 0; i < COUNT_OF(usual); i++) {
        if (!told && context <= usual[i]) {
            told = true;
            if (context < usual[i])
                out[count++] = context;
        }
        out[count++] = usual[i];
    }
    if (!told)
        out[count++] = context;
    return count;
}

static json_t *kept_json(const KvReportLine *line, const int64_t *lengths, int count)
{
    json_t *at = json_object();
    for (int i = 0; i < count; i++) {
        char tokens[24];
        snprintf(tokens, sizeof tokens, "%lld", (long long)lengths[i]);
        json_object_set_new(at, tokens, json_integer((json_int_t)kv_report_bytes(line, lengths[i])));
    }
    return json_pack("{s:s, s:s, s:i, s:I, s:I, s:o}", "kind", line->kind, "layers", line->layers, "count", line->count,
                     "bytes_per_token", (json_int_t)line->token_bytes, "bytes_fixed", (json_int_t)line->fixed_bytes,
                     "bytes_at", at);
}

/* In 16 bits a number, states in 32; without what a running cache rounds up to whole blocks. */
static Err cache_json(const Model *m, int32_t context, json_t **out, Error *err)
{
    int64_t lengths[LENGTHS];
    int count = lengths_of(context ? context : m->shape.context, lengths);
    KvReport *r = malloc(sizeof *r);
    if (!r)
        return fail(err, NO_MEMORY, "no memory for a report");
    Err result = kv_report_init(r, &m->shape, &m->kv, format_find("F16"), err);
    if (result == OK) {
        json_t *kinds = json_array();
        for (int32_t i = 0; i < r->lines; i++)
            json_array_append_new(kinds, kept_json(&r->line[i], lengths, count));
        *out = kept_json(&r->all, lengths, count);
        json_object_set_new(*out, "format", json_string("F16"));
        json_object_set_new(*out, "multi_head_bytes_per_token", json_integer((json_int_t)r->multi_head_bytes));
        json_object_set_new(*out, "kinds", kinds);
    }
    free(r);
    return result;
}

/* 1,234,567, to the right of a column. */
static void print_grouped(int width, int64_t n)
{
    char digits[24], out[32];
    int count = snprintf(digits, sizeof digits, "%lld", (long long)n), used = 0;
    for (int i = 0; i < count; i++) {
        if (i && (count - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    printf("%*.*s", width, used, out);
}

enum { COLUMN = 17 };

static void print_kept(const char *kind, const char *layers, int64_t token_bytes, const json_t *at)
{
    const char *tokens;
    json_t *bytes;
    printf("    %-18s %-16s", kind, layers);
    print_grouped(COLUMN, token_bytes);
    json_object_foreach((json_t *)at, tokens, bytes)
        print_grouped(COLUMN, json_integer_value(bytes));
    putchar('\n');
}

static void print_cache(const json_t *cache)
{
    const json_t *at = json_object_get(cache, "bytes_at");
    int64_t multi_head = json_integer_value(json_object_get(cache, "multi_head_bytes_per_token"));
    const char *tokens;
    json_t *value, *plain = json_object();
    size_t i;
    printf("  cache, bytes (%s)  layers          %*s", json_string_value(json_object_get(cache, "format")), COLUMN,
           "per token");
    json_object_foreach((json_t *)at, tokens, value)
    {
        print_grouped(COLUMN - 7, atoll(tokens));
        fputs(" tokens", stdout);
        json_object_set_new(plain, tokens, json_integer((json_int_t)(multi_head * atoll(tokens))));
    }
    putchar('\n');
    json_array_foreach(json_object_get(cache, "kinds"), i, value)
        print_kept(json_string_value(json_object_get(value, "kind")), json_string_value(json_object_get(value, "layers")),
                   json_integer_value(json_object_get(value, "bytes_per_token")), json_object_get(value, "bytes_at"));
    if (i > 1)
        print_kept("all", "", json_integer_value(json_object_get(cache, "bytes_per_token")), at);
    print_kept("plain multi-head", "of this width", multi_head, plain);
    printf("    %-52s", "part of that");
    json_object_foreach((json_t *)at, tokens, value)
        printf("%*.2f %%", COLUMN - 2, 100 * (double)json_integer_value(value) / (double)(multi_head * atoll(tokens)));
    putchar('\n');
    json_decref(plain);
}

/* ---- what it weighs ---- */

static json_t *dims_json(const StoreTensor *t)
{
    json_t *dims = json_array();
    for (int d = 0; d < t->dims; d++)
        json_array_append_new(dims, json_integer(t->dim[d]));
    return dims;
}

static json_t *formats_json(const Store *store)
{
    json_t *formats = json_object();
    for (size_t i = 0; i < store_count(store); i++) {
        const StoreTensor *t = store_at(store, i);
        json_int_t bytes = json_integer_value(json_object_get(formats, t->format->name));
        json_object_set_new(formats, t->format->name, json_integer(bytes + (json_int_t)t->bytes.bytes));
    }
    return formats;
}

static json_t *report(const Package *package, const Model *m, json_t *cache)
{
    const ModelShape *s = &m->shape;
    Part parts[] = {{.name = "embeddings", .marks = {"embed", "token_embd", "lm_head", "output.weight", "wte",
                                                         "transformer.ff_out"}},
                    {.name = "norms", .marks = {"norm"}},
                    {.name = "attention", .marks = {"attn", "attention", "q_proj", "k_proj", "v_proj"}},
                    {.name = "mlp", .marks = {"mlp", "ffn", "feed_forward", "expert", "ff_proj", "up_proj", "ff_out"}},
                    {.name = "other", .marks = {""}}};
    json_t *tensors = json_array(), *by_part = json_object();
    for (size_t i = 0; i < store_count(package->checkpoint.store); i++) {
        const StoreTensor *t = store_at(package->checkpoint.store, i);
        add_to_parts(parts, COUNT_OF(parts), t);
        json_array_append_new(tensors, json_pack("{s:s, s:s, s:o, s:I}", "name", t->name, "format", t->format->name,
                                                 "shape", dims_json(t), "bytes", (json_int_t)t->bytes.bytes));
    }
    for (size_t p = 0; p < COUNT_OF(parts); p++)
        if (parts[p].bytes)
            json_object_set_new(by_part, parts[p].name,
                                json_pack("{s:I, s:I}", "bytes", (json_int_t)parts[p].bytes, "parameters",
                                          (json_int_t)parts[p].parameters));
    json_t *all = json_pack(
        "{s:s, s:s, s:I, s:{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b}, s:o, s:o, s:I, s:o, s:i, s:o}", "path",
        package->path, "family", s->family, "parameters", (json_int_t)m->parameters, "shape", "D", s->D, "F", s->F, "N", s->N,
        "K", s->K, "H", s->H, "L", s->L, "V", s->V, "context", s->context, "tied", s->tied, "formats",
        formats_json(package->checkpoint.store), "parts", by_part, "bytes_read_per_token", (json_int_t)m->weight_bytes, "cache",
        cache, "vocabulary_of_tokenizer", package->tokenizer ? tokenizer_size(package->tokenizer) : 0, "tensors", tensors);
    if (all && s->bidirectional) { /* a diffusion model */
        json_object_set_new(json_object_get(all, "shape"), "mask", json_integer(s->mask_id));
        json_object_set_new(json_object_get(all, "shape"), "logits_shift", json_boolean(s->logits_shift));
    }
    return all;
}

static double mega(const json_t *object, const char *key)
{
    return (double)json_integer_value(json_object_get(object, key)) / 1e6;
}

static void print_people(const json_t *r, bool with_tensors)
{
    const json_t *shape = json_object_get(r, "shape"), *cache = json_object_get(r, "cache");
    const char *key;
    json_t *value;
    size_t i;
    printf("%s\n  family       %s\n  parameters   %.2f M\n  shape       ",
           json_string_value(json_object_get(r, "path")), json_string_value(json_object_get(r, "family")),
           mega(r, "parameters"));
    json_object_foreach((json_t *)shape, key, value) json_is_integer(value)
        ? printf(" %s %lld", key, (long long)json_integer_value(value))
        : printf(" %s %s", key, json_is_true(value) ? "yes" : "no");
    fputs("\n  formats     ", stdout);
    json_object_foreach(json_object_get(r, "formats"), key, value)
        printf(" %s %.2f MB", key, (double)json_integer_value(value) / 1e6);
    fputs("\n  weights\n", stdout);
    json_object_foreach(json_object_get(r, "parts"), key, value)
        printf("    %-12s %10.2f MB  %10.2f M parameters\n", key, mega(value, "bytes"), mega(value, "parameters"));
    printf("  read for each token  %.2f MB\n", mega(r, "bytes_read_per_token"));
    print_cache(cache);
    if (!with_tensors)
        return;
    json_array_foreach(json_object_get(r, "tensors"), i, value)
    {
        char *dims = json_dumps(json_object_get(value, "shape"), JSON_COMPACT);
        printf("  %-50s %-8s %-18s %12lld\n", json_string_value(json_object_get(value, "name")),
               json_string_value(json_object_get(value, "format")), dims,
               (long long)json_integer_value(json_object_get(value, "bytes")));
        free(dims);
    }
}

static Err inspect(const char *path, const InspectFlags *flags, Error *err)
{
    Package package;
    Model *m;
    TRY(package_open(&package, path, err));
    Err result = package.checkpoint.store ? model_describe(&package.checkpoint, &m, err)
                                          : fail(err, BAD_ARGUMENT, "%s: holds no weights", package.path);
    if (result == OK) {
        json_t *cache = NULL;
        result = cache_json(m, flags->context, &cache, err);
        json_t *r = result == OK ? report(&package, m, cache) : NULL;
        if (r && flags->json)
            json_dumpf(r, stdout, JSON_INDENT(1)), putchar('\n');
        else if (r)
            print_people(r, flags->tensors);
        json_decref(r);
        model_close(m);
    }
    package_close(&package);
    return result == OK ? stdout_flush(err) : result;
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL), {0}};
const Command command_inspect = {
    .name = "inspect",
    .arguments = "[MODEL] [options]",
    .summary = "what a model is, what it weighs, what it keeps of the past",
    .description =
        "Family, shape, parameters, formats, bytes of each part, bytes that a token reads, and what each kind of layer "
        "keeps of the past: for each token, and for sequences of several lengths, beside what plain multi-head attention "
        "of the same width would keep. Keys and values are counted in 16 bits, states in 32. Reads no weights.",
    .examples = "  ridge inspect model.gguf --tensors\n  ridge inspect path/to/checkpoint --json\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    InspectFlags flags = {0};
    const char *path = NULL;
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags), {0}};
    if (!command_begin(&command_inspect, filled, argc, argv, &path, 1, &word_count, &status))
        return status;
    return inspect(path, &flags, &err) == OK ? 0 : command_fail(&err);
}
