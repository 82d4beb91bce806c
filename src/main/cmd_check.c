/* cmd_check.c -- ridge check: validates a model's files without running it. */
#include <stdio.h>

#include "main/session.h"
#include "store/store_check.h"

static void print_note(void *context, const StoreNote *note)
{
    int *warnings = context;
    *warnings += note->warning;
    printf("%s: %s%s\n", note->file, note->warning ? "WARNING: " : "", note->text);
}

/* Whether family, shape, weights and tokenizer fit together. */
static Err check_model(const char *path, Error *err)
{
    Package package;
    Model *model;
    TRY(package_open(&package, path, err));
    Err result = OK;
    bool weights = package.checkpoint.store && store_count(package.checkpoint.store) > 0;
    if (weights)
        result = model_describe(&package.checkpoint, &model, err);
    if (result == OK && weights) {
        int32_t tokens = package.tokenizer ? tokenizer_size(package.tokenizer) : 0;
        if (tokens > model->shape.V)
            result =
                fail(err, BAD_FILE, "%s: the tokenizer has ids up to %d, but the model's vocabulary has %d entries",
                     package.path, tokens - 1, model->shape.V);
        else
            printf("%s: family %s, %d layers, %lld parameters: all weights are there and fit\n", package.path,
                   model->shape.family, model->shape.L, (long long)model->parameters);
        model_close(model);
    }
    if (result == OK)
        printf(package.tokenizer ? "%s: a tokenizer of %d ids\n" : "%s: no tokenizer\n", package.path,
               package.tokenizer ? tokenizer_size(package.tokenizer) : 0);
    package_close(&package);
    return result;
}

static int run(int argc, char **argv);
static const FlagGroup groups[] = {{0}};
const Command command_check = {
    .name = "check",
    .arguments = "MODEL",
    .summary = "validates a model's files without running them",
    .description =
        "Opens every file, holds offsets, sizes, names and types against each other, reads every tensor, and checks "
        "that config, weights and tokenizer belong together. What is odd but usable is a warning; what is wrong is "
        "an error and exit status 1.",
    .examples = "  ridge check model.gguf\n  ridge check path/to/checkpoint\n",
    .groups = groups,
    .run = run,
};

static int run(int argc, char **argv)
{
    Error err;
    const char *path = NULL;
    int status, word_count, warnings = 0;
    char standard[4096];
    if (!command_begin(&command_check, groups, argc, argv, &path, 1, &word_count, &status))
        return status;
    if (!word_count) {
        if (default_model_path(standard, sizeof standard, &err) != OK)
            return command_fail(&err);
        path = standard;
    }
    if (store_check(path, print_note, &warnings, &err) != OK || check_model(path, &err) != OK ||
        stdout_flush(&err) != OK)
        return command_fail(&err);
    printf(warnings ? "%d warnings\n" : "nothing wrong\n", warnings);
    return 0;
}
