/* grammar_schema.h -- a JSON Schema as rules of GBNF: exactly such values can be written.
 *
 *     {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
 *      "required": ["name"]}
 *
 *     root     ::= "{" " "? root-0a0 "}"
 *     root-0a0 ::= "\"name\":" " "? root-1 root-0b1            properties come in the schema's order
 *     root-0b1 ::= "," " "? "\"age\":" " "? root-2 root-0b2 | root-0b2
 *
 * What is written satisfies the schema; not everything that satisfies it can be written, since a model needs one way
 * and not all. Between parts stands nothing or one space, so no model loops on spaces. Properties come in the order
 * in which the schema lists them, and others only where additionalProperties asks for them. Without `type` the
 * type is what the other keywords speak of. Integers have at most 18 digits, numbers at most 16 before and 16 after
 * the point and an exponent of two digits, none where they have bounds.
 *
 * Known: type, enum, const, anyOf, oneOf (whose branches must exclude each other), allOf and $ref (merged),
 * properties, required, additionalProperties, patternProperties (one pattern), propertyNames, minProperties and
 * maxProperties where they follow from the properties; items, prefixItems, minItems, maxItems; minLength, maxLength,
 * pattern, format; minimum, maximum, exclusiveMinimum, exclusiveMaximum; nullable; true and false as schemas.
 * Annotations and keywords that nobody knows mean nothing. All other keywords (not, if, contains, multipleOf,
 * uniqueItems ...) are refused by name, with the place in the schema as a JSON pointer.
 */
#ifndef TEXT_GRAMMAR_SCHEMA_H
#define TEXT_GRAMMAR_SCHEMA_H

#include "base/buf.h"
#include "base/json.h"

/* Appends rules: `prefix` stands for a value by this schema, the others are called prefix-... A text may hold the rules
 * of several schemas under different prefixes (letters, digits, dashes). BAD_ARGUMENT, UNSUPPORTED: with the place;
 * LIMIT_REACHED: too large. */
Err grammar_schema_rules(json_t *schema, const char *prefix, Buf *gbnf, Error *err);

#endif
