/* On the weights of a trained model: no encoder loses more than llama.cpp's did, whose files of the
 * same model are the measure. */
#include "test.h"

#include <math.h>

#include "store/store.h"

static double relative_error(const float *x, const float *y, size_t n)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        double off = (double)x[i] - y[i];
        error += off * off;
        power += (double)x[i] * x[i];
    }
    return sqrt(error / power);
}

typedef struct Comparison {
    double theirs, ours;         /* relative RMS errors */
    bool same_bytes;
} Comparison;

/* original: the tensor as it was trained; quantised: what llama.cpp made of it. */
static Comparison compare(const StoreTensor *original, const StoreTensor *quantised)
{
    size_t n = (size_t)store_tensor_elems(original), bytes = quantised->bytes.bytes;
    float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
    uint8_t *blocks = malloc(bytes);
    const Format *f = quantised->format;
    original->format->decode(x, original->bytes.data, n);
    f->decode(y, quantised->bytes.data, n);
    Comparison c = {.theirs = relative_error(x, y, n)};
    f->encode(blocks, x, n, NULL);
    f->decode(y, blocks, n);
    c.ours = relative_error(x, y, n);
    c.same_bytes = memcmp(blocks, quantised->bytes.data, bytes) == 0;
    free(x);
    free(y);
    free(blocks);
    return c;
}

static const char *const weights[][2] = {   /* not q and k, whose rows a GGUF reorders */
    {"model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight"},
    {"model.layers.0.self_attn.o_proj.weight", "blk.0.attn_output.weight"},
    {"model.layers.1.mlp.gate_proj.weight", "blk.1.ffn_gate.weight"},
    {"model.layers.1.mlp.down_proj.weight", "blk.1.ffn_down.weight"},
};

static void check_against(const char *gguf, bool same_bytes)
{
    const char *probe = shared_path("models/draft/model.safetensors"), *path = shared_path(gguf);
    Store *trained, *quantised;
    Error err;
    if (!probe || !path)
        return;
    assert_int_equal(store_open(probe, &trained, &err), OK);
    assert_int_equal(store_open(path, &quantised, &err), OK);
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        const StoreTensor *x = store_find(trained, weights[i][0]);
        const StoreTensor *q = store_find(quantised, weights[i][1]);
        assert_true(x && q);
        Comparison c = compare(x, q);
        printf("%-24s  %-6s  error %.5f, llama.cpp's %.5f\n", q->name, q->format->name, c.ours, c.theirs);
        assert_true(c.ours <= c.theirs * 1.0002);   /* a tie may fall to the other side */
        assert_true(c.same_bytes || !same_bytes);
    }
    store_free(trained);
    store_free(quantised);
}

static void q8_0_gives_the_bytes_that_llama_cpp_wrote(void **state)
{
    (void)state;
    check_against("fixtures/gguf/draft-Q8_0.gguf", true);
}

static void no_format_loses_more_than_it_did_in_llama_cpp(void **state)
{
    (void)state;
    check_against("fixtures/gguf/draft-Q2_K.gguf", false);
    check_against("fixtures/gguf/draft-Q4_0.gguf", false);
    check_against("fixtures/gguf/draft-Q4_K_M.gguf", false);
    check_against("fixtures/gguf/draft-Q6_K.gguf", false);
    check_against("fixtures/gguf/draft-IQ4_XS.gguf", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q8_0_gives_the_bytes_that_llama_cpp_wrote),
        cmocka_unit_test(no_format_loses_more_than_it_did_in_llama_cpp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
