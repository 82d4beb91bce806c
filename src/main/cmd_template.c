/* cmd_template.c -- ridge template: renders a chat template, for people who debug one. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "main/session.h"
#include "text/chat_template.h"

typedef struct TemplateFlags {
    const char *model, *file, *input, *now, *name;
} TemplateFlags;

#define AT(field) offsetof(TemplateFlags, field)
static const Flag own_flags[] = {
    {"--model", "-m", "MODEL", FLAG_TEXT, AT(model), "take the template of this checkpoint or .gguf", 0, 0, 0, 0},
    {"--template", NULL, "FILE", FLAG_TEXT, AT(file), "take the template in this file instead", 0, 0, 0, 0},
    {"--name", NULL, "NAME", FLAG_TEXT, AT(name), "which of several: default, tool_use, ...", 0, 0, 0, 0},
    {"--input", NULL, "FILE.json", FLAG_TEXT, AT(input),
     "an object with messages, tools, add_generation_prompt, bos_token, eos_token; without it or with -, standard input",
     0, 0, 0, 0},
    {"--now", NULL, "TIME", FLAG_TEXT, AT(now), "what strftime_now tells: 2026-01-02 03:04:05, or seconds since 1970",
     0, 0, 0, 0},
};

static const size_t INPUT_JSON_MAX = 64 << 20;

static Err read_now(const char *text, struct tm *out, Error *err)
{
    int64_t seconds;
    time_t now = time(NULL);
    if (text && !integer_read(text, &seconds)) {
        *out = (struct tm){.tm_isdst = -1};
        int used = 0, n = sscanf(text, "%4d-%2d-%2d%*1[ T]%2d:%2d:%2d%n", &out->tm_year, &out->tm_mon, &out->tm_mday,
                                 &out->tm_hour, &out->tm_min, &out->tm_sec, &used);
        out->tm_year -= 1900;
        out->tm_mon -= 1;
        if (n != 6 || text[used] || out->tm_mon < 0 || out->tm_mon > 11 || mktime(out) == (time_t)-1)
            return fail(err, BAD_ARGUMENT, "--now: '%s' is not a time like 2026-01-02 03:04:05", text);
        return OK;
    }
    if (text)
        now = (time_t)seconds;
    localtime_r(&now, out);
    return OK;
}

static void put_default(json_t *input, const char *key, const char *text)
{
    if (text && !json_object_get(input, key))
        json_object_set_new(input, key, json_string(text));
}

static Err render(const char *source, const char *name, json_t *input, const struct tm *now, Error *err)
{
    ChatTemplate *template;
    Buf out;
    buf_init(&out, (size_t)1 << 30);
    TRY(chat_template_new(&template, span_text(source), name, err));
    Err result = chat_template_render(template, input, now, &out, err);
    if (result == OK)
        fwrite(out.data, 1, out.bytes, stdout);
    chat_template_free(template);
    buf_deinit(&out);
    return result == OK ? stdout_flush(err) : result;
}

static Err render_of_model(const TemplateFlags *flags, json_t *input, const struct tm *now, Error *err)
{
    Package package;
    TRY(package_open(&package, flags->model, err));
    const ChatSource *chosen =
        package_chat(&package, flags->name, json_array_size(json_object_get(input, "tools")) > 0);
    put_default(input, "bos_token", package.bos_text);
    put_default(input, "eos_token", package.eos_text);
    Err result = chosen ? render(chosen->text, chosen->name, input, now, err)
                        : fail(err, NOT_FOUND, "%s: has no chat template%s%s", package.path,
                               flags->name ? " called " : "", flags->name ? flags->name : "");
    package_close(&package);
    return result;
}

static Err work(const TemplateFlags *flags, Error *err)
{
    Buf text, source;
    json_t *input = NULL;
    struct tm now;
    if (flags->model && flags->file)
        return fail(err, BAD_ARGUMENT, "give -m or --template, not both");
    TRY(read_now(flags->now, &now, err));
    const char *what = flags->input ? flags->input : "standard input";
    Err result = text_input(NULL, flags->input, &text, err);
    if (result == OK)
        result = json_read(buf_span(&text), INPUT_JSON_MAX, what, &input, err);
    buf_deinit(&text);
    TRY(result);
    if (!json_is_object(input)) {
        result = fail(err, BAD_ARGUMENT, "%s: must be an object with messages", what);
    } else if (flags->file) {
        result = text_input(NULL, flags->file, &source, err);
        if (result == OK)
            result = render(source.data, flags->file, input, &now, err);
        buf_deinit(&source);
    } else {
        result = render_of_model(flags, input, &now, err);
    }
    json_decref(input);
    return result;
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL), {0}};
const Command command_template = {
    .name = "template",
    .arguments = "(-m MODEL | --template FILE) --input FILE.json",
    .summary = "render a chat template",
    .description =
        "Prints the prompt that a conversation becomes, as transformers would render it, or the template's own error "
        "and exit status 1.",
    .examples =
        "  ridge template --input conversation.json\n"
        "  ridge template --template chat.jinja --input - --now '2026-01-02 03:04:05'\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    TemplateFlags flags = {0};
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags), {0}};
    if (!command_begin(&command_template, filled, argc, argv, NULL, 0, &word_count, &status))
        return status;
    return work(&flags, &err) == OK ? 0 : command_fail(&err);
}
