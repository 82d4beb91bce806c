/* choose.cu -- see choose.h: the lines of choose_row.c for a block of threads, with the same bits.
 *
 * A block has a row at a time. What it keeps of a row that can still be chosen is a list of ids and weights in scratch,
 * always in the order of ids: a cut goes over some thousand at a time, each thread
 * counting those before its own.
 *
 *     sums     16 lanes go over a block of 512 as choose_scan_cpu.c does; one thread adds up the blocks
 *     cuts     radix selection, 4 bits of the key at a time, in 8 passes; each thread counts in bins of its own
 *     top_k    what is below the k-th best of the threads' own best cannot be among the k best of all, so few are left
 *
 *     scratch of a block   | adjusted logits [V] | ids [V] | weights [V] |
 */
#include "kernels/kit/cuda_kit.h"
#include "kernels/choose/choose_passes.h"

/* The logits after all that acts on single ones; those of the model where nothing does. */
static __device__ const float *adjusted(float *z, const Calls &c, const ChooseHow &how, const float *logits)
{
    if (how.mask < 0 && how.edits == 0)
        return logits;
    const uint32_t *mask = how.mask < 0 ? NULL : c.masks + how.mask * c.mask_step;
    for (int i = threadIdx.x; i < c.vocabulary; i += CHOOSE_THREADS)
        z[i] = !mask || mask[i / 32] >> i % 32 & 1 ? logits[i] : -INFINITY;
    __syncthreads();
    for (int i = threadIdx.x; i < how.edits; i += CHOOSE_THREADS) {
        ChooseEdit e = c.edits[how.edit + i];
        float v = __fadd_rn(z[e.id], e.bias);
        if (e.repeats)
            v = v > 0 ? __fdiv_rn(v, how.repeat) : __fmul_rn(v, how.repeat);
        if (e.count)
            v = __fsub_rn(v, __fadd_rn(__fmul_rn(how.frequency, (float)e.count), how.presence));
        z[e.id] = v;
    }
    __syncthreads();
    return z;
}

/* See choose_row.c: only a filter itself decides, so it need not be the same to the last bit. */
static __device__ float filter_floor(const ChooseHow &how, int vocabulary, float peak, double total)
{
    double least = how.typical_p < 1 ? 0 : how.top_p < 1 ? (1 - (double)how.top_p) * total / vocabulary : (double)how.min_p;
    if (least <= 0)
        return -INFINITY;
    return (float)((double)peak + (log(least) - 1e-3) / (double)how.scale - fabs((double)peak) * 1e-6);
}

static __device__ void keep_mass(List &l, bool typical, float mean, double mass, Room *room)
{
    double parts = ceil(mass * (double)PICK_PARTS);
    Cut cut = find_cut(l, typical ? BY_TYPICAL : BY_WEIGHT, mean, parts > 1 ? (uint64_t)parts : 1, room);
    apply_cut(l, typical ? BY_TYPICAL : BY_WEIGHT, mean, cut, room);
}

static __device__ void keep_typical(List &l, double total, float typical_p, Room *room)
{
    uint64_t parts = 0;
    for (int i = threadIdx.x; i < l.count; i += CHOOSE_THREADS)
        parts += (uint64_t)__float2ll_rz(__fmul_rn(__fmul_rn(l.weight[i], key_of(l, i)), PICK_PARTS));
    parts = all_sum(parts, room);
    keep_mass(l, true, (float)((double)(int64_t)parts / (double)PICK_PARTS / total), (double)typical_p * total, room);
}

/* Leaves in the list the tokens that pass the filters, and returns the sum of their weights. */
static __device__ double filter(List &l, const ChooseHow &how, Room *room)
{
    double total = 0;
    if (how.top_k > 0 && how.top_k < l.vocabulary) {
        gather_best(l, how.top_k, room);
    } else {
        if (how.top_p < 1)
            total = exp_sum(l.z, l.vocabulary, l.peak, l.scale, room);
        float floor = filter_floor(how, l.vocabulary, l.peak, total);
        gather(l, how.mask >= 0 ? fmaxf(floor, -FLT_MAX) : floor, room);
    }
    weigh(l);
    if (total == 0)
        total = weight_sum(l, room);
    if (how.typical_p < 1) {
        keep_typical(l, total, how.typical_p, room);
        total = weight_sum(l, room);
    }
    if (how.top_p < 1)
        keep_mass(l, false, 0, (double)how.top_p * total, room);
    if (how.min_p > 0)
        keep_above(l, __fmul_rn(how.min_p, most_weight(l, room)), room);
    return how.top_p < 1 || how.min_p > 0 ? weight_sum(l, room) : total;
}

/* What log-probabilities are made of: of the model's own logits. */
static __device__ void tell(Chosen *out, List &l, const ChooseHow &how, const float *logits, Room *room)
{
    Peak peak = find_peak(logits, l.vocabulary, room);
    if (peak.broken >= 0) {
        if (threadIdx.x == 0)
            out->id = -1, out->broken = peak.broken;
        return;
    }
    double total = exp_sum(logits, l.vocabulary, peak.value, 1, room);
    l.z = logits;
    l.count = 0;
    if (how.best > 0)
        gather_best(l, how.best, room);
    for (int i = threadIdx.x; i < l.count; i += CHOOSE_THREADS)
        out->best[i] = {l.id[i], logits[l.id[i]]};
    if (threadIdx.x == 0)
        out->logit = logits[out->id], out->peak = peak.value, out->total = total, out->best_count = l.count;
}

static __device__ void choose_one(Chosen *out, const Calls &c, const ChooseHow &how, float *scratch, Room *room)
{
    const float *logits = c.logits + how.row * c.logits_step;
    int words = c.vocabulary;
    for (int i = threadIdx.x; i < CHOSEN_WORDS; i += CHOOSE_THREADS)
        ((int32_t *)out)[i] = 0;
    List l = {adjusted(scratch, c, how, logits), (int32_t *)(scratch + words), scratch + 2 * (size_t)words};
    l.vocabulary = words, l.scale = how.scale;
    Peak peak = find_peak(l.z, words, room);      /* its barriers also stand behind the zeros */
    bool none = peak.broken >= 0 || peak.value == -INFINITY;
    int id = none ? -1 : peak.id;
    if (!none && how.scale > 0) {
        l.peak = peak.value;
        double total = filter(l, how, room);
        id = find_at(l, __dmul_rn(how.unit, total), room);
    }
    if (threadIdx.x == 0)
        out->id = id, out->broken = peak.broken;
    __syncthreads();
    if (!none && how.best >= 0)
        tell(out, l, how, logits, room);
}

static __global__ void __launch_bounds__(CHOOSE_THREADS) choose_rows(const __grid_constant__ Calls c)
{
    extern __shared__ __align__(16) uint8_t memory[];
    previous();
    float *scratch = c.scratch + blockIdx.x * 3 * (size_t)c.vocabulary;
    for (int r = blockIdx.x; r < c.rows; r += gridDim.x) {
        const ChooseHow *how = (const ChooseHow *)(c.hows + r * c.hows_step);
        choose_one((Chosen *)(c.out + r * c.out_step), c, *how, scratch, (Room *)memory);
        __syncthreads();
    }
}

/* ---- the call ---- */

static unsigned blocks_of(const OpCall *c, const CudaRun *g)
{
    return (unsigned)(c->out[0].dim[0] < g->multiprocessors ? c->out[0].dim[0] : g->multiprocessors);
}

static size_t scratch_bytes(const OpCall *c, const CudaRun *g)
{
    return blocks_of(c, g) * 3 * tensor_row_bytes(c->in[CHOOSE_LOGITS]);
}

static void run(const OpCall *c, const CudaRun *g)
{
    Tensor logits = c->in[CHOOSE_LOGITS], hows = c->in[CHOOSE_HOWS], masks = c->in[CHOOSE_MASKS];
    Calls calls = {};
    calls.logits = tensor_f32(logits), calls.logits_step = logits.row_elems, calls.vocabulary = (int)tensor_width(logits);
    calls.hows = tensor_i32(hows), calls.hows_step = hows.row_elems;
    calls.edits = (const ChooseEdit *)ids_of(c->in[CHOOSE_EDITS]);
    calls.masks = (const uint32_t *)ids_of(masks), calls.mask_step = masks.row_elems;
    calls.out = tensor_i32(c->out[0]), calls.out_step = c->out[0].row_elems, calls.rows = c->out[0].dim[0];
    calls.scratch = (float *)g->scratch;
    cudaFuncSetAttribute(choose_rows, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(Room));
    LAUNCH(choose_rows, blocks_of(c, g), CHOOSE_THREADS, sizeof(Room), g, calls);
}

static const char *refuses(const OpCall *c)
{
    return tensor_width(c->in[CHOOSE_LOGITS]) > CHOOSE_VOCABULARY_MAX ? "takes vocabularies of up to 4 million tokens" : NULL;
}

CUDA_KERNEL(choose, refuses, scratch_bytes, run)
