/* cmd_convert.c -- ridge convert: a checkpoint to a GGUF, in any format that computes. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "main/session.h"
#include "tools/convert.h"

typedef struct ConvertFlags {
    const char *model, *out, *format, *table_format, *name;
    int32_t threads;
} ConvertFlags;

#define AT(field) offsetof(ConvertFlags, field)
static const Flag own_flags[] = {
    {"--model", "-m", "MODEL", FLAG_TEXT, AT(model), "checkpoint directory or .gguf file; also as the first argument",
     0, 0, 0, 0},
    {"--format", "-f", "FORMAT", FLAG_TEXT, AT(format),
     "of matrices: f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k to q6_k, iq4_nl, iq4_xs, mxfp4", 0, 0, 0, 0},
    {"--embedding-format", NULL, "FORMAT", FLAG_TEXT, AT(table_format),
     "of the embeddings and the output; without it as --format", 0, 0, 0, 0},
    {"--name", NULL, "TEXT", FLAG_TEXT, AT(name), "general.name of the file; without it the folder's name", 0, 0, 0, 0},
    {"--out", "-o", "FILE", FLAG_TEXT, AT(out), "the GGUF to write; appears whole or not at all", 0, 0, 0, 0},
    {"--threads", "-t", "N", FLAG_INT, AT(threads), "threads; 0: as many as there are", 0, 512, 0, 0},
};

static void show_progress(void *context, double done, double total)
{
    bool *shown = context;
    if (!isatty(STDERR_FILENO))
        return;
    *shown = true;
    int filled = (int)(30 * done / total);
    fprintf(stderr, "\rconverting [%.*s%*s] %3.0f%%", filled, "##############################", 30 - filled, "",
            100 * done / total);
}

static Err find_format(const char *flag, const char *name, const Format **out, Error *err)
{
    *out = format_find(name);
    if (!*out || !(*out)->encode || (*out)->gguf_id < 0)
        return fail(err, BAD_ARGUMENT, "%s: '%s' is not a format that ridge can write to a GGUF; --help lists them",
                    flag, name);
    return OK;
}

static Err work(const ConvertFlags *flags, Error *err)
{
    ConvertOptions options = {.name = flags->name, .threads = flags->threads};
    ConvertReport report;
    Package package;
    bool shown = false;
    if (!flags->out)
        return fail(err, BAD_ARGUMENT, "say where to write with -o FILE.gguf");
    TRY(find_format("--format", flags->format, &options.format, err));
    if (flags->table_format)
        TRY(find_format("--embedding-format", flags->table_format, &options.table_format, err));
    TRY(package_open(&package, flags->model, err));
    Err result = convert_model(&package, &options, flags->out, &(Progress){show_progress, &shown}, &report, err);
    if (shown)
        fprintf(stderr, "\r%60s\r", "");
    package_close(&package);
    TRY(result);
    printf("%s: %d tensors, %.2f MB became %.2f MB\n", flags->out, report.tensors, report.bytes_in / 1e6,
           report.bytes_out / 1e6);
    if (report.kept_f32)
        printf("%d matrices have rows that blocks of %s do not fill; they became F32\n", report.kept_f32,
               options.format->name);
    if (report.kept_blocks)
        printf("%d matrices are smaller than %s in the checkpoint; they stay as they are\n", report.kept_blocks,
               options.format->name);
    return stdout_flush(err);
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {FLAG_GROUP("options", own_flags, NULL), {0}};
const Command command_convert = {
    .name = "convert",
    .arguments = "MODEL -f FORMAT -o OUT.gguf",
    .summary = "write a GGUF from a checkpoint, quantised as you like",
    .description =
        "Reads a checkpoint directory (or a GGUF, to quantise it again) and writes one GGUF file with weights, shape, "
        "tokenizer and chat template, which llama.cpp reads as well.",
    .examples =
        "  ridge convert path/to/checkpoint -f q8_0 -o model.gguf\n"
        "  ridge convert path/to/checkpoint -f q4_k --embedding-format q6_k -o small.gguf\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    ConvertFlags flags = {.format = "q8_0"};
    const char *path = NULL;
    int status, word_count;
    const FlagGroup filled[] = {FLAG_GROUP("options", own_flags, &flags), {0}};
    if (!command_begin(&command_convert, filled, argc, argv, &path, 1, &word_count, &status))
        return status;
    if (path)
        flags.model = path;
    return work(&flags, &err) == OK ? 0 : command_fail(&err);
}
