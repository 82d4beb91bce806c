/* Weights that lie in two tensors mean values times scales, wherever the blocks of scales begin and end; those whose
 * packing nobody knows are refused by name. The meaning of bytes is written down a second time here. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "base/half.h"
#include "base/prng.h"
#include "model/bind.h"
#include "store/safetensors_write.h"
#include "model/tensor_plan.h"

enum { E = 3, F = 6, D = 64, R = 40, C = 56, BR = 16, BC = 24, N = 4, P = 5, V = 7, ITEMS_MAX = 32 };

/* ---- the checkpoint ---- */

static char directory[64];
static SafetensorsItem items[ITEMS_MAX];
static int item_count;

static const char *in_directory(const char *name)
{
    static char path[2][128];
    static int turn;
    char *out = path[turn++ & 1];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static void add(const char *name, const char *format, int dims, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    static PrngStream stream;
    SafetensorsItem *item = &items[item_count++];
    *item = (SafetensorsItem){name, format_find(format), dims, {d0, d1, d2, d3}, NULL};
    int64_t elems = 1;
    for (int d = 0; d < dims; d++)
        elems *= item->dim[d];
    bool small = item->format->block_bytes == 1, exponent = strstr(name, "_scales") != NULL;
    uint8_t *bytes = malloc((size_t)(4 * elems));
    for (int64_t i = 0; i < elems; i++) {
        double unit = stream_unit(&stream);
        if (small)
            bytes[i] = exponent ? (uint8_t)(110 + 30 * unit) : (uint8_t)(256 * unit);
        else
            ((float *)bytes)[i] = (float)(unit + 0.01);
        if (item->format == format_find("F8_E4M3") && (bytes[i] & 0x7f) == 0x7f)
            bytes[i] = 0x80; /* no NaN, which is unlike itself */
    }
    item->data = bytes;
}

static int make_checkpoint(void **state)
{
    (void)state;
    Error err;
    snprintf(directory, sizeof directory, "/tmp/ridge-packing-XXXXXX");
    assert_non_null(mkdtemp(directory));
    add("gate_up_blocks", "U8", 4, E, 2 * F, D / 32, 16);
    add("gate_up_scales", "U8", 3, E, 2 * F, D / 32, 0);
    add("odd_blocks", "U8", 3, F, D / 32, 15, 0);
    add("odd_scales", "U8", 2, F, D / 32, 0, 0);
    add("block.weight", "F8_E4M3", 2, R, C, 0, 0);
    add("block.weight_scale_inv", "F32", 2, 3, 3, 0, 0);
    add("block.input_scale", "F32", 1, 1, 0, 0, 0);
    add("stack", "F8_E4M3", 3, E, C, R, 0);
    add("stack_scale_inv", "F32", 3, E, 4, 2, 0);
    add("heads.weight", "F8_E4M3", 2, N * (P + V), C, 0, 0);
    add("heads.weight_scale_inv", "F32", 2, 3, 3, 0, 0);
    for (int e = 0; e < E; e++) {
        add(e == 0 ? "e.0.up" : e == 1 ? "e.1.up" : "e.2.up", "F8_E4M3", 2, R, C, 0, 0);
        add(e == 0 ? "e.0.up_scale_inv" : e == 1 ? "e.1.up_scale_inv" : "e.2.up_scale_inv", "F32", 2, 3, 3, 0, 0);
    }
    add("row.weight", "F8_E4M3", 2, R, C, 0, 0);
    add("row.weight_scale", "F32", 2, R, 1, 0, 0);
    add("one.weight", "F8_E4M3", 2, R, C, 0, 0);
    add("one.weight_scale", "F32", 1, 1, 0, 0, 0);
    add("column.weight", "F8_E4M3", 2, R, R, 0, 0); /* as many columns as rows */
    add("column.weight_scale", "F32", 2, 1, R, 0, 0);
    add("bare.weight", "F8_E4M3", 2, R, C, 0, 0);
    add("whole.weight", "F32", 2, R, C, 0, 0);
    add("whole.weight_scale", "F32", 1, 1, 0, 0, 0);
    add("whole_number.weight", "F8_E4M3", 2, R, C, 0, 0);
    add("whole_number.weight_scale", "U8", 1, 1, 0, 0, 0);
    return safetensors_write(in_directory("model.safetensors"), items, (size_t)item_count, NULL, 0, &err);
}

static int remove_checkpoint(void **state)
{
    (void)state;
    unlink(in_directory("model.safetensors"));
    for (int i = 0; i < item_count; i++)
        free((void *)items[i].data);
    return rmdir(directory);
}

static const uint8_t *bytes_of(const char *name)
{
    for (int i = 0; i < item_count; i++)
        if (!strcmp(items[i].name, name))
            return items[i].data;
    print_error("%s\n", name), assert_true(false);
    return NULL;
}

/* ---- what they mean ---- */

static float f8_at(const char *name, int at)
{
    uint8_t b = bytes_of(name)[at];
    int exponent = b >> 3 & 15, fraction = b & 7;
    double size = exponent ? ldexp(8 + fraction, exponent - 10) : ldexp(fraction, -9);
    return (float)(b & 0x80 ? -size : size);
}

static float scale_at(const char *name, int at) { return ((const float *)bytes_of(name))[at]; }

static float nibble(const char *blocks, const char *scales, int row, int column)
{
    static const float values[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    int at = row * D + column, code = bytes_of(blocks)[at / 2] >> (at % 2 ? 4 : 0) & 15;
    return ldexpf(code & 8 ? -values[code & 7] : values[code & 7], bytes_of(scales)[at / 32] - 127);
}

static float block(int e, int r, int c)
{
    return (void)e, f8_at("block.weight", r * C + c) * scale_at("block.weight_scale_inv", r / BR * 3 + c / BC);
}
static float every_other(int e, int r, int c) { return block(e, 2 * r + 1, c); }
/* [E, C, R] in the file: blocks of its rows and columns, begun anew with each matrix. */
static float stack(int e, int r, int c)
{
    return f8_at("stack", (e * C + c) * R + r) * scale_at("stack_scale_inv", (e * 4 + c / BR) * 2 + r / BC);
}
/* Heads as experts, which begin amid blocks. */
static float of_heads(int e, int r, int c)
{
    int row = e * (P + V) + P + r;
    return f8_at("heads.weight", row * C + c) * scale_at("heads.weight_scale_inv", row / BR * 3 + c / BC);
}
static float apart(int e, int r, int c)
{
    char name[16], scale[32];
    snprintf(name, sizeof name, "e.%d.up", e);
    snprintf(scale, sizeof scale, "%s_scale_inv", name);
    return f8_at(name, r * C + c) * scale_at(scale, r / BR * 3 + c / BC);
}
static float row(int e, int r, int c) { return (void)e, f8_at("row.weight", r * C + c) * scale_at("row.weight_scale", r); }
static float one(int e, int r, int c) { return (void)e, f8_at("one.weight", r * C + c) * scale_at("one.weight_scale", 0); }
static float gate(int e, int r, int c) { return nibble("gate_up_blocks", "gate_up_scales", e * 2 * F + 2 * r, c); }
static float up(int e, int r, int c) { return nibble("gate_up_blocks", "gate_up_scales", e * 2 * F + 2 * r + 1, c); }

typedef struct Case {
    const char *name, *gguf;
    int experts, rows, width;
    WeightPlace place;
    float (*want)(int, int, int);
} Case;

static const Case blocked[] = {
    {"block.weight", "block", 0, R, C, {.name = ""}, block},
    {"block.weight", "half", 0, R / 2, C, {.part = {2, 1, 1}}, every_other},
    {"stack", "stack", E, R, C, {.transposed = true}, stack},
    {"heads.weight", "heads", N, V, C, {.part = {P + V, P, V}}, of_heads},
    {"e.%e.up", "apart", E, R, C, {.name = ""}, apart},
};
static const Case unblocked[] = {
    {"row.weight", "row", 0, R, C, {.name = ""}, row},
    {"one.weight", "one", 0, R, C, {.name = ""}, one},
};
static const Case joined[] = {
    {"gate_up", "gate", E, F, D, {.part = {2, 0, 1}}, gate},
    {"gate_up", "up", E, F, D, {.part = {2, 1, 1}}, up},
};

static WeightDecl *declare(WeightList *list, const Case *c, Tensor *slot)
{
    WeightDecl *d = c->experts ? weight_experts(list, slot, c->name, c->gguf, 0, c->experts, c->rows, c->width)
                               : weight_matrix(list, slot, c->name, c->gguf, 0, c->rows, c->width);
    d->hf.part = c->place.part;
    d->hf.transposed = c->place.transposed;
    return d;
}

static void open_store(Checkpoint *c, Packing packing)
{
    Error err;
    *c = (Checkpoint){.packing = packing};
    assert_int_equal(store_open(in_directory("model.safetensors"), &c->store, &err), OK);
    c->keys = (Keys){.where = "config", .store = c->store, .family = "test"};
}

static Err keep(Device *d, const char *name, Tensor host, WeightUse use, Tensor *slot, Error *err)
{
    (void)d, (void)name, (void)use, (void)err;
    *slot = host;
    slot->data = malloc(tensor_bytes(host));
    memcpy(slot->data, host.data, tensor_bytes(host));
    return OK;
}

static const DeviceCalls calls = {.upload = keep};

static float to_bf16(float x)
{
    uint32_t bits = f32_bits(x);
    return f32_of_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
}
static float as_is(float x) { return x; }

/* The slot has the rounded values, and whoever asks for a row gets the values themselves. */
static void assert_means(const Checkpoint *ckpt, const Case *c, const char *format, float (*rounded)(float))
{
    Error err;
    Tensor slot, described;
    WeightList list = {0};
    WeightSource s;
    Device device = {.calls = &calls};
    WeightDecl *decl = declare(&list, c, &described);
    if (weight_find(ckpt, decl, &s, &err) != OK || weight_bind(&s, NULL, NULL, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    decl->slot = &slot;
    Workbench bench = {0};
    assert_int_equal(weight_bind(&s, &device, &bench, &err), OK);
    workbench_deinit(&bench);
    assert_string_equal(slot.format->name, format);
    assert_ptr_equal(described.format, slot.format);
    float *is = malloc((size_t)tensor_elems(slot) * sizeof *is), line[D];
    slot.format->decode(is, slot.data, (size_t)tensor_elems(slot));
    for (int e = 0, at = 0; e < (c->experts ? c->experts : 1); e++)
        for (int r = 0; r < c->rows; r++) {
            weight_values(&s, e, r, line);
            for (int i = 0; i < c->width; i++, at++) {
                float want = c->want(e, r, i);
                if (is[at] != rounded(want) || line[i] != want)
                    print_error("%s (%d, %d, %d): %g and %g, not %g\n", c->name, e, r, i, is[at], line[i], want),
                        assert_true(false);
            }
        }
    free(is);
    free(slot.data);
    weight_source_deinit(&s);
    weight_list_deinit(&list);
}

static const Packing in_blocks = {.scaled = true, .block = {BR, BC}}, without_blocks = {.scaled = true};

static void eight_bit_floats_are_multiplied_with_the_scale_of_their_block(void **state)
{
    (void)state;
    Checkpoint c;
    open_store(&c, in_blocks);
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        assert_means(&c, &blocked[i], "BF16", to_bf16);
    checkpoint_close(&c);
    open_store(&c, without_blocks);
    for (size_t i = 0; i < COUNT_OF(unblocked); i++)
        assert_means(&c, &unblocked[i], "BF16", to_bf16);
    checkpoint_close(&c);
}

static void blocks_taken_apart_are_joined_without_loss(void **state)
{
    (void)state;
    Checkpoint c;
    open_store(&c, (Packing){.joins = format_find("MXFP4")});
    for (size_t i = 0; i < COUNT_OF(joined); i++)
        assert_means(&c, &joined[i], "MXFP4", as_is);
    checkpoint_close(&c);
}

/* The converter copies such blocks, since encoding again would cost time and could choose other scales; what has to be
 * multiplied out it cannot copy. */
static void joined_blocks_go_into_a_gguf_as_they_are(void **state)
{
    (void)state;
    Checkpoint c;
    Error err;
    TensorPlans plans;
    WeightList list = {0};
    Tensor slot;
    const Format *mxfp4 = format_find("MXFP4");
    open_store(&c, (Packing){.joins = mxfp4, .scaled = true, .block = {BR, BC}});
    declare(&list, &joined[0], &slot);
    declare(&list, &blocked[0], &slot);
    assert_int_equal(tensor_plans_init(&plans, &c, &list, &err), OK);
    assert_ptr_equal(tensor_plan_blocks(&plans.items[0]), mxfp4);
    assert_null(tensor_plan_blocks(&plans.items[1]));
    for (int line = 0; line < E * F; line++) {
        uint8_t row_bytes[D / 32 * 17];
        const uint8_t *scales = bytes_of("gate_up_scales") + (line / F * 2 * F + line % F * 2) * (D / 32);
        float values[D];
        tensor_plan_stored_line(&plans.items[0], line, row_bytes);
        mxfp4->decode(values, row_bytes, D);
        for (int i = 0; i < D; i++)
            assert_true(values[i] == gate(line / F, line % F, i));
        for (int b = 0; b < D / 32; b++)
            assert_int_equal(row_bytes[17 * b], scales[b]);
    }
    tensor_plans_deinit(&plans);
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

/* ---- refusals ---- */

static void scales_that_do_not_fit_are_refused_with_both_numbers(void **state)
{
    (void)state;
    static const struct {
        Case given;
        Packing packing;
        const char *said;
    } bad[] = {
        {{"bare.weight", "", 0, R, C, {.name = ""}, NULL}, {.scaled = true}, "no 'bare.weight_scale_inv'"},
        {{"row.weight", "", 0, R, C, {.name = ""}, NULL}, {.scaled = true, .block = {BR, BC}}, "40 scales in rows of 1;"},
        {{"block.weight", "", 0, R, C, {.name = ""}, NULL}, {.scaled = true}, "needs 40 in rows of 1"},
        {{"column.weight", "", 0, R, R, {.name = ""}, NULL}, {.scaled = true}, "40 scales in rows of 40;"},
        {{"whole_number.weight", "", 0, R, C, {.name = ""}, NULL}, {.scaled = true}, "is U8; scales must be floats"},
        {{"odd", "", 0, F, D, {.name = ""}, NULL}, {.joins = NULL}, "tensor 'odd' is missing"},
        {{"odd", "", 0, F, D, {.name = ""}, NULL}, {.joins = &format_f32 /* MXFP4, below */}, "not MXFP4 blocks"},
        {{"gate_up", "", E, F, D, {.name = ""}, NULL}, {.joins = &format_f32}, "2304 values"},
        {{"gate_up", "", E, 2 * F, D, {.transposed = true}, NULL}, {.joins = &format_f32}, "rows of 64"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Checkpoint c;
        Error err = {0};
        WeightSource s;
        WeightList list = {0};
        Tensor slot;
        Packing packing = bad[i].packing;
        packing.joins = packing.joins ? format_find("MXFP4") : NULL;
        open_store(&c, packing);
        assert_int_not_equal(weight_find(&c, declare(&list, &bad[i].given, &slot), &s, &err), OK);
        if (!strstr(err.text, bad[i].said))
            print_error("%s\n", err.text), assert_true(false);
        weight_list_deinit(&list);
        checkpoint_close(&c);
    }
}

static void methods_are_known_or_refused_by_name(void **state)
{
    (void)state;
#define GROUPS "'quant_method': 'compressed-tensors', 'format': 'float-quantized', 'config_groups': {'g': {'weights': "
    static const struct {
        const char *config, *refused;
        Packing want;
        bool joins;
    } cases[] = {
        {.config = "{}"},
        {.config = "{'quantization_config': null}"},
        {.config = "{'quantization_config': {'quant_method': 'mxfp4', 'modules_to_not_convert': ['x']}}", .joins = true},
        {.config = "{'quantization_config': {'quant_method': 'fp8', 'weight_block_size': [128, 64]}}",
         .want = {true, {128, 64}, NULL}},
        {.config = "{'quantization_config': {'quant_method': 'fp8', 'weight_block_size': null}}", .want = {.scaled = true}},
        {.config = "{'quantization_config': {" GROUPS "{'num_bits': 8, 'type': 'float', 'strategy': 'channel'}}}}}",
         .want = {.scaled = true}},
        {.config = "{'quantization_config': {" GROUPS
                   "{'num_bits': 8, 'type': 'float', 'strategy': 'block', 'block_structure': [128, 128]}}}}}",
         .want = {true, {128, 128}, NULL}},
        {.config = "{'quantization_config': {'quant_method': 'awq'}}", .refused = "quantization_config.quant_method 'awq'"},
        {.config = "{'quantization_config': {'quant_method': 'gptq', 'bits': 4}}", .refused = "quant_method 'gptq'"},
        {.config = "{'quantization_config': {'quant_method': 'bitsandbytes'}}", .refused = "'bitsandbytes'"},
        {.config = "{'quantization_config': {'quant_method': 'q4_0'}}", .refused = "'q4_0'"},
        {.config = "{'quantization_config': {'load_in_8bit': true}}", .refused = "quantization_config.quant_method"},
        {.config = "{'quantization_config': {'quant_method': 'fp8', 'weight_block_size': [0, 128]}}",
         .refused = "weight_block_size"},
        {.config = "{'quantization_config': {'quant_method': 'compressed-tensors', 'format': 'pack-quantized'}}",
         .refused = "'pack-quantized'"},
        {.config = "{'quantization_config': {" GROUPS "{'num_bits': 8, 'type': 'int'}}}}}", .refused = "type 'int' of 8 bits"},
        {.config = "{'quantization_config': {" GROUPS "{'num_bits': 8, 'type': 'float', 'strategy': 'group'}}}}}",
         .refused = "strategy 'group'"},
        {.config = "{'quantization_config': {'transform_config': {'r1': 1}, " GROUPS "{'num_bits': 8, 'type': 'float'}}}}}",
         .refused = "transform_config"},
        {.config = "{'quantization_config': {'quant_method': 'compressed-tensors', 'format': 'float-quantized'}}",
         .refused = "names no weights"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        snprintf(text, sizeof text, "%s", cases[i].config);
        for (char *c = text; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        json_t *config = json_loads(text, 0, NULL);
        assert_non_null(config);
        Packing is, want = cases[i].want;
        Error err = {0};
        Err result = packing_read(&(Keys){.where = "config.json", .config = config}, &is, &err);
        want.joins = cases[i].joins ? format_find("MXFP4") : NULL;
        if (cases[i].refused ? result == OK || !strstr(err.text, cases[i].refused)
                             : result != OK || is.scaled != want.scaled || is.joins != want.joins ||
                                   memcmp(is.block, want.block, sizeof is.block) != 0)
            print_error("%s: %s\n", text, err.text), assert_true(false);
        json_decref(config);
    }
}

/* All of the file must be somebody's: scales are those of their values, activations' are nobody's, and a scale beside
 * values that are wide enough without is missed by name. */
static void no_scale_is_left_over(void **state)
{
    (void)state;
    static const Arch lenient = {.ignores = {".weight_scale", ".weight", "odd_blocks", "odd_scales"}},
                      strict = {.ignores = {"row.weight_scale", "one.weight_scale", "column.weight_scale",
                                            "number.weight_scale", ".weight", "odd_blocks", "odd_scales"}};
    static const Case others[] = {{"heads.weight", "", N, P, C, {.part = {P + V, 0, P}}, NULL},
                                  {"whole.weight", "", 0, R, C, {.name = ""}, NULL}};
    Checkpoint c;
    Error err = {0};
    WeightList list = {0};
    Tensor slot;
    open_store(&c, (Packing){.joins = format_find("MXFP4"), .scaled = true, .block = {BR, BC}});
    for (size_t i = 0; i < COUNT_OF(blocked); i++)
        declare(&list, &blocked[i], &slot);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        declare(&list, &others[i], &slot);
    declare(&list, &joined[0], &slot);
    assert_int_equal(weights_check(&c, &(Model){.arch = &lenient}, &list, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'gate_up_blocks' has 1152 values, of which family 'test' uses 576"));
    declare(&list, &joined[1], &slot);
    if (weights_check(&c, &(Model){.arch = &lenient}, &list, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    assert_int_equal(weights_check(&c, &(Model){.arch = &strict}, &list, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'whole.weight_scale' is not one"));
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_bit_floats_are_multiplied_with_the_scale_of_their_block),
        cmocka_unit_test(blocks_taken_apart_are_joined_without_loss),
        cmocka_unit_test(joined_blocks_go_into_a_gguf_as_they_are),
        cmocka_unit_test(scales_that_do_not_fit_are_refused_with_both_numbers),
        cmocka_unit_test(methods_are_known_or_refused_by_name),
        cmocka_unit_test(no_scale_is_left_over),
    };
    return cmocka_run_group_tests(tests, make_checkpoint, remove_checkpoint);
}
