#include "main/bench_serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file_map.h"
#include "main/bar.h"
#include "main/load_client.h"
#include "main/session.h"

enum { ENDPOINT_COMPLETIONS, ENDPOINT_CHAT };
enum { PROMPTS_ARE_IDS, PROMPTS_ARE_WORDS, PROMPTS_FIT };   /* PROMPTS_FIT: not said */
enum { REQUESTS_USUAL = 100, LANES_BY_CLOCK = 1024, MODEL_BYTES = 512 };

typedef struct Options {
    const char *url, *model, *api_key, *extra_body, *prompts, *prompt_tokens, *output_tokens, *times;
    FlagList slo;
    float rate, duration, timeout, temperature;
    int32_t burst, concurrency, endpoint, form, shared_prefix, turns, requests, warmup, id_low, id_high;
    uint64_t seed;
    bool ignore_eos, json;
} Options;

static const Flag server_flags[] = {
    {"--url", NULL, "URL", FLAG_TEXT, offsetof(Options, url), .help = "the server, as http://127.0.0.1:8080"},
    {"--endpoint", NULL, "NAME", FLAG_CHOICE, offsetof(Options, endpoint), .choices = "completions,chat",
     .help = "/v1/completions or /v1/chat/completions (completions)"},
    {"--model", NULL, "NAME", FLAG_TEXT, offsetof(Options, model), .help = "as the server calls it (the first that it lists)"},
    {"--api-key", NULL, "KEY", FLAG_TEXT, offsetof(Options, api_key), .help = "sent as Authorization: Bearer KEY"},
    {"--timeout", NULL, "S", FLAG_FLOAT, offsetof(Options, timeout), .min = 0.1, .max = 1e6,
     .help = "seconds that a request may take (600)"},
};

static const Flag arrival_flags[] = {
    {"--concurrency", "-c", "N", FLAG_INT, offsetof(Options, concurrency), .min = 1, .max = LOAD_LANES_MAX,
     .help = "conversations at one time: each answer lets the next one in (1). With --rate: at most so many (1024)"},
    {"--rate", NULL, "R", FLAG_FLOAT, offsetof(Options, rate), .min = 1e-4, .max = 1e6,
     .help = "requests per second that arrive whether others are answered or not, at random (Poisson)"},
    {"--burst", NULL, "N", FLAG_INT, offsetof(Options, burst), .min = 1, .max = LOAD_LANES_MAX,
     .help = "they arrive N at a time, with the same --rate on the whole; without --rate: N at once, and no more"},
    {"--requests", "-n", "N", FLAG_INT, offsetof(Options, requests), .min = 1, .max = LOAD_REQUESTS_MAX,
     .help = "requests in all (100; with --duration as many as come)"},
    {"--duration", NULL, "S", FLAG_FLOAT, offsetof(Options, duration), .min = 0.1, .max = 1e6,
     .help = "seconds after which no more are asked; what runs is waited for"},
    {"--warm-up", "--warmup", "N", FLAG_INT, offsetof(Options, warmup), .max = LOAD_REQUESTS_MAX,
     .help = "requests before, with prompts of their own, that do not count (0)"},
    {"--seed", NULL, "N", FLAG_SEED, offsetof(Options, seed),
     .help = "of arrivals, lengths and prompts (1). The same seed gives the same prompts, which a server may still have in "
             "its cache: give each run its own"},
};

static const Flag work_flags[] = {
    {"--prompt-tokens", "-p", "N", FLAG_TEXT, offsetof(Options, prompt_tokens),
     .help = "length of made-up prompts: 128, or 64..256, or lognormal:MEDIAN,DEVIATION[,LOW..HIGH] (128)"},
    {"--output-tokens", "-o", "N", FLAG_TEXT, offsetof(Options, output_tokens),
     .help = "max_tokens of each request, in the same way (128)"},
    {"--ignore-eos", NULL, NULL, FLAG_SWITCH, offsetof(Options, ignore_eos),
     .help = "answers have exactly max_tokens, where the server knows this field"},
    {"--shared-prefix", NULL, "N", FLAG_INT, offsetof(Options, shared_prefix), .max = LOAD_TOKENS_MAX,
     .help = "all made-up prompts begin with the same N tokens, as with one system prompt (0)"},
    {"--multi-turn", NULL, "K", FLAG_INT, offsetof(Options, turns), .min = 1, .max = 1000,
     .help = "conversations of K requests, each of which holds all that was said before (1)"},
    {"--prompts", NULL, "FILE", FLAG_TEXT, offsetof(Options, prompts),
     .help = "prompts of a file instead: a line each, or JSONL with \"prompt\" or \"messages\", and \"max_tokens\" if wanted"},
    {"--prompt-form", NULL, "FORM", FLAG_CHOICE, offsetof(Options, form), .choices = "ids,words",
     .help = "what made-up prompts are made of: token ids, exactly as many, which a chat does not take; or words, about one "
             "token each (ids where they can be sent)"},
    {"--id-low", NULL, "N", FLAG_INT, offsetof(Options, id_low), .max = 1 << 30, .help = "ids are from here on (256)"},
    {"--id-high", NULL, "N", FLAG_INT, offsetof(Options, id_high), .min = 1, .max = 1 << 30,
     .help = "and below this; no more than the model's vocabulary (1000)"},
    {"--temperature", NULL, "T", FLAG_FLOAT, offsetof(Options, temperature), .max = 100,
     .help = "of the answers (the server's own)"},
    {"--extra-body", NULL, "JSON", FLAG_TEXT, offsetof(Options, extra_body),
     .help = "an object whose fields go into every request: '{\"top_k\": 1}'"},
};

static const Flag report_flags[] = {
    {"--slo", NULL, "BOUND", FLAG_LIST, offsetof(Options, slo),
     .help = "counts what was answered within bounds: ttft:500 in milliseconds; also itl (a request's longest gap), tpot, e2e; "
             "may be given several times"},
    {"--json", NULL, NULL, FLAG_SWITCH, offsetof(Options, json), .help = "the figures as JSON on standard output"},
    {"--times", NULL, "FILE", FLAG_TEXT, offsetof(Options, times),
     .help = "writes each event as a line: first, next or end, conversation, turn, seconds (of the machine's clock that only "
             "goes forward), and milliseconds since the asking or the text before"},
};

static const FlagGroup groups[] = {FLAG_GROUP("server", server_flags, NULL), FLAG_GROUP("arrivals", arrival_flags, NULL),
                                   FLAG_GROUP("requests", work_flags, NULL), FLAG_GROUP("report", report_flags, NULL), {0}};

static const Command command_bench_serve = {
    .name = "bench serve",
    .arguments = "--url URL [options]",
    .summary = "measure a server under load",
    .description =
        "Asks any server that speaks OpenAI's API (ridge serve, llama-server, vLLM) many things at a time, and prints how "
        "long people would have waited: to the first token (TTFT), between tokens, to the end; tokens per second; and with "
        "--slo how many requests per second were answered within bounds (goodput), which is what a server's size is chosen "
        "by.\n\n"
        "Two kinds of load tell different things. With --concurrency a fixed number of users wait for their answers before "
        "they ask again: it shows what the server can do at most, and never overloads it. With --rate users arrive when they "
        "like: below what the server can do, times stay flat; above it the queue grows as long as the test runs. Times count "
        "from the moment of arrival, not of sending, so a stall is felt by all who arrive during it.\n\n"
        "All requests stream. Tokens are counted by the usage that the server sends, else by chunks, and the report says "
        "which. What this program itself takes of a core is printed too: on one machine the server has that much less.",
    .examples = "  ridge bench serve --url http://127.0.0.1:8080 -c 16 -n 200 -p 128 -o 64..128 --ignore-eos\n"
                "  ridge bench serve --url http://127.0.0.1:8080 --rate 4 --duration 60 --slo ttft:500 --slo itl:50\n"
                "  ridge bench serve --url http://127.0.0.1:8080 --endpoint chat --multi-turn 4 -c 8 --shared-prefix 1000\n"
                "  ridge bench serve --url http://127.0.0.1:8080 --burst 64 --json\n",
    .groups = groups,
    .run = bench_serve,
};

/* ---- from flags to a plan ---- */

static Err choose_form(const Options *o, LoadPlan *plan, Error *err)
{
    bool needs_words = o->endpoint == ENDPOINT_CHAT || o->turns > 1;
    if (o->form == PROMPTS_ARE_IDS && needs_words)
        return fail(err, BAD_ARGUMENT, "--prompt-form ids: %s takes text; leave it out, or use words",
                    o->endpoint == ENDPOINT_CHAT ? "a chat" : "a conversation, which holds the server's answers,");
    plan->words = o->form == PROMPTS_FIT ? needs_words : o->form == PROMPTS_ARE_WORDS;
    if (o->id_low >= o->id_high)
        return fail(err, BAD_ARGUMENT, "--id-low %d: is not below --id-high %d", o->id_low, o->id_high);
    if (o->prompts && o->shared_prefix)
        return fail(err, BAD_ARGUMENT, "--shared-prefix is of made-up prompts; those of --prompts begin as they do");
    plan->id_low = o->id_low;
    plan->id_high = o->id_high;
    return OK;
}

static Err choose_arrivals(const Options *o, LoadOptions *load, Error *err)
{
    if (o->burst && o->rate == 0 && o->requests > o->burst)
        return fail(err, BAD_ARGUMENT, "--burst %d: %d requests are more than one burst; at which --rate do they come?",
                    o->burst, o->requests);
    bool at_once = o->burst && o->rate == 0;
    load->plan.rate = at_once ? 1e6 : o->rate;
    load->plan.burst = o->burst ? o->burst : 1;
    load->duration = o->duration;
    load->requests = o->requests ? o->requests : at_once ? (int64_t)o->burst * o->turns
                     : o->duration > 0 ? LOAD_REQUESTS_MAX : REQUESTS_USUAL;
    load->lanes = o->concurrency ? o->concurrency : load->plan.rate == 0 ? 1
                  : o->burst > LANES_BY_CLOCK ? o->burst : LANES_BY_CLOCK;
    return OK;
}

static Err read_extra(const char *text, json_t **out, Error *err)
{
    if (!text)
        return OK;
    TRY(json_read(span_text(text), 1 << 20, "--extra-body", out, err));
    return json_is_object(*out) ? OK : fail(err, BAD_ARGUMENT, "--extra-body: not a JSON object");
}

static Err read_options(const Options *o, LoadOptions *load, LoadBounds *bounds, Error *err)
{
    if (!o->url)
        return fail(err, BAD_ARGUMENT, "--url is needed: which server is to be asked? For one, --url http://127.0.0.1:8080");
    load->url = o->url;
    load->api_key = o->api_key;
    load->timeout_seconds = o->timeout;
    load->interrupted = interrupted;
    load->wire = (LoadWire){.chat = o->endpoint == ENDPOINT_CHAT, .ignore_eos = o->ignore_eos, .temperature = o->temperature};
    load->plan = (LoadPlan){.seed = o->seed, .shared_prefix = o->shared_prefix, .turns = o->turns};
    for (int32_t i = 0; i < o->slo.count; i++)
        if (load_bound_read(o->slo.item[i], bounds, err) != OK)
            return fail_within(err, "--slo");
    if (load_lengths_read(o->prompt_tokens, &load->plan.prompt, err) != OK)
        return fail_within(err, "--prompt-tokens");
    if (load_lengths_read(o->output_tokens, &load->plan.output, err) != OK)
        return fail_within(err, "--output-tokens");
    TRY(choose_form(o, &load->plan, err));
    TRY(choose_arrivals(o, load, err));
    return read_extra(o->extra_body, &load->wire.extra, err);
}

/* ---- the run ---- */

typedef struct Watch { Bar bar; const LoadOptions *load; } Watch;

static void show(void *with, int64_t answered, double seconds, double tokens_per_second)
{
    Watch *w = with;
    char so_far[96];
    bool by_time = w->load->requests == LOAD_REQUESTS_MAX;
    snprintf(so_far, sizeof so_far, "%lld answered, %.0f tokens/s", (long long)answered, tokens_per_second);
    int64_t done = by_time ? (int64_t)seconds : answered, total = by_time ? (int64_t)w->load->duration : w->load->requests;
    if (done > 0)
        bar_show(&w->bar, done < total ? done : total, total > 0 ? total : 1, so_far);
}

static Err times_open(const char *path, FILE **out, Error *err)
{
    *out = path ? fopen(path, "w") : NULL;
    if (path && !*out)
        return fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
    if (*out)
        fputs("what,conversation,turn,seconds,milliseconds\n", *out);
    return OK;
}

static Err times_close(FILE *file, const char *path, Error *err)
{
    if (!file)
        return OK;
    bool failed = ferror(file);
    failed |= fclose(file) != 0;
    return failed ? fail(err, IO_FAILED, "%s: could not be written: is the disk full?", path) : OK;
}

static Err measure(LoadOptions load, const char *what, LoadTally *tally, Error *err)
{
    Watch watch = {.bar = bar_start(what), .load = &load};
    load.progress = show;
    load.with = &watch;
    load_tally_init(tally);
    Err result = load_client_run(&load, tally, err);
    bar_hide(&watch.bar);
    return result;
}

/* Other prompts than those that are measured, as many at a time. */
static Err warm_up(LoadOptions load, int32_t requests, Error *err)
{
    LoadTally tally;
    load.requests = requests;
    load.duration = 0;
    load.plan.seed = ~load.plan.seed;
    load.plan.rate = 0;
    load.lanes = load.lanes < requests ? load.lanes : requests;
    load.times = NULL;
    Err result = measure(load, "warming up", &tally, err);
    load_tally_deinit(&tally);
    return result;
}

static Err report(LoadTally *tally, const LoadBounds *bounds, bool as_json, Error *err)
{
    LoadFigures figures;
    TRY(load_figures(tally, bounds, &figures, err));
    if (as_json) {
        json_t *object = load_json(tally, &figures, bounds);
        json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(object);
    } else {
        Buf table;
        buf_init(&table, 1 << 20);
        if (load_table_put(&table, tally, &figures, bounds))
            fputs(table.data, stdout);
        buf_deinit(&table);
    }
    return stdout_flush(err);
}

static Err run(const Options *o, LoadOptions *load, const LoadBounds *bounds, bool *failed, Error *err)
{
    char model[MODEL_BYTES];
    LoadTally tally;
    if (!o->model)
        TRY(load_client_model(load, model, sizeof model, err));
    load->wire.model = o->model ? o->model : model;
    interrupt_catch();
    if (o->warmup)
        TRY(warm_up(*load, o->warmup, err));
    TRY(times_open(o->times, &load->times, err));
    Err result = measure(*load, "asking", &tally, err);
    Err closed = times_close(load->times, o->times, result == OK ? err : NULL);
    result = result == OK ? closed : result;
    if (result == OK)
        result = report(&tally, bounds, o->json, err);
    *failed = tally.errors > 0;
    load_tally_deinit(&tally);
    return result;
}

static Err run_with_prompts(const Options *o, LoadOptions *load, const LoadBounds *bounds, bool *failed, Error *err)
{
    FileMap file;
    LoadPrompts prompts;
    if (!o->prompts)
        return run(o, load, bounds, failed, err);
    TRY(file_map_init(&file, o->prompts, err));
    Err result = file.span.bytes > LOAD_PROMPT_FILE_BYTES_MAX
                     ? fail(err, LIMIT_REACHED, "%s: has more than %d bytes", o->prompts, LOAD_PROMPT_FILE_BYTES_MAX)
                     : load_prompts_read(&prompts, file.span, o->prompts, err);
    file_map_deinit(&file);
    TRY(result);
    load->plan.prompts = &prompts;
    result = run(o, load, bounds, failed, err);
    load_prompts_deinit(&prompts);
    return result;
}

int bench_serve(int argc, char **argv)
{
    Error err;
    int status, word_count;
    bool failed = false;
    Options o = {.prompt_tokens = "128", .output_tokens = "128", .form = PROMPTS_FIT, .turns = 1, .id_low = 256,
                 .id_high = 1000, .timeout = 600, .temperature = -1, .seed = 1};
    LoadOptions load = {0};
    LoadBounds bounds = {0};
    const FlagGroup filled[] = {FLAG_GROUP("server", server_flags, &o), FLAG_GROUP("arrivals", arrival_flags, &o),
                                FLAG_GROUP("requests", work_flags, &o), FLAG_GROUP("report", report_flags, &o), {0}};
    if (!command_begin(&command_bench_serve, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    Err result = read_options(&o, &load, &bounds, &err);
    if (result == OK)
        result = run_with_prompts(&o, &load, &bounds, &failed, &err);
    json_decref(load.wire.extra);
    if (result != OK)
        return command_fail(&err);
    return interrupted() ? 130 : failed;
}
