/* The parts of `ridge bench serve` that need no server. What it prints decides which server is the better one, so a
 * wrong percentile, a token lost between two packets or a prompt that is not what it was said to be misleads. */
#include <math.h>

#include "test.h"
#include "tools/load_chunk.h"
#include "tools/load_sse.h"
#include "tools/load_tally.h"
#include "tools/load_talk.h"

/* ---- the stream ---- */

static void keep(void *with, SseEvent event)
{
    Buf *seen = with;
    buf_put_char(seen, '<');
    buf_put_span(seen, event.name);
    buf_put_char(seen, '|');
    buf_put_span(seen, event.data);
    buf_put_char(seen, '>');
}

static void expect_events(const char *stream, const char *expected)
{
    size_t bytes = strlen(stream);
    for (size_t part = 1; part <= bytes; part++) {
        Error err;
        Buf seen;
        SseParser parser;
        buf_init(&seen, 1 << 12);
        sse_init(&parser, keep, &seen);
        for (size_t at = 0; at < bytes; at += part)
            assert_int_equal(sse_feed(&parser, span_first(span_of(stream + at, bytes - at), part), &err), OK);
        assert_string_equal(seen.data ? seen.data : "", expected);
        sse_deinit(&parser);
        buf_deinit(&seen);
    }
}

/* However the network cuts a stream, the same events come out: protects the count of tokens. */
static void events_survive_any_cut(void **state)
{
    (void)state;
    expect_events("data: one\n\ndata: two\n\n", "<|one><|two>");
    expect_events("data: one\r\n\r\ndata: two\r\rdata:three\n\n", "<|one><|two><|three>");
    expect_events("event: error\ndata: a\ndata: b\nid: 4\n\n", "<error|a\nb>");
    expect_events(": ping\n\n\n\ndata\n\ndata:  x\n\n", "<|><| x>");
    expect_events("\xEF\xBB\xBF" "data: marked\n\n", "<|marked>");
    expect_events("data: never ended", "");
}

static void an_endless_event_is_refused(void **state)
{
    (void)state;
    Error err;
    Err result = OK;
    Buf seen;
    SseParser parser;
    static char part[1 << 16];
    memset(part, 'x', sizeof part);
    buf_init(&seen, 1 << 12);
    sse_init(&parser, keep, &seen);
    for (size_t bytes = 0; bytes <= 2 * (size_t)SSE_EVENT_BYTES_MAX && result == OK; bytes += sizeof part)
        result = sse_feed(&parser, span_of(part, sizeof part), &err);
    assert_int_equal(result, LIMIT_REACHED);
    sse_deinit(&parser);
    buf_deinit(&seen);
}

static LoadChunk chunk_of(const char *text)
{
    Error err;
    LoadChunk chunk;
    assert_int_equal(load_chunk_read(span_text(text), &chunk, NULL, &err), OK);
    return chunk;
}

/* Only text is a token: a role, an end or an account counted as one would shift every latency. */
static void chunks_say_what_is_a_token(void **state)
{
    (void)state;
    assert_true(chunk_of("{\"choices\":[{\"text\":\"a\"}]}").has_text);
    assert_true(chunk_of("{\"choices\":[{\"text\":\"\\u0000\"}]}").has_text);
    assert_true(chunk_of("{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}").has_text);
    assert_true(chunk_of("{\"choices\":[{\"delta\":{\"reasoning_content\":\"a\"}}]}").has_text);
    assert_false(chunk_of("{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}").has_text);
    assert_false(chunk_of("{\"choices\":[{\"delta\":{\"content\":null}}]}").has_text);
    assert_true(chunk_of("{\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}").finished);
    assert_false(chunk_of("{\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}").finished);
    assert_true(chunk_of("[DONE]").done);
    LoadChunk usage = chunk_of("{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,"
                               "\"prompt_tokens_details\":{\"cached_tokens\":2}}}");
    assert_true(usage.has_usage && usage.prompt_tokens == 9 && usage.output_tokens == 4 && usage.cached_tokens == 2);
    assert_false(chunk_of("{\"choices\":[{\"text\":\"a\"}],\"usage\":null}").has_usage);
}

static void errors_in_a_stream_are_errors(void **state)
{
    (void)state;
    Error err;
    LoadChunk chunk;
    assert_int_equal(load_chunk_read(span_text("{\"error\":{\"message\":\"no luck\"}}"), &chunk, NULL, &err), BAD_FILE);
    assert_string_equal(err.text, "no luck");
    assert_int_equal(load_chunk_read(span_text("{\"choices\":"), &chunk, NULL, &err), BAD_FILE);
    assert_int_equal(load_chunk_read(span_text("7"), &chunk, NULL, &err), BAD_FILE);
    char text[32];
    load_error_text(span_text("<html>\nnot\there"), text, sizeof text);
    assert_string_equal(text, "<html> not here");
    load_error_text(span_text("{\"error\":{\"message\":\"a very long message that does not fit\"}}"), text, sizeof text);
    assert_int_equal(strlen(text), sizeof text - 1);
}

/* ---- figures ---- */

/* As numpy.percentile has them: [15, 20, 35, 40, 50] at 40 % is 29. */
static void percentiles_lie_between_neighbours(void **state)
{
    (void)state;
    double ten[] = {10, 1, 9, 2, 8, 3, 7, 4, 6, 5}, one[] = {7};
    LoadSpread s = load_spread(ten, 10);
    assert_true(fabs(s.mean - 5.5) < 1e-12 && fabs(s.p50 - 5.5) < 1e-12 && fabs(s.p90 - 9.1) < 1e-12);
    assert_true(fabs(s.p99 - 9.91) < 1e-12 && s.max == 10 && s.count == 10);
    s = load_spread(one, 1);
    assert_true(s.mean == 7 && s.p50 == 7 && s.p99 == 7);
    assert_int_equal(load_spread(NULL, 0).count, 0);
}

static void figures_are_those_of_the_requests(void **state)
{
    (void)state;
    Error err;
    LoadTally t;
    LoadBounds bounds = {0};
    LoadFigures f;
    load_tally_init(&t);
    /* Ten tokens in 0.1 s to the first and 0.9 s for the rest; and one that waited a second. */
    assert_int_equal(load_tally_add(&t, (LoadRecord){0, 0.1, 1.0, 0.2, 5, 1, 10, 10, false}, &err), OK);
    assert_int_equal(load_tally_add(&t, (LoadRecord){1, 2.0, 2.0, 0, 5, 0, 1, 1, true}, &err), OK);
    for (int i = 0; i < 9; i++)
        assert_int_equal(load_tally_gap(&t, 0.1, &err), OK);
    load_tally_error(&t, "HTTP 429", "full");
    load_tally_error(&t, "HTTP 429", "still full");
    t.seconds = 2;
    assert_int_equal(load_bound_read("ttft:500", &bounds, &err), OK);
    assert_int_equal(load_bound_read("itl:200", &bounds, &err), OK);
    assert_int_equal(load_figures(&t, &bounds, &f, &err), OK);
    assert_true(fabs(f.time[LOAD_TTFT].mean - 0.55) < 1e-12 && fabs(f.time[LOAD_E2E].max - 1) < 1e-12);
    assert_int_equal(f.time[LOAD_TPOT].count, 1);   /* one token has no time between tokens */
    assert_true(fabs(f.time[LOAD_TPOT].mean - 0.1) < 1e-12 && f.time[LOAD_ITL].count == 9);
    assert_true(f.good == 1 && f.counted == 1 && f.output_tokens == 11 && f.cached_tokens == 1);
    assert_true(t.errors == 2 && t.error_kinds == 1 && t.error[0].count == 2);
    assert_string_equal(t.error[0].text, "full");
    json_t *json = load_json(&t, &f, &bounds);
    assert_true(fabs(json_real_value(json_object_get(json, "goodput")) - 0.5) < 1e-12);
    assert_string_equal(json_string_value(json_object_get(json, "tokens_from")), "both");
    json_decref(json);
    load_tally_deinit(&t);
}

static void many_kinds_of_errors_are_bounded(void **state)
{
    (void)state;
    LoadTally t;
    load_tally_init(&t);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "HTTP %d", i);
        load_tally_error(&t, name, "");
    }
    assert_true(t.error_kinds == LOAD_ERROR_KINDS_MAX && t.errors == 100);
    load_tally_deinit(&t);
}

static void bounds_are_read_or_refused(void **state)
{
    (void)state;
    Error err;
    LoadBounds b = {0};
    const char *bad[] = {"ttft", "ttft:", "ttft:0", "ttft:-1", "ttft:x", "ttft:1ms", "ttft:nan", "e2e:1e10", "itl", ""};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(load_bound_read(bad[i], &b, &err), BAD_ARGUMENT);
    assert_int_equal(load_bound_read("e2e:1500.5", &b, &err), OK);
    assert_true(fabs(b.seconds[LOAD_E2E] - 1.5005) < 1e-12);
}

/* ---- the workload ---- */

static LoadPlan plan_of(const char *prompt, const char *output)
{
    Error err;
    LoadPlan plan = {.seed = 7, .turns = 1, .burst = 1, .id_low = 100, .id_high = 900};
    assert_int_equal(load_lengths_read(prompt, &plan.prompt, &err), OK);
    assert_int_equal(load_lengths_read(output, &plan.output, &err), OK);
    return plan;
}

static void lengths_are_read_or_refused(void **state)
{
    (void)state;
    Error err;
    LoadLengths l;
    const char *bad[] = {"", "0", "-4", "12x", "4..2", "4..", "..4", "0..4", "4...8", "lognormal:8", "lognormal:8,0",
                         "lognormal:8,1,9", "lognormal:8,nan", "lognormal:8,1,4..2", "9999999999", " 4"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(load_lengths_read(bad[i], &l, &err), BAD_ARGUMENT);
    assert_int_equal(load_lengths_read("lognormal:100,0.5,10..400", &l, &err), OK);
    assert_true(l.median == 100 && l.deviation == 0.5 && l.low == 10 && l.high == 400);
}

/* Lengths are spread as was asked: protects what "lognormal traffic" means in a report. */
static void lengths_are_spread_as_asked(void **state)
{
    (void)state;
    LoadPlan uniform = plan_of("64..128", "lognormal:100,0.5,20..400");
    double sum = 0, logs = 0, squares = 0;
    int below = 0, count = 4000;
    for (int i = 0; i < count; i++) {
        LoadAsk ask = load_ask(&uniform, i, 0);
        assert_in_range(ask.prompt_tokens, 64, 128);
        assert_in_range(ask.output_tokens, 20, 400);
        sum += ask.prompt_tokens;
        below += ask.output_tokens < 100;
        logs += log(ask.output_tokens / 100.0);
        squares += log(ask.output_tokens / 100.0) * log(ask.output_tokens / 100.0);
    }
    assert_true(fabs(sum / count - 96) < 1);
    assert_true(abs(below - count / 2) < 120 && fabs(logs / count) < 0.03 && fabs(sqrt(squares / count) - 0.5) < 0.03);
}

static void arrivals_have_their_rate(void **state)
{
    (void)state;
    LoadPlan plan = plan_of("8", "8");
    plan.rate = 50;
    for (plan.burst = 1; plan.burst <= 4; plan.burst += 3) {
        LoadArrivals a = load_arrivals(&plan), same = load_arrivals(&plan);
        double last = 0, squares = 0, gaps = 0;
        for (int i = 0; i < 8000; i++) {
            double at = load_arrivals_next(&a), gap = at - last;
            assert_true(at >= last && at == load_arrivals_next(&same));
            assert_true(i % plan.burst ? gap == 0 : true);
            if (gap > 0)
                gaps++, squares += gap * gap;
            last = at;
        }
        double mean = plan.burst / 50.0;
        assert_true(fabs(last - 160) < 8);
        assert_true(fabs(squares / gaps / (2 * mean * mean) - 1) < 0.15);   /* exponential: twice the mean's square */
    }
}

static Buf body_of(const LoadPlan *plan, LoadTalk *talk, bool chat)
{
    Error err;
    LoadAsk ask;
    Buf body;
    buf_init(&body, 1 << 20);
    LoadWire wire = {.chat = chat, .model = "m", .temperature = -1};
    assert_int_equal(load_talk_ask(talk, plan, &wire, &ask, &body, &err), OK);
    return body;
}

/* The same seed asks the same, another seed or conversation something else, whatever was asked before. */
static void prompts_follow_the_seed(void **state)
{
    (void)state;
    LoadPlan a = plan_of("20", "5"), b = a;
    a.shared_prefix = b.shared_prefix = 30;
    b.seed = 8;
    json_t *one = load_ids(&a, 3, 0), *same = load_ids(&a, 3, 0), *next = load_ids(&a, 4, 0), *other = load_ids(&b, 3, 0);
    assert_int_equal(json_array_size(one), 50);
    assert_true(json_equal(one, same) && !json_equal(one, next) && !json_equal(one, other));
    for (size_t i = 0; i < 50; i++) {
        json_int_t id = json_integer_value(json_array_get(one, i));
        assert_in_range(id, 100, 899);
        if (i < 30)
            assert_true(id == json_integer_value(json_array_get(next, i)));
    }
    json_decref(one), json_decref(same), json_decref(next), json_decref(other);
}

static void conversations_hold_what_was_said(void **state)
{
    (void)state;
    Error err;
    LoadPlan plan = plan_of("3", "5");
    plan.words = true;
    plan.turns = 2;
    for (int chat = 0; chat < 2; chat++) {
        LoadTalk talk;
        load_talk_begin(&talk, 0);
        Buf first = body_of(&plan, &talk, chat);
        assert_int_equal(load_talk_answer(&talk, span_text(" an \"answer\""), &err), OK);
        Buf second = body_of(&plan, &talk, chat);
        json_t *was = json_loads(first.data, 0, NULL), *is = json_loads(second.data, 0, NULL);
        if (chat) {
            assert_int_equal(json_array_size(json_object_get(is, "messages")), 3);
            assert_true(json_equal(json_array_get(json_object_get(is, "messages"), 0),
                                   json_array_get(json_object_get(was, "messages"), 0)));
        } else {
            const char *before = json_string_value(json_object_get(was, "prompt"));
            const char *now = json_string_value(json_object_get(is, "prompt"));
            assert_memory_equal(now, before, strlen(before));
            assert_memory_equal(now + strlen(before), " an \"answer\"\n", 13);
        }
        assert_int_equal(load_talk_answer(&talk, span_text("\xFF"), &err), BAD_FILE);
        json_decref(was), json_decref(is);
        buf_deinit(&first), buf_deinit(&second);
        load_talk_end(&talk);
    }
}

static void files_of_prompts_are_read_or_refused(void **state)
{
    (void)state;
    Error err;
    LoadPrompts p;
    assert_int_equal(load_prompts_read(&p, span_text("one\n\n two \r\nthree"), "f", &err), OK);
    assert_int_equal(p.count, 3);
    assert_string_equal(json_string_value(p.item[1].prompt), " two");
    load_prompts_deinit(&p);
    const char *bad[] = {"", "\n\n", "{\"prompt\": 5}", "{\"prompt\": []}", "{\"prompt\": \"a\", \"max_tokens\": 0}",
                         "{\"prompt\": \"a\"}\n{\"messages\": []}", "{\"prompt\": \"a\"}\nplain", "\xFF\xFE"};
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(load_prompts_read(&p, span_text(bad[i]), "f", &err), BAD_FILE);
    assert_int_equal(load_prompts_read(&p, span_text("{\"prompt\": \"a\"}\n{\"messages\": 1}"), "f", &err), BAD_FILE);
    assert_memory_equal(err.text, "f: line 2", 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_survive_any_cut),
        cmocka_unit_test(an_endless_event_is_refused),
        cmocka_unit_test(chunks_say_what_is_a_token),
        cmocka_unit_test(errors_in_a_stream_are_errors),
        cmocka_unit_test(percentiles_lie_between_neighbours),
        cmocka_unit_test(figures_are_those_of_the_requests),
        cmocka_unit_test(many_kinds_of_errors_are_bounded),
        cmocka_unit_test(bounds_are_read_or_refused),
        cmocka_unit_test(lengths_are_read_or_refused),
        cmocka_unit_test(lengths_are_spread_as_asked),
        cmocka_unit_test(arrivals_have_their_rate),
        cmocka_unit_test(prompts_follow_the_seed),
        cmocka_unit_test(conversations_hold_what_was_said),
        cmocka_unit_test(files_of_prompts_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
