/* cmd_plan.c -- ridge plan: what a machine will make of a model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/lecture_show.h"
#include "main/plan_check_show.h"
#include "main/plan_show.h"
#include "main/plan_suggest.h"
#include "main/session.h"

enum { TOKENS_MAX = 1 << 24, BATCH_MAX = 1 << 20, SHARDS_MAX = 1 << 10, ROWS_MAX = 1 << 20, GUESSES_MAX = 64 };

typedef struct Options {
    const char *model, *device, *format, *cache, *draft;
    FlagInts batch;
    int32_t context, prompt, rows, replicas, shards, kv_heads, guesses;
    float acceptance;
    bool lecture, check, json, list;
} Options;

#define AT(field) offsetof(Options, field)
static const Flag flags[] = {
    {"--model", "-m", "MODEL", FLAG_TEXT, AT(model),
     .help = "a checkpoint, a shape of `ridge synth --list`, or a config.json; without it the default model"},
    {"--device", "-d", "NAME", FLAG_TEXT, AT(device),
     .help = "this, this-gpu, a name of --list, or a file as `ridge probe -o` writes it (this)"},
    {"--format", NULL, "FORMAT", FLAG_TEXT, AT(format),
     .help = "number format of the matrices (a checkpoint's own; bf16 for a shape)"},
    {"--cache", NULL, "FORMAT", FLAG_TEXT, AT(cache), .help = "number format of keys and values (bf16)"},
    {"--batch", "-b", "N,...", FLAG_INTS, AT(batch), .min = 1, .max = BATCH_MAX,
     .help = "sequences that are generated at a time (1,16,64,256)"},
    {"--context", "-c", "N", FLAG_INT, AT(context), .min = 1, .max = TOKENS_MAX,
     .help = "positions that a generated token sees, itself included (1024)"},
    {"--prompt", "-p", "N", FLAG_INT, AT(prompt), .min = 1, .max = TOKENS_MAX, .help = "tokens of a prompt, for TTFT (512)"},
    {"--ubatch-size", "-ub", "N", FLAG_INT, AT(rows), .min = 1, .max = ROWS_MAX,
     .help = "rows of one step: a longer prompt takes several (512)"},
    {"--kv-heads", NULL, "N", FLAG_INT, AT(kv_heads), .min = 1, .max = 1 << 14,
     .help = "key and value heads, instead of what a shape says"},
    {"--replicas", NULL, "M", FLAG_INT, AT(replicas), .min = 1, .max = 1 << 20, .help = "copies of the whole (1)"},
    {"--shards", NULL, "N", FLAG_INT, AT(shards), .min = 1, .max = SHARDS_MAX,
     .help = "machines that share one copy, each with a part of every product (1)"},
    {"--draft", NULL, "MODEL", FLAG_TEXT, AT(draft), .help = "a model that guesses ahead"},
    {"--acceptance", NULL, "A", FLAG_FLOAT, AT(acceptance), .min = 0, .max = 1,
     .help = "how often a guess is right (0.7)"},
    {"--guesses", NULL, "K", FLAG_INT, AT(guesses), .min = 0, .max = GUESSES_MAX,
     .help = "of the draft in a step; 0: as many as gain the most (0)"},
    {"--lecture", NULL, NULL, FLAG_SWITCH, AT(lecture),
     .help = "count as the inference lecture does: llama-2-13b on an H100, unless -m and --device say otherwise"},
    {"--check", NULL, NULL, FLAG_SWITCH, AT(check),
     .help = "hold what was foretold of this machine against what was measured afterwards"},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), .help = "the same as one JSON object, in bytes and seconds"},
    {"--list", NULL, NULL, FLAG_SWITCH, AT(list), .help = "list the machines that have a name"},
};

static const FlagGroup groups[] = {FLAG_GROUP("options", flags, NULL), FLAG_GROUP("suggestions", suggest_flags, NULL), {0}};
static int run(int argc, char **argv);

const Command command_plan = {
    .name = "plan",
    .arguments = "[-m MODEL] [--device NAME] [options]",
    .summary = "what a machine will make of a model: memory, time, throughput",
    .description =
        "Runs the model's forward pass without its weights and counts what each operation reads and computes; a "
        "machine's bandwidth and peaks make times of it. So anything can be planned: a model that fits nowhere, on a "
        "machine that nobody has here. Machines are described in share/machines, from their makers' data sheets. For "
        "this machine, what `ridge bench` measured before is learned: an efficiency for each operation and shape, and "
        "how sure it is.",
    .examples = "  ridge plan -m llama-2-13b --device h100 --batch 1,16,64,256\n"
                "  ridge plan -m llama-3.1-70b --device h100 --shards 4 --format f8_e4m3 --context 8192\n"
                "  ridge plan -m llama-3.1-8b --device l4 --draft llama-3.2-1b --acceptance 0.7\n"
                "  ridge plan -m model.gguf --json\n"
                "  ridge plan -m llama-2-13b --suggest --rate 2 --prompt 512 --answer 256 --machines h100:2.50,l4:0.80\n"
                "  ridge plan --lecture\n"
                "  ridge bench -m model.gguf; ridge bench -m model.gguf; ridge plan --check\n",
    .groups = groups,
    .run = run,
};

static Err find_format(const char *flag, const char *name, const Format **out, Error *err)
{
    *out = name ? format_find(name) : NULL;
    return *out || !name ? OK : fail(err, BAD_ARGUMENT, "%s: '%.64s' is no number format that ridge knows", flag, name);
}

static const char *device_of(const Options *o) { return o->device ? o->device : "this"; }

static Err read_options(const Options *o, Planned *p, Error *err)
{
    PlanModelOptions model = {.model = o->model, .kv_heads = o->kv_heads};
    p->options = (PlanOptions){.context = o->context, .prompt = o->prompt, .rows = o->rows, .shards = o->shards,
                               .replicas = o->replicas};
    TRY(machine_find(device_of(o), &p->options.machine, err));
    TRY(find_format("--format", o->format, &model.format, err));
    TRY(find_format("--cache", o->cache ? o->cache : "BF16", &p->options.cache, err));
    TRY(plan_model_open(&model, &p->model, err));
    if (o->draft) {
        p->acceptance = (double)o->acceptance;
        TRY(plan_model_open(&(PlanModelOptions){.model = o->draft}, &p->draft_model, err));
        if (p->draft_model.model->shape.V != p->model.model->shape.V)
            return fail(err, BAD_ARGUMENT, "--draft: %s has a vocabulary of %d, %s one of %d: it cannot guess for it",
                        p->draft_model.name, p->draft_model.model->shape.V, p->model.name, p->model.model->shape.V);
    }
    return plan_check(&p->model, &p->options, err);
}

static Err compute(const Options *o, Planned *p, Error *err)
{
    double before;
    TRY(plan_memory(&p->model, &p->options, &p->memory, err));
    TRY(plan_cache_bytes(&p->model, p->options.cache, p->options.context - 1, &before, err));
    TRY(plan_cache_bytes(&p->model, p->options.cache, p->options.context, &p->token_bytes, err));
    p->token_bytes -= before;
    TRY(plan_prompt(&p->model, &p->options, 0, &p->prompt, err));
    for (int b = 0; b < o->batch.count; b++) {
        PlanBatch *batch = &p->batch[p->batches];
        TRY(plan_batch(&p->model, &p->options, &p->memory, o->batch.value[b], batch, err));
        if (o->draft && batch->fits)
            TRY(plan_draft(&p->model, &p->draft_model, &p->options, batch, p->acceptance, o->guesses, &p->draft[p->batches],
                           err));
        p->batches++;
    }
    return OK;
}

static JournalEntry entry_of(const Planned *p, int32_t prompt, int32_t batch, int32_t context, const PlanPhase *phase)
{
    JournalEntry e = {.seconds = phase->seconds, .doubt = phase->doubt};
    e.what = (JournalCase){.threads = p->options.machine.threads, .prompt = prompt, .batch = batch, .context = context};
    snprintf(e.what.model, sizeof e.what.model, "%.127s", p->model.name);
    snprintf(e.what.format, sizeof e.what.format, "%s", p->model.formats);
    snprintf(e.what.cache, sizeof e.what.cache, "%s", p->options.cache->name);
    return e;
}

/* What is said of this machine is held against what is measured later. */
static Err remember(const Planned *p, Journal *journal, Error *err)
{
    if (!journal || p->options.shards > 1)
        return OK;
    JournalEntry prompt = entry_of(p, p->options.prompt, 1, p->options.prompt, &p->prompt);
    TRY(journal_foretell(journal, &prompt, err));
    for (int b = 0; b < p->batches; b++) {
        JournalEntry step = entry_of(p, 0, p->batch[b].batch, p->options.context, &p->batch[b].step);
        TRY(journal_foretell(journal, &step, err));
    }
    return OK;
}

static Err check_fits(const Planned *p, Error *err)
{
    for (int b = 0; b < p->batches; b++)
        if (p->batch[b].fits)
            return OK;
    if (p->memory.batch_max > 0)
        return fail(err, BAD_ARGUMENT, "--batch: %s of memory hold at most %lld sequences of %d tokens",
                    bytes_text(p->options.machine.memory_bytes).text, (long long)p->memory.batch_max, p->options.context);
    return fail(err, BAD_ARGUMENT, "no batch fits in %s: the weights have %s, a sequence of %d tokens %s; --shards, "
                "--format or --context can change that", bytes_text(p->options.machine.memory_bytes).text,
                bytes_text(p->memory.weights).text, p->options.context, bytes_text(p->memory.cache).text);
}

static void show(const Options *o, const Planned *p)
{
    if (!o->json) {
        plan_print(p);
        return;
    }
    json_t *json = plan_json(p);
    json_dumpf(json, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(json);
}

static Err plan(const Options *o, Error *err)
{
    Planned *p = calloc(1, sizeof *p);
    Journal *journal = NULL;
    if (!p)
        return fail(err, NO_MEMORY, "no memory for a plan");
    Err result = read_options(o, p, err);
    if (result == OK && !strcmp(device_of(o), "this"))   /* what was learned is of this machine only */
        result = journal_open(NULL, &journal, err);
    p->options.journal = journal;
    if (result == OK)
        result = compute(o, p, err);
    if (result == OK) {
        show(o, p);
        result = check_fits(p, err);
    }
    if (result == OK)
        result = remember(p, journal, err);
    journal_close(journal);
    plan_model_close(&p->model);
    plan_model_close(&p->draft_model);
    free(p);
    return result;
}

static Err lecture(const Options *o, Error *err)
{
    LectureOptions l = {.context = o->context, .batch = o->batch, .json = o->json};
    l.model = (PlanModelOptions){.model = o->model ? o->model : "llama-2-13b", .kv_heads = o->kv_heads};
    TRY(machine_find(o->device ? o->device : "h100", &l.machine, err));
    return lecture_show(&l, err);
}

static Err check(const Options *o, Error *err)
{
    Journal *journal;
    TRY(journal_open(NULL, &journal, err));
    Err result = plan_check_show(journal, o->json, err);
    journal_close(journal);
    return result;
}

static Err run_mode(const Options *o, const SuggestFlags *suggested, Error *err)
{
    if (suggested->suggest)
        return suggest_show(suggested, &(SuggestModel){o->model, o->format, o->cache, o->prompt, o->kv_heads, o->json}, err);
    return o->list ? machines_print(stdout, err) : o->check ? check(o, err) : o->lecture ? lecture(o, err) : plan(o, err);
}

static int run(int argc, char **argv)
{
    Error err;
    Options o = {.batch = {4, {1, 16, 64, 256}}, .context = 1024, .prompt = 512, .rows = 512,
                 .replicas = 1, .shards = 1, .acceptance = 0.7f};
    SuggestFlags suggested = suggest_flags_default();
    const FlagGroup filled[] = {FLAG_GROUP("options", flags, &o), FLAG_GROUP("suggestions", suggest_flags, &suggested), {0}};
    int words, status;
    if (!command_begin(&command_plan, filled, argc, argv, NULL, 0, &words, &status))
        return status;
    return run_mode(&o, &suggested, &err) == OK && stdout_flush(&err) == OK ? 0 : command_fail(&err);
}
