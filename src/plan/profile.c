#include "plan/profile.h"

#include <math.h>
#include <stdlib.h>

enum { BATCH_MOST = 256, NAME_BYTES = 80 };
static const double LEAST_SHARE = 0.002;   /* of all time that was measured, or of all that is only foretold; to be told */

/* ---- operations ---- */

static bool timed(const ProfilePoint *p) { return p->sum.seconds > 0; }
static double weight_of(const ProfilePoint *p) { return timed(p) ? p->sum.seconds : p->bound_seconds; }

/* What was measured comes before what is only foretold: seconds of a clock and of a bound are not compared. */
static int by_weight(const void *a, const void *b)
{
    double x = weight_of(a), y = weight_of(b);
    return timed(a) != timed(b) ? timed(b) - timed(a) : (x < y) - (x > y);
}

static bool together(const ProfileLine *a, const ProfileLine *b)
{
    return a->op == b->op && a->part == b->part && (a->rows == 1) == (b->rows == 1);
}

void profile_add_line(Profile *p, ProfileLine line)
{
    int at = 0;
    while (at < p->lines && !together(&p->line[at], &line))
        at++;
    if (at == PROFILE_LINES_MAX)
        return;
    ProfileLine *sum = &p->line[at];
    if (at == p->lines) {
        p->lines++;
        *sum = line;
        return;
    }
    demand_add(&sum->demand, &line.demand);
    sum->calls += line.calls;
    sum->seconds += line.seconds;
    sum->rows = line.rows > sum->rows ? line.rows : sum->rows;
    sum->least_rows = line.least_rows < sum->least_rows ? line.least_rows : sum->least_rows;
}

void profile_choose_points(Profile *p)
{
    ProfilePoint all[PROFILE_LINES_MAX];
    double sum[2] = {0, 0};
    bool known = p->machine.bytes_per_second > 0;
    for (int i = 0; i < p->lines; i++) {
        all[i] = (ProfilePoint){.sum = p->line[i]};
        all[i].bound_seconds = known ? roofline_seconds(&p->machine, &p->line[i].demand) : 0;
        sum[timed(&all[i])] += weight_of(&all[i]);
    }
    qsort(all, (size_t)p->lines, sizeof *all, by_weight);
    p->points = 0;
    for (int i = 0; i < p->lines && p->points < PROFILE_POINTS_MAX; i++) {
        if (weight_of(&all[i]) < LEAST_SHARE * sum[timed(&all[i])])
            continue;
        all[i].mark = (char)('A' + p->points);
        p->point[p->points++] = all[i];
    }
}

static void name_of(const ProfilePoint *p, char out[NAME_BYTES])
{
    int at = snprintf(out, NAME_BYTES, "%s %s", p->sum.part, p->sum.op);
    if (p->sum.rows == 0)
        return;
    at += snprintf(out + at, (size_t)(NAME_BYTES - at), ", ");
    if (p->sum.least_rows == p->sum.rows)
        snprintf(out + at, (size_t)(NAME_BYTES - at), "%d row%s", p->sum.rows, p->sum.rows == 1 ? "" : "s");
    else
        snprintf(out + at, (size_t)(NAME_BYTES - at), "%d to %d rows", p->sum.least_rows, p->sum.rows);
}

/* Operations for each byte from memory; infinite where there are none. */
static double intensity(const ProfilePoint *p)
{
    return p->sum.demand.bytes > 0 ? demand_operations(&p->sum.demand) / p->sum.demand.bytes : INFINITY;
}

static void put_point(const ProfilePoint *p, double seconds, bool hollow, Picture *out)
{
    char name[NAME_BYTES];
    double rate = demand_operations(&p->sum.demand) / seconds;
    PicturePoint point = {.x = intensity(p), .y = rate, .mark = p->mark, .hollow = hollow, .colour = p->sum.colour};
    name_of(p, name);
    snprintf(point.name, sizeof point.name, "%s: %s %.1f Gop/s", name, hollow ? "possible" : "measured", rate / 1e9);
    if (seconds > 0)
        picture_add_point(out, point);
}

/* The slope of the memory up to the highest ceiling, and a ceiling for each kind of arithmetic. */
static void put_roofs(const Machine *m, double from, double to, Picture *out)
{
    const struct { const char *name; double peak; } kinds[] = {{"fp32", m->fp32}, {"bf16", m->bf16}, {"int8", m->int8}};
    double most = 0;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        most = kinds[i].peak > most ? kinds[i].peak : most;
        to = fmax(to, 4 * kinds[i].peak / m->bytes_per_second);
    }
    double end = most > 0 ? most / m->bytes_per_second : to;
    PictureLine slope = {.x = {fmin(from, end / 10), end}, .count = 2};
    for (int i = 0; i < 2; i++)
        slope.y[i] = m->bytes_per_second * slope.x[i];
    snprintf(slope.name, sizeof slope.name, "%.3g GB/s", m->bytes_per_second / 1e9);
    picture_add_line(out, slope);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        double peak = kinds[i].peak;
        PictureLine ceiling = {.x = {peak / m->bytes_per_second, to}, .y = {peak, peak}, .count = 2, .dashed = peak < most};
        snprintf(ceiling.name, sizeof ceiling.name, "%s %.3g Top/s", kinds[i].name, peak / 1e12);
        if (peak > 0)
            picture_add_line(out, ceiling);
    }
}

void profile_roofline(const Profile *p, Picture *out)
{
    double from = INFINITY, to = 0;
    *out = (Picture){.title = "Roofline: rings are possible, letters were measured", .x_title = "operations for each byte read",
                     .y_title = "operations per second"};
    for (int i = 0; i < p->points; i++)
        if (isfinite(intensity(&p->point[i])) && intensity(&p->point[i]) > 0) {
            from = fmin(from, intensity(&p->point[i]));
            to = fmax(to, intensity(&p->point[i]));
        }
    if (p->machine.bytes_per_second > 0)
        put_roofs(&p->machine, from, to, out);
    for (int i = 0; i < p->points; i++) {
        put_point(&p->point[i], p->point[i].bound_seconds, true, out);
        put_point(&p->point[i], p->point[i].sum.seconds, false, out);
    }
}

/* ---- batches ---- */

void profile_add_batch(Profile *p, const PhaseWork *decode)
{
    if (p->batches == PROFILE_BATCHES_MAX || decode->sequences <= 0 || decode->steps <= 0 || decode->seconds <= 0)
        return;
    p->batch[p->batches++] = (ProfileBatch){decode->sequences / decode->steps, decode->seconds / decode->steps, *decode};
}

/* What the machine would need for a step of so many sequences, by what the first measured one asked. */
static double possible_seconds(const Profile *p, double sequences)
{
    PhaseWork work = phase_work_times(&p->batch[0].work, sequences / p->batch[0].sequences);
    return roofline_seconds(&p->machine, &work.demand) / work.steps;
}

static void put_batch(double sequences, double seconds, bool hollow, Picture *out)
{
    static const int POSSIBLE = 3, MEASURED = 0;       /* colours */
    PicturePoint point = {.x = sequences / seconds, .y = seconds, .hollow = hollow, .colour = hollow ? POSSIBLE : MEASURED,
                          .mark = '*'};
    snprintf(point.label, sizeof point.label, "%.3g", sequences);
    snprintf(point.name, sizeof point.name, "batch of %.3g: %s %.1f tokens/s, %.2f ms a token", sequences,
             hollow ? "possible" : "measured", point.x, 1e3 * seconds);
    picture_add_point(out, point);
}

void profile_batches(const Profile *p, Picture *out)
{
    *out = (Picture){.title = "Batches: rings are possible (1, 2, 4, ... 256 answers), stars were measured",
                     .x_title = "tokens per second, all answers together", .y_title = "seconds per token"};
    PictureLine line = {.count = 0};
    if (p->batches == 0)
        return;
    for (int n = 1; n <= BATCH_MOST && p->machine.bytes_per_second > 0; n *= 2) {
        double seconds = possible_seconds(p, n);
        if (seconds <= 0)
            continue;
        line.x[line.count] = n / seconds;
        line.y[line.count++] = seconds;
        put_batch(n, seconds, true, out);
    }
    if (line.count > 0)
        picture_add_line(out, line);
    for (int i = 0; i < p->batches; i++)
        put_batch(p->batch[i].sequences, p->batch[i].seconds, false, out);
}

/* ---- for people ---- */

static void put_milliseconds(double seconds, Buf *out)
{
    if (seconds > 0)
        buf_printf(out, " %10.3f", 1e3 * seconds);
    else
        buf_printf(out, " %10s", "-");
}

static void put_table_row(const ProfilePoint *p, Buf *out)
{
    char name[NAME_BYTES];
    double x = intensity(p);
    name_of(p, name);
    buf_printf(out, "%c  %-46s %8lld", p->mark, name, (long long)p->sum.calls);
    put_milliseconds(p->sum.seconds, out);
    put_milliseconds(p->bound_seconds, out);
    if (p->sum.seconds > 0 && p->bound_seconds > 0)
        buf_printf(out, " %6.1f%%", 100 * p->bound_seconds / p->sum.seconds);
    else
        buf_printf(out, " %7s", "-");
    if (isfinite(x))
        buf_printf(out, " %10.2f\n", x);
    else
        buf_printf(out, " %10s\n", "-");
}

static void put_table(const Profile *p, Buf *out)
{
    buf_printf(out, "   %-46s %8s %10s %10s %7s %10s\n", "operation", "calls", "took ms", "bound ms", "share", "op/byte");
    for (int i = 0; i < p->points; i++)
        put_table_row(&p->point[i], out);
    if (p->machine.bytes_per_second <= 0)
        buf_put_text(out, "No roofs and no bounds: this machine was not measured; run `ridge probe`.\n");
}

void profile_text(const Profile *p, bool colours, Buf *out)
{
    Picture picture;
    profile_roofline(p, &picture);
    if (picture.points > 0)
        picture_text(&picture, colours, out);
    put_table(p, out);
    profile_batches(p, &picture);
    if (picture.points == 0)
        return;
    buf_put_char(out, '\n');
    picture_text(&picture, colours, out);
}

void profile_svg(const Profile *p, Buf *out)
{
    Picture picture;
    buf_printf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\">\n", SVG_WIDTH, 2 * SVG_HEIGHT);
    profile_roofline(p, &picture);
    picture_svg(&picture, SVG_WIDTH, 0, out);
    profile_batches(p, &picture);
    if (picture.points > 0)
        picture_svg(&picture, SVG_WIDTH, SVG_HEIGHT, out);
    buf_put_text(out, "</svg>\n");
}

static void put_html_table(const Profile *p, Buf *out)
{
    Buf text;
    buf_init(&text, 1 << 20);
    put_table(p, &text);
    buf_put_text(out, "<pre>");
    xml_put(out, text.data);
    buf_put_text(out, "</pre>\n");
    buf_deinit(&text);
}

void profile_html(const Profile *p, Buf *out)
{
    Picture picture;
    buf_put_text(out, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>ridge: profile</title>\n<style>"
                      ":root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{max-width:60rem;margin:2rem auto;"
                      "padding:0 1rem}svg{width:100%;height:auto}pre{overflow-x:auto;font-size:12px}</style>\n<h1>");
    xml_put(out, p->model);
    buf_put_text(out, "</h1>\n<p>");
    xml_put(out, p->machine.name[0] ? p->machine.name : "A machine that was not measured");
    buf_put_text(out, "</p>\n");
    profile_roofline(p, &picture);
    picture_svg(&picture, 0, 0, out);
    put_html_table(p, out);
    profile_batches(p, &picture);
    if (picture.points > 0)
        picture_svg(&picture, 0, 0, out);
    buf_put_text(out, "</html>\n");
}
