/* ridge bench: what its rows count. A rate that counts the wrong tokens or bytes misleads every later decision. */
#include <math.h>
#include <unistd.h>

#include "devices/cpu/cpu_device.h"
#include "devices/watch/watch.h"
#include "model/model_open.h"
#include "test.h"
#include "main/bench_gpu.h"
#include "tools/bench.h"
#include "model/synth.h"

static const char config[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 64, \"intermediate_size\": 128, \"num_hidden_layers\": 2,"
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 300, \"rms_norm_eps\": 1e-6,"
    " \"max_position_embeddings\": 512, \"rope_theta\": 10000.0, \"tie_word_embeddings\": false}";

typedef struct Fixture {
    char directory[64], config[96], path[96];
    Checkpoint checkpoint;
    Device *tally;
    Model *model;
    Engine *engine;
} Fixture;

static void check(Err result, const Error *err)
{
    if (result != OK)
        print_error("%s\n", err->text);
    assert_int_equal(result, OK);
}

static void write_model(const Fixture *f)
{
    Error err;
    FILE *out = fopen(f->config, "w");
    assert_non_null(out);
    fputs(config, out);
    fclose(out);
    SynthOptions o = {.config = f->config, .name = "tiny", .format = format_find("Q8_0")};
    check(team_new(&o.team, 1, false, &err), &err);
    check(synth_write(&o, f->path, &err), &err);
    team_free(o.team);
}

static int open_engine(void **state)
{
    static Fixture f;
    Error err;
    Device *cpu;
    f = (Fixture){.directory = "/tmp/ridge-bench-XXXXXX"};
    assert_non_null(mkdtemp(f.directory));
    snprintf(f.config, sizeof f.config, "%s/config.json", f.directory);
    snprintf(f.path, sizeof f.path, "%s/model.gguf", f.directory);
    write_model(&f);
    check(checkpoint_open(&f.checkpoint, f.path, &err), &err);
    check(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &cpu, &err), &err);
    check(tally_open(cpu, &f.tally, &err), &err);
    check(model_open(&f.checkpoint, f.tally, NULL, &f.model, &err), &err);
    EngineOptions options = engine_options_default();
    options.sequences = options.logit_rows = 4;
    options.context = 200;
    EngineModel model = engine_model(f.model);
    check(engine_new(&f.engine, &options, &model, f.tally, &err), &err);
    *state = &f;
    return 0;
}

static int close_engine(void **state)
{
    Fixture *f = *state;
    engine_free(f->engine);
    model_close(f->model);
    device_close(f->tally);
    checkpoint_close(&f->checkpoint);
    unlink(f->config);
    unlink(f->path);
    rmdir(f->directory);
    return 0;
}

static BenchResult measure(const Fixture *f, BenchCase c)
{
    Error err;
    BenchResult r;
    check(bench_run(f->engine, f->tally, NULL, f->model->shape.V, c, 2, &r, &err), &err);
    assert_true(r.seconds[0] > 0 && r.seconds[1] > 0);
    return r;
}

/* The bytes that the projections of one row read: what each of them has in the file. */
static double matrix_bytes(const Fixture *f)
{
    double bytes = 0;
    for (size_t i = 0; i < store_count(f->checkpoint.store); i++) {
        const StoreTensor *t = store_at(f->checkpoint.store, i);
        bytes += t->dims == 2 && strcmp(t->name, "token_embd.weight") ? (double)t->bytes.bytes : 0;
    }
    return bytes;
}

static void a_generated_token_reads_each_matrix_once(void **state)
{
    const Fixture *f = *state;
    BenchResult r = measure(f, (BenchCase){.generate = 20, .batch = 1});
    assert_true(r.tokens == 20);
    assert_true(r.work.demand.bytes / 20 >= matrix_bytes(f) && r.work.demand.bytes / 20 < 1.2 * matrix_bytes(f));
}

static void answers_of_a_batch_share_what_is_read(void **state)
{
    const Fixture *f = *state;
    BenchResult one = measure(f, (BenchCase){.generate = 20, .batch = 1});
    BenchResult four = measure(f, (BenchCase){.generate = 20, .batch = 4});
    assert_true(four.tokens == 80);
    assert_true(four.work.demand.bytes < 1.5 * one.work.demand.bytes);
    assert_true(demand_operations(&four.work.demand) > 3 * demand_operations(&one.work.demand));
}

static void what_was_there_before_is_not_counted(void **state)
{
    const Fixture *f = *state;
    BenchResult whole = measure(f, (BenchCase){.prompt = 128, .batch = 1});
    BenchResult behind = measure(f, (BenchCase){.prompt = 64, .depth = 64, .batch = 1});
    BenchResult answer = measure(f, (BenchCase){.generate = 8, .depth = 64, .batch = 1});
    assert_true(whole.tokens == 128);
    assert_true(behind.tokens == 64);
    assert_true(demand_operations(&behind.work.demand) < 0.7 * demand_operations(&whole.work.demand));
    assert_true(answer.tokens == 8);
    assert_true(demand_operations(&answer.work.demand) < 8 * 2.0 * demand_operations(&whole.work.demand) / 128);
}

static void the_median_ignores_one_slow_run(void **state)
{
    (void)state;
    BenchResult r = {.repetitions = 5, .tokens = 10, .seconds = {1, 1, 100, 1, 1}};
    assert_true(bench_median(&r) == 10);
    assert_true(bench_summary(&r).rate < 10);
    r = (BenchResult){.repetitions = 2, .tokens = 10, .seconds = {1, 3}};
    assert_true(bench_median(&r) == 5);
    assert_true(fabs(bench_summary(&r).seconds_deviation - sqrt(2)) < 1e-12);
}

/* The products of an 8-bit model are held against the peak of integers, attention against that of floats: protects every
 * share that is quoted. */
static void operations_are_counted_by_their_kind(void **state)
{
    const Fixture *f = *state;
    BenchResult r = measure(f, (BenchCase){.prompt = 128, .batch = 1});
    const double *operations = r.work.demand.operations;
    assert_true(operations[ARITHMETIC_INT8] > 0 && operations[ARITHMETIC_FP32] > 0);
    assert_true(operations[ARITHMETIC_BF16] == 0);
    char last_mlp[32];
    snprintf(last_mlp, sizeof last_mlp, "blk.%d.ffn", f->model->shape.L - 1);
    double matrices = 0;   /* each value is multiplied for each row, but of the head and the last mlp, which see one row only */
    for (size_t i = 0; i < store_count(f->checkpoint.store); i++) {
        const StoreTensor *t = store_at(f->checkpoint.store, i);
        bool all_rows = t->dims == 2 && !strncmp(t->name, "blk", 3) && strncmp(t->name, last_mlp, strlen(last_mlp)) != 0;
        matrices += all_rows ? (double)store_tensor_elems(t) : 0;
    }
    assert_true(operations[ARITHMETIC_INT8] >= 2 * 128 * matrices);
    assert_true(operations[ARITHMETIC_INT8] < 2 * 128 * matrices * 1.05);
}

static void a_bound_is_the_larger_of_two_times(void **state)
{
    (void)state;
    Machine m = {.bytes_per_second = 10, .fp32 = 100, .int8 = 400};
    Demand d = {.bytes = 100, .operations = {[ARITHMETIC_FP32] = 200, [ARITHMETIC_INT8] = 800, [ARITHMETIC_BF16] = 100}};
    assert_true(roofline_bytes_seconds(&m, &d) == 10);
    assert_true(roofline_operations_seconds(&m, &d) == 2 + 2 + 1);   /* no peak of bf16: taken as fp32 */
    assert_true(roofline_seconds(&m, &d) == 10);
    d.bytes = 20;
    assert_true(roofline_seconds(&m, &d) == 5);
    BenchResult r = {.repetitions = 1, .tokens = 10, .seconds = {20}, .work = {.demand = d}};
    assert_true(bench_share(&r, &m) == 0.25);
    m = (Machine){.bytes_per_second = 10};
    assert_true(roofline_seconds(&m, &d) == 2);
    assert_int_equal(format_arithmetic(format_find("Q4_K")), ARITHMETIC_INT8);
    assert_int_equal(format_arithmetic(format_find("BF16")), ARITHMETIC_BF16);
    assert_int_equal(format_arithmetic(format_find("F16")), ARITHMETIC_FP32);
}

static const BenchRow *row_of(BenchEnd *e, bool deterministic, double seconds)
{
    Error err;
    BenchRow like = {.model = "m", .cache = "F16", .deterministic = deterministic};
    BenchResult r = {.what = {.generate = 10, .depth = 1024, .batch = 64}, .repetitions = 1, .tokens = 640, .seconds = {seconds},
                     .work = {.demand = {.bytes = 670e9}, .steps = 10}};
    check(bench_end_add(e, &like, &r, &err), &err);
    return &e->row[e->count - 1];
}

/* The lecture's table: what an H100 and this GPU could do, and what was measured; and the price of equal bits. Protects the
 * figures that are quoted of a GPU, on machines that have none. */
static void a_gpus_rows_are_held_against_two_predictions(void **state)
{
    (void)state;
    BenchEnd e = {0};
    Buf text;
    const Machine gpu = {.name = "G", .bytes_per_second = 6.7e12, .bf16 = 800e12, .gpu = true};
    const Machine h100 = {.bytes_per_second = 3.35e12, .bf16 = 989e12, .gpu = true};
    buf_init(&text, 1 << 16);
    row_of(&e, false, 0.2);
    bench_price_tell(&e, &text);
    assert_int_equal(text.bytes, 0);      /* of one way there is no price */
    row_of(&e, true, 0.3);
    bench_gpu_tell(&e, &gpu, &h100, &text);
    bench_price_tell(&e, &text);
    assert_non_null(strstr(text.data, "| m, tg10 x 64 @ d1024 | 20.00 ms, 3,200 tok/s | 10.00 ms, 6,400 tok/s | 20.00 ms, "
                                      "3,200 tok/s | 3.35 TB/s | 50% |"));
    assert_non_null(strstr(text.data, "m, tg10 x 64 @ d1024: 30.00 ms instead of 20.00: 1.50 times"));
    buf_deinit(&text);
    bench_end_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_generated_token_reads_each_matrix_once),
        cmocka_unit_test(answers_of_a_batch_share_what_is_read),
        cmocka_unit_test(what_was_there_before_is_not_counted),
        cmocka_unit_test(operations_are_counted_by_their_kind),
        cmocka_unit_test(a_bound_is_the_larger_of_two_times),
        cmocka_unit_test(the_median_ignores_one_slow_run),
        cmocka_unit_test(a_gpus_rows_are_held_against_two_predictions),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
