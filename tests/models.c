/* models.c -- make check-model: the trained models of ../shared/models give the losses, the answers and the
 * tokens that their training program measured (results.json).
 *
 *     models RIDGE SHARED [MODEL ...]
 *
 * Runs the command line, as a person would: ridge score for losses and questions, ridge run for greedy text.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static const char *ridge, *shared;
static int passed, failed;

static void judge(bool good, const char *model, const char *what, double got, double wanted)
{
    printf("%-8s %-28s %10.5f, should be %10.5f %s\n", model, what, got, wanted, good ? "" : "  WRONG");
    fflush(stdout);
    passed += good;
    failed += !good;
}

/* The last line of JSON that a command prints; NULL: it failed. */
static json_t *output_of(const char *command)
{
    static char line[1 << 22];
    json_t *last = NULL;
    FILE *pipe = popen(command, "r");
    while (pipe && fgets(line, sizeof line, pipe)) {
        json_decref(last);
        last = json_loads(line, 0, NULL);
    }
    if (pipe && pclose(pipe) == 0)
        return last;
    json_decref(last);
    fprintf(stderr, "this failed: %s\n", command);
    return NULL;
}

static double number_at(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void check_losses(const char *model, const json_t *results)
{
    const char *name;
    json_t *wanted;
    json_object_foreach(json_object_get(results, "valid"), name, wanted)
    {
        char command[1024], what[64];
        snprintf(command, sizeof command, "%s score -m %s/models/%s -f %s/corpus/%s --json", ridge, shared, model,
                 shared, json_string_value(json_object_get(wanted, "file")));
        json_t *got = output_of(command);
        snprintf(what, sizeof what, "nats per token, %s", name);
        judge(fabs(number_at(got, "nats_per_token") - number_at(wanted, "nats_per_token")) < 2e-5, model, what,
              number_at(got, "nats_per_token"), number_at(wanted, "nats_per_token"));
        snprintf(what, sizeof what, "bits per byte, %s", name);
        judge(fabs(number_at(got, "bits_per_byte") - number_at(wanted, "bits_per_byte")) < 2e-5, model, what,
              number_at(got, "bits_per_byte"), number_at(wanted, "bits_per_byte"));
        judge(number_at(got, "scored_tokens") == number_at(wanted, "scored_tokens"), model, "tokens scored",
              number_at(got, "scored_tokens"), number_at(wanted, "scored_tokens"));
        json_decref(got);
    }
}

static void check_questions(const char *model, const json_t *results)
{
    static const char *const kinds[] = {"recall", "arith", "facts"};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        const char *key = k == 2 ? "all" : "mean";
        const json_t *wanted = json_object_get(json_object_get(results, kinds[k]), key);
        char command[1024];
        snprintf(command, sizeof command, "%s score -m %s/models/%s --jsonl %s/corpus/eval_%s.jsonl --json", ridge,
                 shared, model, shared, kinds[k]);
        json_t *got = output_of(command);
        judge(fabs(number_at(got, "accuracy") - json_number_value(wanted)) < 0.006, model, kinds[k],
              number_at(got, "accuracy"), json_number_value(wanted));
        json_decref(got);
    }
}

/* Greedy text, token for token: at least up to the first near tie. */
static void check_samples(const char *model, const json_t *results)
{
    size_t i;
    json_t *sample;
    json_array_foreach(json_object_get(results, "samples"), i, sample)
    {
        char command[1024], file[] = "/tmp/ridge-prompt-XXXXXX";
        int fd = mkstemp(file);
        FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!out)
            continue;
        fputs(json_string_value(json_object_get(sample, "prompt")), out);
        fclose(out);
        const json_t *wanted = json_object_get(sample, "completion_ids");
        size_t n = json_array_size(wanted), same = 0;
        snprintf(command, sizeof command, "%s run -q -m %s/models/%s -f %s -n %zu --temperature 0 --json", ridge,
                 shared, model, file, n);
        json_t *got = output_of(command);
        const json_t *ids = json_object_get(json_array_get(json_object_get(got, "samples"), 0), "ids");
        while (same < n && json_equal(json_array_get(ids, same), json_array_get(wanted, same)))
            same++;
        judge(same == n, model, "greedy tokens", (double)same, (double)n);
        json_decref(got);
        remove(file);
    }
}

static void check_model(const char *model)
{
    char path[1024];
    json_t *results;
    Error err;
    snprintf(path, sizeof path, "%s/models/%s/results.json", shared, model);
    if (json_read_file(path, 16 << 20, &results, &err) != OK) {
        printf("%s\n", err.text);
        failed++;
        return;
    }
    check_samples(model, results);
    check_losses(model, results);
    check_questions(model, results);
    json_decref(results);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return fprintf(stderr, "usage: models RIDGE SHARED MODEL...\n"), 2;
    ridge = argv[1];
    shared = argv[2];
    for (int i = 3; i < argc; i++)
        check_model(argv[i]);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
