/* planes.c -- see planes.h. */
#include "formats/planes.h"

#include <string.h>

static const struct {
    const char *name;
    PlaneShape shape;
} kinds[W_NONE] = {
    [W_F32] = {"F32", {0}}, [W_F16] = {"F16", {0}}, [W_BF16] = {"BF16", {0}},
    [W_E4M3] = {"F8_E4M3", {0}}, [W_E5M2] = {"F8_E5M2", {0}},
    [W_Q8_0] = {"Q8_0", {32, 0, 2, 0}},
    [W_Q4_0] = {"Q4_0", {16, 0, 2, 0}},
    [W_Q4_1] = {"Q4_1", {16, 0, 4, 0}},
    [W_Q5_0] = {"Q5_0", {16, 4, 2, 0}},
    [W_Q5_1] = {"Q5_1", {16, 4, 4, 0}},
    [W_IQ4_NL] = {"IQ4_NL", {16, 0, 2, 0}},
    [W_MXFP4] = {"MXFP4", {16, 0, 1, 0}},
    [W_IQ4_XS] = {"IQ4_XS", {16, 0, 1, 2}},
    [W_Q2_K] = {"Q2_K", {8, 0, 2, 4}},
    [W_Q3_K] = {"Q3_K", {8, 4, 2, 2}},
    [W_Q4_K] = {"Q4_K", {16, 0, 2, 4}},
    [W_Q5_K] = {"Q5_K", {16, 4, 2, 4}},
    [W_Q6_K] = {"Q6_K", {16, 8, 2, 2}},
};

WeightKind weight_kind(const Format *f)
{
    for (int k = 0; k < W_NONE; k++)
        if (!strcmp(kinds[k].name, f->name))
            return (WeightKind)k;
    return W_NONE;
}

PlaneShape plane_shape(WeightKind kind)
{
    ASSERT(kind >= W_PLAIN_KINDS && kind < W_NONE);
    return kinds[kind].shape;
}

static size_t rounded(int64_t bytes) { return ((size_t)bytes + PLANES_ALIGN - 1) / PLANES_ALIGN * PLANES_ALIGN; }

Planes planes_at(WeightKind kind, int64_t elems, const void *data)
{
    PlaneShape s = plane_shape(kind);
    Planes p = {.low = data};
    int64_t blocks = elems / PLANE_BLOCK;
    p.high = p.low + rounded(blocks * s.low);
    p.fine = p.high + rounded(blocks * s.high);
    p.coarse = p.fine + rounded(blocks * s.fine);
    return p;
}

size_t planes_bytes(WeightKind kind, int64_t elems)
{
    PlaneShape s = plane_shape(kind);
    int64_t blocks = elems / PLANE_BLOCK;
    return rounded(blocks * s.low) + rounded(blocks * s.high) + rounded(blocks * s.fine) + rounded(blocks / 8 * s.coarse);
}
