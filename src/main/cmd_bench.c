/* cmd_bench.c -- ridge bench: tokens per second, and what the memory and the cores did meanwhile. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "main/bench_gpu.h"
#include "main/bench_learn.h"
#include "main/bench_serve.h"
#include "main/profile_out.h"
#include "main/session.h"
#include "store/store.h"
#include "tools/bench.h"
#include "tools/probe_gpu.h"

enum { CASES_MAX = 256, TOKENS_MAX = 1 << 20, CACHE_TYPES_MAX = 16, MODEL_BYTES_MAX = 4096 };
enum { REPETITIONS_TO_LEARN = 3 };
enum { SENTENCE_BYTES_MAX = 1024, TEXT_BYTES_MAX = 1 << 20 };
enum { OUTPUT_MD, OUTPUT_JSON, OUTPUT_CSV };

typedef struct Options {
    FlagList models;
    FlagInts prompt, generate, depth, batch, cache;   /* cache: as --cache-type counts its choices */
    int32_t rows, repetitions, output;
    bool forgets;
    bool gpu;                      /* --device says so */
} Options;

/* Everything that a row says of a model. */
typedef struct Subject {
    char name[128], backend[280];
    const char *cache;
    const Machine *machine;        /* NULL: nobody has measured it */
    bool deterministic;
    double bytes;
    int64_t parameters;
    int32_t threads;
} Subject;

typedef struct Printer {
    int32_t output;
    int rows;
    Machine kept;
    const Machine *machine;        /* that; NULL: nobody has measured it */
    BenchEnd end;
} Printer;

static Err take_cache_types(void *options, const char *value, Error *err);

static const Flag own_flags[] = {
    {"--model", "-m", "MODEL", FLAG_LIST, offsetof(Options, models),
     .help = "checkpoint directory, .gguf file, or synth:SHAPE:FORMAT,...; may be given several times; without it the "
             "default model"},
    {"--n-prompt", "-p", "N,...", FLAG_INTS, offsetof(Options, prompt), .max = TOKENS_MAX,
     .help = "tokens of a prompt; 0: none (512; on a GPU, if none of these four is said: the lecture's rows)"},
    {"--n-gen", "-n", "N,...", FLAG_INTS, offsetof(Options, generate), .max = TOKENS_MAX,
     .help = "tokens to generate; 0: none (128)"},
    {"--n-depth", "-d", "N,...", FLAG_INTS, offsetof(Options, depth), .max = TOKENS_MAX,
     .help = "tokens that are in the cache before (0)"},
    {"--batch", "-b", "N,...", FLAG_INTS, offsetof(Options, batch), .max = BENCH_BATCH_MAX,
     .help = "answers that are generated at a time (1)"},
    {"--cache-types", "-ctk", "TYPE,...", FLAG_CALL, 0, .take = take_cache_types,
     .help = "formats of keys and values, each of which is measured: what --cache-type allows"},
    {"--ubatch-size", "-ub", "N", FLAG_INT, offsetof(Options, rows), .min = 1, .max = 1 << 16,
     .help = "rows of one step (512; on a GPU 2048)"},
    {"--repetitions", "-r", "N", FLAG_INT, offsetof(Options, repetitions), .min = 1, .max = BENCH_REPETITIONS_MAX,
     .help = "how often each row is measured, after a warm-up (5)"},
    {"--no-journal", NULL, NULL, FLAG_SWITCH, offsetof(Options, forgets),
     .help = "keep nothing for `ridge plan`; else a row of 3 repetitions or more is run once more, with a trace"},
    {"--output", "-o", "FORM", FLAG_CHOICE, offsetof(Options, output), .choices = "md,json,csv",
     .help = "a table in Markdown, or JSON, or CSV, with llama-bench's names (md)"},
};

/* "f16,bf16": numbers of --cache-type's choices. */
static Err take_cache_types(void *options, const char *value, Error *err)
{
    Options *o = options;
    const Flag *one = model_flags;
    while (strcmp(one->name, "--cache-type"))
        one++;
    o->cache.count = 0;
    while (*value) {
        int bytes = (int)strcspn(value, ","), number = 0;
        const char *choice = one->choices;
        for (; *choice; number++) {
            size_t length = strcspn(choice, ",");
            if (length == (size_t)bytes && !strncmp(choice, value, length))
                break;
            choice += length + (choice[length] == ',');
        }
        if (!*choice)
            return fail(err, BAD_ARGUMENT, "--cache-types: '%.*s' is none of %s", bytes, value, one->choices);
        if (o->cache.count == CACHE_TYPES_MAX)
            return fail(err, LIMIT_REACHED, "--cache-types: more than %d", CACHE_TYPES_MAX);
        o->cache.value[o->cache.count++] = number;
        value += bytes + (value[bytes] == ',');
    }
    return o->cache.count ? OK : fail(err, BAD_ARGUMENT, "--cache-types: one or more of %s", one->choices);
}

/* ---- rows ---- */

static Subject subject_of(const Session *s, const Machine *machine, bool deterministic)
{
    Subject m = {.threads = s->threads, .parameters = s->model->parameters, .machine = machine,
                 .deterministic = deterministic};
    snprintf(m.backend, sizeof m.backend, "%s%s", s->backend, deterministic ? ", deterministic" : "");
    const Store *store = s->package.checkpoint.store;
    const char *path = store_gguf(store) ? store_file(store, 0)->path : s->package.path, *slash = strrchr(path, '/');
    snprintf(m.name, sizeof m.name, "%s", slash && slash[1] ? slash + 1 : path);
    for (size_t i = 0; i < store_count(store); i++)
        m.bytes += (double)store_at(store, i)->bytes.bytes;
    return m;
}

/* What stands in the way of more: "memory" or "arithmetic". */
static const char *bound_name(const Subject *m, const BenchResult *r)
{
    const Demand *d = &r->work.demand;
    return roofline_bytes_seconds(m->machine, d) > roofline_operations_seconds(m->machine, d) ? "memory" : "arithmetic";
}

static double gigabytes(const BenchResult *r) { return r->work.demand.bytes / bench_seconds(r) / 1e9; }
static double gigaflops(const BenchResult *r) { return demand_operations(&r->work.demand) / bench_seconds(r) / 1e9; }

static void print_md(Printer *p, const Subject *m, const BenchResult *r)
{
    char name[BENCH_NAME_BYTES], rate[48], share[48] = "not known";
    BenchSummary s = bench_summary(r);
    bench_name(r->what, name);
    if (!p->rows)
        puts("| model                          |       size |     params | backend      | threads |            test |"
             "                  t/s |     GB/s |   GFLOP/s | cache | share of the bound |\n"
             "| ------------------------------ | ---------: | ---------: | ------------ | ------: | --------------: |"
             " -------------------: | -------: | --------: | ----: | -----------------: |");
    snprintf(rate, sizeof rate, "%.2f ± %.2f", s.rate, s.rate_deviation);
    if (m->machine)
        snprintf(share, sizeof share, "%.1f%% %s", 100 * bench_share(r, m->machine), bound_name(m, r));
    printf("| %-30s | %6.2f GiB | %8.2f M | %-12s | %7d | %15s | %21s | %8.1f | %9.1f | %5s | %18s |\n", m->name,
           m->bytes / (1 << 30), (double)m->parameters / 1e6, m->backend, m->threads, name, rate, gigabytes(r), gigaflops(r),
           m->cache, share);
}

/* In quotes: it has none itself. */
static void print_sentence(const Subject *m, const BenchResult *r)
{
    Buf text;
    char name[BENCH_NAME_BYTES];
    PhaseWork work = bench_work(r);
    bench_name(r->what, name);
    buf_init(&text, SENTENCE_BYTES_MAX);
    verdict_tell(m->machine, name, &work, &text);
    printf("\"%s\"\n", text.data);
    buf_deinit(&text);
}

static void print_csv(Printer *p, const Subject *m, const BenchResult *r)
{
    BenchSummary s = bench_summary(r);
    if (!p->rows)
        puts("model_filename,model_size,model_n_params,backends,n_threads,n_prompt,n_gen,n_depth,n_batch,avg_ns,stddev_ns,"
             "avg_ts,stddev_ts,median_ts,gb_per_second,gflop_per_second,type_k,bound,share_of_bound,verdict");
    printf("\"%s\",%.0f,%lld,\"%s\",%d,%d,%d,%d,%d,%.0f,%.0f,%.6f,%.6f,%.6f,%.3f,%.3f,\"%s\",", m->name, m->bytes,
           (long long)m->parameters, m->backend, m->threads, r->what.prompt, r->what.generate, r->what.depth, r->what.batch,
           1e9 * s.seconds, 1e9 * s.seconds_deviation, s.rate, s.rate_deviation, bench_median(r), gigabytes(r), gigaflops(r),
           m->cache);
    if (m->machine)
        printf("\"%s\",%.4f,", bound_name(m, r), bench_share(r, m->machine));
    else
        printf("\"\",,");
    print_sentence(m, r);
}

static void print_json(Printer *p, const Subject *m, const BenchResult *r)
{
    BenchSummary s = bench_summary(r);
    json_t *rates = json_array(), *nanoseconds = json_array();
    for (int i = 0; i < r->repetitions; i++) {
        json_array_append_new(rates, json_real(r->tokens / r->seconds[i]));
        json_array_append_new(nanoseconds, json_integer((json_int_t)(1e9 * r->seconds[i])));
    }
    json_t *bound = m->machine ? json_string(bound_name(m, r)) : json_null();
    json_t *share = m->machine ? json_real(bench_share(r, m->machine)) : json_null();
    char name[BENCH_NAME_BYTES];
    PhaseWork work = bench_work(r);
    bench_name(r->what, name);
    json_t *row = json_pack(
        "{s:s, s:I, s:I, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:s, s:o, s:o, s:o}",
        "model_filename", m->name, "model_size", (json_int_t)m->bytes, "model_n_params", (json_int_t)m->parameters,
        "backends", m->backend, "n_threads", m->threads, "n_prompt", r->what.prompt, "n_gen", r->what.generate,
        "n_depth", r->what.depth, "n_batch", r->what.batch, "avg_ns", (json_int_t)(1e9 * s.seconds), "stddev_ns",
        (json_int_t)(1e9 * s.seconds_deviation), "avg_ts", s.rate, "stddev_ts", s.rate_deviation, "median_ts",
        bench_median(r), "gb_per_second", gigabytes(r), "gflop_per_second", gigaflops(r), "samples_ns", nanoseconds,
        "samples_ts", rates, "type_k", m->cache, "bound", bound, "share_of_bound", share, "verdict",
        verdict_json(m->machine, name, &work));
    printf(p->rows ? ",\n" : "[\n");
    if (row)
        json_dumpf(row, stdout, JSON_INDENT(2));
    json_decref(row);
}

static void print_row(Printer *p, const Subject *m, const BenchResult *r)
{
    static void (*const print[])(Printer *, const Subject *, const BenchResult *) = {
        [OUTPUT_MD] = print_md, [OUTPUT_JSON] = print_json, [OUTPUT_CSV] = print_csv};
    print[p->output](p, m, r);
    p->rows++;
    fflush(stdout);
}

/* ---- measuring ---- */

static void put_case(BenchCase *cases, int *count, BenchCase c)
{
    if ((c.prompt || c.generate) && *count < CASES_MAX)
        cases[(*count)++] = c;
}

static int cases_of(const Options *o, BenchCase cases[CASES_MAX])
{
    int count = 0;
    if (!o->generate.count)      /* fill_in() left all of them empty */
        return bench_gpu_cases(cases, CASES_MAX);
    for (int d = 0; d < o->depth.count; d++) {
        for (int p = 0; p < o->prompt.count; p++)
            put_case(cases, &count, (BenchCase){.prompt = o->prompt.value[p], .depth = o->depth.value[d], .batch = 1});
        for (int b = 0; b < o->batch.count; b++)
            for (int n = 0; n < o->generate.count; n++)
                put_case(cases, &count, (BenchCase){.generate = o->generate.value[n], .depth = o->depth.value[d],
                                                    .batch = o->batch.value[b] ? o->batch.value[b] : 1});
    }
    return count;
}

/* The engine that the largest of the cases needs; what is measured behind a depth goes on from the state there. */
static EngineOptions engine_for(const Options *o, const BenchCase *cases, int count, ModelFlags *flags)
{
    EngineOptions engine = engine_options_default();
    int32_t context = 0, deep = 0;
    int64_t positions = 0;
    engine.sequences = 1;
    for (int i = 0; i < count; i++) {
        int32_t longest = bench_context(cases[i]), batch = cases[i].batch;
        engine.sequences = batch > engine.sequences ? batch : engine.sequences;
        context = longest > context ? longest : context;
        positions = max_i64(positions, batch * ((int64_t)longest + flags->block_tokens));
        deep = cases[i].depth && batch > deep ? batch : deep;
    }
    engine.rows = o->rows > engine.sequences ? o->rows : engine.sequences;
    engine.logit_rows = engine.sequences;
    engine.cache_tokens = o->gpu ? positions : 0;      /* not the longest context for each of the largest batch */
    flags->context = flags->context ? flags->context : context;
    if (deep && flags->state_snapshots < deep + 1)
        flags->state_snapshots = deep + 1;
    return engine;
}

/* A GPU's memory is not the host's: what has no room there is left out, and told. */
static int leave_out(BenchCase *cases, int count, const Session *s, const Subject *subject)
{
    int fit = 0;
    for (int i = 0; i < count; i++) {
        char name[BENCH_NAME_BYTES];
        bench_name(cases[i], name);
        if (bench_gpu_fits(cases[i], s->model, format_find("F16"), subject->bytes, subject->machine))
            cases[fit++] = cases[i];
        else
            fprintf(stderr, "%s, %s: left out, since weights and cache do not fit into %.0f GB\n", subject->name, name,
                    subject->machine->memory_bytes / 1e9);
    }
    return fit;
}

static Err bench_rows(const Options *o, Session *s, const Subject *subject, BenchLearn *learn, const BenchCase *cases,
                      int count, Printer *printer, Error *err)
{
    BenchRow like = {.cache = subject->cache, .deterministic = subject->deterministic};
    snprintf(like.model, sizeof like.model, "%s", subject->name);
    for (int i = 0; i < count; i++) {
        BenchResult row;
        bench_learn_foretell(learn, cases[i]);
        TRY(bench_run(s->engine, s->tally, s->tells_trace ? s->tracer : NULL, s->model->shape.V, cases[i], o->repetitions,
                      &row, err));
        print_row(printer, subject, &row);
        TRY(bench_end_add(&printer->end, &like, &row, err));
        profile_out_add(s->profile, &printer->end.row[printer->end.count - 1].work);
        bench_learn_record(learn, &row);
    }
    return OK;
}

/* With an opened model. */
static Err bench_session(const Options *o, ModelFlags *flags, Session *s, BenchCase *cases, int count, Printer *printer,
                         Error *err)
{
    BenchLearn learn = {0};
    if (!o->gpu)
        printer->machine = session_machine(s, &printer->kept);
    Subject subject = subject_of(s, printer->machine, o->gpu && flags->deterministic);
    if (o->gpu)
        count = leave_out(cases, count, s, &subject);
    if (!count)
        return fail(err, NO_MEMORY, "%s: nothing of what is to be measured fits into the GPU's memory", subject.name);
    EngineOptions engine = engine_for(o, cases, count, flags);
    TRY(session_open_engine(s, flags, engine, err));
    subject.cache = s->cache_format->name;
    session_print_load(s, stderr);
    if (flags->learns)
        bench_learn_open(&learn, s, flags->model, printer->machine, engine.rows);
    Err result = bench_rows(o, s, &subject, &learn, cases, count, printer, err);
    bench_learn_close(&learn);
    return result;
}

static Err bench_cases(const Options *o, ModelFlags flags, Printer *printer, Error *err)
{
    BenchCase cases[CASES_MAX];
    int count = cases_of(o, cases);
    bool watched = flags.profile || flags.profile_svg || flags.profile_html || flags.trace || flags.compare || flags.dump;
    flags.learns = !o->forgets && !watched && o->repetitions >= REPETITIONS_TO_LEARN;
    if (!count)
        return fail(err, BAD_ARGUMENT, "nothing to measure: --n-prompt and --n-gen are both 0");
    Session session;
    Error closing;
    TRY(session_open_model(&session, &flags, err));
    Err result = bench_session(o, &flags, &session, cases, count, printer, err);
    Err closed = session_close(&session, &closing);
    return result != OK || closed == OK ? result : fail(err, closed, "%s", closing.text);
}

/* On a GPU --deterministic has a price: both ways are measured. On the CPU nothing else is ever done. */
static Err bench_ways(const Options *o, ModelFlags flags, Printer *printer, Error *err)
{
    bool deterministic = flags.deterministic;
    flags.deterministic = false;
    TRY(bench_cases(o, flags, printer, err));
    flags.deterministic = true;
    return deterministic && o->gpu ? bench_cases(o, flags, printer, err) : OK;
}

static Err bench_model(const char *path, const Options *o, ModelFlags flags, Printer *printer, Error *err)
{
    flags.model = path;
    for (int i = 0; i < o->cache.count; i++) {
        flags.cache_type = o->cache.value[i];
        TRY(bench_ways(o, flags, printer, err));
    }
    return o->cache.count ? OK : bench_ways(o, flags, printer, err);
}

/* "synth:SHAPE:q4_0,q8_0" are two models; any other path is one. */
static Err bench_models(const char *path, const Options *o, ModelFlags flags, Printer *printer, Error *err)
{
    const char *formats = path && !strncmp(path, "synth:", 6) ? strrchr(path + 6, ':') : NULL;
    char one[MODEL_BYTES_MAX];
    if (!formats || !strchr(formats, ','))
        return bench_model(path, o, flags, printer, err);
    for (const char *at = formats + 1; *at;) {
        int bytes = (int)strcspn(at, ",");
        if (snprintf(one, sizeof one, "%.*s%.*s", (int)(formats + 1 - path), path, bytes, at) >= (int)sizeof one)
            return fail(err, LIMIT_REACHED, "%.64s...: a model's name has fewer than %d bytes", path, MODEL_BYTES_MAX);
        TRY(bench_model(one, o, flags, printer, err));
        at += bytes + (at[bytes] == ',');
    }
    return OK;
}

static int run(int argc, char **argv);
/* The model comes from this command's own list, which allows several. */
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL),
                                   {"model", model_flags + 1, MODEL_FLAG_COUNT - 1, NULL}, {0}};
const Command command_bench = {
    .name = "bench",
    .arguments = "[-m MODEL ...] [-p N,...] [-n N,...] [options]",
    .summary = "measure tokens per second, memory bandwidth and arithmetic",
    .description =
        "Measures how fast prompts are read (pp) and tokens are generated (tg), by llama-bench's conventions, so rows can "
        "be held side by side. GB/s is what had to be read (weights and cache) over the time, GFLOP/s the operations over "
        "the time: a token cannot come sooner than its bytes, nor a prompt sooner than its operations. The last column "
        "says how much of the time this bound would have taken, by what `ridge probe` measured of this machine with "
        "all its threads, and which of the two it is; at the end a sentence for each row says so in words, and what twice the "
        "batch would give. On a GPU (--device cuda) its limits are measured first, in the same run; at the end there is what "
        "an H100 and this GPU could do for each row, and what was measured; with --deterministic each is measured both ways, "
        "and its price told. --profile tells the same for each operation, without the warm-ups. Lists are measured "
        "in all combinations, and synth:SHAPE:FORMAT needs no file (`ridge synth --list`). Machines are noisy: "
        "compare medians of runs that alternate (bench/versus-llama).\n\n"
        "`ridge bench serve --url URL` measures a server under load instead, any that speaks OpenAI's API: "
        "`ridge bench serve --help`.",
    .examples = "  ridge bench -m model.gguf\n"
                "  ridge bench -m a.gguf -m b.gguf -p 128,512 -n 32 -d 0,4096 -t 2\n"
                "  ridge bench -m model.gguf -p 0 -n 64 -b 1,2,4,8,16 -o json\n"
                "  ridge bench -m synth:llama-2-7b:q4_0,q8_0 -p 0 -n 32 -d 0,8192 -ctk f32,f16\n"
                "  ridge bench --device cuda -m synth:llama-2-13b -m synth:llama-2-13b-grouped\n"
                "  ridge bench serve --url http://127.0.0.1:8080 -c 16 -n 200\n",
    .groups = groups,
    .run = run,
};

/* What was not said; on a GPU steps of more rows. */
static void fill_in(Options *o)
{
    o->rows = o->rows ? o->rows : o->gpu ? 2048 : 512;
    if (o->gpu && !o->prompt.count && !o->generate.count && !o->depth.count && !o->batch.count)
        return;      /* the rows of bench_gpu_cases() */
    FlagInts *const lists[] = {&o->prompt, &o->generate, &o->depth, &o->batch};
    const int32_t values[] = {512, 128, 0, 1};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (!lists[i]->count)
            *lists[i] = (FlagInts){1, {values[i]}};
}

static void print_end(const Options *o, Printer *p)
{
    Machine h100;
    Buf text;
    Error err;
    if (o->output == OUTPUT_JSON && p->rows)
        puts("\n]");
    if (o->output != OUTPUT_MD || !p->rows)
        return;
    bench_end_print(&p->end, p->machine, stdout);
    buf_init(&text, TEXT_BYTES_MAX);
    if (o->gpu)
        bench_gpu_tell(&p->end, p->machine, machine_find("h100", &h100, &err) == OK ? &h100 : NULL, &text);
    bench_price_tell(&p->end, &text);
    fwrite(text.data, 1, text.bytes, stdout);
    buf_deinit(&text);
}

static int run(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "serve"))
        return bench_serve(argc - 1, argv + 1);
    Error err;
    int status, word_count;
    Options o = {.repetitions = 5};
    ModelFlags model = model_flags_default();
    model.state_snapshots = 0;   /* no two prompts begin alike */
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &o),
                                {"model", model_flags + 1, MODEL_FLAG_COUNT - 1, &model}, {0}};
    if (!command_begin(&command_bench, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    o.gpu = session_wants_gpu(&model);
    fill_in(&o);
    Printer printer = {.output = o.output};
    Err result = o.gpu ? probe_gpu_run(0, &printer.kept, &err) : OK;
    printer.machine = o.gpu ? &printer.kept : NULL;
    for (int i = 0; i < (o.models.count ? o.models.count : 1) && result == OK; i++)
        result = bench_models(o.models.count ? o.models.item[i] : NULL, &o, model, &printer, &err);
    print_end(&o, &printer);
    bench_end_free(&printer.end);
    return result == OK && stdout_flush(&err) == OK ? 0 : command_fail(&err);
}
