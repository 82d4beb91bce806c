/* Cases of the operations that keep a state (StateView in core/kv_view.h). */
#include "base/half.h"
#include "kernel_case_parts.h"

#include <math.h>
#include <string.h>

enum { SEQUENCES = 3, SNAPSHOTS = 2 };

/* Some sequences of some rows: c->rows, and the row's sequence of each. */
static Tensor choose_rows(KernelCase *c, int32_t *sequences)
{
    int32_t rows_of[SEQUENCES];
    *sequences = 1 + below(c, SEQUENCES);
    for (int32_t s = 0; s < *sequences; s++)
        c->rows += rows_of[s] = size_up_to(c, one_in(c, 3) ? 70 : 9);
    Tensor row_seq = numbers(c, c->rows);
    for (int32_t s = 0, r = 0; s < *sequences; s++)
        for (int32_t i = 0; i < rows_of[s]; i++)
            tensor_i32(row_seq)[r++] = s;
    return row_seq;
}

/* Slots 0 to sequences - 1 are the sequences' own, turned; the others are snapshots, which two may share.
 * What lies in a slot that is only written is NaN. */
static void choose_slots(KernelCase *c, Tensor state, int32_t sequences, int32_t *from, int32_t *to)
{
    int32_t turn = below(c, sequences);
    for (int32_t s = 0; s < sequences; s++) {
        to[s] = (s + turn) % sequences;
        from[s] = one_in(c, 3) ? -1 : one_in(c, 2) ? to[s] : sequences + below(c, SNAPSHOTS);
        if (from[s] != to[s])
            memset(tensor_row(state, to[s]), 0xFF, tensor_row_bytes(state));
    }
}

/* Fills the state and what belongs to it; `at` is the input that `from` becomes. */
static void make_state(KernelCase *c, int at, int32_t width, Tensor row_seq, int32_t sequences)
{
    Tensor from = numbers(c, sequences), to = numbers(c, sequences);
    c->call.reads_out = true;
    c->call.out[1] = floats(c, sequences + SNAPSHOTS, width, 1);
    choose_slots(c, c->call.out[1], sequences, tensor_i32(from), tensor_i32(to));
    c->call.in[at] = from;
    c->call.in[at + 1] = to;
    c->call.in[at + 2] = row_seq;
    c->state_from = at;
    c->outs_by_row = 1;
    c->rows_alone = true;
    say(c, "rows %d of %d sequences", c->rows, sequences);
}

static Tensor rows_of(KernelCase *c, int input, int32_t width, float size)
{
    c->ins_by_row |= 1u << input;
    return c->call.in[input] = floats(c, c->rows, width, size);
}

static Tensor heads_of(KernelCase *c, int input, int32_t heads, int32_t width, float size)
{
    return c->call.in[input] = tensor_heads(rows_of(c, input, heads * width, size), heads);
}

/* Values become f(value), where an operation wants them in a range. */
static void shape(Tensor t, float (*f)(float))
{
    for (int32_t r = 0; r < t.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(t); i++)
            ((float *)tensor_row(t, r))[i] = f(((float *)tensor_row(t, r))[i]);
}
static float to_decay(float x) { return 1 / (1 + expf(-2 * x - 1)); }
static float to_negative(float x) { return -expf(x); }
/* Rounded, so that the libm of another processor makes the same cases. */
static float to_step(float x) { return bf16_round(log1pf(expf(x - 2))); }

void make_conv(KernelCase *c)
{
    int32_t width = size_up_to(c, 200), taps = one_in(c, 2) ? 3 + below(c, 2) : 1 + below(c, 20), sequences;
    Tensor row_seq = choose_rows(c, &sequences), x = rows_of(c, 0, width, 1);
    c->call.in[1] = floats(c, width, taps, 1);
    c->call.in[2] = vector_or_none(c, width);
    c->call.out[0] = one_in(c, 2) ? x : floats(c, c->rows, width, 1);
    c->call.activation = one_in(c, 2) ? SILU : (Activation)below(c, ACTIVATIONS);
    c->typical = c->call.activation == EXP ? 20 : 1;
    make_state(c, 3, (taps - 1) * width, row_seq, sequences);
    say(c, ", width %d, taps %d, function %d", width, taps, c->call.activation);
}

void make_selective_scan(KernelCase *c)
{
    int32_t width = size_up_to(c, 100), states = one_in(c, 2) ? 16 : size_up_to(c, 300), sequences;
    Tensor row_seq = choose_rows(c, &sequences), x = rows_of(c, 0, width, 1), dt = rows_of(c, 1, width, 2);
    shape(dt, to_step);
    rows_of(c, 2, states, 1);
    rows_of(c, 3, states, 1);
    shape(c->call.in[4] = floats(c, width, states, 1), to_negative);
    c->call.in[5] = vector_or_none(c, width);
    c->call.out[0] = one_in(c, 3) ? x : one_in(c, 2) ? dt : floats(c, c->rows, width, 1);
    c->typical = 1;
    make_state(c, 6, states * width, row_seq, sequences);
    say(c, ", width %d, states %d", width, states);
}

void make_decay_scan(KernelCase *c)
{
    int32_t groups = 1 + below(c, 3), heads = groups * (1 + below(c, 3)), N = size_up_to(c, 70), P = size_up_to(c, 70);
    int32_t sequences;
    Tensor row_seq = choose_rows(c, &sequences);
    heads_of(c, 0, groups, N, 1);
    heads_of(c, 1, groups, N, 1);
    heads_of(c, 2, heads, P, 1);
    if (one_in(c, 3))
        c->call.in[3] = vector(c, heads, 2);
    else
        rows_of(c, 3, heads, 2);
    shape(c->call.in[3], to_decay);
    c->call.out[0] = tensor_heads(floats(c, c->rows, heads * P, 1), heads);
    c->typical = 1;
    make_state(c, 4, heads * N * P, row_seq, sequences);
    say(c, ", heads %d of %d groups, N %d, P %d", heads, groups, N, P);
}

void make_linear_scan(KernelCase *c)
{
    int32_t width = size_up_to(c, 300), sequences;
    Tensor row_seq = choose_rows(c, &sequences), b = rows_of(c, 1, width, 1);
    shape(rows_of(c, 0, width, 2), to_decay);
    c->call.out[0] = one_in(c, 2) ? b : floats(c, c->rows, width, 1);
    c->call.scan.keeps_size = one_in(c, 2);
    make_state(c, 2, width, row_seq, sequences);
    say(c, ", width %d%s", width, c->call.scan.keeps_size ? ", keeps its size" : "");
}

/* Keys of length 1, so that a correction never overshoots. */
static void to_units(Tensor t, int32_t heads, int32_t N)
{
    for (int32_t r = 0; r < t.dim[0]; r++)
        for (int32_t h = 0; h < heads; h++) {
            float *k = (float *)tensor_row(t, r) + h * N, sum = 1e-6f;
            for (int32_t n = 0; n < N; n++)
                sum += k[n] * k[n];
            for (int32_t n = 0; n < N; n++)
                k[n] /= sqrtf(sum);
        }
}

void make_delta_scan(KernelCase *c)
{
    int32_t key_heads = 1 + below(c, 3), shared = 1 + below(c, 3), heads = key_heads * shared, sequences;
    int32_t N = size_up_to(c, 70), P = size_up_to(c, 70);
    bool per_channel = one_in(c, 2);
    Tensor row_seq = choose_rows(c, &sequences);
    heads_of(c, 0, key_heads, N, 1 / sqrtf((float)N));
    heads_of(c, 1, key_heads, N, 1);
    to_units(c->call.in[1], key_heads, N);
    Tensor v = heads_of(c, 2, heads, P, 1);
    shape(rows_of(c, 3, per_channel ? heads * N : heads, 1), to_decay);
    shape(rows_of(c, 4, heads, 1), to_decay);
    c->call.out[0] = one_in(c, 2) ? v : tensor_heads(floats(c, c->rows, heads * P, 1), heads);
    make_state(c, 5, heads * N * P, row_seq, sequences);
    say(c, ", heads %d over %d, N %d, P %d%s", heads, key_heads, N, P, per_channel ? ", decay per channel" : "");
}

static float to_weight(float x) { return 1 + fabsf(x); }

void make_wkv_scan(KernelCase *c)
{
    int32_t C = size_up_to(c, 200), sequences;
    Tensor row_seq = choose_rows(c, &sequences);
    rows_of(c, 0, C, one_in(c, 3) ? 30 : 2);
    Tensor v = rows_of(c, 1, C, 1);
    c->call.in[2] = vector(c, C, 2);
    shape(c->call.in[2], to_negative);
    c->call.in[3] = vector(c, C, 1);
    c->call.out[0] = one_in(c, 2) ? v : floats(c, c->rows, C, 1);
    make_state(c, 4, 3 * C, row_seq, sequences);
    shape(tensor_columns(c->call.out[1], C, C), to_weight);
    say(c, ", width %d", C);
}

void make_mlstm_scan(KernelCase *c)
{
    int32_t heads = 1 + below(c, 3), N = size_up_to(c, 70), P = size_up_to(c, 70), sequences;
    Tensor row_seq = choose_rows(c, &sequences);
    heads_of(c, 0, heads, N, 1 / sqrtf((float)N));
    heads_of(c, 1, heads, N, 1);
    Tensor v = heads_of(c, 2, heads, P, 1);
    rows_of(c, 3, heads, 3);
    rows_of(c, 4, heads, 5);
    c->call.eps = 1e-6f;
    c->call.out[0] = one_in(c, 2) ? v : tensor_heads(floats(c, c->rows, heads * P, 1), heads);
    make_state(c, 5, heads * (N * P + N + 1), row_seq, sequences);
    c->typical = 1;
    say(c, ", heads %d, N %d, P %d", heads, N, P);
}

static float to_nothing(float x) { return 0 * x; }

/* A state is the sum of what features bring, so that divisors are positive: here it has seen nothing. */
void make_taylor_scan(KernelCase *c)
{
    int32_t heads = 1 + below(c, 3), F = size_up_to(c, 17), P = size_up_to(c, 70), sequences;
    int32_t M = 1 + F + F * (F + 1) / 2;
    Tensor row_seq = choose_rows(c, &sequences);
    heads_of(c, 0, heads, F, 1 / sqrtf((float)F));
    heads_of(c, 1, heads, F, 1);
    Tensor v = heads_of(c, 2, heads, P, 1);
    c->call.eps = 1e-12f;
    c->call.out[0] = one_in(c, 2) ? v : tensor_heads(floats(c, c->rows, heads * P, 1), heads);
    make_state(c, 3, heads * M * (P + 1), row_seq, sequences);
    shape(tensor_columns(c->call.out[1], heads * M * P, heads * M), to_nothing);
    c->typical = 1;
    say(c, ", heads %d, F %d, P %d", heads, F, P);
}

/* |lambda| < 1 */
static void to_oscillations(Tensor t)
{
    for (int32_t r = 0; r < t.dim[0]; r++)
        for (int64_t i = 0; i < tensor_width(t); i += 2) {
            float *pair = (float *)tensor_row(t, r) + i, size = to_decay(pair[0]), angle = 3 * pair[1];
            pair[0] = size * cosf(angle);
            pair[1] = size * sinf(angle);
        }
}

void make_complex_scan(KernelCase *c)
{
    int32_t C = size_up_to(c, 70), modes = size_up_to(c, 33), sequences;
    Tensor row_seq = choose_rows(c, &sequences), x = rows_of(c, 0, C, 1);
    c->call.in[1] = floats(c, C, 2 * modes, 1);
    to_oscillations(c->call.in[1]);
    c->call.in[2] = floats(c, C, 2 * modes, 1);
    c->call.in[3] = vector_or_none(c, C);
    c->call.out[0] = one_in(c, 2) ? x : floats(c, c->rows, C, 1);
    make_state(c, 4, 2 * C * modes, row_seq, sequences);
    c->typical = sqrtf((float)modes);
    say(c, ", width %d, modes %d", C, modes);
}

void make_shift_scan(KernelCase *c)
{
    int32_t C = size_up_to(c, 70), N = size_up_to(c, 70), sequences;
    Tensor row_seq = choose_rows(c, &sequences), x = rows_of(c, 0, C, 1);
    c->call.in[1] = floats(c, C, N, 1);
    c->call.in[2] = floats(c, C, N, 1);
    c->call.in[3] = vector_or_none(c, C);
    c->call.out[0] = one_in(c, 2) ? x : floats(c, c->rows, C, 1);
    make_state(c, 4, C * N, row_seq, sequences);
    c->typical = (float)N;
    say(c, ", width %d, places %d", C, N);
}

void make_discretise(KernelCase *c)
{
    int32_t spaces = size_up_to(c, 20), C = spaces * (1 + below(c, 3)), modes = size_up_to(c, 70);
    bool alone = C == spaces;
    c->rows = C;
    c->call.in[0] = vector(c, C, 1);
    shape(c->call.in[0], to_step);
    c->call.in[1] = floats(c, spaces, modes, 1);
    shape(c->call.in[1], to_negative);
    c->call.in[2] = floats(c, spaces, modes, one_in(c, 2) ? 100 : 1);
    c->call.in[3] = floats(c, C, 2 * modes, 1);
    if (one_in(c, 2))
        c->call.in[4] = floats(c, spaces, 2 * modes, 1);
    c->call.out[0] = floats(c, C, 2 * modes, 1);
    c->call.out[1] = floats(c, C, 2 * modes, 1);
    c->call.discretise = one_in(c, 2) ? BILINEAR : ZERO_ORDER_HOLD;
    c->ins_by_row = tensor_is_none(c->call.in[4]) ? 15 : 31;
    c->outs_by_row = 3;
    c->rows_alone = alone;
    say(c, "width %d of %d spaces, modes %d, %s", C, spaces, modes, c->call.discretise == BILINEAR ? "bilinear" : "hold");
}
