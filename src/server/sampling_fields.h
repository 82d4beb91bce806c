/* sampling_fields.h -- the fields about sampling and about the form of an answer, which several APIs have in common.
 *
 *     temperature top_p top_k min_p typical_p             repetition_penalty repeat_last_n presence_penalty
 *     frequency_penalty logit_bias seed                   stop stop_token_ids min_tokens ignore_eos
 *     include_stop_str_in_output skip_special_tokens      n best_of use_beam_search length_penalty
 *     priority cache_salt queue_seconds total_seconds     include_timings timings_per_token stream
 *
 * Names and ranges are OpenAI's and, beyond those, vLLM's; the two in seconds and repeat_last_n are ridge's own. A field
 * that is absent leaves what the spec says.
 *
 * The form of an answer, at most one of them:
 *
 *     response_format      {"type": "text" | "json_object" | "json_schema" with "json_schema": {"schema": ...}}
 *     grammar, regex, choice, json_schema                 GBNF, a pattern, a list of texts, a schema
 *     guided_grammar, guided_regex, guided_choice, guided_json     the same as vLLM called them
 *     structured_outputs   {"grammar" | "regex" | "choice" | "json" | "json_object": ...}   and calls them now
 */
#ifndef SERVER_SAMPLING_FIELDS_H
#define SERVER_SAMPLING_FIELDS_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/service.h"

enum { TOP_LOGPROBS_MAX = 20 };

/* Strings of the spec (stops, cache_salt) live as long as the body. */
void sampling_fields_read(Fields *, GenerationSpec *, const Service *);
/* Stop texts under another name: "stop_sequences". */
void sampling_fields_stop(Fields *, const char *name, GenerationSpec *);

/* Compiles; sets spec->grammar. Errors of a compiler name the field. */
void output_form_read(Fields *, GenerationSpec *, const Service *);
/* A schema of an API's own field. */
void output_form_schema(Fields *, const char *name, json_t *schema, GenerationSpec *, const Service *);
void output_form_object(Fields *, const char *name, GenerationSpec *, const Service *);    /* any JSON object */

/* The model that a request names must be the one that is served. */
void model_field_check(Fields *, const Service *);

#endif
