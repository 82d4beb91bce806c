/* parity.c -- one line for each fixture and way:   parity DIRECTORY...
 *
 * A directory holds config.json, model.safetensors, expected.json, expected.safetensors. The ways: the
 * reference tier and the fastest, the config as transformers 5 writes it and as published checkpoints
 * spell it, the checkpoint itself and a GGUF made of it.
 */
#include <stdio.h>
#include <string.h>

#include "parity_check.h"

static const struct {
    const char *name;
    ParityWay way;
} ways[] = {
    {"reference", {.tier = TIER_REFERENCE, .rows = 64, .block_tokens = 16}},
    {"fastest", {.tier = TIER_BEST, .rows = 64, .block_tokens = 16}},
    {"fastest, 16 rows", {.tier = TIER_BEST, .rows = 16, .block_tokens = 4}},
    {"hub config", {.tier = TIER_BEST, .hub = true, .rows = 64, .block_tokens = 16}},
    {"GGUF, reference", {.tier = TIER_REFERENCE, .gguf = true, .rows = 64, .block_tokens = 16}},
    {"GGUF, fastest", {.tier = TIER_BEST, .gguf = true, .rows = 64, .block_tokens = 16}},
};

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, unknown = 0;
    for (int i = 1; i < argc; i++) {
        const char *slash = strrchr(argv[i], '/');
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
            ParityResult r;
            Error err;
            Err code = parity_check(argv[i], &ways[w].way, &r, &err);
            if (code == UNSUPPORTED && strstr(err.text, "is unknown; the nearest")) {
                unknown++;
                break;
            }
            bool good = code == OK && parity_is_good(&r);
            passed += good;
            failed += !good;
            if (code == OK && r.absent) {
                printf("%-20s %-16s there is none\n", slash ? slash + 1 : argv[i], ways[w].name);
                continue;
            }
            printf("%-20s %-16s logits %.1e of %.0e   tokens %d of %d   %s\n", slash ? slash + 1 : argv[i],
                   ways[w].name, r.worst, r.tolerance, r.tokens_right, r.tokens_checked,
                   code != OK ? err.text
                   : good     ? ""
                              : "WRONG");
        }
    }
    if (unknown)
        printf("NOT TESTED: %d of %d fixtures are of families that ridge does not run\n", unknown, argc - 1);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
