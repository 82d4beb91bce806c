#include "main/plan_suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "main/plan_show.h"

enum { ANSWER_MAX = 1 << 20, ROWS_SHOWN = 16 };    /* of each kind */

#define AT(field) offsetof(SuggestFlags, field)
const Flag suggest_flags[SUGGEST_FLAG_COUNT] = {
    {"--suggest", NULL, NULL, FLAG_SWITCH, AT(suggest),
     .help = "say what serves a traffic at the least cost, and why the rest does not"},
    {"--machines", NULL, "NAME:PRICE,...", FLAG_TEXT, AT(machines),
     .help = "machines to choose from, each with its price per hour"},
    {"--rate", NULL, "R", FLAG_FLOAT, AT(rate), .min = 1e-6, .max = 1e9, .help = "requests per second (1)"},
    {"--answer", NULL, "N", FLAG_INT, AT(answer), .min = 1, .max = ANSWER_MAX, .help = "tokens of an answer (256)"},
    {"--ttft", NULL, "MS", FLAG_FLOAT, AT(ttft), .min = 0, .max = 1e9,
     .help = "milliseconds to the first token at most; 0: any (1000)"},
    {"--latency", NULL, "MS", FLAG_FLOAT, AT(latency), .min = 0, .max = 1e9,
     .help = "milliseconds from one token to the next at most; 0: any (50)"},
};

SuggestFlags suggest_flags_default(void) { return (SuggestFlags){.rate = 1, .answer = 256, .ttft = 1000, .latency = 50}; }

/* ---- the question ---- */

static Err read_machine(const char *text, size_t bytes, SuggestMachine *out, Error *err)
{
    char name[MACHINE_PATH_BYTES];
    if (bytes >= sizeof name)
        return fail(err, LIMIT_REACHED, "--machines: a name has fewer than %zu bytes", sizeof name);
    memcpy(name, text, bytes);
    name[bytes] = 0;
    char *colon = strrchr(name, ':');
    if (!colon || !number_read(colon + 1, &out->price) || out->price < 0 || out->price > 1e9)
        return fail(err, BAD_ARGUMENT, "--machines: '%s' must be a machine and its price per hour, as h100:2.50", name);
    *colon = 0;
    TRY(machine_find(name, &out->machine, err));
    if (out->machine.memory_bytes == 0)
        return fail(err, BAD_FILE, "--machines: of %s 'memory_bytes' is not known: nobody can say what fits", name);
    return OK;
}

static Err read_machines(const char *list, SuggestQuestion *q, Error *err)
{
    if (!list)
        return fail(err, BAD_ARGUMENT, "--suggest needs machines to choose from, with prices per hour: "
                    "--machines h100:2.50,l4:0.80");
    for (const char *at = list; *at;) {
        size_t bytes = strcspn(at, ",");
        if (q->machines == SUGGEST_MACHINES_MAX)
            return fail(err, LIMIT_REACHED, "--machines: more than %d", SUGGEST_MACHINES_MAX);
        TRY(read_machine(at, bytes, &q->machine[q->machines++], err));
        at += bytes + (at[bytes] == ',');
    }
    return OK;
}

/* The named one, or those that are usual. */
static Err read_formats(const char *flag, const char *name, const char *const usual[], int n, const Format **out, int *count,
                        Error *err)
{
    for (int i = 0; i < (name ? 1 : n); i++) {
        const Format *f = format_find(name ? name : usual[i]);
        if (!f)
            return fail(err, BAD_ARGUMENT, "%s: '%.64s' is no number format that ridge knows", flag, name ? name : usual[i]);
        out[(*count)++] = f;
    }
    return OK;
}

/* ---- the answer ---- */

static void print_row(const Suggestion *s, double least)
{
    static const char *const why[] = {"", "", "  the first token comes too late", "  tokens come too slowly"};
    printf("  %-34.34s %-9s %-8s %6d", s->machine->machine.name, s->format, s->cache->name, s->shards);
    if (s->why == SUGGEST_NO_ROOM) {
        printf("   one sequence needs %s on each, of %s\n", bytes_text(s->memory).text,
               bytes_text(s->machine->machine.memory_bytes).text);
        return;
    }
    printf(" %6d %9lld %9.0f ms %8.1f ms %5.0f%% %10.2f", s->batch, (long long)s->replicas, 1e3 * s->ttft, 1e3 * s->latency,
           100 * s->load, s->price);
    puts(s->why == SUGGEST_MEETS && s->price > least ? "  costs more" : why[s->why]);
}

static void print_rows(const Suggestion *s, int count, double least, const char *rest)
{
    for (int i = 0; i < count && i < ROWS_SHOWN; i++)
        print_row(&s[i], least);
    if (count > ROWS_SHOWN)
        printf("  and %d more that %s: --json has all\n", count - ROWS_SHOWN, rest);
}

static void print_best(const SuggestQuestion *q, const Suggestion *s)
{
    if (s->why != SUGGEST_MEETS) {
        puts("Nothing of this meets the bounds; nearest first:");
        return;
    }
    printf("The least cost: %lld x ", (long long)s->replicas);
    if (s->shards > 1)
        printf("%d x ", s->shards);
    printf("%s, %s in %s, cache in %s, at most %d sequences at a time: %.2f per hour, %.2f per million tokens "
           "of answers.\n",
           s->machine->machine.name, q->model ? q->model : "the default model", s->format, s->cache->name, s->batch, s->price,
           s->price / 3600 / (q->rate * q->answer) * 1e6);
}

static void print_people(const SuggestQuestion *q, const Suggestion *s, int count)
{
    printf("%g requests a second, prompts of %d and answers of %d tokens", q->rate, q->prompt, q->answer);
    if (q->ttft > 0)
        printf("; first token within %g ms", 1e3 * q->ttft);
    if (q->latency > 0)
        printf("; a token each %g ms", 1e3 * q->latency);
    puts("\n");
    if (count)
        print_best(q, s);
    printf("\n  %-34s %-9s %-8s %6s %6s %9s %12s %11s %6s %10s\n", "machine", "format", "cache", "shards", "batch", "replicas",
           "TTFT", "a token", "load", "an hour");
    int meet = 0;
    while (meet < count && s[meet].why == SUGGEST_MEETS)
        meet++;
    print_rows(s, meet, s->price, "meet the bounds and cost more");
    print_rows(s + meet, count - meet, 0, "do not meet them");
    puts("\nTimes are the roofline's. Smaller formats cost quality: `ridge score` measures it.");
}

static json_t *suggestion_json(const Suggestion *s)
{
    static const char *const why[] = {"meets the bounds", "does not fit", "first token too late", "tokens too slow"};
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:b, s:s}", "machine", s->machine->machine.name,
                     "format", s->format, "cache_format", s->cache->name, "shards", s->shards, "batch", s->batch, "replicas",
                     (json_int_t)s->replicas, "memory_bytes", s->memory, "ttft_seconds", s->ttft, "seconds_per_token",
                     s->latency, "load", s->load, "price_per_hour", s->price, "meets", s->why == SUGGEST_MEETS, "verdict",
                     why[s->why]);
}

static void print_json(const Suggestion *s, int count)
{
    json_t *all = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(all, suggestion_json(&s[i]));
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

Err suggest_show(const SuggestFlags *f, const SuggestModel *m, Error *err)
{
    static const char *const formats[] = {"BF16", "F8_E4M3", "Q8_0", "Q4_0"}, *const caches[] = {"BF16", "F8_E4M3"};
    int count;
    SuggestQuestion *q = calloc(1, sizeof *q);
    Suggestion *found = malloc(SUGGESTIONS_MAX * sizeof *found);
    Err result = q && found ? OK : fail(err, NO_MEMORY, "no memory for suggestions");
    if (result == OK) {
        *q = (SuggestQuestion){.model = m->model, .kv_heads = m->kv_heads, .rate = (double)f->rate, .prompt = m->prompt,
                               .answer = f->answer, .ttft = (double)f->ttft / 1e3, .latency = (double)f->latency / 1e3};
        result = read_machines(f->machines, q, err);
    }
    if (result == OK)
        result = read_formats("--format", m->format, formats, COUNT_OF(formats), q->format, &q->formats, err);
    if (result == OK)
        result = read_formats("--cache", m->cache, caches, COUNT_OF(caches), q->cache, &q->caches, err);
    if (result == OK)
        result = suggest(q, found, &count, err);
    if (result == OK)
        m->json ? print_json(found, count) : print_people(q, found, count);
    free(q);
    free(found);
    return result;
}
