/* synth_memory.h -- a made-up model that is opened without a file: "synth:llama-2-13b:q4_0".
 *
 *     addresses of a GGUF    | head | norms ... | blk.0.attn_q                | blk.0.attn_k         |
 *     what lies there          made   made        pool  pool  pool  pool  po    ol  pool  pool  pool
 *
 * A model of 13B values would take minutes to make and its size in memory, only to be packed into as much memory
 * again. So a matrix is one pool of random blocks, mapped one behind another until it is full; there is a pool for
 * each format and width, and each matrix begins elsewhere in it. What a device uploads is of full size and lies
 * in memory of its own, so speed and memory are those of the real model; what is opened here takes only the pools
 * (some MB), the vectors, and the page tables. Rows of a matrix repeat, so its text is not that of `ridge synth`.
 */
#ifndef MODEL_SYNTH_MEMORY_H
#define MODEL_SYNTH_MEMORY_H

#include "store/store.h"

typedef struct SynthMemory SynthMemory;

bool synth_memory_names(const char *path);      /* begins with "synth:" */
/* name: "synth:SHAPE:FORMAT". BAD_ARGUMENT, NOT_FOUND: names what is wrong. */
Err synth_memory_open(const char *name, SynthMemory **out, Error *err);
void synth_memory_close(SynthMemory *);         /* NULL is allowed. The Store must be freed before */
void synth_memory_let_go(const SynthMemory *);  /* as store_let_go(): the matrices were read */
Span synth_memory_file(const SynthMemory *);    /* a GGUF */

#endif
