#include "text/grammar_schema.h"
Err grammar_schema_rules(json_t *schema, const char *prefix, Buf *gbnf, Error *err){(void)schema;(void)prefix;(void)gbnf;return fail(err,UNSUPPORTED,"x");}
