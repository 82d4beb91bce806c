#include "server/choice_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/random_id.h"

static const size_t TEXT_BYTES_MAX = (size_t)1 << 28;

/* ---- tokens that are kept ---- */

bool kept_token_take(KeptToken *kept, const Sampled *token, int32_t best)
{
    best = best < token->best_count ? best : token->best_count;
    *kept = (KeptToken){.id = token->id, .logprob = token->logprob};
    if (best <= 0)
        return true;
    kept->best = malloc((size_t)best * sizeof *kept->best);
    if (!kept->best)
        return false;
    memcpy(kept->best, token->best, (size_t)best * sizeof *kept->best);
    kept->best_count = best;
    return true;
}

void kept_tokens_free(KeptToken *tokens, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        free(tokens[i].best);
    free(tokens);
}

/* ---- birth and end ---- */

Err choice_run_init(ChoiceRun *r, const GenerationSpec *spec, const Tokenizer *tokenizer, const StopMatcher *stops, Error *err)
{
    r->spec = spec;
    r->tokenizer = tokenizer;
    r->choice.stop_token = TOKEN_NONE;
    r->in_reasoning = spec->reads_reasoning && spec->reasoning_open;
    detokenizer_init(&r->detokenizer, tokenizer, DECODE_CONTINUES);
    Buf *all[] = {&r->whole, &r->certain, &r->choice.text, &r->choice.reasoning};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_init(all[i], TEXT_BYTES_MAX);
    if (stops && !(r->stops = stop_matcher_twin(stops)))
        return fail(err, NO_MEMORY, "no memory for an answer");
    if (!spec->dialect || (!spec->reads_calls && !spec->reads_reasoning))
        return OK;
    DialectOptions o = {.calls = spec->reads_calls, .reasoning = spec->reads_reasoning, .in_reasoning = r->in_reasoning,
                        .tools = spec->tools};
    return dialect_reader_new(&r->reader, spec->dialect, &o, err);
}

void choice_run_deinit(ChoiceRun *r)
{
    if (!r->spec)
        return;
    for (int32_t i = 0; i < r->choice.call_count; i++) {
        buf_deinit(&r->choice.calls[i].name);
        buf_deinit(&r->choice.calls[i].arguments);
    }
    Buf *all[] = {&r->whole, &r->certain, &r->choice.text, &r->choice.reasoning};
    for (size_t i = 0; i < COUNT_OF(all); i++)
        buf_deinit(all[i]);
    stop_matcher_free(r->stops);
    dialect_reader_free(r->reader);
    free(r->choice.calls);
    kept_tokens_free(r->choice.tokens, r->choice.token_count);
    *r = (ChoiceRun){0};
}

/* ---- what comes out ---- */

static void emit(ChoiceRun *r, DeltaKind kind, Span text, int32_t call)
{
    if (!r->emit)
        return;
    Delta delta = {.kind = kind, .choice = &r->choice, .text = text, .call = call, .tokens = r->choice.tokens + r->told,
                   .token_count = r->choice.token_count - r->told};
    r->told = r->choice.token_count;
    r->emit(r->with, &delta);
}

static ToolCall *add_call(Choice *c)
{
    if (c->call_count == CALLS_MAX)
        return NULL;
    if ((c->call_count & (c->call_count - 1)) == 0) {    /* room doubles at powers of two */
        ToolCall *calls = realloc(c->calls, (size_t)(c->call_count ? 2 * c->call_count : 1) * sizeof *calls);
        if (!calls)
            return NULL;
        c->calls = calls;
    }
    ToolCall *call = &c->calls[c->call_count++];
    *call = (ToolCall){0};
    buf_init(&call->name, TEXT_BYTES_MAX);
    buf_init(&call->arguments, TEXT_BYTES_MAX);
    snprintf(call->id, sizeof call->id, "%.31s", random_id("call_").text);    /* clients tell calls apart by it */
    return call;
}

static void begin_call(ChoiceRun *r, Span name)
{
    ToolCall *call = add_call(&r->choice);
    if (!call || !buf_put_span(&call->name, name)) {
        r->failed = true;
        return;
    }
    emit(r, DELTA_CALL, name, r->choice.call_count - 1);
}

static void add_text(ChoiceRun *r, Buf *to, DeltaKind kind, Span text, int32_t call)
{
    if (text.bytes == 0)
        return;
    if (!buf_put_span(to, text))
        r->failed = true;
    else
        emit(r, kind, text, call);
}

static void take_part(void *with, const DialectPart *part)
{
    ChoiceRun *r = with;
    Choice *c = &r->choice;
    if (r->failed || (r->stopped && r->spec->one_call && c->call_count > 0))
        return;
    r->in_reasoning = part->kind == DIALECT_REASONING;
    switch (part->kind) {
    case DIALECT_TEXT: add_text(r, &c->text, DELTA_TEXT, part->text, 0); break;
    case DIALECT_REASONING: add_text(r, &c->reasoning, DELTA_REASONING, part->text, 0); break;
    case DIALECT_CALL: begin_call(r, part->text); break;
    case DIALECT_ARGUMENTS:
        if (c->call_count > 0)
            add_text(r, &c->calls[c->call_count - 1].arguments, DELTA_ARGUMENTS, part->text, c->call_count - 1);
        break;
    case DIALECT_CALL_END: r->stopped |= r->spec->one_call; break;
    }
}

static void pass_to_reader(ChoiceRun *r, Span text)
{
    if (text.bytes == 0)
        return;
    if (!r->reader)
        add_text(r, &r->choice.text, DELTA_TEXT, text, 0);
    else if (!dialect_reader_put(r->reader, text, take_part, r))
        r->failed = true;
}

/* ---- stages ---- */

static void pass_stops(ChoiceRun *r, bool last)
{
    int stopped = -1;
    if (!stop_matcher_put(r->stops, buf_span(&r->whole), &r->certain, &stopped))
        r->failed = true;
    if (stopped >= 0) {
        r->choice.stop_text = r->spec->stop[stopped];
        if (r->spec->keeps_stop)
            buf_put_text(&r->certain, r->choice.stop_text);
    } else if (last) {
        stop_matcher_finish(r->stops, &r->certain);
    }
    pass_to_reader(r, buf_span(&r->certain));
    r->failed |= r->certain.full;
    r->stopped |= stopped >= 0;
    buf_clear(&r->certain);
}

/* Passes the characters that are whole now on to the stages behind. */
static void pass_on(ChoiceRun *r, bool last)
{
    r->failed |= r->whole.full;
    if (r->stops && r->choice.token_count > r->spec->sampling.min_tokens)    /* until then no text stops it */
        pass_stops(r, last);
    else
        pass_to_reader(r, buf_span(&r->whole));
    buf_clear(&r->whole);
}

static bool is_shown(const ChoiceRun *r, int32_t id)
{
    return r->spec->shows_special || !tokenizer_is_special(r->tokenizer, id) ||
           (r->reader && dialect_is_marker(r->spec->dialect, tokenizer_piece_bytes(r->tokenizer, id)));
}

static void detokenize(ChoiceRun *r, int32_t id)
{
    if (is_shown(r, id) && !detokenizer_put(&r->detokenizer, id, &r->whole))
        r->failed = true;
}

static bool keep_token(ChoiceRun *r, const Sampled *token)
{
    Choice *c = &r->choice;
    if (c->token_count == r->token_room) {
        int32_t room = r->token_room ? 2 * r->token_room : 32;
        KeptToken *tokens = realloc(c->tokens, (size_t)room * sizeof *tokens);
        if (!tokens)
            return false;
        c->tokens = tokens;
        r->token_room = room;
    }
    if (!kept_token_take(&c->tokens[c->token_count], token, r->spec->sampling.logprobs))    /* the prompt's may have more */
        return false;
    c->token_count++;
    if (!isnan(token->logprob))
        c->logprob_sum += (double)token->logprob;
    return true;
}

static void echo_prompt(ChoiceRun *r)
{
    const PromptIds *p = &r->spec->prompts[r->choice.prompt];
    size_t before = r->choice.text.bytes;
    if (r->opened)
        return;
    r->opened = true;
    if (!r->spec->echo)
        return;
    unsigned flags = r->spec->shows_special ? 0 : DECODE_SKIP_SPECIAL;
    if (!tokenizer_decode(r->tokenizer, p->ids, (size_t)p->count, flags, &r->choice.text))
        r->failed = true;
    emit(r, DELTA_TEXT, span_from(buf_span(&r->choice.text), before), 0);
}

static void take_token(ChoiceRun *r, const Sampled *token)
{
    if (r->stopped || r->failed)
        return;
    if (!keep_token(r, token)) {
        r->failed = true;
        return;
    }
    bool was_reasoning = r->in_reasoning;
    detokenize(r, token->id);
    pass_on(r, false);
    r->reasoning_tokens += was_reasoning || r->in_reasoning;
}

static Finish finish_of(const ChoiceRun *r, EndReason reason)
{
    static const Finish finishes[] = {[END_STOP] = FINISH_STOP, [END_LENGTH] = FINISH_LENGTH, [END_ERROR] = FINISH_ERROR,
                                      [END_CANCELLED] = FINISH_CANCELLED, [END_EXPIRED] = FINISH_EXPIRED};
    Finish finish = r->failed ? FINISH_ERROR : r->stopped ? FINISH_STOP : finishes[reason];
    return finish == FINISH_STOP && r->choice.call_count > 0 ? FINISH_CALLS : finish;
}

/* The token that ended an answer has no text, but it was chosen. */
static void take_end(ChoiceRun *r, const Event *event)
{
    Choice *c = &r->choice;
    if (event->reason == END_STOP && !r->stopped && event->token.id >= 0) {
        c->stop_token = event->token.id;
        if (!isnan(event->token.logprob))
            c->logprob_sum += (double)event->token.logprob;
        if (r->spec->keeps_stop && token_ids_have(&r->spec->sampling.stop, c->stop_token))
            detokenize(r, c->stop_token);
    }
    if (!r->stopped && !r->failed) {
        r->failed |= !detokenizer_finish(&r->detokenizer, &r->whole);
        pass_on(r, true);
    }
    if (r->reader && !r->failed)
        r->failed |= !dialect_reader_finish(r->reader, take_part, r);
    c->times = event->times;
    c->finish = finish_of(r, event->reason);
    emit(r, DELTA_END, (Span){0}, 0);
}

bool choice_run_take(ChoiceRun *r, const Event *event)
{
    echo_prompt(r);
    if (event->kind == EVENT_END) {
        take_end(r, event);
        return true;
    }
    take_token(r, &event->token);
    return r->stopped || r->failed;
}

void choice_run_tell(ChoiceRun *r, void (*emit_to)(void *with, const Delta *), void *with)
{
    Choice *c = &r->choice;
    r->emit = emit_to;
    r->with = with;
    r->told = 0;
    if (c->reasoning.bytes)
        emit(r, DELTA_REASONING, buf_span(&c->reasoning), 0);
    if (c->text.bytes)
        emit(r, DELTA_TEXT, buf_span(&c->text), 0);
    for (int32_t i = 0; i < c->call_count; i++) {
        emit(r, DELTA_CALL, buf_span(&c->calls[i].name), i);
        if (c->calls[i].arguments.bytes)
            emit(r, DELTA_ARGUMENTS, buf_span(&c->calls[i].arguments), i);
    }
    emit(r, DELTA_END, (Span){0}, 0);
}

double choice_run_score(const ChoiceRun *r)
{
    int32_t tokens = r->choice.token_count + (r->choice.stop_token >= 0);
    return tokens > 0 ? r->choice.logprob_sum / tokens : -INFINITY;
}
