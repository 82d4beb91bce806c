/* cmd_why.c -- ridge why: explains one request of the server from its log. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "main/session.h"
#include "tools/why.h"

enum { TEXT_BYTES_MAX = 1 << 28 };

typedef struct Options { bool list; } Options;

static const Flag flags[] = {
    {"--list", "-l", NULL, FLAG_SWITCH, offsetof(Options, list),
     .help = "a line for each request that has a story, and where its time went"},
};
static const FlagGroup groups[] = {FLAG_GROUP("options", flags, NULL), {0}};
static int run(int argc, char **argv);

const Command command_why = {
    .name = "why",
    .arguments = "LOG [REQUEST] [options]",
    .summary = "explain why a request of the server took so long",
    .description =
        "Reads the log of `ridge serve --log-format json --explain-requests` (- for standard input) and explains one request: "
        "how long it was queued and for what, which beginning of its prompt the cache had, at which token that ended and why, "
        "in which chunks its prompt was computed and with whom, who preempted it, the company of its answer, and the time in "
        "sampling and grammar. REQUEST is the id that X-Request-Id gave it, or its number (#17); without one the "
        "request that took longest is explained. A log that is damaged is refused by the number of the line.",
    .examples = "  ridge serve --log-format json --explain-requests 2> log\n"
                "  ridge why log\n"
                "  ridge why log req_96b15fff6454840e18db5025\n"
                "  ridge why log --list\n",
    .groups = groups,
    .run = run,
};

static Err read_log(const char *path, WhyLog *log, Error *err)
{
    if (!strcmp(path, "-"))
        return why_read(stdin, "standard input", log, err);
    FILE *file = fopen(path, "rb");
    if (!file)
        return fail(err, IO_FAILED, "%s: %s", path, strerror(errno));
    Err result = why_read(file, path, log, err);
    fclose(file);
    return result;
}

static Err tell(const WhyLog *log, const char *path, const char *which, bool list, Buf *out, Error *err)
{
    const WhyRequest *r = which ? why_find(log, which) : why_slowest(log);
    if (!r && which)
        return fail(err, NOT_FOUND, "%s: has no request '%s'; `ridge why %s --list` shows those that it has", path, which,
                    path);
    if (!r)
        return fail(err, NOT_FOUND, "%s: has no requests", path);
    if (list)
        why_list(log, out);
    else
        why_explain(log, r, out);
    if (out->full)
        return fail(err, NO_MEMORY, "no memory for the explanation");
    fwrite(out->data, 1, out->bytes, stdout);
    return stdout_flush(err);
}

static Err why(const char **words, int count, const Options *o, Error *err)
{
    WhyLog log;
    Buf text;
    if (count < 1)
        return fail(err, BAD_ARGUMENT, "which log? `ridge why LOG`, of `ridge serve --log-format json --explain-requests`");
    TRY(read_log(words[0], &log, err));
    buf_init(&text, TEXT_BYTES_MAX);
    Err result = tell(&log, words[0], count > 1 ? words[1] : NULL, o->list, &text, err);
    buf_deinit(&text);
    why_free(&log);
    return result;
}

static int run(int argc, char **argv)
{
    Options o = {0};
    Error err;
    const char *words[2];
    int count, status;
    const FlagGroup filled[] = {FLAG_GROUP("options", flags, &o), {0}};
    if (!command_begin(&command_why, filled, argc, argv, words, COUNT_OF(words), &count, &status))
        return status;
    return why(words, count, &o, &err) == OK ? 0 : command_fail(&err);
}
