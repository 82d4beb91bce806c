/* cmd_synth.c -- ridge synth: a model file with random weights. */
#include <stdio.h>

#include "main/session.h"
#include "model/shapes.h"
#include "model/synth.h"

typedef struct Options {
    const char *format, *out;
    uint64_t seed;
    int32_t threads;
    bool list, quiet;
} Options;

static const Flag flags[] = {
    {"--format", "-f", "FORMAT", FLAG_TEXT, offsetof(Options, format), .help = "number format of the matrices (Q8_0)"},
    {"--output", "-o", "FILE", FLAG_TEXT, offsetof(Options, out), .help = "the file to write (SHAPE-FORMAT.gguf)"},
    {"--seed", NULL, "N", FLAG_SEED, offsetof(Options, seed), .help = "other weights of the same kind (0)"},
    {"--threads", "-t", "N", FLAG_INT, offsetof(Options, threads), .min = 0, .max = TEAM_THREADS_MAX,
     .help = "threads; 0: as many CPUs as this process may use (0)"},
    {"--list", NULL, NULL, FLAG_SWITCH, offsetof(Options, list), .help = "list the shapes that have a name"},
    {"--quiet", "-q", NULL, FLAG_SWITCH, offsetof(Options, quiet), .help = "say nothing while writing"},
};

static const FlagGroup groups[] = {FLAG_GROUP("options", flags, NULL), {0}};
static int run(int argc, char **argv);

const Command command_synth = {
    .name = "synth",
    .arguments = "SHAPE [-f FORMAT] [-o FILE]",
    .summary = "write a model with random weights, of any shape and format",
    .description =
        "Speed and memory depend on a model's shape and number format, not on what it has learned. synth "
        "writes a GGUF file of a well-known shape with random weights, so both can be tried without a "
        "download; other programs that read GGUF load it too. SHAPE is a name of `ridge synth --list`, or "
        "the path of a config.json. The same seed gives the same file, whatever the threads.\n\n"
        "Where a command takes a model, synth:SHAPE:FORMAT is such a model without a file: made in a moment, at the "
        "full size in memory that it would have. There matrices repeat a few MB of random blocks, so its noise is not "
        "that of the file.",
    .examples = "  ridge synth tinyllama-1.1b -f q4_k\n"
                "  ridge synth path/to/config.json -f bf16 -o big.gguf\n"
                "  ridge bench -m tinyllama-1.1b-Q4_K.gguf\n"
                "  ridge bench -m synth:llama-2-13b:q4_0\n",
    .groups = groups,
    .run = run,
};

static void report(void *context, double done, double total)
{
    int *shown = context, percent = (int)(100 * done / total);
    if (percent != *shown)
        fprintf(stderr, "\r%3d%% of %.0f MB%s", percent, total / 1e6, percent == 100 ? "\n" : "");
    *shown = percent;
}

static Err write_model(const Options *o, const char *shape, Error *err)
{
    char config[PATH_MAX], name[SHAPE_NAME_BYTES], file[512];
    const Format *format = format_find(o->format);
    if (!format)
        return fail(err, BAD_ARGUMENT, "--format: '%s' is no number format that ridge knows", o->format);
    TRY(shape_find(shape, config, name, err));
    snprintf(file, sizeof file, "%s-%s.gguf", name, format->name);
    int shown = -1;
    SynthOptions options = {.config = config, .name = name, .format = format, .seed = o->seed,
                            .report = o->quiet ? NULL : report, .report_context = &shown};
    TRY(team_new(&options.team, o->threads, false, err));
    Err result = synth_write(&options, o->out ? o->out : file, err);
    team_free(options.team);
    return result;
}

static int run(int argc, char **argv)
{
    Error err;
    Options o = {.format = "Q8_0"};
    const FlagGroup filled[] = {FLAG_GROUP("options", flags, &o), {0}};
    const char *shape = NULL;
    int count, status;
    if (!command_begin(&command_synth, filled, argc, argv, &shape, 1, &count, &status))
        return status;
    Err result = o.list  ? shapes_print(stdout, &err)
                 : count ? write_model(&o, shape, &err)
                         : fail(&err, BAD_ARGUMENT, "which shape? `ridge synth --list` shows those that have a name");
    return result == OK && stdout_flush(&err) == OK ? 0 : command_fail(&err);
}
