/* arena.h -- memory that is handed out forward and given back all at once.
 *
 *     [ taken | taken | taken |          reserved, not yet touched           ]
 *     0                       used                                   bytes_max
 *
 * An arena reserves addresses for bytes_max at birth and touches pages only as they are taken, so a
 * generous limit costs nothing. After arena_seal() a take is a programmer's error: that is how the
 * engine proves that it allocates nothing once it has started.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/error.h"

typedef struct Arena Arena;

Arena *arena_new(size_t bytes_max);           /* NULL: no address space left */
void arena_free(Arena *);                     /* NULL is allowed */

/* Zeroed, aligned to 64 bytes; NULL when bytes_max would be passed. */
void *arena_take(Arena *, size_t bytes);
void *arena_take_array(Arena *, size_t count, size_t element_bytes);   /* NULL on overflow as well */
char *arena_copy_text(Arena *, const char *text, size_t bytes);        /* adds a zero byte */

size_t arena_used(const Arena *);
void arena_rewind(Arena *, size_t used);      /* forgets all that was taken after arena_used() gave `used` */
void arena_seal(Arena *);

#define ARENA_NEW(arena, Type) ((Type *)arena_take(arena, sizeof(Type)))
#define ARENA_ARRAY(arena, Type, count) ((Type *)arena_take_array(arena, count, sizeof(Type)))

#endif
