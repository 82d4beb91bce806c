/* grammar_schema_compiler.h -- what the pages that write a schema's rules share.
 *
 * Each different schema is one rule, written when its turn comes: a schema that contains others asks for their
 * numbers (schema_rule), writes those, and the list grows until all are written. So recursion of schemas is a
 * rule that names itself, and nothing here recurses.
 */
#ifndef TEXT_GRAMMAR_SCHEMA_COMPILER_H
#define TEXT_GRAMMAR_SCHEMA_COMPILER_H

#include "base/buf.h"
#include "text/grammar_schema_merge.h"

enum { SCHEMA_RULES_MAX = 4096, SCHEMA_BUCKETS = 2 * SCHEMA_RULES_MAX, SCHEMA_ANY = -1, SCHEMA_NONE = -2,
       SCHEMA_COMPARED_MAX = 16 << 20 };

/* Rules that any schema may need, written once where they are. */
typedef enum SharedRule {
    SHARED_CHAR, SHARED_STRING, SHARED_INTEGER, SHARED_NUMBER, SHARED_OBJECT, SHARED_ARRAY, SHARED_VALUE,
} SharedRule;

typedef struct SchemaRule {
    json_t *schema;
    uint64_t hash;
    char *path;
} SchemaRule;

typedef struct SchemaCompiler {
    SchemaSource source;
    const char *prefix;
    Buf *out;
    Buf pending;                 /* rules that belong to the one that is being written, and follow it */
    unsigned shared;             /* bit per SharedRule: needed */
    size_t compared;             /* bytes of schemas' texts so far */
    int32_t rule_count;
    SchemaRule rules[SCHEMA_RULES_MAX];
    int32_t buckets[SCHEMA_BUCKETS];
} SchemaCompiler;

typedef struct SchemaPath { char text[512]; } SchemaPath;

/* The rule of a schema: its number, SCHEMA_ANY, or SCHEMA_NONE where nothing satisfies it. */
Err schema_rule(SchemaCompiler *, json_t *schema, const char *path, int32_t *out);
void schema_put_rule(SchemaCompiler *, int32_t rule);
void schema_put_shared(SchemaCompiler *, SharedRule);
Err schema_path(SchemaCompiler *, const char *path, const char *key, const char *name, SchemaPath *out);
Err schema_count(SchemaCompiler *, const json_t *schema, const char *key, const char *path, uint64_t absent, uint64_t *out);
Err schema_refuse(SchemaCompiler *, const json_t *schema, const char *path);

/* Each writes the body of a rule; rules that belong to it go to `pending`. */
Err schema_put_string(SchemaCompiler *, const json_t *schema, const char *path);
Err schema_put_object(SchemaCompiler *, int32_t rule, json_t *schema, const char *path);
Err schema_put_array(SchemaCompiler *, int32_t rule, json_t *schema, const char *path);
void schema_put_pending(SchemaCompiler *);

#endif
