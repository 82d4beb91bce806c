/* cmd_run.c -- ridge run: completes a text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "devices/watch/watch.h"
#include "main/profile_out.h"
#include "main/refine.h"
#include "main/sampling_flags.h"
#include "main/session.h"
#include "tools/no_cache.h"
#include "tools/phase_meter.h"

typedef struct RunFlags {
    const char *prompt, *file;
    bool json, quiet, no_cache;
} RunFlags;

typedef struct Run {
    Session session;
    SamplingOptions sampling;
    Encoding prompt;
    Answer answers[SAMPLES_MOST];
    Request *request;
    OpCost before; /* the tally when the first token had come */
    PhaseMeter meter;
    int32_t sampled; /* tokens, the one that ends an answer too */
    double first_seconds, last_seconds;
    int32_t shown; /* samples printed whole, of several */
    bool streams; /* one sample, for people: text as it comes */
} Run;

#define AT(field) offsetof(RunFlags, field)
static const Flag own_flags[] = {
    {"--prompt", "-p", "TEXT", FLAG_TEXT, AT(prompt), "the text to continue; without it and -f, standard input", 0, 0,
     0, 0},
    {"--file", "-f", "FILE", FLAG_TEXT, AT(file), "the text, from a file", 0, 0, 0, 0},
    {"--json", NULL, NULL, FLAG_SWITCH, AT(json), "print one JSON object: samples, ids, log-probabilities, timings", 0,
     0, 0, 0},
    {"--quiet", "-q", NULL, FLAG_SWITCH, AT(quiet), "no timings and no verdict at the end", 0, 0, 0, 0},
    {"--no-cache", NULL, NULL, FLAG_SWITCH, AT(no_cache),
     "each token computes its whole past again, as if nothing were kept: the same answer, and at the end what that cost", 0, 0,
     0, 0},
};

/* ---- the prompt ---- */

static Err read_prompt(Run *r, const RunFlags *flags, Error *err)
{
    Buf text;
    const Package *package = &r->session.package;
    if (!package->tokenizer)
        return fail(err, BAD_ARGUMENT, "%s: has no tokenizer, so it cannot read text; `ridge logits` takes ids",
                    package->path);
    Err result = text_input(flags->prompt, flags->file, &text, err);
    if (result == OK)
        result = tokenizer_encode(package->tokenizer, buf_span(&text), ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL,
                                  &r->prompt, err);
    buf_deinit(&text);
    if (result == OK && r->prompt.count == 0)
        return fail(err, BAD_ARGUMENT, "the prompt is empty; give a text with -p, -f or on standard input");
    return result;
}

static Err submit(Run *r, Error *err)
{
    RequestOptions options = {.prompt = r->prompt.ids,
                              .prompt_count = (int32_t)r->prompt.count,
                              .sampling = r->sampling.sampler,
                              .max_tokens = r->sampling.max_tokens,
                              .samples = r->sampling.samples};
    const SpecialTokens *specials = tokenizer_specials(r->session.package.tokenizer);
    for (int i = 0; i < specials->ends_count; i++)
        token_ids_add(&options.sampling.end, specials->ends[i]);
    return engine_submit(r->session.engine, &options, &r->request, err);
}

/* ---- the answer ---- */

static void print_whole(Run *r)
{
    for (; r->shown < r->sampling.samples && r->answers[r->shown].ended; r->shown++)
        printf("--- sample %d\n%.*s\n", r->shown + 1, (int)r->answers[r->shown].text.bytes,
               r->answers[r->shown].text.data);
    fflush(stdout);
}

static Err take_event(Run *r, const Event *event, Error *err)
{
    Answer *answer = &r->answers[event->sample];
    double now = clock_seconds();
    if (event->kind == EVENT_TOKEN && r->first_seconds == 0) {
        r->first_seconds = now;
        r->before = tally_read(r->session.tally)->total;
    }
    if (event->kind == EVENT_TOKEN)
        r->last_seconds = now;
    if (event->kind == EVENT_END && event->reason == END_ERROR)
        return fail(err, BAD_FILE, "%s", request_error(r->request));
    TRY(answer_take(answer, event, err));
    if (r->streams) {
        Span fresh = answer_fresh(answer);
        fwrite(fresh.data, 1, fresh.bytes, stdout);
        TRY(stdout_flush(err));
    }
    return OK;
}

static bool all_stopped(const Run *r)
{
    for (int i = 0; i < r->sampling.samples; i++)
        if (!r->answers[i].stopped && !r->answers[i].ended)
            return false;
    return true;
}

static Err generate(Run *r, bool people, Error *err)
{
    Event event;
    Err result = OK;
    interrupt_catch();
    while (!request_ended(r->request)) {
        if (interrupted() || all_stopped(r) || result != OK)
            request_cancel(r->request);
        if (!request_next(r->request, &event)) {
            engine_step(r->session.engine);
            continue;
        }
        if (result == OK)
            result = take_event(r, &event, err);
        if (people && !r->streams && result == OK)
            print_whole(r);
    }
    if (r->streams && result == OK) {
        putchar('\n');
        result = stdout_flush(err);
    }
    return result;
}

/* ---- the account ---- */

enum { VERDICT_BYTES_MAX = 1 << 14 };

typedef struct Account {
    double ttft_ms, ms_per_token, tokens_per_second, bytes_per_token, gb_per_second;
    int32_t prompt_tokens, reused_tokens, tokens;
} Account;

static Account account(const Run *r)
{
    Account a = {.prompt_tokens = (int32_t)r->prompt.count};
    for (int i = 0; i < r->sampling.samples; i++) {
        a.tokens += r->answers[i].count;
        a.reused_tokens = r->answers[i].times.reused_tokens;
    }
    a.ttft_ms = 1e3 * r->answers[0].times.first_token;
    int32_t later = a.tokens - r->sampling.samples; /* tokens of the steps after the first */
    double seconds = r->last_seconds - r->first_seconds;
    if (later < 1 || seconds <= 0)
        return a;
    OpCost now = tally_read(r->session.tally)->total;
    double bytes = now.weight_bytes + now.cache_bytes - r->before.weight_bytes - r->before.cache_bytes;
    a.ms_per_token = 1e3 * seconds / later;
    a.tokens_per_second = later / seconds;
    a.bytes_per_token = bytes / later;
    a.gb_per_second = bytes / seconds / 1e9;
    return a;
}

static void print_account(const Account *a)
{
    fprintf(stderr, "TTFT %.1f ms (%d prompt tokens)", a->ttft_ms, a->prompt_tokens);
    if (a->tokens_per_second > 0)
        fprintf(stderr, ", %.2f ms per token, %.1f tokens/s, %.1f MB read per token: %.1f GB/s", a->ms_per_token,
                a->tokens_per_second, a->bytes_per_token / 1e6, a->gb_per_second);
    fprintf(stderr, ", %d tokens\n", a->tokens);
}

/* phases: in the order of time. */
static void print_verdict(const Session *s, const NamedWork *phases, int count)
{
    Machine machine;
    Buf text;
    buf_init(&text, VERDICT_BYTES_MAX);
    verdict_report(session_machine(s, &machine), phases, count, "", &text);
    fwrite(text.data, 1, text.bytes, stderr);
    buf_deinit(&text);
}

static json_t *verdicts_json(const Session *s, const NamedWork *phases, int count)
{
    Machine machine;
    const Machine *known = session_machine(s, &machine);
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        if (phases[i].work.steps > 0)
            json_array_append_new(list, verdict_json(known, phases[i].name, &phases[i].work));
    return list;
}

/* The other two are taken over. */
static Err print_json(const Run *r, int32_t reused_tokens, json_t *timings, json_t *verdicts, Error *err)
{
    json_t *samples = json_array();
    for (int i = 0; i < r->sampling.samples; i++)
        json_array_append_new(samples, answer_json(&r->answers[i], r->sampling.sampler.logprobs != LOGPROBS_NONE));
    json_t *whole = json_pack("{s:s, s:i, s:i, s:I, s:o, s:o, s:o}", "model", r->session.package.path, "prompt_tokens",
                              (int)r->prompt.count, "reused_tokens", reused_tokens, "seed",
                              (json_int_t)r->sampling.sampler.seed, "samples", samples, "timings", timings, "verdicts",
                              verdicts);
    if (!whole)
        return fail(err, NO_MEMORY, "no memory for the JSON of the answer");
    json_dumpf(whole, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(whole);
    return stdout_flush(err);
}

static json_t *timings_json(const Account *a)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "ttft_ms", a->ttft_ms, "ms_per_token", a->ms_per_token,
                     "tokens_per_second", a->tokens_per_second, "bytes_per_token", a->bytes_per_token, "gb_per_second",
                     a->gb_per_second);
}

static void print_logprobs(const Run *r)
{
    const Answer *a = &r->answers[0];
    for (int i = 0; i < a->count; i++) {
        const Sampled *t = &a->tokens[i];
        Span piece = tokenizer_piece(a->detokenizer.tokenizer, t->id);
        fprintf(stderr, "%-20.*s %9.4f ", (int)piece.bytes, (const char *)piece.data, t->logprob);
        for (int b = 0; b < t->best_count; b++) {
            Span other = tokenizer_piece(a->detokenizer.tokenizer, t->best[b].id);
            fprintf(stderr, "  %.*s %.3f", (int)other.bytes, (const char *)other.data, t->best[b].logprob);
        }
        fputc('\n', stderr);
    }
}

/* ---- the command ---- */

/* A diffusion model: the whole answer at once, step by step. */
static Err refine(Run *r, const RunFlags *flags, const ModelFlags *model, const SamplingFlags *sampling,
                  const RefineFlags *how, Error *err)
{
    RefineAccount a;
    TallyMark before = tally_mark(r->session.tally);
    bool lines = how->stream, people = !lines && !flags->json;
    RefineJob job = {.session = &r->session, .flags = how, .given = sampling, .sampling = &r->sampling,
                     .prompt = r->prompt.ids, .prompt_count = (int32_t)r->prompt.count, .answers = r->answers,
                     .show = lines ? SHOW_LINES : people && r->streams ? refine_show() : SHOW_NOTHING};
    interrupt_catch();
    TRY(refine_answers(&job, model, &a, err));
    NamedWork phase = {"refinement", phase_work_since(&before, r->session.tally)};
    phase.work.steps = a.steps;
    phase.work.seconds = a.seconds;
    if (!people)
        TRY(print_json(r, 0, refine_account_json(&a), verdicts_json(&r->session, &phase, 1), err));
    else if (!r->streams)
        print_whole(r);
    if (!flags->quiet) {
        session_print_load(&r->session, stderr);
        refine_print_account(&a, (int32_t)r->prompt.count);
        print_verdict(&r->session, &phase, 1);
    }
    return OK;
}

static void observe(void *with, const StepReport *report)
{
    Run *r = with;
    phase_meter_take(&r->meter, report);
    r->sampled += report->outs;
}

static Err open_engine(Run *r, bool no_cache, ModelFlags model, const SamplingFlags *sampling, Error *err)
{
    EngineOptions engine = engine_options_default();
    engine.sequences = sampling->samples > 0 ? sampling->samples : 1;
    engine.logit_rows = engine.sequences;
    engine.observe = observe;
    engine.observe_with = r;
    if (no_cache) {
        no_cache_options(&engine, session_context(&r->session, &model));
        model.state_snapshots = engine.state_snapshots;
    }
    TRY(session_open_engine(&r->session, &model, engine, err));
    tally_reset(r->session.tally);   /* memory was planned */
    phase_meter_start(&r->meter, r->session.tally);
    return OK;
}

static Err open_run(Run *r, const RunFlags *flags, const ModelFlags *model, const SamplingFlags *sampling,
                    const RefineFlags *how, Error *err)
{
    SamplerDefaults defaults;
    TRY(session_open_model(&r->session, model, err));
    TRY(refine_flags_check(how, &r->session.model->shape, err));
    if (flags->no_cache)
        TRY(no_cache_check(&r->session.model->shape, sampling->samples, err));
    if (!r->session.model->shape.bidirectional)
        TRY(open_engine(r, flags->no_cache, *model, sampling, err));
    TRY(sampler_defaults_read(r->session.package.generation, r->session.package.path, r->session.model->shape.V,
                              &defaults, err));
    return sampling_options(sampling, &defaults, r->session.model->shape.V, &r->sampling, err);
}

static Err print_no_cache(Run *r, Error *err)
{
    Machine machine;
    Buf text;
    RunCost with, without;
    const Engine *engine = r->session.engine;
    NoCacheRun done = {(int32_t)r->prompt.count, r->sampled, engine_options(engine)->rows, r->session.cache_format};
    RunCost measured = run_cost_measured(r->session.tally, engine_stats(engine).rows, r->meter.prefill.seconds);
    TRY(no_cache_predict(r->session.model, done, &with, &without, err));
    buf_init(&text, VERDICT_BYTES_MAX);
    no_cache_table(done, &with, &without, &measured, session_machine(&r->session, &machine), &text);
    fputc('\n', stderr);
    fwrite(text.data, 1, text.bytes, stderr);
    buf_deinit(&text);
    return OK;
}

static Err tell(Run *r, const RunFlags *flags, Error *err)
{
    const NamedWork phases[] = {{"prefill", r->meter.prefill}, {"decode", r->meter.decode}};
    Account a = account(r);
    profile_out_add(r->session.profile, &r->meter.decode);
    if (flags->json)
        TRY(print_json(r, a.reused_tokens, timings_json(&a), verdicts_json(&r->session, phases, COUNT_OF(phases)), err));
    else if (r->sampling.sampler.logprobs != LOGPROBS_NONE)
        print_logprobs(r);
    if (flags->quiet)
        return OK;
    session_print_load(&r->session, stderr);
    print_account(&a);
    print_verdict(&r->session, phases, COUNT_OF(phases));
    return flags->no_cache && r->sampled > 0 ? print_no_cache(r, err) : OK;
}

static Err work(Run *r, const RunFlags *flags, const ModelFlags *model, const SamplingFlags *sampling,
                const RefineFlags *how, Error *err)
{
    TRY(open_run(r, flags, model, sampling, how, err));
    TRY(read_prompt(r, flags, err));
    for (int i = 0; i < r->sampling.samples; i++)
        TRY(answer_init(&r->answers[i], r->session.package.tokenizer, sampling->stop.item, sampling->stop.count, err));
    r->streams = !flags->json && r->sampling.samples == 1;
    if (r->session.model->shape.bidirectional)
        return refine(r, flags, model, sampling, how, err);
    TRY(submit(r, err));
    TRY(generate(r, !flags->json, err));
    return tell(r, flags, err);
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {
    FLAG_GROUP("options", own_flags, NULL), {"sampling", sampling_flags, SAMPLING_FLAGS, NULL},
    {REFINE_TITLE, refine_flags, REFINE_FLAGS, NULL}, MODEL_GROUP(NULL), {0}};
const Command command_run = {
    .name = "run",
    .arguments = "[-m MODEL] [-p TEXT | -f FILE] [options]",
    .summary = "continue a text, token by token",
    .description =
        "Continues a text and streams whole characters as they come. Sampling follows the model's generation_config.json "
        "where a flag does not say otherwise; the same seed gives the same text. --samples N gives several answers that "
        "share the prompt's cache. At the end two lines on stderr: how fast the model was loaded; and time to first token, "
        "milliseconds per token, tokens per second, and the memory bandwidth reached. Then the verdict: what limited the "
        "answer, how near it came to what this machine can do (`ridge probe`), and what twice as many answers at a time would "
        "give. --no-cache shows what the cache of keys and values is for: each token then computes its whole past again. "
        "A diffusion model writes its whole answer at once, as masks that become tokens step by step; on a terminal this can "
        "be watched.",
    .examples = "  ridge run -p 'Once upon a time' -n 100 --temperature 0.8\n"
                "  echo 'def main():' | ridge run -m model.gguf --stop $'\\n\\n' --json\n"
                "  ridge run -p 'The sea' --samples 4 --seed 7\n"
                "  ridge run -m llada -p 'Two times three is' -n 64 --block-length 32 --diffusion-cache prefix\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    static Run r; /* large: the state of every sample */
    Error err, closing;
    RunFlags flags = {0};
    ModelFlags model = model_flags_default();
    SamplingFlags sampling = sampling_flags_none();
    RefineFlags how = refine_flags_none();
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags),
                                {"sampling", sampling_flags, SAMPLING_FLAGS, &sampling},
                                {REFINE_TITLE, refine_flags, REFINE_FLAGS, &how},
                                MODEL_GROUP(&model),
                                {0}};
    if (!command_begin(&command_run, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    Err result = work(&r, &flags, &model, &sampling, &how, &err);
    request_close(r.request);
    for (int i = 0; i < SAMPLES_MOST; i++)
        answer_deinit(&r.answers[i]);
    encoding_deinit(&r.prompt);
    Err closed = session_close(&r.session, &closing);
    if (result != OK || closed != OK)
        return command_fail(result != OK ? &err : &closing);
    return interrupted() ? 130 : 0;
}
