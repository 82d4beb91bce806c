#include "main/refine.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "main/canvas.h"

enum { ANSWER_TOKENS = 128, BLOCK_LEAST = 8, BLOCK_MOST = 32 };
static const char mask_shown[] = "\xe2\x96\x91"; /* U+2591, a light shade */

#define AT(field) .offset = offsetof(RefineFlags, field)
const Flag refine_flags[] = {
    {"--steps", NULL, "N", FLAG_INT, AT(steps), .min = 1, .max = 1 << 20,
     .help = "steps in which the answer is found, a multiple of its blocks; fewer are faster and guess more at once; "
             "default: one for each token"},
    {"--block-length", NULL, "N", FLAG_INT, AT(block), .min = 1, .max = 1 << 20,
     .help = "tokens that are found together before the next ones are begun; must divide the answer's length (-n, "
             "default 128); default: the largest from 8 to 32 that does, else the whole answer"},
    {"--remasking", NULL, "RULE", FLAG_CHOICE, AT(remask), .choices = REMASK_NAMES,
     .help = "which guesses of a step stay: low_confidence (the likeliest, LLaDA's default) or random; Dream's "
             "maskgit_plus, topk_margin, entropy and origin"},
    {"--remask-temperature", "--alg-temp", "T", FLAG_FLOAT, AT(remask_temperature), .min = 0, .max = 1000,
     .help = "0: the surest guesses stay; more: they are drawn, the surer the likelier"},
    {"--diffusion-cache", NULL, "CACHE", FLAG_CHOICE, AT(cache), .choices = "none,prefix",
     .help = "none: each step computes the whole text, exactly; prefix: only the first step of a block does, the others "
             "take the keys and values of the prompt and the finished blocks from the cache: faster, an approximation"},
    {"--suffix", NULL, "TEXT", FLAG_TEXT, AT(suffix), .help = "text that follows the answer: the answer fills the gap"},
    {"--stream-refinement", NULL, NULL, FLAG_SWITCH, AT(stream),
     .help = "print a line of JSON after each step, with what is known so far, and the --json object as the last"},
};

_Static_assert(COUNT_OF(refine_flags) == REFINE_FLAGS, "refine.h says how many there are");

RefineFlags refine_flags_none(void)
{
    return (RefineFlags){.steps = NOT_GIVEN, .block = NOT_GIVEN, .remask = NOT_GIVEN, .cache = NOT_GIVEN,
                         .remask_temperature = NAN};
}

Err refine_flags_check(const RefineFlags *f, const ModelShape *shape, Error *err)
{
    const struct { const char *name; bool given; } flags[] = {
        {"--steps", f->steps != NOT_GIVEN},     {"--block-length", f->block != NOT_GIVEN},
        {"--remasking", f->remask != NOT_GIVEN}, {"--remask-temperature", !isnan(f->remask_temperature)},
        {"--diffusion-cache", f->cache != NOT_GIVEN}, {"--suffix", f->suffix}, {"--stream-refinement", f->stream},
    };
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        if (flags[i].given && !shape->bidirectional)
            return fail(err, BAD_ARGUMENT, "%s is for diffusion models; family '%s' continues a text token by token",
                        flags[i].name, shape->family);
    return OK;
}

RefineShow refine_show(void) { return isatty(STDOUT_FILENO) ? SHOW_CANVAS : SHOW_TEXT; }

/* ---- what is to be done ---- */

static int32_t usual_block(int32_t length)
{
    for (int32_t block = BLOCK_MOST; block >= BLOCK_LEAST; block--)
        if (length % block == 0)
            return block;
    return length;
}

static int32_t wished_length(const SamplingFlags *given, const SamplingOptions *sampling)
{
    if (given->max_tokens >= 0)
        return given->max_tokens;
    return sampling->max_tokens > 0 ? sampling->max_tokens : ANSWER_TOKENS;
}

int32_t refine_block_most(const RefineFlags *f, const SamplingFlags *given, const SamplingOptions *sampling)
{
    int32_t block = f->block == NOT_GIVEN ? usual_block(wished_length(given, sampling)) : f->block;
    return block > BLOCK_MOST ? block : BLOCK_MOST;
}

/* As many tokens as are asked for; if that is the model's own wish, as many of them as there is room for. */
static int32_t answer_length(const RefineJob *job, int32_t room)
{
    int32_t length = wished_length(job->given, job->sampling);
    if (job->given->max_tokens < 0 && length > room)
        length = room > BLOCK_MOST ? room - room % BLOCK_MOST : room;
    return length > 0 ? length : 1; /* the refusal tells the numbers */
}

Err refine_options(const RefineJob *job, const Encoding *suffix, int32_t room, RefineOptions *o, Error *err)
{
    const RefineFlags *f = job->flags;
    *o = (RefineOptions){.prompt = job->prompt, .prompt_count = job->prompt_count, .suffix = suffix->ids,
                         .suffix_count = (int32_t)suffix->count, .sampling = job->sampling->sampler};
    o->length = answer_length(job, room - o->prompt_count - o->suffix_count);
    o->block = f->block == NOT_GIVEN ? usual_block(o->length) : f->block;
    o->steps = f->steps == NOT_GIVEN ? o->length : f->steps;
    o->remask = f->remask == NOT_GIVEN ? REMASK_LOW_CONFIDENCE : (Remask)f->remask;
    o->cache = f->cache == NOT_GIVEN ? REFINE_EXACT : (RefineCache)f->cache;
    o->remask_temperature = isnan(f->remask_temperature) ? 0 : f->remask_temperature;
    const SpecialTokens *specials = tokenizer_specials(job->session->package.tokenizer);
    for (int i = 0; i < specials->ends_count && !suffix->count; i++) /* before a suffix nothing ends */
        token_ids_add(&o->sampling.end, specials->ends[i]);
    if (o->sampling.logprobs != LOGPROBS_NONE)
        return fail(err, UNSUPPORTED, "--logprobs: a diffusion model finds the tokens of an answer in any order and gives "
                    "none of them a probability of its own");
    return o->length < 1 ? fail(err, BAD_ARGUMENT, "-n %d: an answer has at least 1 token", o->length) : OK;
}

/* ---- showing it ---- */

typedef struct Refining {
    const RefineJob *job;
    Refinement *refinement[SAMPLES_MOST];
    int32_t shown_step[SAMPLES_MOST];
    int32_t fed[SAMPLES_MOST];       /* tokens that the sample's Answer has */
    Canvas canvas;
} Refining;

static int32_t mask_of(const Refining *g) { return g->job->session->model->shape.mask_id; }

/* The answer as far as it goes: up to a token that ends it. */
static int32_t answer_end(const Refinement *r)
{
    int32_t at = r->first, end = r->first + r->options.length;
    while (at < end && !token_ids_have(&r->options.sampling.end, r->tokens[at]))
        at++;
    return at;
}

static bool is_fresh(const Refinement *r, int32_t position)
{
    for (int32_t i = 0; i < r->guess_count; i++)
        if (r->guesses[i].position == position)
            return r->guesses[i].stays;
    return false;
}

static void draw(Refining *g, const Refinement *r)
{
    Buf piece;
    Detokenizer text;
    const Tokenizer *tokenizer = g->job->session->package.tokenizer;
    int32_t end = answer_end(r);
    buf_init(&piece, 1 << 20);
    detokenizer_init(&text, tokenizer, DECODE_SKIP_SPECIAL | DECODE_CONTINUES);
    canvas_begin(&g->canvas);
    for (int32_t at = r->first; at < end; at++) {
        bool mask = r->tokens[at] == mask_of(g);
        buf_clear(&piece);
        if (mask) {
            detokenizer_finish(&text, &piece); /* half a character waits for no mask */
            canvas_put(&g->canvas, buf_span(&piece), STYLE_PLAIN);
            canvas_put(&g->canvas, span_text(mask_shown), STYLE_FAINT);
            detokenizer_init(&text, tokenizer, DECODE_SKIP_SPECIAL | DECODE_CONTINUES);
        } else {
            detokenizer_put(&text, r->tokens[at], &piece);
            canvas_put(&g->canvas, buf_span(&piece), is_fresh(r, at) ? STYLE_FRESH : STYLE_PLAIN);
        }
    }
    canvas_end(&g->canvas);
    buf_deinit(&piece);
}

static json_t *ids_json(const Refining *g, const Refinement *r)
{
    json_t *ids = json_array();
    for (int32_t i = 0; i < r->options.length; i++) {
        int32_t id = r->tokens[r->first + i];
        json_array_append_new(ids, id == mask_of(g) ? json_null() : json_integer(id));
    }
    return ids;
}

static Err print_line(const Refining *g, int32_t sample, Error *err)
{
    const Refinement *r = g->refinement[sample];
    json_t *fresh = json_array();
    for (int32_t i = 0; i < r->guess_count; i++)
        if (r->guesses[i].stays)
            json_array_append_new(fresh, json_pack("{s:i, s:i, s:o}", "position", r->guesses[i].position - r->first, "id",
                                                   r->guesses[i].id, "token",
                                                   piece_json(g->job->session->package.tokenizer, r->guesses[i].id)));
    int32_t block = (r->step - 1) / (r->options.steps / (r->options.length / r->options.block));
    json_t *line = json_pack("{s:i, s:i, s:i, s:i, s:i, s:o, s:o}", "sample", sample, "step", r->step, "steps",
                             r->options.steps, "block", block, "masks", r->masks, "fresh", fresh, "ids", ids_json(g, r));
    if (!line)
        return fail(err, NO_MEMORY, "no memory for the JSON of a step");
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
    return stdout_flush(err);
}

/* Hands over the tokens before which no mask is left; in the end also how it ended. */
static Err feed(Refining *g, int32_t sample, bool last, Error *err)
{
    const Refinement *r = g->refinement[sample];
    Answer *answer = &g->job->answers[sample];
    int32_t end = answer_end(r), at = r->first + g->fed[sample];
    Event event = {.kind = EVENT_TOKEN, .sample = sample, .token = {.logprob = NAN}};
    for (; at < end && r->tokens[at] != mask_of(g); at++, g->fed[sample]++) {
        event.token.id = r->tokens[at];
        event.position = at;
        TRY(answer_take(answer, &event, err));
    }
    bool stopped = at == end && at < r->first + r->options.length;
    if (last) {
        event.kind = EVENT_END;
        event.reason = !r->ended ? END_CANCELLED : stopped ? END_STOP : END_LENGTH;
        event.token.id = stopped ? r->tokens[at] : TOKEN_NONE;
        TRY(answer_take(answer, &event, err));
    }
    if (g->job->show != SHOW_TEXT)
        return OK;
    Span fresh = answer_fresh(answer);
    fwrite(fresh.data, 1, fresh.bytes, stdout);
    return stdout_flush(err);
}

static Err show_step(Refining *g, int32_t sample, Error *err)
{
    const Refinement *r = g->refinement[sample];
    if (r->error.code != OK)
        return fail(err, r->error.code, "%s", r->error.text);
    if (r->step == g->shown_step[sample])
        return OK;
    g->shown_step[sample] = r->step;
    if (g->job->show == SHOW_CANVAS)
        draw(g, r);
    if (g->job->show == SHOW_LINES)
        TRY(print_line(g, sample, err));
    return feed(g, sample, false, err);
}

/* On the terminal the drawing makes way for the text itself. */
static Err show_end(Refining *g, Error *err)
{
    if (g->job->show == SHOW_CANVAS) {
        Span text = answer_fresh(&g->job->answers[0]);
        canvas_begin(&g->canvas);
        canvas_end(&g->canvas);
        fwrite(text.data, 1, text.bytes, stdout);
    }
    if (g->job->show == SHOW_CANVAS || g->job->show == SHOW_TEXT)
        putchar('\n');
    return stdout_flush(err);
}

/* ---- doing it ---- */

static bool all_stopped(const Refining *g)
{
    for (int32_t i = 0; i < g->job->sampling->samples; i++)
        if (!g->job->answers[i].stopped)
            return false;
    return true;
}

static Err run_steps(Refining *g, RefineAccount *account, Error *err)
{
    int32_t samples = g->job->sampling->samples;
    double start = clock_seconds();
    if (g->job->show == SHOW_CANVAS)
        draw(g, g->refinement[0]);
    while (!interrupted() && !all_stopped(g) && diffusion_step(g->job->session->diffusion))
        for (int32_t i = 0; i < samples; i++)
            TRY(show_step(g, i, err));
    account->seconds = clock_seconds() - start;
    for (int32_t i = 0; i < samples; i++) {
        const Refinement *r = g->refinement[i];
        account->steps += r->step;
        account->rows += r->rows;
        account->tokens += r->options.length - r->masks;
        TRY(feed(g, i, true, err));
    }
    return show_end(g, err);
}

static Err refine_all(Refining *g, RefineOptions o, RefineAccount *account, Error *err)
{
    Diffusion *d = g->job->session->diffusion;
    Err result = OK;
    int32_t begun = 0;
    for (; begun < g->job->sampling->samples && result == OK; begun++) {
        o.sample = (uint32_t)begun;
        result = diffusion_begin(d, &o, &g->refinement[begun], err);
        if (result != OK)
            break;
    }
    if (result == OK)
        result = run_steps(g, account, err);
    for (int32_t i = 0; i < begun; i++)
        diffusion_end(d, g->refinement[i]);
    return result;
}

/* Memory for just these answers, if nobody has taken any yet. */
static Err open_for(const RefineJob *job, const ModelFlags *model, const RefineOptions *o, Error *err)
{
    DiffusionOptions d = diffusion_options_default();
    int32_t total = o->prompt_count + o->length + o->suffix_count, limit = session_context(job->session, model);
    if (job->session->diffusion)
        return OK;
    if (total > limit)
        return fail(err, NO_MEMORY, "a prompt of %d tokens and an answer of %d are more than the context of %d; give a "
                    "smaller -n or a larger --context",
                    o->prompt_count + o->suffix_count, o->length, limit);
    d.sequences = job->sampling->samples;
    d.context = total;
    d.rows = total * (d.sequences < 8 ? d.sequences : 8); /* more at once only take memory */
    d.logit_rows = o->block > 0 ? o->block * (d.sequences < 8 ? d.sequences : 8) : 1;
    return session_open_diffusion(job->session, model, d, err);
}

Err refine_answers(const RefineJob *job, const ModelFlags *model, RefineAccount *account, Error *err)
{
    Encoding suffix = {0};
    RefineOptions o;
    Refining g = {.job = job};
    *account = (RefineAccount){0};
    canvas_init(&g.canvas, stdout);
    Err result = OK;
    if (job->flags->suffix)
        result = tokenizer_encode(job->session->package.tokenizer, span_text(job->flags->suffix), ENCODE_PARSE_SPECIAL,
                                  &suffix, err);
    if (result == OK)
        result = refine_options(job, &suffix, session_context(job->session, model), &o, err);
    if (result == OK)
        result = open_for(job, model, &o, err);
    if (result == OK)
        result = refine_all(&g, o, account, err);
    canvas_deinit(&g.canvas);
    encoding_deinit(&suffix);
    return result;
}

json_t *refine_account_json(const RefineAccount *a)
{
    double steps = a->steps ? a->steps : 1, tokens = a->tokens ? a->tokens : 1;
    return json_pack("{s:i, s:f, s:f, s:f, s:f}", "steps", a->steps, "rows_per_step", (double)a->rows / steps, "ms_per_step",
                     1e3 * a->seconds / steps, "ms_per_token", 1e3 * a->seconds / tokens, "tokens_per_second",
                     a->seconds > 0 ? a->tokens / a->seconds : 0.0);
}

void refine_print_account(const RefineAccount *a, int32_t prompt_tokens)
{
    if (!a->steps || !a->tokens)
        return;
    fprintf(stderr,
            "%d prompt tokens, %d tokens in %d steps of %.1f rows, %.2f ms per step, %.2f ms per token, %.1f tokens/s\n",
            prompt_tokens, a->tokens, a->steps, (double)a->rows / a->steps, 1e3 * a->seconds / a->steps,
            1e3 * a->seconds / a->tokens, a->tokens / a->seconds);
}
