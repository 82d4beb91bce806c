/* prepare_cpu.c -- activations as the loops of products read them: see product.h. */
#include "formats/a8/a8.h"
#include "kernels/kit/simd.h"
#include "kernels/linear/product.h"

XKind TIERED(x_kind)(Tensor w)
{
    if (w.format->activation == &format_f32)
        return X_AS_IS;
    ASSERT(w.format->activation == &format_a8);
    return w.packing == PACKING_PANELS ? X_BLOCKS : X_ROUNDED;
}

size_t TIERED(x_row_bytes)(XKind kind, int64_t width)
{
    return kind == X_BLOCKS ? (size_t)(width / PANEL_BLOCK) * sizeof(XBlock) : (size_t)width * sizeof(float);
}

/* As a8.h says: the same bits as from a8_encode(). */
void TIERED(x_block)(XBlock *b, const float *x)
{
    Vf x0 = vf_load(x), x1 = vf_load(x + 16);
    Vi magnitude = vi_all(INT32_MAX);
    int32_t largest = vi_most(vi_max(vi_and(vf_bits(x0), magnitude), vi_and(vf_bits(x1), magnitude)));
    float amax;
    memcpy(&amax, &largest, sizeof amax);
    if (largest >= 0x7f800000 || amax < A8_AMAX_MIN) {
        float d = largest >= 0x7f800000 ? __builtin_nanf("") : 0;
        *b = (XBlock){.d = d, .dsum = {d, d, d}};
        return;
    }
    Vf inverse = vf_all(127 / amax);
    Vi q0 = vi_of_f(vf_mul(x0, inverse)), q1 = vi_of_f(vf_mul(x1, inverse));
    int32_t sum0 = vi_sum(q0), sum1 = vi_sum(q1), sum = sum0 + sum1;
    vi_to_i8(b->q, q0);
    vi_to_i8(b->q + 16, q1);
    b->d = amax / 127;
    b->start[0] = DOT_START(sum);
    b->start[1] = DOT_START(sum0);
    b->start[2] = DOT_START(sum1);
    b->dsum[0] = b->d * (float)sum;
    b->dsum[1] = b->d * (float)sum0;
    b->dsum[2] = b->d * (float)sum1;
    b->unused = 0;
}

void TIERED(x_round)(float *to, const float *x)
{
    XBlock b;
    TIERED(x_block)(&b, x);
    for (int i = 0; i < PANEL_BLOCK; i += LANES)
        vf_store(to + i, vf_mul(vf_all(b.d), vf_of_i(vi_of_i8(b.q + i))));
}

static bool has_kind(XKind kind, const Tensor *weights, int n)
{
    for (int i = 0; i < n; i++)
        if (TIERED(x_kind)(weights[i]) == kind)
            return true;
    return false;
}

/* The memory holds all rows as XBlocks, if some weight reads those, then all rows as rounded f32. */
static size_t rounded_offset(Tensor x, const Tensor *weights, int n)
{
    return has_kind(X_BLOCKS, weights, n) ? (size_t)x.dim[0] * TIERED(x_row_bytes)(X_BLOCKS, tensor_width(x)) : 0;
}

size_t TIERED(prepared_bytes)(Tensor x, const Tensor *weights, int n)
{
    size_t rounded = 0;
    if (has_kind(X_ROUNDED, weights, n))
        rounded = (size_t)x.dim[0] * TIERED(x_row_bytes)(X_ROUNDED, tensor_width(x));
    return rounded_offset(x, weights, n) + rounded;
}

void TIERED(prepare)(Tensor x, const Tensor *weights, int n, void *memory, CpuPart part)
{
    bool blocks = has_kind(X_BLOCKS, weights, n), rounded = has_kind(X_ROUNDED, weights, n);
    if (!blocks && !rounded)
        return;
    float *to = (float *)((uint8_t *)memory + rounded_offset(x, weights, n));
    int64_t of_row = tensor_width(x) / PANEL_BLOCK;
    Range range = part_range(part, of_row * x.dim[0], 1);
    for (int64_t i = range.from; i < range.to; i++) {
        const float *from = (const float *)tensor_row(x, i / of_row) + i % of_row * PANEL_BLOCK;
        if (blocks)
            TIERED(x_block)((XBlock *)memory + i, from);
        if (rounded)
            TIERED(x_round)(to + i * PANEL_BLOCK, from);
    }
}

Prepared TIERED(prepared)(Tensor x, const Tensor *weights, int n, int i, void *memory)
{
    XKind kind = TIERED(x_kind)(weights[i]);
    if (kind == X_AS_IS)
        return (Prepared){x.data, format_row_bytes(&format_f32, x.row_elems), x.dim[0]};
    size_t offset = kind == X_ROUNDED ? rounded_offset(x, weights, n) : 0;
    return (Prepared){(uint8_t *)memory + offset, TIERED(x_row_bytes)(kind, tensor_width(x)), x.dim[0]};
}
