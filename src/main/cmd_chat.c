/* cmd_chat.c -- ridge chat: a conversation.
 *
 * Each turn renders the whole conversation with the model's template and submits it; the engine finds
 * what it has computed before by its prefix, so only the new part costs anything.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <editline/readline.h>

#include "api/answer.h"
#include "api/chat_prompt.h"
#include "main/refine.h"
#include "main/sampling_flags.h"
#include "main/session.h"

typedef struct ChatFlags {
    const char *system;
} ChatFlags;

typedef struct Chat {
    Session session;
    SamplingFlags flags;
    SamplingOptions sampling;
    RefineFlags refinement;
    const ModelFlags *model;
    ChatTemplate *template;
    json_t *messages;
    RequestTimes last; /* of the last answer */
    int32_t answers;
    bool people; /* a terminal on both sides */
    char history[512];
} Chat;

static const size_t PROMPT_BYTES_MAX = (size_t)1 << 28;
enum { HISTORY_LINES = 1000 };

#define AT(field) offsetof(ChatFlags, field)
static const Flag own_flags[] = {
    {"--system", NULL, "TEXT", FLAG_TEXT, AT(system), "how the model shall behave: the first message", 0, 0, 0, 0},
};

/* ---- messages ---- */

static void add_message(Chat *c, const char *role, const char *text, size_t bytes)
{
    json_t *content = json_stringn(text, bytes);
    if (!content) /* invalid UTF-8 from a pipe */
        content = json_string("");
    json_array_append_new(c->messages, json_pack("{s:s, s:o}", "role", role, "content", content));
}

static void set_system(Chat *c, const char *text)
{
    const char *role = json_string_value(json_object_get(json_array_get(c->messages, 0), "role"));
    if (role && !strcmp(role, "system"))
        json_array_remove(c->messages, 0);
    if (*text)
        json_array_insert_new(c->messages, 0, json_pack("{s:s, s:s}", "role", "system", "content", text));
}

/* ---- an answer ---- */

static Err stream(Chat *c, Request *request, Answer *answer, Error *err)
{
    Event event;
    Err result = OK;
    while (!request_ended(request)) {
        if (interrupted() || answer->stopped || result != OK)
            request_cancel(request);
        if (!request_next(request, &event)) {
            engine_step(c->session.engine);
            continue;
        }
        if (event.kind == EVENT_END)
            c->last = event.times;
        if (event.kind == EVENT_END && event.reason == END_ERROR)
            result = fail(err, BAD_FILE, "%s", request_error(request));
        if (result == OK)
            result = answer_take(answer, &event, err);
        Span fresh = answer_fresh(answer);
        fwrite(fresh.data, 1, fresh.bytes, stdout);
        if (result == OK)
            result = stdout_flush(err);
    }
    putchar('\n');
    return result;
}

static Err submit(Chat *c, const Encoding *prompt, Request **request, Error *err)
{
    RequestOptions options = {.prompt = prompt->ids,
                              .prompt_count = (int32_t)prompt->count,
                              .sampling = c->sampling.sampler,
                              .max_tokens = c->sampling.max_tokens,
                              .samples = 1};
    options.sampling.seed += (uint64_t)c->answers++; /* the same question may get another answer */
    const SpecialTokens *specials = tokenizer_specials(c->session.package.tokenizer);
    for (int i = 0; i < specials->ends_count; i++)
        token_ids_add(&options.sampling.end, specials->ends[i]);
    return engine_submit(c->session.engine, &options, request, err);
}

static Err refine(Chat *c, const Encoding *prompt, Answer *reply, Error *err)
{
    RefineAccount account;
    SamplingOptions sampling = c->sampling;
    sampling.sampler.seed += (uint64_t)c->answers++;
    RefineJob job = {.session = &c->session, .flags = &c->refinement, .given = &c->flags, .sampling = &sampling,
                     .prompt = prompt->ids, .prompt_count = (int32_t)prompt->count, .answers = reply,
                     .show = refine_show()};
    TRY(refine_answers(&job, c->model, &account, err));
    c->last = (RequestTimes){.ended = account.seconds,
                             .prompt_tokens = job.prompt_count, .generated_tokens = account.tokens};
    return OK;
}

/* The template writes what begins a text itself, so nothing is put before it. */
static Err answer(Chat *c, Error *err)
{
    Buf prompt;
    Encoding encoding = {0};
    Request *request = NULL;
    Answer reply = {0};
    buf_init(&prompt, PROMPT_BYTES_MAX);
    Err result = chat_prompt_render(&c->session.package, c->template, c->messages, true, &prompt, err);
    if (result == OK)
        result =
            tokenizer_encode(c->session.package.tokenizer, buf_span(&prompt), ENCODE_PARSE_SPECIAL, &encoding, err);
    if (result == OK)
        result = answer_init(&reply, c->session.package.tokenizer, c->flags.stop.item, c->flags.stop.count, err);
    bool refines = c->session.diffusion;
    if (result == OK && !refines)
        result = submit(c, &encoding, &request, err);
    if (result == OK) {
        interrupt_clear();
        result = refines ? refine(c, &encoding, &reply, err) : stream(c, request, &reply, err);
        add_message(c, "assistant", reply.text.data, reply.text.bytes);
        interrupt_clear();
    }
    request_close(request);
    answer_deinit(&reply);
    encoding_deinit(&encoding);
    buf_deinit(&prompt);
    return result;
}

/* ---- what the person types ---- */

static void say_help(void)
{
    puts("/system TEXT   how the model shall behave; without TEXT: nothing special\n"
         "/reset         forget the conversation\n"
         "/save FILE     write the conversation as JSON\n"
         "/stats         what the last answer cost, and the cache\n"
         "/quit          leave (Ctrl-D does too); Ctrl-C stops an answer\n"
         "A line that ends in \\ goes on in the next; \"\"\" begins and ends a text of several lines.");
}

static void say_stats(const Chat *c)
{
    const RequestTimes *t = &c->last;
    if (c->session.diffusion) { /* keeps nothing from one answer to the next */
        printf("last answer: %d prompt tokens, %d found in %.1f ms: %.1f tokens/s; %zu messages\n", t->prompt_tokens,
               t->generated_tokens, 1e3 * t->ended, t->ended > 0 ? t->generated_tokens / t->ended : 0.0,
               json_array_size(c->messages));
        return;
    }
    double seconds = t->ended - t->first_token;
    printf("last answer: %d prompt tokens, %d of them from the cache, %d generated; TTFT %.1f ms, %.1f tokens/s\n",
           t->prompt_tokens, t->reused_tokens, t->generated_tokens, 1e3 * t->first_token,
           t->generated_tokens > 1 && seconds > 0 ? (t->generated_tokens - 1) / seconds : 0.0);
    EngineStats s = engine_stats(c->session.engine);
    printf("in all: %lld steps, %lld prompt tokens, %lld reused, %lld generated; %zu messages\n", (long long)s.steps,
           (long long)s.prompt_tokens, (long long)s.reused_tokens, (long long)s.generated_tokens,
           json_array_size(c->messages));
}

static void save(const Chat *c, const char *path)
{
    if (!*path)
        puts("/save needs the name of a file");
    else if (json_dump_file(c->messages, path, JSON_INDENT(1)) != 0)
        printf("%s: could not be written: %s\n", path, strerror(errno));
    else
        printf("%zu messages written to %s\n", json_array_size(c->messages), path);
}

/* False: leave. */
static bool obey(Chat *c, const char *line)
{
    size_t bytes = strcspn(line, " ");
    const char *rest = line + bytes + strspn(line + bytes, " ");
    Span word = span_of(line, bytes);
    if (span_is(word, "/quit") || span_is(word, "/exit"))
        return false;
    if (span_is(word, "/system"))
        set_system(c, rest);
    else if (span_is(word, "/reset"))
        json_array_clear(c->messages);
    else if (span_is(word, "/save"))
        save(c, rest);
    else if (span_is(word, "/stats"))
        say_stats(c);
    else
        say_help();
    return true;
}

static char *read_line(const Chat *c, const char *prompt)
{
    char *line = NULL;
    size_t capacity = 0;
    while (c->people) {
        interrupt_clear();
        line = readline(prompt);
        if (line || !interrupted())    /* Ctrl-C drops the line, Ctrl-D leaves */
            return line;
        putchar('\n');
    }
    ssize_t bytes = getline(&line, &capacity, stdin);
    if (bytes < 0) {
        free(line);
        return NULL;
    }
    if (bytes > 0 && line[bytes - 1] == '\n')
        line[bytes - 1] = 0;
    return line;
}

/* One thing said, of one line or several; false: the end. */
static bool read_turn(const Chat *c, Buf *out)
{
    static const char fence[] = "\"\"\"";
    bool fenced = false, more = true;
    buf_clear(out);
    for (const char *prompt = "> "; more; prompt = ". ") {
        char *line = read_line(c, prompt);
        if (!line)
            return out->bytes > 0;
        size_t bytes = strlen(line);
        bool is_fence = !strcmp(line, fence);
        bool continues = !fenced && bytes && line[bytes - 1] == '\\';
        if (is_fence)
            fenced = !fenced;
        else
            buf_put(out, line, bytes - continues);
        more = fenced || continues;
        if (more && !is_fence)
            buf_put_char(out, '\n');
        free(line);
    }
    if (c->people && out->bytes)
        add_history(out->data);
    return true;
}

static Err converse(Chat *c, Error *err)
{
    Buf turn;
    Err result = OK;
    buf_init(&turn, PROMPT_BYTES_MAX);
    while (result == OK && read_turn(c, &turn)) {
        interrupt_clear();
        if (turn.bytes == 0)
            continue;
        if (turn.data[0] == '/') {
            if (!obey(c, turn.data))
                break;
            continue;
        }
        size_t before = json_array_size(c->messages);
        add_message(c, "user", turn.data, turn.bytes);
        if (answer(c, err) != OK) { /* told; the conversation goes on without this turn */
            while (json_array_size(c->messages) > before)
                json_array_remove(c->messages, before);
            if (!c->people || err->code == IO_FAILED)
                result = err->code;
            else
                fprintf(stderr, "ridge: %s\n", err->text);
        }
    }
    buf_deinit(&turn);
    return result;
}

/* ---- the command ---- */

static Err open_chat(Chat *c, const ModelFlags *model, Error *err)
{
    SamplerDefaults defaults;
    EngineOptions engine = engine_options_default();
    engine.sequences = engine.logit_rows = 1;
    TRY(session_open_model(&c->session, model, err));
    const ModelShape *shape = &c->session.model->shape;
    TRY(refine_flags_check(&c->refinement, shape, err));
    if (!shape->bidirectional)
        TRY(session_open_engine(&c->session, model, engine, err));
    const Package *p = &c->session.package;
    if (!p->tokenizer)
        return fail(err, BAD_ARGUMENT, "%s: has no tokenizer", p->path);
    TRY(chat_prompt_template(p, &c->template, err));
    if (!c->template)
        return fail(err, BAD_ARGUMENT, "%s: has no chat template, so it is no chat model; `ridge run` continues texts",
                    p->path);
    TRY(sampler_defaults_read(p->generation, p->path, c->session.model->shape.V, &defaults, err));
    TRY(sampling_options(&c->flags, &defaults, shape->V, &c->sampling, err));
    if (!shape->bidirectional)
        return OK;
    DiffusionOptions diffusion = diffusion_options_default();
    diffusion.logit_rows = refine_block_most(&c->refinement, &c->flags, &c->sampling);
    return session_open_diffusion(&c->session, model, diffusion, err);
}

static void open_terminal(Chat *c)
{
    const char *home = getenv("HOME"), *named = getenv("RIDGE_HISTORY");
    c->people = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (!c->people)
        return;
    snprintf(c->history, sizeof c->history, "%s%s", named ? named : home ? home : ".", named ? "" : "/.ridge_history");
    using_history();
    stifle_history(HISTORY_LINES);
    read_history(c->history);
    printf("ridge with %s. /help tells what can be typed beside talking.\n", c->session.package.path);
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {
    FLAG_GROUP("options", own_flags, NULL), {"sampling", sampling_flags, SAMPLING_FLAGS, NULL},
    {REFINE_TITLE, refine_flags, CHAT_REFINE_FLAGS, NULL}, MODEL_GROUP(NULL), {0}};
const Command command_chat = {
    .name = "chat",
    .arguments = "[-m MODEL] [options]",
    .summary = "talk with a model",
    .description =
        "A conversation with the model's own chat template. Lines can be edited and are remembered; a line that ends in \\ "
        "goes on in the next one, and \"\"\" begins and ends a text of several lines. Ctrl-C stops an answer, Ctrl-D "
        "leaves. /system TEXT, /reset, /save FILE, /stats and /help do what they say. Only the new part of a "
        "conversation is computed. Without a terminal each line of standard input is a turn.",
    .examples =
        "  ridge chat\n  ridge chat -m path/to/checkpoint --system 'Answer in one sentence.' --temperature 0.7\n"
        "  echo 'What is the capital of France?' | ridge chat\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err, closing;
    ModelFlags model = model_flags_default();
    Chat c = {.flags = sampling_flags_none(), .refinement = refine_flags_none(), .model = &model,
              .messages = json_array()};
    ChatFlags flags = {0};
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags),
                                {"sampling", sampling_flags, SAMPLING_FLAGS, &c.flags},
                                {REFINE_TITLE, refine_flags, CHAT_REFINE_FLAGS, &c.refinement},
                                MODEL_GROUP(&model),
                                {0}};
    if (!command_begin(&command_chat, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    Err result = open_chat(&c, &model, &err);
    if (result == OK) {
        if (flags.system)
            set_system(&c, flags.system);
        open_terminal(&c);
        interrupt_catch();
        result = converse(&c, &err);
        if (c.people)
            write_history(c.history);
    }
    chat_template_free(c.template);
    json_decref(c.messages);
    Err closed = session_close(&c.session, &closing);
    if (result != OK || closed != OK)
        return command_fail(result != OK ? &err : &closing);
    return 0;
}
