#include "main/bench_end.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 24 };

Err bench_end_add(BenchEnd *e, const BenchRow *like, const BenchResult *r, Error *err)
{
    if (e->count == e->capacity) {
        int capacity = e->capacity ? 2 * e->capacity : 16;
        BenchRow *row = realloc(e->row, (size_t)capacity * sizeof *row);
        if (!row)
            return fail(err, NO_MEMORY, "no memory for %d rows", capacity);
        e->row = row;
        e->capacity = capacity;
    }
    BenchRow *row = &e->row[e->count++];
    *row = *like;
    row->what = r->what;
    row->work = bench_work(r);
    bench_name(r->what, row->name);
    return OK;
}

static bool of_one_model(const BenchRow *a, const BenchRow *b)
{
    return !strcmp(a->model, b->model) && a->cache == b->cache && a->deterministic == b->deterministic;
}

/* Rows of one model with one cache. */
static void put_group(const BenchRow *row, int count, const Machine *m, Buf *out)
{
    buf_printf(out, "\n%s, cache %s%s\n", row->model, row->cache, row->deterministic ? ", --deterministic" : "");
    verdict_titles("", out);
    for (int i = 0; i < count; i++)
        verdict_row(m, &(NamedWork){row[i].name, row[i].work}, "", out);
    for (int i = 0; i < count; i++) {
        verdict_tell(m, row[i].name, &row[i].work, out);
        buf_put_char(out, '\n');
    }
}

void bench_end_print(const BenchEnd *e, const Machine *m, FILE *to)
{
    Buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    for (int from = 0, count; from < e->count; from += count) {
        for (count = 1; from + count < e->count && of_one_model(&e->row[from], &e->row[from + count]);)
            count++;
        put_group(&e->row[from], count, m, &text);
    }
    fwrite(text.data, 1, text.bytes, to);
    buf_deinit(&text);
}

void bench_end_free(BenchEnd *e)
{
    free(e->row);
    *e = (BenchEnd){0};
}
