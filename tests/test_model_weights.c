/* A weight reaches its slot from wherever a checkpoint or a GGUF keeps it: parts of fused tensors, transposed
 * ones, experts apart and stacked, heads in another order, numbers stored as something else. What each slot
 * must hold is written down a second time here, value by value. */
#include "test.h"

#include <math.h>
#include <unistd.h>

#include "base/prng.h"
#include "model/bind.h"
#include "store/safetensors_write.h"
#include "model/tensor_plan.h"

/* Numbers that all differ, so that one taken for another is seen. D and F are widths that blocks of 32 fill. */
enum { D = 64, N = 4, H = 6, NH = N * H, E = 3, F = 32, LATENT = 32, NOPE = 5, VALUE = 7 };
enum { KH = 2, R = 3, W = 2, C = 10, TAPS = 4 };
enum { L = 5, SOURCES_MAX = 64, CASES_MAX = 64 };

/* ---- the checkpoint ---- */

typedef struct Source {
    char name[64];
    int dims;
    int64_t dim[4];
    float *values;
} Source;

static Source sources[SOURCES_MAX];
static int source_count;
static char directory[64];

static const float *values_of(const char *name)
{
    for (int i = 0; i < source_count; i++)
        if (!strcmp(sources[i].name, name))
            return sources[i].values;
    print_error("%s\n", name), assert_true(false);
    return NULL;
}

static void add(const char *name, int dims, int64_t d0, int64_t d1, int64_t d2, int64_t d3)
{
    static PrngStream stream;
    Source *s = &sources[source_count++];
    *s = (Source){.dims = dims, .dim = {d0, d1, d2, d3}};
    snprintf(s->name, sizeof s->name, "%s", name);
    int64_t elems = d0 * (dims > 1 ? d1 : 1) * (dims > 2 ? d2 : 1) * (dims > 3 ? d3 : 1);
    s->values = malloc((size_t)elems * sizeof(float));
    for (int64_t i = 0; i < elems; i++)
        s->values[i] = (float)(stream_unit(&stream) - 0.5);
}

static const char *in_directory(const char *name)
{
    static char path[4][128];
    static int turn;
    char *out = path[turn++ & 3];
    snprintf(out, sizeof path[0], "%s/%s", directory, name);
    return out;
}

static void write_sources(const char *file)
{
    Error err;
    SafetensorsItem items[SOURCES_MAX];
    for (int i = 0; i < source_count; i++) {
        items[i] = (SafetensorsItem){sources[i].name, &format_f32, sources[i].dims, {0}, sources[i].values};
        memcpy(items[i].dim, sources[i].dim, sizeof sources[i].dim);
    }
    assert_int_equal(safetensors_write(in_directory(file), items, (size_t)source_count, NULL, 0, &err), OK);
}

static int make_checkpoint(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ridge-weights-XXXXXX");
    assert_non_null(mkdtemp(directory));
    add("layer.5.whole.weight", 2, F, D, 0, 0);
    add("layer.5.neox.weight", 2, 3 * NH, D, 0, 0);
    add("layer.5.neox.bias", 1, 3 * NH, 0, 0, 0);
    add("layer.5.gpt2.weight", 2, D, 3 * F, 0, 0);
    add("layer.5.gate_up.weight", 2, 2 * F, D, 0, 0);
    for (int e = 0; e < E; e++) {
        char name[64];
        snprintf(name, sizeof name, "layer.5.experts.%d.up.weight", e);
        add(name, 2, F, D, 0, 0);
    }
    add("layer.5.dbrx.w2", 2, E * F, D, 0, 0);
    add("layer.5.oss.gate_up", 3, E, D, 2 * F, 0);
    add("layer.5.oss.gate_up_bias", 2, E, 2 * F, 0, 0);
    add("layer.5.kv_b.weight", 2, N * (NOPE + VALUE), LATENT, 0, 0);
    add("layer.5.norm.weight", 1, D, 0, 0, 0);
    add("layer.5.A_log", 4, 1, 1, N, 1);
    add("layer.5.mamba.A_log", 2, C, TAPS, 0, 0);
    add("layer.5.scaled.weight", 2, F, D, 0, 0);
    add("layer.5.conv.weight", 3, C, 1, TAPS, 0);
    add("layer.5.q.weight", 2, NH, D, 0, 0);
    add("layer.5.q.bias", 1, NH, 0, 0, 0);
    add("layer.5.z.weight", 2, KH * R * W, D, 0, 0);
    add("layer.5.out.weight", 2, D, KH * R * W, 0, 0);
    add("layer.5.mix.weight", 2, F, D, 0, 0);
    write_sources("model.safetensors");
    return 0;
}

static int remove_checkpoint(void **state)
{
    (void)state;
    unlink(in_directory("model.safetensors"));
    for (int i = 0; i < source_count; i++)
        free(sources[i].values);
    return rmdir(directory);
}

/* ---- what each slot must hold: element (e, r, c) ---- */

#define AT(name, index) values_of("layer.5." name)[index]
static float whole(int e, int r, int c) { return (void)e, AT("whole.weight", r * D + c); }
static float neox_q(int e, int r, int c) { return (void)e, AT("neox.weight", (r / H * 3 * H + r % H) * D + c); }
static float neox_k(int e, int r, int c) { return (void)e, AT("neox.weight", (r / H * 3 * H + H + r % H) * D + c); }
static float neox_v(int e, int r, int c) { return (void)e, AT("neox.weight", (r / H * 3 * H + 2 * H + r % H) * D + c); }
static float neox_q_bias(int e, int r, int c) { return (void)e, (void)c, AT("neox.bias", r / H * 3 * H + r % H); }
static float neox_k_bias(int e, int r, int c) { return (void)e, (void)c, AT("neox.bias", r / H * 3 * H + H + r % H); }
static float neox_v_bias(int e, int r, int c) { return (void)e, (void)c, AT("neox.bias", r / H * 3 * H + 2 * H + r % H); }
static float gpt2_q(int e, int r, int c) { return (void)e, AT("gpt2.weight", c * 3 * F + r); }
static float gpt2_k(int e, int r, int c) { return (void)e, AT("gpt2.weight", c * 3 * F + F + r); }
static float gpt2_v(int e, int r, int c) { return (void)e, AT("gpt2.weight", c * 3 * F + 2 * F + r); }
static float gate(int e, int r, int c) { return (void)e, AT("gate_up.weight", r * D + c); }
static float up(int e, int r, int c) { return (void)e, AT("gate_up.weight", (F + r) * D + c); }
static float apart(int e, int r, int c)
{
    char name[64];
    snprintf(name, sizeof name, "layer.5.experts.%d.up.weight", e);
    return values_of(name)[r * D + c];
}
static float dbrx(int e, int r, int c) { return AT("dbrx.w2", (e * F + c) * D + r); }
static float oss_gate(int e, int r, int c) { return AT("oss.gate_up", (e * D + c) * 2 * F + 2 * r); }
static float oss_up(int e, int r, int c) { return AT("oss.gate_up", (e * D + c) * 2 * F + 2 * r + 1); }
static float oss_gate_bias(int e, int r, int c) { return (void)c, AT("oss.gate_up_bias", e * 2 * F + 2 * r); }
static float oss_up_bias(int e, int r, int c) { return (void)c, AT("oss.gate_up_bias", e * 2 * F + 2 * r + 1); }
static float k_b(int e, int r, int c) { return AT("kv_b.weight", (e * (NOPE + VALUE) + c) * LATENT + r); }
static float v_b(int e, int r, int c) { return AT("kv_b.weight", (e * (NOPE + VALUE) + NOPE + r) * LATENT + c); }
static float norm(int e, int r, int c) { return (void)e, (void)c, AT("norm.weight", r) + 1; }
static float a_of_head(int e, int r, int c) { return (void)e, (void)c, -expf(AT("A_log", r)); }
static float a_of_mamba(int e, int r, int c) { return (void)e, -expf(AT("mamba.A_log", r * TAPS + c)); }
static float scaled(int e, int r, int c) { return (void)e, AT("scaled.weight", r * D + c); }
static float conv(int e, int r, int c) { return (void)e, AT("conv.weight", r * TAPS + c); }
static float q(int e, int r, int c) { return (void)e, AT("q.weight", r * D + c); }
static float q_bias(int e, int r, int c) { return (void)e, (void)c, AT("q.bias", r); }
static float z(int e, int r, int c) { return (void)e, AT("z.weight", r * D + c); }
static float out(int e, int r, int c) { return (void)e, AT("out.weight", r * KH * R * W + c); }
static float mix(int e, int r, int c) { return (void)e, AT("mix.weight", r * D + c); }

typedef struct Case {
    const char *hf, *gguf;             /* %d: the layer */
    int experts, rows, width;
    float (*want)(int e, int r, int c);
    WeightPlace in_hf, in_gguf;        /* without names */
    bool in_place;                     /* in the checkpoint: uploaded from the file itself, whose header ends aligned */
} Case;

#define SLOT(h, g, e, r, w, f) .hf = "layer.%d." h, .gguf = "blk.%d." g, .experts = e, .rows = r, .width = w, .want = f
#define HF(...) .in_hf = {__VA_ARGS__}
#define GGUF(...) .in_gguf = {__VA_ARGS__}

static const Case cases[] = {
    {SLOT("whole.weight", "whole.weight", 0, F, D, whole), .in_place = true},
    {SLOT("neox.weight", "attn_qkv.weight", 0, NH, D, neox_q), HF(.part = {3 * H, 0, H}), GGUF(.part = {3 * NH, 0, NH})},
    {SLOT("neox.weight", "attn_qkv.weight", 0, NH, D, neox_k), HF(.part = {3 * H, H, H}), GGUF(.part = {3 * NH, NH, NH})},
    {SLOT("neox.weight", "attn_qkv.weight", 0, NH, D, neox_v), HF(.part = {3 * H, 2 * H, H}),
     GGUF(.part = {3 * NH, 2 * NH, NH})},
    {SLOT("neox.bias", "attn_qkv.bias", 0, 0, NH, neox_q_bias), HF(.part = {3 * H, 0, H}), GGUF(.part = {3 * NH, 0, NH})},
    {SLOT("neox.bias", "attn_qkv.bias", 0, 0, NH, neox_k_bias), HF(.part = {3 * H, H, H}), GGUF(.part = {3 * NH, NH, NH})},
    {SLOT("neox.bias", "attn_qkv.bias", 0, 0, NH, neox_v_bias), HF(.part = {3 * H, 2 * H, H}),
     GGUF(.part = {3 * NH, 2 * NH, NH})},
    {SLOT("gpt2.weight", "gpt2_q.weight", 0, F, D, gpt2_q), HF(.transposed = true, .part = {3 * F, 0, F})},
    {SLOT("gpt2.weight", "gpt2_k.weight", 0, F, D, gpt2_k), HF(.transposed = true, .part = {3 * F, F, F})},
    {SLOT("gpt2.weight", "gpt2_v.weight", 0, F, D, gpt2_v), HF(.transposed = true, .part = {3 * F, 2 * F, F})},
    {SLOT("gate_up.weight", "ffn_up.weight", 0, F, D, gate), HF(.part = {2 * F, 0, F}), GGUF(.part = {2 * F, 0, F}),
     .in_place = true},
    {SLOT("gate_up.weight", "ffn_up.weight", 0, F, D, up), HF(.part = {2 * F, F, F}), GGUF(.part = {2 * F, F, F}),
     .in_place = true},
    {SLOT("experts.%e.up.weight", "ffn_up_exps.weight", E, F, D, apart)},
    {SLOT("dbrx.w2", "ffn_down_exps.weight", E, D, F, dbrx), HF(.transposed = true)},
    {SLOT("oss.gate_up", "oss_gate_exps.weight", E, F, D, oss_gate), HF(.transposed = true, .part = {2, 0, 1})},
    {SLOT("oss.gate_up", "oss_up_exps.weight", E, F, D, oss_up), HF(.transposed = true, .part = {2, 1, 1})},
    {SLOT("oss.gate_up_bias", "oss_gate_exps.bias", E, 0, F, oss_gate_bias), HF(.part = {2, 0, 1})},
    {SLOT("oss.gate_up_bias", "oss_up_exps.bias", E, 0, F, oss_up_bias), HF(.part = {2, 1, 1})},
    {SLOT("kv_b.weight", "attn_k_b.weight", N, LATENT, NOPE, k_b),
     HF(.transposed = true, .width_part = {NOPE + VALUE, 0, NOPE})},
    {SLOT("kv_b.weight", "attn_v_b.weight", N, VALUE, LATENT, v_b), HF(.part = {NOPE + VALUE, NOPE, VALUE})},
    {SLOT("norm.weight", "attn_norm.weight", 0, 0, D, norm), HF(.map = MAP_PLUS_ONE)},
    {SLOT("A_log", "ssm_a", 0, 0, N, a_of_head), HF(.map = MAP_MINUS_EXP), GGUF(.dim = {N, 1})},
    {SLOT("mamba.A_log", "mamba_a", 0, C, TAPS, a_of_mamba), HF(.map = MAP_MINUS_EXP)},
    {SLOT("scaled.weight", "scaled.weight", 0, F, D, scaled), GGUF(.scale = 0.25f), .in_place = true},
    {SLOT("conv.weight", "ssm_conv1d.weight", 0, C, TAPS, conv), .in_place = true},
    {SLOT("q.weight", "attn_q.weight", 0, NH, D, q), GGUF(.turned_heads = N), .in_place = true},
    {SLOT("q.bias", "attn_q.bias", 0, 0, NH, q_bias), GGUF(.turned_heads = N), .in_place = true},
    {SLOT("z.weight", "attn_gate.weight", 0, KH *R *W, D, z), GGUF(.groups = {KH, R, W, false}), .in_place = true},
    {SLOT("out.weight", "ssm_out.weight", 0, D, KH *R *W, out), GGUF(.groups = {KH, R, W, true}), .in_place = true},
    {SLOT("mix.weight", "mix.weight", 0, F, D, mix), GGUF(.transposed = true), .in_place = true},
};

static Tensor slots[CASES_MAX];

static void place(WeightPlace *out, const WeightPlace *from)
{
    char name[WEIGHT_NAME_BYTES];
    memcpy(name, out->name, sizeof name);
    *out = *from;
    memcpy(out->name, name, sizeof name);
}

static WeightDecl *declare(WeightList *list, const Case *c, Tensor *slot)
{
    WeightDecl *d = c->experts ? weight_experts(list, slot, c->hf, c->gguf, L, c->experts, c->rows, c->width)
                    : c->rows  ? weight_matrix(list, slot, c->hf, c->gguf, L, c->rows, c->width)
                               : weight_vector(list, slot, c->hf, c->gguf, L, c->width);
    place(&d->hf, &c->in_hf);
    place(&d->gguf, &c->in_gguf);
    if (c->want == conv || c->want == a_of_mamba)
        d->use = USE_VECTOR;
    return d;
}

static WeightList declare_all(void)
{
    WeightList list = {0};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        declare(&list, &cases[i], &slots[i]);
    assert_false(list.failed);
    return list;
}

/* ---- a device that shows what it was given ---- */

typedef struct Catcher {
    Device device;
    const Store *store;
    bool in_file;                      /* what came last lies in the mapped file */
    void *kept[CASES_MAX];
    int count;
} Catcher;

static Err catch(Device *d, const char *name, Tensor host, WeightUse use, Tensor *slot, Error *err)
{
    Catcher *c = (Catcher *)d;
    Span file = store_file(c->store, 0)->bytes;
    (void)name, (void)use, (void)err;
    assert_int_equal((uintptr_t)host.data % 8, 0);
    c->in_file = (const uint8_t *)host.data >= file.data && (const uint8_t *)host.data < file.data + file.bytes;
    *slot = host;
    slot->data = c->kept[c->count++] = malloc(tensor_bytes(host));
    memcpy(slot->data, host.data, tensor_bytes(host));
    return OK;
}

static const DeviceCalls catcher_calls = {.upload = catch};

static void let_go(Catcher *c)
{
    for (int i = 0; i < c->count; i++)
        free(c->kept[i]);
    c->count = 0;
}

static void open_store(Checkpoint *c, const char *file)
{
    Error err;
    *c = (Checkpoint){0};
    if (store_open(in_directory(file), &c->store, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    c->keys = (Keys){.where = "config", .gguf = store_gguf(c->store), .store = c->store, .family = "test"};
}

/* The largest difference between what a slot holds and what it must hold. */
static double worst_of(const Case *c, Tensor t)
{
    int experts = c->experts ? c->experts : 1, rows = c->rows ? c->rows : c->width, width = c->rows ? c->width : 1;
    assert_int_equal(tensor_elems(t), experts * rows * width);
    assert_int_equal(t.dims, (c->experts ? 1 : 0) + (c->rows ? 2 : 1));
    float *is = malloc((size_t)tensor_elems(t) * sizeof *is);
    t.format->decode(is, t.data, (size_t)tensor_elems(t));
    double worst = 0;
    for (int e = 0; e < experts; e++)
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < width; i++)
                worst = fmax(worst, fabs(is[(e * rows + r) * width + i] - c->want(e, r, i)));
    free(is);
    return worst;
}

static void bind_one(const Checkpoint *c, Catcher *catcher, const WeightDecl *decl)
{
    Error err;
    WeightSource s;
    Workbench bench = {0};
    if (weight_find(c, decl, &s, &err) != OK || weight_bind(&s, &catcher->device, &bench, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    workbench_deinit(&bench);
    weight_source_deinit(&s);
}

/* ---- reading a checkpoint ---- */

static void each_slot_gets_its_values_from_a_checkpoint(void **state)
{
    (void)state;
    Checkpoint c;
    open_store(&c, "model.safetensors");
    Catcher catcher = {.device = {.calls = &catcher_calls}, .store = c.store};
    WeightList list = declare_all();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bind_one(&c, &catcher, &list.items[i]);
        if (worst_of(&cases[i], slots[i]) != 0)
            print_error("%s for %s\n", cases[i].hf, cases[i].gguf), assert_true(false);
        if (catcher.in_file != cases[i].in_place)
            print_error("%s: %s\n", cases[i].hf, catcher.in_file ? "not copied" : "copied"), assert_true(false);
    }
    let_go(&catcher);
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

/* Without a device the slot says what it would hold, and no byte of the file is read. */
static void a_described_slot_has_the_shape_and_format_of_the_bound_one(void **state)
{
    (void)state;
    Checkpoint c;
    open_store(&c, "model.safetensors");
    Catcher catcher = {.device = {.calls = &catcher_calls}, .store = c.store};
    WeightList list = declare_all();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        WeightSource s;
        Error err;
        assert_int_equal(weight_find(&c, &list.items[i], &s, &err), OK);
        assert_int_equal(weight_bind(&s, NULL, NULL, &err), OK);
        weight_source_deinit(&s);
        Tensor described = slots[i];
        bind_one(&c, &catcher, &list.items[i]);
        assert_null(described.data);
        assert_ptr_equal(described.format, slots[i].format);
        assert_int_equal(described.row_elems, slots[i].row_elems);
        assert_memory_equal(described.dim, slots[i].dim, sizeof described.dim);
        assert_int_equal(described.dims, slots[i].dims);
        assert_int_equal(described.packing, slots[i].packing);
    }
    let_go(&catcher);
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

/* ---- through a GGUF ---- */

typedef struct Written {
    const TensorPlans *plans;
    const Format *format;
} Written;

static const Format *format_of(const Written *w, const TensorPlan *plan)
{
    return plan->decl->rows && plan->decl->use != USE_VECTOR && plan->width % w->format->block_elems == 0 ? w->format
                                                                                                        : &format_f32;
}

static Err fill(void *context, size_t tensor, FileOut *file, Error *err)
{
    const Written *w = context;
    const TensorPlan *plan = &w->plans->items[tensor];
    const Format *f = format_of(w, plan);
    float line[1024];
    uint8_t bytes[4096];
    assert_true(plan->width <= 1024);
    for (int64_t i = 0; i < plan->lines; i++) {
        tensor_plan_line(plan, i, line);
        f->encode(bytes, line, (size_t)plan->width, NULL);
        TRY(file_out_put(file, bytes, format_row_bytes(f, plan->width), err));
    }
    return OK;
}

static void write_gguf(const char *from, const char *to, const Format *format)
{
    Error err;
    Checkpoint c;
    TensorPlans plans;
    WeightList list = declare_all();
    open_store(&c, from);
    if (tensor_plans_init(&plans, &c, &list, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    GgufWriter *w = gguf_writer_new();
    Written written = {&plans, format};
    for (int i = 0; i < plans.count; i++)
        gguf_put_tensor(w, plans.items[i].name, format_of(&written, &plans.items[i]), plans.items[i].dims,
                        plans.items[i].dim);
    if (gguf_write(w, in_directory(to), fill, &written, &err) != OK)
        print_error("%s\n", err.text), assert_true(false);
    gguf_writer_free(w);
    tensor_plans_deinit(&plans);
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

static void assert_slots_come_back(const char *file)
{
    Checkpoint c;
    open_store(&c, file);
    Catcher catcher = {.device = {.calls = &catcher_calls}, .store = c.store};
    WeightList list = declare_all();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bind_one(&c, &catcher, &list.items[i]);
        if (worst_of(&cases[i], slots[i]) != 0)
            print_error("%s: %s\n", file, cases[i].gguf), assert_true(false);
    }
    let_go(&catcher);
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

static void what_is_written_to_a_gguf_is_read_back_bit_by_bit(void **state)
{
    (void)state;
    write_gguf("model.safetensors", "first.gguf", &format_f32);
    assert_slots_come_back("first.gguf");
    write_gguf("first.gguf", "again.gguf", &format_f32);
    assert_slots_come_back("again.gguf");
    unlink(in_directory("first.gguf"));
    unlink(in_directory("again.gguf"));
}

/* Where llama.cpp looks for it: what the file holds, said without the places. */
static float stacked_qkv(int e, int r, int c)
{
    return (r < NH ? neox_q : r < 2 * NH ? neox_k : neox_v)(e, r % (NH), c);
}
static float stacked_bias(int e, int r, int c)
{
    return (r < NH ? neox_q_bias : r < 2 * NH ? neox_k_bias : neox_v_bias)(e, r % (NH), c);
}
static float paired_q(int e, int r, int c) { return q(e, r / H * H + r % H % 2 * (H / 2) + r % H / 2, c); }
static float tiled_z(int e, int r, int c) /* row: [R, KH, W] */
{
    int w = r % W, k = r / W % KH, head = r / W / KH;
    return z(e, (k * R + head) * W + w, c);
}
static float tiled_out(int e, int r, int c)
{
    int w = c % W, k = c / W % KH, head = c / W / KH;
    return out(e, r, (k * R + head) * W + w);
}
static float mix_there(int e, int r, int c) { return mix(e, c, r); }
static float four_times(int e, int r, int c) { return 4 * scaled(e, r, c); }

static void a_gguf_holds_what_llama_cpp_wants_where_it_wants_it(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int dims;
        int64_t dim[3];
        float (*want)(int e, int r, int c);
    } wanted[] = {
        {"blk.5.attn_qkv.weight", 2, {3 * NH, D}, stacked_qkv}, {"blk.5.attn_qkv.bias", 1, {3 * NH}, stacked_bias},
        {"blk.5.gpt2_k.weight", 2, {F, D}, gpt2_k},                {"blk.5.ffn_up_exps.weight", 3, {E, F, D}, apart},
        {"blk.5.ffn_down_exps.weight", 3, {E, D, F}, dbrx},        {"blk.5.oss_up_exps.bias", 2, {E, F}, NULL},
        {"blk.5.attn_k_b.weight", 3, {N, LATENT, NOPE}, k_b},      {"blk.5.attn_v_b.weight", 3, {N, VALUE, LATENT}, v_b},
        {"blk.5.ssm_a", 2, {N, 1}, a_of_head},                     {"blk.5.attn_norm.weight", 1, {D}, norm},
        {"blk.5.ssm_conv1d.weight", 2, {C, TAPS}, conv},           {"blk.5.attn_q.weight", 2, {NH, D}, paired_q},
        {"blk.5.attn_gate.weight", 2, {KH * R * W, D}, tiled_z},   {"blk.5.ssm_out.weight", 2, {D, KH * R * W}, tiled_out},
        {"blk.5.mix.weight", 2, {D, F}, mix_there},                {"blk.5.scaled.weight", 2, {F, D}, four_times},
    };
    Checkpoint c;
    write_gguf("model.safetensors", "out.gguf", &format_f32);
    open_store(&c, "out.gguf");
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const StoreTensor *t = store_find(c.store, wanted[i].name);
        assert_non_null(t);
        assert_int_equal(t->dims, wanted[i].dims);
        assert_memory_equal(t->dim, wanted[i].dim, (size_t)t->dims * sizeof *t->dim);
        int64_t width = t->dims > 1 ? t->dim[t->dims - 1] : 1, rows = t->dim[t->dims > 2 ? 1 : 0];
        for (int64_t at = 0; wanted[i].want && at < store_tensor_elems(t); at++) {
            float is, want = wanted[i].want((int)(at / width / rows), (int)(at / width % rows), (int)(at % width));
            memcpy(&is, t->bytes.data + (size_t)at * sizeof is, sizeof is);
            if (is != want)
                print_error("%s at %lld: %g, not %g\n", t->name, (long long)at, is, want), assert_true(false);
        }
    }
    checkpoint_close(&c);
    unlink(in_directory("out.gguf"));
}

/* Rows are whole blocks, so they can be taken out of a quantised tensor, and turned, as they are. */
static void rows_of_a_quantised_tensor_stay_quantised(void **state)
{
    (void)state;
    const Format *q8 = format_find("Q8_0");
    write_gguf("model.safetensors", "q8.gguf", q8);
    Checkpoint c;
    open_store(&c, "q8.gguf");
    Catcher catcher = {.device = {.calls = &catcher_calls}, .store = c.store};
    WeightList list = declare_all();
    int seen = 0;
    for (int i = 0; i < list.count; i++) {
        if (cases[i].want != neox_k && cases[i].want != apart && cases[i].want != q && cases[i].want != z)
            continue;
        bind_one(&c, &catcher, &list.items[i]);
        assert_ptr_equal(slots[i].format, q8);
        double worst = worst_of(&cases[i], slots[i]);
        assert_true(worst > 0 && worst < 0.5 / 254 + 1e-3); /* half a step of values up to 0.5, and the scale's rounding */
        seen++;
    }
    assert_int_equal(seen, 4);
    let_go(&catcher);
    weight_list_deinit(&list);
    checkpoint_close(&c);
    unlink(in_directory("q8.gguf"));
}

/* ---- refusals ---- */

static Err find_as(const char *file, const Case *change, Error *err)
{
    Checkpoint c;
    WeightSource s;
    Tensor slot;
    WeightList list = {0};
    open_store(&c, file);
    Err result = weight_find(&c, declare(&list, change, &slot), &s, err);
    weight_source_deinit(&s);
    weight_list_deinit(&list);
    checkpoint_close(&c);
    return result;
}

static void a_wrong_shape_is_refused_with_both_numbers(void **state)
{
    (void)state;
    static const struct {
        Case given;
        const char *has, *wanted;
    } bad[] = {
        {{SLOT("whole.weight", "", 0, F + 1, D, NULL)}, "2048 values", "2112"},
        {{SLOT("whole.weight", "", 0, D, F, NULL)}, "rows of 64", "rows of 32"}, /* the same number, transposed */
        {{SLOT("norm.weight", "", 0, 0, D + 1, NULL)}, "64 values", "65"},
        {{SLOT("neox.weight", "", 0, NH, D, NULL), HF(.part = {4 * H, 0, H})}, "4608 values", "6144"},
        {{SLOT("neox.weight", "", 0, NH, D, NULL), HF(.part = {3 * H, 0, H - 1})}, "[24, 64]", "5 of 18"},
        {{SLOT("gpt2.weight", "", 0, F, D, NULL), HF(.part = {3 * F, 0, F})}, "rows of 96", "rows of 64"},
        {{SLOT("experts.%e.up.weight", "", E, F, D + 1, NULL)}, "rows of 64", "rows of 65"},
        {{SLOT("dbrx.w2", "", E + 1, D, F, NULL), HF(.transposed = true)}, "6144 values", "8192"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        Error err = {0};
        assert_int_equal(find_as("model.safetensors", &bad[i].given, &err), BAD_FILE);
        if (!strstr(err.text, bad[i].has) || !strstr(err.text, bad[i].wanted))
            print_error("%s\n", err.text), assert_true(false);
    }
}

/* Configs are other people's: a count of experts is neither believed nor does it overflow. */
static void an_expert_too_many_is_missed_by_name(void **state)
{
    (void)state;
    Error err = {0};
    Case more = {SLOT("experts.%e.up.weight", "", E + 1, F, D, NULL)};
    assert_int_equal(find_as("model.safetensors", &more, &err), BAD_FILE);
    assert_non_null(strstr(err.text, "layer.5.experts.3.up.weight"));
    more.experts = WEIGHT_EXPERTS_MAX + 1;
    assert_int_equal(find_as("model.safetensors", &more, &err), BAD_FILE);
    more.experts = WEIGHT_EXPERTS_MAX, more.rows = more.width = INT32_MAX;
    assert_int_equal(find_as("model.safetensors", &more, &err), BAD_FILE);
}

static void blocks_are_not_cut(void **state)
{
    (void)state;
    static const Case cut[] = {
        {SLOT("", "whole.weight", 0, D, F, NULL), GGUF(.transposed = true)},
        {SLOT("", "whole.weight", 0, F, D / 2, NULL), GGUF(.width_part = {D, 0, D / 2})},
        {SLOT("", "whole.weight", 0, F, D, NULL), GGUF(.groups = {2, 2, D / 4, true})},
    };
    Error err = {0};
    write_gguf("model.safetensors", "q8.gguf", format_find("Q8_0"));
    for (size_t i = 0; i < COUNT_OF(cut); i++) {
        assert_int_equal(find_as("q8.gguf", &cut[i], &err), UNSUPPORTED);
        assert_non_null(strstr(err.text, "'blk.5.whole.weight' is Q8_0"));
    }
    unlink(in_directory("q8.gguf"));
}

/* A fused tensor of a GGUF has no room for "not there": a part that the checkpoint lacks would be written as noise. */
static void a_tensor_of_a_gguf_is_written_whole_or_not_at_all(void **state)
{
    (void)state;
    Checkpoint c;
    TensorPlans plans;
    WeightList list = {0};
    Error err = {0};
    open_store(&c, "model.safetensors");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].want == neox_q || cases[i].want == neox_v)
            declare(&list, &cases[i], &slots[i]);
    assert_int_equal(tensor_plans_init(&plans, &c, &list, &err), UNSUPPORTED);
    assert_non_null(strstr(err.text, "'blk.5.attn_qkv.weight' of a GGUF has 4608 values, and the checkpoint gives 3072"));
    weight_list_deinit(&list);
    checkpoint_close(&c);
}

/* ---- all of a model ---- */

static const Arch arch = {.names = {"test"}, .ignores = {"mix.weight"}};

/* Checks the list without the cases for which `left_out` is what they want. */
static Err check_without(float (*left_out)(int, int, int), Model *m, Error *err)
{
    Checkpoint c;
    WeightList list = {0};
    *m = (Model){.arch = &arch};
    open_store(&c, "model.safetensors");
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        if (cases[i].want != left_out)
            declare(&list, &cases[i], &slots[i])->read_share = cases[i].want == apart ? 1.0f / E : 0;
    Err result = weights_check(&c, m, &list, err);
    weight_list_deinit(&list);
    checkpoint_close(&c);
    return result;
}

static void every_value_of_the_file_must_belong_to_somebody(void **state)
{
    (void)state;
    static const struct {
        float (*left_out)(int, int, int);
        const char *said;
    } bad[] = {
        {norm, "tensor 'layer.5.norm.weight' is not one"},
        {neox_k, "tensor 'layer.5.neox.weight' has 4608 values, of which family 'test' uses 3072"},
        {apart, "layer.5.experts.0.up.weight"},
        {oss_up, "tensor 'layer.5.oss.gate_up' has 12288 values, of which family 'test' uses 6144"},
    };
    Error err = {0};
    Model m;
    assert_int_equal(check_without(NULL, &m, &err), OK);
    assert_int_equal(check_without(mix, &m, &err), OK); /* one that the family ignores */
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(check_without(bad[i].left_out, &m, &err), UNSUPPORTED);
        if (!strstr(err.text, bad[i].said))
            print_error("%s\n", err.text), assert_true(false);
    }
}

/* Checkpoints carry layers for guessing ahead, which a model of 3 layers does not need; another layer it would. */
static void layers_that_guess_ahead_are_passed_over_and_no_others(void **state)
{
    (void)state;
#define TENSOR(name, at, to) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" at "," to "]}"
    static const struct { const char *header; bool drafts, taken; } files[] = {
        {"{" TENSOR("model.layers.3.eh_proj.weight", "0", "4") "," TENSOR("model.layers.3.x", "4", "8") "}", true, true},
        {"{" TENSOR("model.layers.3.eh_proj.weight", "0", "4") "," TENSOR("model.layers.2.x", "4", "8") "}", true, false},
        {"{" TENSOR("model.layers.3.eh_proj.weight", "0", "4") "," TENSOR("model.layers.3.x", "4", "8") "}", false, false},
        {"{" TENSOR("model.layers.3.q", "0", "4") "," TENSOR("model.layers.3.x", "4", "8") "}", true, false},
        {"{" TENSOR("mtp.layers.0.x", "0", "4") "," TENSOR("model.mtp_block.0.x", "4", "8") "}", true, true},
        {"{" TENSOR("mtp.layers.0.x", "0", "4") "," TENSOR("model.mtp.layers.0.x", "4", "8") "}", false, false},
    };
#undef TENSOR
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        Arch family = {.names = {"test"}, .draft_layers = files[i].drafts};
        Model m = {.arch = &family, .shape = {.L = 3}};
        Checkpoint c = {.keys = {.where = "config", .family = "test"}};
        WeightList list = {0};
        Error err;
        uint8_t file[512] = {0};
        size_t bytes = strlen(files[i].header);
        file[0] = (uint8_t)bytes, file[1] = (uint8_t)(bytes >> 8);
        memcpy(file + 8, files[i].header, bytes);
        assert_int_equal(store_open_bytes(span_of(file, 8 + bytes + 8), "file", &c.store, &err), OK);
        assert_int_equal(weights_check(&c, &m, &list, &err), files[i].taken ? OK : UNSUPPORTED);
        store_free(c.store);
    }
}

/* The roofline holds what a token reads against the bandwidth; parameters are what the model is said to have. */
static void experts_count_whole_but_are_read_in_part(void **state)
{
    (void)state;
    Error err;
    Model m;
    int64_t elems = 0;
    for (int i = 0; i < source_count; i++) {
        int64_t product = 1;
        for (int d = 0; d < sources[i].dims; d++)
            product *= sources[i].dim[d];
        elems += product;
    }
    assert_int_equal(check_without(NULL, &m, &err), OK);
    assert_int_equal(m.parameters, elems);
    assert_true(fabs(m.weight_bytes - 4.0 * (double)(elems - (E - 1) * F * D)) < 1);
}

/* Real checkpoints of one family come with and without the name of the whole before all others. */
static void a_beginning_that_a_checkpoint_lacks_is_left_out_of_names(void **state)
{
    (void)state;
    WeightList list = {.hf_without = "transformer."};
    Tensor slot;
    assert_string_equal(weight_vector(&list, &slot, "transformer.h.%d.ln", "", 3, D)->hf.name, "h.3.ln");
    assert_string_equal(weight_vector(&list, &slot, "lm_head.transformer.x", "", 3, D)->hf.name, "lm_head.transformer.x");
    weight_list_deinit(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_slot_gets_its_values_from_a_checkpoint),
        cmocka_unit_test(a_described_slot_has_the_shape_and_format_of_the_bound_one),
        cmocka_unit_test(what_is_written_to_a_gguf_is_read_back_bit_by_bit),
        cmocka_unit_test(a_gguf_holds_what_llama_cpp_wants_where_it_wants_it),
        cmocka_unit_test(rows_of_a_quantised_tensor_stay_quantised),
        cmocka_unit_test(a_wrong_shape_is_refused_with_both_numbers),
        cmocka_unit_test(an_expert_too_many_is_missed_by_name),
        cmocka_unit_test(blocks_are_not_cut),
        cmocka_unit_test(a_tensor_of_a_gguf_is_written_whole_or_not_at_all),
        cmocka_unit_test(every_value_of_the_file_must_belong_to_somebody),
        cmocka_unit_test(layers_that_guess_ahead_are_passed_over_and_no_others),
        cmocka_unit_test(experts_count_whole_but_are_read_in_part),
        cmocka_unit_test(a_beginning_that_a_checkpoint_lacks_is_left_out_of_names),
    };
    return cmocka_run_group_tests(tests, make_checkpoint, remove_checkpoint);
}
