#include "main/lecture_show.h"

#include <stdio.h>

#include "base/number_text.h"
#include "main/plan_show.h"

static const int32_t batches[] = {1, 16, 64, 256, 1024}, chunks[] = {1, 16, 128, 1024}, lengths[] = {128, 256, 512, 1024};

static void print_head(const PlanModel *p, const LectureOptions *o)
{
    const ModelShape *s = &p->model->shape;
    printf("%s: S=%d D=%d F=%d N=%d K=%d H=%d L=%d V=%d, numbers of 16 bits\n", p->name, o->context, s->D, s->F, s->N, s->K,
           s->H, s->L, s->V);
    printf("%s: %g B/s, %g FLOP/s: %.0f operations a byte\n", o->machine.name, o->machine.bytes_per_second,
           o->machine.bf16 > 0 ? o->machine.bf16 : o->machine.fp32, machine_ridge_point(&o->machine));
}

/* ---- intensity ---- */

static Err print_products(const ModelShape *s, Error *err)
{
    printf("\n  %-42s", "B");
    for (size_t i = 0; i < COUNT_OF(batches); i++)
        printf("%9d", batches[i]);
    printf("\n  [B, D] x [D, F]: tends to B               ");
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        double intensity;
        TRY(lecture_product(batches[i], s->D, s->F, &intensity, err));
        printf("%9.1f", intensity);
    }
    printf("\n  the same, D and F 32 times as large       ");
    for (size_t i = 0; i < COUNT_OF(batches); i++) {
        double intensity;
        TRY(lecture_product(batches[i], 32 * s->D, 32 * s->F, &intensity, err));
        printf("%9.1f", intensity);
    }
    putchar('\n');
    return OK;
}

static Err print_rows(const ModelShape *s, int32_t S, Error *err)
{
    printf("\n  %-42s", "T");
    for (size_t i = 0; i < COUNT_OF(chunks); i++)
        printf("%9d", chunks[i]);
    printf("\n  MLP of 1 sequence: tends to B T           ");
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        double intensity;
        TRY(lecture_mlp(1, chunks[i], s->D, s->F, &intensity, err));
        printf("%9.1f", intensity);
    }
    printf("\n  MLP of 16                                 ");
    for (size_t i = 0; i < COUNT_OF(chunks); i++) {
        double intensity;
        TRY(lecture_mlp(16, chunks[i], s->D, s->F, &intensity, err));
        printf("%9.1f", intensity);
    }
    printf("\n  attention, S = %-6d S T / (S + T), any B  ", S);
    for (size_t i = 0; i < COUNT_OF(chunks) && chunks[i] <= S; i++) {
        double intensity;
        TRY(lecture_attention(S, chunks[i], s->N, s->H, &intensity, err));
        printf("%8.1f ", intensity);
    }
    putchar('\n');
    return OK;
}

static Err print_uncached(const ModelShape *s, Error *err)
{
    LectureCost before = {0}, now;
    printf("\nAttention while tokens are generated\n  %-10s %23s %33s\n", "tokens", "with a cache",
           "without: from the start each time");
    for (size_t i = 0; i < COUNT_OF(lengths); i++, before = now) {
        TRY(lecture_generation(lengths[i], s->N, s->H, &now, err));
        printf("  %-10d %19.3g operations %18.3g operations", lengths[i], s->L * now.cached, s->L * now.uncached);
        if (i)
            printf("   x %.1f, x %.1f: O(T^2), O(T^3)", now.cached / before.cached, now.uncached / before.uncached);
        putchar('\n');
    }
    return OK;
}

/* ---- batches ---- */

static void print_batches(const Lecture *l, const LectureOptions *o, int32_t kv_heads)
{
    printf("\nK = %d: %s parameters, %s; cache %s a sequence\n  %7s %12s %12s %14s\n", kv_heads,
           number_text((uint64_t)l->parameters).text, bytes_text(2 * l->parameters).text, bytes_text(l->cache).text, "batch",
           "memory", "latency", "throughput");
    for (int i = 0; i < o->batch.count; i++) {
        LectureBatch b = lecture_batch(l, &o->machine, o->batch.value[i]);
        printf("  %7d %9.1f GB %9.1f ms ", b.batch, b.memory / 1e9, 1e3 * b.latency);
        b.throughput < 1000 ? printf("%8.1f tok/s", b.throughput)
                            : printf("%8s tok/s", number_text((uint64_t)(b.throughput + 0.5)).text);
        if (!b.fits)
            printf("   does not fit in %.0f GB", o->machine.memory_bytes / 1e9);
        putchar('\n');
    }
}

static json_t *lecture_json(const Lecture *l, const LectureOptions *o, const ModelShape *s)
{
    json_t *rows = json_array();
    for (int i = 0; i < o->batch.count; i++) {
        LectureBatch b = lecture_batch(l, &o->machine, o->batch.value[i]);
        json_array_append_new(rows, json_pack("{s:i, s:f, s:f, s:f, s:b}", "batch", b.batch, "memory_bytes", b.memory,
                                              "latency_seconds", b.latency, "tokens_per_second", b.throughput, "fits", b.fits));
    }
    return json_pack("{s:i, s:f, s:f, s:f, s:i, s:o}", "kv_heads", s->K, "parameters", l->parameters,
                     "cache_bytes_per_sequence", l->cache, "intensity", l->intensity, "context", o->context, "batches", rows);
}

static Err show(PlanModel *p, const LectureOptions *o, bool first, Error *err)
{
    Lecture l;
    const ModelShape *s = &p->model->shape;
    TRY(lecture_of(p, &o->machine, o->context, &l, err));
    if (o->json) {
        printf(first ? "[\n" : ",\n");
        json_t *json = lecture_json(&l, o, s);
        json_dumpf(json, stdout, JSON_INDENT(2));
        json_decref(json);
        return OK;
    }
    if (first) {
        print_head(p, o);
        TRY(print_products(s, err));
        if (s->N && s->H)
            TRY(print_rows(s, o->context, err));
    }
    print_batches(&l, o, s->K);
    return OK;
}

/* The lecture's grouped queries: 40 query heads share 8. */
static Err show_with(const LectureOptions *o, int32_t kv_heads, bool first, ModelShape *shape, Error *err)
{
    PlanModel p;
    PlanModelOptions model = o->model;
    model.kv_heads = kv_heads ? kv_heads : model.kv_heads;
    TRY(plan_model_open(&model, &p, err));
    Err result = show(&p, o, first, err);
    *shape = p.model->shape;
    plan_model_close(&p);
    return result;
}

Err lecture_show(const LectureOptions *o, Error *err)
{
    static const int32_t GROUPED = 8;
    ModelShape s;
    TRY(show_with(o, 0, true, &s, err));
    if (s.K > GROUPED && s.N % GROUPED == 0)
        TRY(show_with(o, GROUPED, false, &s, err));
    if (o->json)
        puts("\n]");
    return o->json || !s.N || !s.H ? OK : print_uncached(&s, err);
}
