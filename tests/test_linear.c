/* Products on every tier: the fast kernels against the reference, and against each other bit by bit. */
#include "test.h"

#include <math.h>

#include "base/checked.h"
#include "base/cpu_tier.h"
#include "base/team.h"
#include "formats/a8/a8.h"
#include "formats/panel.h"
#include "kernels/cpu_kernel.h"
#include "kernels/linear/product.h"
#include "kernels/op_spec.h"

extern const CpuKernel kernel_linear_reference;
#define KERNELS_OF(x, NAME, tier) \
    extern const CpuKernel kernel_linear_##tier, kernel_linear3_##tier, kernel_gated_mlp_##tier, kernel_gate_##tier;
#define kernel_gate_amx kernel_gate_avx512   /* no product */
CPU_TIERS(KERNELS_OF, )
CPU_TIERS_OF_PRODUCTS(KERNELS_OF, )
extern const OpSpec spec_linear;

typedef struct Tier {
    const char *name;
    const CpuKernel *linear, *linear3, *gated_mlp, *gate;
    const Panel *(*find)(const Format *);
} Tier;

static const Tier tiers[] = {
#define TIER_OF(x, NAME, tier) \
    {#tier, &kernel_linear_##tier, &kernel_linear3_##tier, &kernel_gated_mlp_##tier, &kernel_gate_##tier, panel_find_##tier},
    CPU_TIERS(TIER_OF, )
    CPU_TIERS_OF_PRODUCTS(TIER_OF, )
};

enum { TIERS = COUNT_OF(tiers) };

static bool has_tier(int i)
{
    return TIER_REFERENCE + 1 + i <= (int)cpu_best_tier();
}

static uint32_t state = 1;
static float random_float(void)   /* about normal, standard deviation 1 */
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        state = state * 1664525 + 1013904223;
        sum += (float)(state >> 8) * 0x1p-24f - 0.5f;
    }
    return sum * 1.7f;
}

#define FAIL_WITH(...) (print_error(__VA_ARGS__), assert_true(false))

/* Memory between guard bytes. */
enum { GUARD = 192, GUARD_BYTE = 0xa5, THREADS_MAX = 16 };
typedef struct Guarded {
    uint8_t *whole, *data;
    size_t bytes;
} Guarded;

static Guarded guarded(size_t bytes)
{
    Guarded g = {.bytes = bytes};
    g.whole = aligned_alloc(64, (bytes + 2 * GUARD + 63) / 64 * 64);
    assert_non_null(g.whole);
    g.data = g.whole + GUARD;
    memset(g.whole, GUARD_BYTE, bytes + 2 * GUARD);
    memset(g.data, 0, bytes);
    return g;
}

static void release(Guarded g)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(g.whole[i], GUARD_BYTE);
        assert_int_equal(g.data[g.bytes + i], GUARD_BYTE);
    }
    free(g.whole);
}

/* The threads of a team, one after another in each phase. Every other call they help one another, so the first does most. */
static void run(const CpuKernel *kernel, const OpCall *call, int threads)
{
    static CpuTaken taken[THREADS_MAX];
    static uint64_t calls;
    size_t bytes = kernel->scratch_bytes ? kernel->scratch_bytes(call) : 0;
    Guarded scratch = guarded(bytes);
    assert_true(threads <= THREADS_MAX);
    calls++;
    for (int phase = 0; phase < kernel->phases; phase++)
        for (int i = 0; i < threads; i++)
            kernel->run(call, phase, (CpuPart){i, threads, scratch.data, calls % 2 ? taken : NULL, calls});
    release(scratch);
}

static Guarded encoded(const Format *f, int out, int in)
{
    Guarded w = guarded((size_t)out * format_row_bytes(f, in));
    float *x = malloc(sizeof(float) * (size_t)in);
    for (int o = 0; o < out; o++) {
        for (int k = 0; k < in; k++)
            x[k] = random_float() * (o % 3 ? 0.1f : 1) + (o % 5 ? 0 : 0.2f);
        f->encode(w.data + (size_t)o * format_row_bytes(f, in), x, (size_t)in, NULL);
    }
    free(x);
    return w;
}

static Guarded packed(const Panel *panel, Guarded w, int out, int in)
{
    size_t bytes = panel->bytes(in), row_bytes = format_row_bytes(panel->format, in);
    assert_int_equal(bytes % 64, 0);
    Guarded p = guarded(bytes * (size_t)panel_count(out));
    for (int o = 0; o < out; o += PANEL_ROWS)
        panel->pack(p.data + (size_t)(o / PANEL_ROWS) * bytes, w.data + (size_t)o * row_bytes, row_bytes,
                    out - o < PANEL_ROWS ? out - o : PANEL_ROWS, in);
    return p;
}

/* Of a row of x: with weights of deviation 0.1 to 1 it is what the outputs are like, even if there are
 * so few of them that all happen to be near 0. */
static float norm(const float *x, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrtf(sum);
}

typedef struct Case {
    const Format *format;
    int rows, out, in;
    bool bias, adds;
} Case;

static bool agree(const float *fast, const float *exact, int n, float typical, float tolerance)
{
    float largest = typical, worst = 0;
    for (int i = 0; i < n; i++) {
        largest = fmaxf(largest, fabsf(exact[i]));
        worst = fmaxf(worst, fabsf(fast[i] - exact[i]));
    }
    if (!(worst <= tolerance * largest))
        print_error("differs by %g of %g: ", (double)worst, (double)largest);
    return worst <= tolerance * largest;
}

/* One product on all tiers: rows of x and y are slices of wider ones, as after tensor_columns(). */
static void check_case(Case c)
{
    enum { MORE = 5 };
    int wide = c.in + (c.format->activation == &format_f32 ? MORE : 32), y_wide = c.out + MORE;
    Guarded w = encoded(c.format, c.out, c.in);
    Guarded x = guarded(sizeof(float) * (size_t)wide * (size_t)c.rows), bias = guarded(sizeof(float) * (size_t)c.out);
    Guarded y[1 + TIERS];   /* the reference's first */
    for (int i = 0; i < c.rows * wide; i++)
        ((float *)x.data)[i] = random_float();
    for (int i = 0; i < c.out; i++)
        ((float *)bias.data)[i] = random_float();
    size_t y_bytes = sizeof(float) * (size_t)y_wide * (size_t)c.rows;
    for (int i = 0; i < 1 + TIERS; i++) {
        y[i] = guarded(y_bytes);
        for (int j = 0; j < c.rows * y_wide; j++)
            ((float *)y[i].data)[j] = (float)(j % 7);
    }
    OpCall call = {.op = OP_LINEAR, .reads_out = c.adds,
                   .in = {tensor_columns(tensor_of(x.data, &format_f32, c.rows, wide), 0, c.in),
                          tensor_of(w.data, c.format, c.out, c.in)}};
    if (c.bias)
        call.in[2] = tensor_vector(bias.data, &format_f32, c.out);
    call.out[0] = tensor_columns(tensor_of(y[0].data, &format_f32, c.rows, y_wide), 0, c.out);
    run(&kernel_linear_reference, &call, 2);

    for (int t = 0; t < TIERS; t++) {
        const Panel *panel = tiers[t].find(c.format);
        if (!has_tier(t) || !panel)
            continue;
        Guarded p = packed(panel, w, c.out, c.in);
        call.in[1].data = p.data;
        call.in[1].packing = 1;
        call.out[0].data = y[1 + t].data;
        assert_true(!tiers[t].linear->takes || tiers[t].linear->takes(&call));
        run(tiers[t].linear, &call, 1 + c.rows % 3);
        for (int r = 0; r < c.rows; r++) {
            const float *fast = (const float *)y[1 + t].data + r * y_wide;
            float typical = 0.1f * norm((const float *)x.data + r * wide, c.in);
            if (!agree(fast, (const float *)y[0].data + r * y_wide, c.out, typical, spec_linear.tolerance))
                FAIL_WITH("%s %s: %d rows, %d x %d, row %d\n", c.format->name, tiers[t].name, c.rows, c.out, c.in, r);
            for (int o = c.out; o < y_wide; o++)
                assert_true(fast[o] == (float)((r * y_wide + o) % 7));
        }
        release(p);
    }
    for (int t = 1; t < TIERS && has_tier(t) && tiers[t].find(c.format); t++)
        assert_memory_equal(y[t].data, y[1 + t].data, y_bytes);
    for (int i = 0; i < 1 + TIERS; i++)
        release(y[i]);
    release(bias);
    release(x);
    release(w);
}

static bool multiplies(const Format *f) { return f->activation && f->encode; }

/* Every format that has panels, over shapes at the edges of tiles, panels and blocks: protects each
 * product of each model. */
static void all_formats_agree_with_the_reference(void **context)
{
    (void)context;
    static const int rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 130}, outs[] = {1, 15, 16, 17, 31, 33, 100};
    int formats = 0;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!multiplies(f) || !tiers[0].find(f))
            continue;
        formats++;
        int block = f->block_elems == 1 ? 1 : (int)max_i64(32, f->block_elems);
        for (int n = 0; n < 36; n++) {
            static const int odd[] = {1, 7, 56, 100, 300, 31}, blocks[] = {1, 2, 3, 9};
            int in = block == 1 ? odd[n % 6] : block * (block == 256 && n % 4 == 3 ? 4 : blocks[n % 4]);
            check_case((Case){f, rows[n % 12], outs[(n + n / 12) % 7], in, n % 2, n % 3 == 1});
        }
    }
    assert_true(formats >= 18);
}

/* The rows of x in one call, in calls of 1 to 7, over 1 to 5 threads: protects batch invariance. */
static void a_row_has_the_same_bits_in_any_company(void **context)
{
    (void)context;
    enum { ROWS = 150, OUT = 100 };
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++)
        for (int t = 0; t < TIERS; t++) {
            const Panel *panel = tiers[t].find(f);
            if (!multiplies(f) || !panel || !has_tier(t))
                continue;
            int in = f->block_elems == 1 ? 77 : (int)max_i64(32, f->block_elems) * 6;
            Guarded w = encoded(f, OUT, in), p = packed(panel, w, OUT, in);
            Guarded x = guarded(sizeof(float) * (size_t)(ROWS * in));
            Guarded whole = guarded(sizeof(float) * ROWS * OUT), parts = guarded(sizeof(float) * ROWS * OUT);
            for (int j = 0; j < ROWS * in; j++)
                ((float *)x.data)[j] = random_float();
            OpCall call = {.op = OP_LINEAR, .out = {tensor_of(whole.data, &format_f32, ROWS, OUT)},
                           .in = {tensor_of(x.data, &format_f32, ROWS, in), tensor_of(p.data, f, OUT, in)}};
            call.in[1].packing = 1;
            run(tiers[t].linear, &call, 1);
            for (int from = 0, n = 1; from < ROWS; from += n, n = n % 7 + 1) {
                OpCall part = call;
                n = ROWS - from < n ? ROWS - from : n;
                part.in[0] = tensor_rows(call.in[0], from, n);
                part.out[0] = tensor_rows(tensor_of(parts.data, &format_f32, ROWS, OUT), from, n);
                run(tiers[t].linear, &part, 1 + from % 5);
            }
            assert_memory_equal(whole.data, parts.data, sizeof(float) * ROWS * OUT);
            release(parts);
            release(whole);
            release(x);
            release(p);
            release(w);
        }
}

/* What a panel expands to is what decode() says, in each lane: protects embed, which reads panels. */
static void a_panel_holds_exactly_the_rows_that_were_packed(void **context)
{
    (void)context;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++)
        for (int t = 0; t < TIERS; t++) {
            const Panel *panel = tiers[t].find(f);
            if (!multiplies(f) || !panel || !has_tier(t))
                continue;
            enum { OUT = 21 };
            int in = f->block_elems == 1 ? 77 : f->block_elems > 32 ? 3 * f->block_elems : 7 * 32;
            Guarded w = encoded(f, OUT, in), p = packed(panel, w, OUT, in);
            float *row = malloc(sizeof(float) * (size_t)in), *back = malloc(sizeof(float) * (size_t)in);
            for (int o = 0; o < OUT; o++) {
                f->decode(row, w.data + (size_t)o * format_row_bytes(f, in), (size_t)in);
                panel_row(panel, back, p.data, o, in);
                for (int k = 0; k < in; k++)
                    if (row[k] != back[k])
                        FAIL_WITH("%s %s: row %d, k %d is %g, was %g\n", f->name, tiers[t].name, o, k, (double)back[k],
                                 (double)row[k]);
            }
            free(row);
            free(back);
            release(p);
            release(w);
        }
}

/* An infinity or a NaN in one row of x makes that row NaN or infinite, and no other: protects the
 * requests that share a batch with a broken one. */
static void what_is_not_finite_stays_in_its_row(void **context)
{
    (void)context;
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++)
        for (int t = 0; t < TIERS; t++) {
            const Panel *panel = tiers[t].find(f);
            if (!multiplies(f) || !panel || !has_tier(t))
                continue;
            enum { ROWS = 20, OUT = 20, IN = 512 };
            Guarded w = encoded(f, OUT, IN), p = packed(panel, w, OUT, IN);
            float x[ROWS * IN], y[ROWS * OUT];
            for (int j = 0; j < ROWS * IN; j++)
                x[j] = random_float();
            x[1 * IN + 300] = NAN;
            x[4 * IN + 7] = INFINITY;
            OpCall call = {.op = OP_LINEAR, .out = {tensor_of(y, &format_f32, ROWS, OUT)},
                           .in = {tensor_of(x, &format_f32, ROWS, IN), tensor_of(p.data, f, OUT, IN)}};
            call.in[1].packing = 1;
            run(tiers[t].linear, &call, 2);
            for (int j = 0; j < ROWS * OUT; j++) {
                bool broken = j / OUT == 1 || j / OUT == 4;
                assert_int_equal(isfinite(y[j]) != 0, !broken);
            }
            release(p);
            release(w);
        }
}

/* Rounded to bf16, each product of two numbers is wrong by 2^-8 of it at most, a little more where weights of few bits are
 * made of a scale and a minimum. Fewer rows stay exact, bit by bit. */
static void near_case(const Format *f, const Tier *tier, int rows, int out, int in)
{
    const Panel *panel = tier->find(f);
    Guarded w = encoded(f, out, in), p = packed(panel, w, out, in), x = guarded(sizeof(float) * (size_t)(rows * in));
    Guarded y = guarded(sizeof(float) * (size_t)(rows * out)), exact = guarded(sizeof(float) * (size_t)(rows * out));
    float *row = malloc(sizeof(float) * (size_t)in);
    for (int j = 0; j < rows * in; j++)
        ((float *)x.data)[j] = random_float();
    OpCall call = {.op = OP_LINEAR, .out = {tensor_of(exact.data, &format_f32, rows, out)},
                   .in = {tensor_of(x.data, &format_f32, rows, in), tensor_of(p.data, f, out, in)}};
    call.in[1].packing = 1;
    run(tier->linear, &call, 2);
    call.in[1].near = true;
    call.out[0].data = y.data;
    run(tier->linear, &call, 1 + rows % 3);
    bool takes = panel->pairs && (f->activation == &format_f32 || !strcmp(tier->name, "amx"));
    bool same = !memcmp(y.data, exact.data, y.bytes), rounds = takes && rows >= NEAR_ROWS && in % PANEL_BLOCK == 0;
    assert_int_equal(same, !rounds);
    for (int o = 0; o < out && rounds; o++) {
        f->decode(row, w.data + (size_t)o * format_row_bytes(f, in), (size_t)in);
        for (int r = 0; r < rows; r++) {
            double sum = 0, all = 0, got = (double)((float *)y.data)[r * out + o];
            for (int k = 0; k < in; k++) {
                double product = (double)row[k] * (double)((float *)x.data)[r * in + k];
                sum += product;
                all += fabs(product);
            }
            if (!(fabs(got - sum) <= all / 100))
                FAIL_WITH("%s %s: %d x %d, row %d of %d: %g, not %g\n", f->name, tier->name, out, in, r, rows, got, sum);
        }
    }
    free(row);
    release(exact);
    release(y);
    release(x);
    release(p);
    release(w);
}

static void near_products_are_near(void **context)
{
    (void)context;
    static const int rows[] = {NEAR_ROWS - 1, NEAR_ROWS, 65, 97, 256, 257, 300}, outs[] = {1, 16, 17, 33, 50};
    const Format *f;
    for (int i = 0, n = 0; (f = format_at(i)); i++)
        for (int t = 0; t < TIERS; t++) {
            if (!multiplies(f) || !tiers[t].find(f) || !has_tier(t))
                continue;
            int block = (int)max_i64(32, f->block_elems);
            for (int k = 0; k < 3; k++, n++)
                near_case(f, &tiers[t], rows[n % 7], outs[n % 5], block * (1 + 4 * k * (block == 32)));
            if (f->block_elems == 1)
                near_case(f, &tiers[t], 70, 20, 77);
        }
}

/* A matrix that was not repacked, on the fast tiers: protects formats without panels. */
static void plain_rows_agree_with_the_reference(void **context)
{
    (void)context;
    enum { ROWS = 5, OUT = 37, IN = 512 + 256 };
    const Format *f;
    for (int i = 0; (f = format_at(i)); i++) {
        if (!multiplies(f))
            continue;
        Guarded w = encoded(f, OUT, IN);
        float *x = malloc(sizeof(float) * ROWS * IN), exact[ROWS * OUT], fast[ROWS * OUT];
        for (int j = 0; j < ROWS * IN; j++)
            x[j] = random_float();
        OpCall call = {.op = OP_LINEAR, .out = {tensor_of(exact, &format_f32, ROWS, OUT)},
                       .in = {tensor_of(x, &format_f32, ROWS, IN), tensor_of(w.data, f, OUT, IN)}};
        run(&kernel_linear_reference, &call, 1);
        call.out[0].data = fast;
        for (int t = 0; t < TIERS; t++) {
            if (!has_tier(t))
                continue;
            memset(fast, 0, sizeof fast);
            run(tiers[t].linear, &call, 2);
            for (int r = 0; r < ROWS; r++)
                if (!agree(fast + r * OUT, exact + r * OUT, OUT, 1, spec_linear.tolerance))
                    FAIL_WITH("%s %s, row %d\n", f->name, tiers[t].name, r);
        }
        free(x);
        release(w);
    }
}

/* ---- fused ---- */

enum { FUSED_ROWS_MAX = 140 };

typedef struct Weight {
    Guarded plain, packed;
    Tensor tensor;
} Weight;

static Weight weight_of(int tier, const char *format, int out, int in)
{
    const Format *f = format_find(format);
    assert_non_null(f);
    Weight w = {.plain = encoded(f, out, in)};
    w.packed = packed(tiers[tier].find(f), w.plain, out, in);
    w.tensor = tensor_of(w.packed.data, f, out, in);
    w.tensor.packing = PACKING_PANELS;
    return w;
}

static void weight_release(Weight w)
{
    release(w.plain);
    release(w.packed);
}

static Tensor random_matrix(int rows, int width)
{
    float *x = malloc(sizeof(float) * (size_t)rows * (size_t)width);
    for (int i = 0; i < rows * width; i++)
        x[i] = random_float();
    return tensor_of(x, &format_f32, rows, width);
}

static Tensor copy_of(Tensor t)
{
    void *data = malloc(tensor_bytes(t));
    memcpy(data, t.data, tensor_bytes(t));
    t.data = data;
    return t;
}

static void linear(int tier, Tensor y, Tensor x, Tensor w, Tensor bias, bool adds)
{
    OpCall call = {.op = OP_LINEAR, .reads_out = adds, .out = {y}, .in = {x, w, bias}};
    run(tiers[tier].linear, &call, 1);
}

/* linear3 gives the bits of three linear, also where the formats differ (a K-quant mix, and one whose
 * activations stay floats). */
static void linear3_is_three_linear(void **context)
{
    (void)context;
    static const char *const mixes[][3] = {{"Q8_0", "Q8_0", "Q8_0"}, {"Q4_K", "Q4_K", "Q6_K"}, {"F16", "Q8_0", "F32"}};
    static const int outs[] = {96, 33, 16}, rows[] = {1, 4, 5, FUSED_ROWS_MAX};
    for (int t = 0; t < TIERS; t++)
        for (int m = 0; m < 3 && has_tier(t); m++)
            for (int n = 0; n < 4; n++) {
                Tensor x = random_matrix(rows[n], 512);
                OpCall call = {.op = OP_LINEAR3, .in = {x}};
                Weight w[3];
                for (int i = 0; i < 3; i++) {
                    w[i] = weight_of(t, mixes[m][i], outs[i], 512);
                    call.in[1 + i] = w[i].tensor;
                    call.out[i] = random_matrix(rows[n], outs[i]);
                }
                call.in[5] = random_matrix(1, outs[1]);
                run(tiers[t].linear3, &call, 3);
                for (int i = 0; i < 3; i++) {
                    Tensor y = random_matrix(rows[n], outs[i]);
                    linear(t, y, x, w[i].tensor, call.in[4 + i], false);
                    assert_memory_equal(y.data, call.out[i].data, tensor_bytes(y));
                    free(y.data);
                    free(call.out[i].data);
                    weight_release(w[i]);
                }
                free(call.in[5].data);
                free(x.data);
            }
}

/* gated_mlp gives the bits of its parts. */
static void check_gated_mlp(int t, int rows, const char *format, const char *down_format, int width, Activation act)
{
    enum { IN = 256 };
    Tensor x = random_matrix(rows, IN), y = random_matrix(rows, IN), expected = copy_of(y);
    Weight gate = weight_of(t, format, width, IN), up = weight_of(t, format, width, IN);
    Weight down = weight_of(t, down_format, IN, width);
    OpCall call = {.op = OP_GATED_MLP, .reads_out = true, .activation = act, .out = {y},
                   .in = {x, gate.tensor, up.tensor, down.tensor, random_matrix(1, width), random_matrix(1, width),
                          random_matrix(1, IN)}};
    run(tiers[t].gated_mlp, &call, 1 + rows % 4);

    Tensor g = random_matrix(rows, width), u = random_matrix(rows, width);
    linear(t, g, x, gate.tensor, call.in[4], false);
    linear(t, u, x, up.tensor, call.in[5], false);
    OpCall gating = {.op = OP_GATE, .activation = act, .out = {g}, .in = {g, u}};
    run(tiers[t].gate, &gating, 1);
    linear(t, expected, g, down.tensor, call.in[6], true);
    assert_memory_equal(y.data, expected.data, tensor_bytes(y));

    Tensor owned[] = {x, y, expected, g, u, call.in[4], call.in[5], call.in[6]};
    for (size_t i = 0; i < COUNT_OF(owned); i++)
        free(owned[i].data);
    weight_release(gate);
    weight_release(up);
    weight_release(down);
}

static void gated_mlp_is_its_parts(void **context)
{
    (void)context;
    static const int rows[] = {1, 4, 7, FUSED_ROWS_MAX};
    for (int t = 0; t < TIERS; t++)
        for (int n = 0; n < 4 && has_tier(t); n++) {
            check_gated_mlp(t, rows[n], "Q8_0", "Q8_0", 160, SILU);
            check_gated_mlp(t, rows[n], "Q4_K", "Q6_K", 512, GELU);
            check_gated_mlp(t, rows[n], "BF16", "BF16", 87, GELU_TANH);
            check_gated_mlp(t, rows[n], "F32", "Q4_0", 96, RELU_SQUARED);
        }
}

/* ---- pieces ---- */

enum { PIECES = 40, CALLS = 2000 };
typedef struct Pieces {
    CpuTaken taken[THREADS_MAX];
    uint64_t call;
    _Atomic int times[CPU_WORKS][THREADS_MAX][PIECES];
} Pieces;

/* Of the last work the first thread takes nothing, as if it were held up. */
static void take_pieces(void *context, int index, int count)
{
    Pieces *p = context;
    CpuPart part = {index, count, NULL, p->taken, p->call};
    for (int work = 0; work < CPU_WORKS; work++)
        for (int i = 0; i < part_owners(part); i++) {
            CpuPart owner = part_owner(part, i);
            Share share = part_share(owner, work, PIECES - owner.index);
            for (int64_t piece; (index || work < CPU_WORKS - 1) && (piece = share_take(&share)) >= 0;)
                atomic_fetch_add(&p->times[work][owner.index][piece], 1);
        }
}

static void each_piece_is_taken_once(void **unused)
{
    (void)unused;
    Team *team;
    Error err;
    static Pieces p;
    assert_int_equal(team_new(&team, CPU_OWNERS, false, &err), OK);
    for (p.call = 1; p.call <= CALLS; p.call++)
        team_run(team, CPU_OWNERS, take_pieces, &p);
    team_free(team);
    for (int work = 0; work < CPU_WORKS; work++)
        for (int owner = 0; owner < CPU_OWNERS; owner++)
            for (int piece = 0; piece < PIECES; piece++)
                assert_int_equal(p.times[work][owner][piece], piece < PIECES - owner ? CALLS : 0);
}

static void who_is_alone_takes_all_in_order(void **unused)
{
    (void)unused;
    Share share = part_share((CpuPart){.count = 1}, 0, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(share_take(&share), i);
    assert_int_equal(share_take(&share), -1);
    assert_int_equal(share_take(&share), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_piece_is_taken_once),
        cmocka_unit_test(who_is_alone_takes_all_in_order),
        cmocka_unit_test(all_formats_agree_with_the_reference),
        cmocka_unit_test(a_row_has_the_same_bits_in_any_company),
        cmocka_unit_test(a_panel_holds_exactly_the_rows_that_were_packed),
        cmocka_unit_test(what_is_not_finite_stays_in_its_row),
        cmocka_unit_test(near_products_are_near),
        cmocka_unit_test(plain_rows_agree_with_the_reference),
        cmocka_unit_test(linear3_is_three_linear),
        cmocka_unit_test(gated_mlp_is_its_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
