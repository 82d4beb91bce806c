/* cmd_families.c -- ridge families: which models ridge runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/session.h"
#include "model/arch.h"

static int run(int argc, char **argv);
static const FlagGroup groups[] = {{0}};
const Command command_families = {
    .name = "families",
    .arguments = "[NAME]",
    .summary = "lists the model families that ridge runs",
    .description =
        "A family is what a checkpoint's config.json calls model_type and a GGUF general.architecture. The second column "
        "says what the family is called in a GGUF that ridge convert writes. With NAME only families whose name "
        "contains it are listed; exit status 1 says that there are none.",
    .examples = "  ridge families\n  ridge families qwen\n",
    .groups = groups,
    .run = run,
};

enum { FAMILIES_MAX = 1024 };
typedef struct FamilyName { const char *name, *gguf; } FamilyName;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const FamilyName *)a)->name, ((const FamilyName *)b)->name);
}

static int find_families(const char *part, FamilyName out[FAMILIES_MAX])
{
    int count = 0;
    for (int a = 0; arch_at(a); a++)
        for (int n = 0; n < NAMES_MAX && arch_at(a)->names[n] && count < FAMILIES_MAX; n++) {
            const char *name = arch_at(a)->names[n];
            if (strstr(name, part))
                out[count++] = (FamilyName){name, arch_gguf_name(arch_at(a), name)};
        }
    return count;
}

static int run(int argc, char **argv)
{
    Error err;
    const char *part = "";
    int status, word_count;
    if (!command_begin(&command_families, groups, argc, argv, &part, 1, &word_count, &status))
        return status;
    FamilyName found[FAMILIES_MAX];
    int listed = find_families(part, found);
    qsort(found, (size_t)listed, sizeof *found, by_name);
    for (int i = 0; i < listed; i++)
        printf("%-20s %s\n", found[i].name, found[i].gguf ? found[i].gguf : "-");
    if (stdout_flush(&err) != OK)
        return command_fail(&err);
    if (!listed)
        fprintf(stderr, "ridge families: no family has '%s' in its name\n", part);
    return listed ? 0 : 1;
}
