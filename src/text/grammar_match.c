#include "text/grammar_match.h"

#include "text/grammar_states.h"

static bool run(GrammarStates *s, Span text)
{
    s->walk[0] = s->start;
    s->walk_count = 1;
    for (size_t i = 0; i < text.bytes; i++) {
        uint16_t to = text.data[i] == BYTE_CONTROL ? STATE_DEAD : states_step(s, &s->walk[0], text.data[i]);
        if (to == STATE_DEAD)
            return false;
        s->walk[0] = to;
    }
    return states_complete(s, s->walk[0]);
}

Err grammar_match(Span gbnf, Span text, bool *out, Error *err)
{
    GrammarRules rules;
    GrammarProgram program;
    GrammarStates states;
    grammar_rules_init(&rules);
    Err result = grammar_rules_read(&rules, gbnf, false, "pattern", err);
    if (result == OK)
        result = grammar_program_make(&program, &rules, "pattern", err);
    grammar_rules_deinit(&rules);
    TRY(result);
    result = grammar_states_init(&states, &program, err);
    if (result == OK) {
        *out = run(&states, text);
        grammar_states_deinit(&states);
    }
    grammar_program_deinit(&program);
    return result;
}
