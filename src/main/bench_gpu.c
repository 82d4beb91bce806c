#include "main/bench_gpu.h"

#include <string.h>

#include "base/number_text.h"

int bench_gpu_cases(BenchCase *out, int most)
{
    static const BenchCase cases[] = {
        {.prompt = 2048, .batch = 1},
        {.generate = 32, .depth = 1024, .batch = 1},
        {.generate = 32, .depth = 1024, .batch = 16},
        {.generate = 32, .depth = 1024, .batch = 64},
        {.generate = 32, .depth = 1024, .batch = 256},
    };
    int count = (int)COUNT_OF(cases) < most ? (int)COUNT_OF(cases) : most;
    memcpy(out, cases, (size_t)count * sizeof *cases);
    return count;
}

bool bench_gpu_fits(BenchCase c, const Model *m, const Format *cache, double weight_bytes, const Machine *gpu)
{
    static const double USABLE = 0.92;      /* the rest: activations, scratch, what others hold */
    double token = 0, state = 0, positions = (double)c.batch * bench_context(c);
    double states = 2.0 * c.batch + 1;      /* with those that are kept of prompts */
    for (int l = 0; l < m->kv.layers; l++) {
        const KvLayer *layer = &m->kv.layer[l];
        token += (double)format_row_bytes(cache, layer->heads * (layer->key_width + layer->value_width));
        state += (double)layer->state_width * sizeof(float);
    }
    double bytes = weight_bytes + positions * token + states * state;
    return gpu->memory_bytes == 0 || bytes < USABLE * gpu->memory_bytes;
}

/* ---- predicted and measured ---- */

static double tokens_of(const BenchRow *r) { return r->what.prompt ? r->what.prompt : r->what.batch; }      /* of a step */

typedef struct CellText { char text[64]; } CellText;

static CellText cell(const BenchRow *r, double seconds)
{
    CellText c;
    double rate = tokens_of(r) / seconds;
    snprintf(c.text, sizeof c.text, "%.2f ms, %s tok/s", 1e3 * seconds, number_text((uint64_t)(rate + 0.5)).text);
    return c;
}

static CellText predicted(const BenchRow *r, const Machine *m)
{
    CellText none = {"not known"};
    double seconds = m ? roofline_seconds(m, &r->work.demand) / r->work.steps : 0;
    return seconds > 0 ? cell(r, seconds) : none;
}

/* What limits, at the speed that was reached. */
static CellText reached(const BenchRow *r, const Machine *m)
{
    CellText c;
    const Demand *d = &r->work.demand;
    if (roofline_bytes_seconds(m, d) >= roofline_operations_seconds(m, d))
        snprintf(c.text, sizeof c.text, "%.2f TB/s", d->bytes / r->work.seconds / 1e12);
    else
        snprintf(c.text, sizeof c.text, "%.0f TFLOP/s", demand_operations(d) / r->work.seconds / 1e12);
    return c;
}

void bench_gpu_tell(const BenchEnd *e, const Machine *gpu, const Machine *h100, Buf *out)
{
    buf_printf(out, "\n%s: memory is read at %.2f TB/s, products of bf16 at %.0f TFLOP/s, measured just before\n"
               "| per step | an H100 of 3.35 TB/s, predicted | this GPU, predicted | measured | | of the limit |\n"
               "|---|---|---|---|---|---|\n", gpu->name, gpu->bytes_per_second / 1e12, gpu->bf16 / 1e12);
    for (int i = 0; i < e->count; i++) {
        const BenchRow *r = &e->row[i];
        double seconds = r->work.seconds / r->work.steps;
        buf_printf(out, "| %s, %s%s | %s | %s | %s | %s | %.0f%% |\n", r->model, r->name,
                   r->deterministic ? ", --deterministic" : "", predicted(r, h100).text, predicted(r, gpu).text,
                   cell(r, seconds).text, reached(r, gpu).text,
                   100 * roofline_seconds(gpu, &r->work.demand) / r->work.seconds);
    }
}

/* ---- the price of --deterministic ---- */

static const BenchRow *without(const BenchEnd *e, const BenchRow *with)
{
    for (int i = 0; i < e->count; i++) {
        const BenchRow *r = &e->row[i];
        if (!r->deterministic && !strcmp(r->model, with->model) && !strcmp(r->name, with->name) && r->cache == with->cache)
            return r;
    }
    return NULL;
}

void bench_price_tell(const BenchEnd *e, Buf *out)
{
    bool told = false;
    for (int i = 0; i < e->count; i++) {
        const BenchRow *with = &e->row[i], *other = with->deterministic ? without(e, with) : NULL;
        if (!other)
            continue;
        if (!told)
            buf_printf(out, "\nThe price of --deterministic, per step\n");
        told = true;
        buf_printf(out, "%s, %s: %.2f ms instead of %.2f: %.2f times\n", with->model, with->name,
                   1e3 * with->work.seconds / with->work.steps, 1e3 * other->work.seconds / other->work.steps,
                   with->work.seconds / other->work.seconds);
    }
}
