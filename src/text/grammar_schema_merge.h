/* grammar_schema_merge.h -- schemas made flat: $ref followed, allOf joined to one schema that says all of it.
 *
 *     {"allOf": [{"$ref": "#/$defs/named"}, {"required": ["age"]}]}   ->   {"properties": ..., "required": ["name", "age"]}
 *
 * Schemas that are made live as long as the SchemaSource; their parts are shared with those that they are made of.
 * Two schemas that nothing satisfies together become false.
 */
#ifndef TEXT_GRAMMAR_SCHEMA_MERGE_H
#define TEXT_GRAMMAR_SCHEMA_MERGE_H

#include "base/json.h"

enum { SCHEMAS_MADE_MAX = 10000, SCHEMA_DEPTH_MAX = 40, SCHEMA_PAIRS_MAX = 256 };

typedef struct SchemaSource {
    json_t *root;
    json_t *made;                /* an array that owns what was made */
    int depth;
    Error *err;
} SchemaSource;

/* Types as bits: what a schema names, or what its keywords speak of, or where it says nothing all. */
enum {
    TYPE_NULL = 1, TYPE_BOOLEAN = 2, TYPE_OBJECT = 4, TYPE_ARRAY = 8, TYPE_STRING = 16, TYPE_INTEGER = 32,
    TYPE_FRACTION = 64,          /* numbers that are no integers */
    TYPE_NUMBER = TYPE_INTEGER | TYPE_FRACTION, TYPE_ALL = 127,
};

/* Neither $ref nor allOf at the top; an object, true or false. `path` names the place in errors. */
Err schema_resolve(SchemaSource *, json_t *schema, const char *path, json_t **out);
Err schema_merge(SchemaSource *, json_t *a, json_t *b, const char *path, json_t **out);

/* 0, with an error, where `type` is no type. */
unsigned schema_types(const SchemaSource *, const json_t *schema, const char *path);

/* Whether it is certain that nothing that is written for one of them satisfies the other. */
bool schema_exclude(SchemaSource *, json_t *a, json_t *b);

/* The branch of a choice together with what stands beside the choice. */
Err schema_branch(SchemaSource *, json_t *schema, const char *choice, json_t *branch, const char *path, json_t **out);

bool schema_is_annotation(const char *key);
json_t *schema_keep(SchemaSource *, json_t *made);   /* takes the reference; NULL: no memory, or too many */

#endif
