/* parity.c -- holds every family against what Hugging Face transformers computes.
 *
 *     parity [--tier TIER] DIRECTORY...       a directory holds model.safetensors, expected.json, ...
 *
 * One line a fixture: the largest difference of logits and the tolerance, greedy tokens equal or not.
 * Tolerance, as the fixtures' page states it: 1e-3 or 10 x fp32_vs_fp64_max_abs, the larger; greedy
 * tokens must agree as long as the margin of the step is above twice that.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "devices/cpu/cpu_device.h"
#include "forward.h"

enum { TOKENS_MAX = 512, ROWS = 64 };

typedef struct Fixture {
    Checkpoint checkpoint;
    Model *model;
    Device *device;
    Forward forward;
    Store *expected;
    json_t *plan;
    double tolerance, worst;
    int greedy_wrong, greedy_checked;
    float *logits;
} Fixture;

static int ids_of(const json_t *list, int32_t *out)
{
    int n = (int)json_array_size(list);
    ASSERT(n <= TOKENS_MAX);
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return n;
}

static int32_t best_of(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static void check_rows(Fixture *f, const char *tensor, const float *got, int32_t rows)
{
    const StoreTensor *want = store_find(f->expected, tensor);
    ASSERT(want && store_tensor_elems(want) == (int64_t)rows * f->model->shape.V);
    for (int64_t i = 0; i < store_tensor_elems(want); i++) {
        float value;
        memcpy(&value, want->bytes.data + 4 * i, 4);
        double difference = fabs((double)value - got[i]);
        f->worst = fmax(f->worst, isnan(difference) ? INFINITY : difference);
    }
}

/* margins: NULL where the fixture gives none; then a difference in tokens ends the comparison. */
static void check_greedy(Fixture *f, int32_t *ids, int n, int32_t length, const json_t *greedy, const json_t *margins)
{
    int32_t V = f->model->shape.V;
    float *last = f->logits + (size_t)(n - 1) * (size_t)V;
    for (size_t i = 0; i < json_array_size(greedy); i++) {
        int32_t want = (int32_t)json_integer_value(json_array_get(greedy, i));
        double margin = margins ? json_number_value(json_array_get(margins, i)) : INFINITY;
        if (margin > 2 * f->tolerance) {
            f->greedy_checked++;
            f->greedy_wrong += best_of(last, V) != want;
        }
        ids[n] = want;
        forward_rows(&f->forward, ids, n, 1, length, f->logits);
        last = f->logits;
        n++;
    }
}

static void check_prompt(Fixture *f, const char *name, const char *tensor, int32_t tail, int chunk)
{
    int32_t ids[TOKENS_MAX];
    const json_t *part = json_object_get(f->plan, name);
    int n = ids_of(json_object_get(part, "input_ids"), ids);
    forward_prompt(&f->forward, ids, n, chunk, f->logits);
    int32_t rows = tail ? tail : n;
    check_rows(f, tensor, f->logits + (size_t)(n - rows) * (size_t)f->model->shape.V, rows);
    check_greedy(f, ids, n, n, json_object_get(part, "greedy"), json_object_get(part, "greedy_margins"));
}

static void open_fixture(Fixture *f, const char *directory, CpuTier tier)
{
    char path[1024];
    Error err = {0};
    *f = (Fixture){0};
    Err result = checkpoint_open(&f->checkpoint, directory, &err);
    if (result == OK)
        result = cpu_device_open(&(CpuOptions){.tier = tier, .threads = 2}, &f->device, &err);
    if (result == OK)
        result = model_open(&f->checkpoint, f->device, NULL, &f->model, &err);
    snprintf(path, sizeof path, "%s/expected.json", directory);
    if (result == OK)
        result = json_read_file(path, 16 << 20, &f->plan, &err);
    snprintf(path, sizeof path, "%s/expected.safetensors", directory);
    if (result == OK)
        result = store_open(path, &f->expected, &err);
    if (result != OK) {
        printf("%s: %s\n", directory, err.text);
        exit(1);
    }
    f->tolerance = fmax(1e-3, 10 * json_number_value(json_object_get(f->plan, "fp32_vs_fp64_max_abs")));
    f->logits = malloc((size_t)TOKENS_MAX * (size_t)f->model->shape.V * sizeof(float));
    forward_init(&f->forward, f->model, f->device, &format_f32, TOKENS_MAX, 16, ROWS);
}

static void close_fixture(Fixture *f)
{
    forward_deinit(&f->forward);
    free(f->logits);
    json_decref(f->plan);
    store_free(f->expected);
    model_close(f->model);
    device_close(f->device);
    checkpoint_close(&f->checkpoint);
}

static bool check_fixture(const char *directory, CpuTier tier)
{
    Fixture f;
    open_fixture(&f, directory, tier);
    check_prompt(&f, "short", "short_logits", 0, ROWS);
    check_prompt(&f, "long", "long_logits_tail", 16, ROWS);
    check_prompt(&f, "long", "long_logits_tail", 16, 7);
    bool good = f.worst <= f.tolerance && f.greedy_wrong == 0 && f.greedy_checked > 0;
    const char *slash = strrchr(directory, '/');
    printf("%-22s %-10s logits %.2e of %.2e   greedy %d of %d %s\n", slash ? slash + 1 : directory,
           cpu_tier_name(cpu_device_tier(f.device)), f.worst, f.tolerance, f.greedy_checked - f.greedy_wrong,
           f.greedy_checked, good ? "" : "  WRONG");
    close_fixture(&f);
    return good;
}

int main(int argc, char **argv)
{
    CpuTier tier = TIER_BEST;
    int passed = 0, failed = 0, first = 1;
    if (argc > 2 && !strcmp(argv[1], "--tier") && cpu_tier_parse(argv[2], &tier))
        first = 3;
    for (int i = first; i < argc; i++) {
        bool good = check_fixture(argv[i], tier);
        passed += good;
        failed += !good;
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
