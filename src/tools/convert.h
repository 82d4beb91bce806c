/* convert.h -- writes a GGUF from a checkpoint, in any format that computes.
 *
 *     metadata    what the family reads from its config, recorded while it reads it (model/keys.h)
 *     weights     by the family's declaration: each from its place in the checkpoint to its place in a GGUF
 *     tokenizer   as tokenizer.ggml.* (gguf_vocabulary.h); of a GGUF, copied as it is
 *
 * Matrices become the wanted format, vectors and routers F32. A matrix whose rows the format's blocks do not fill
 * evenly becomes F32 instead, and is reported; one that the checkpoint has in blocks stays as it is, bit by bit, if
 * the wanted format is as large or larger (gpt-oss's experts). Memory stays at some rows of one tensor.
 */
#ifndef TOOLS_CONVERT_H
#define TOOLS_CONVERT_H

#include "model/package.h"

typedef struct ConvertOptions {
    const Format *format; /* of matrices */
    const Format *table_format; /* of the embeddings and the output; NULL: as matrices */
    const char *name; /* general.name; NULL: the folder's */
    int threads; /* 0: all */
} ConvertOptions;

typedef struct ConvertReport {
    double bytes_in, bytes_out;
    int tensors, kept_f32; /* matrices that the format does not fit */
    int kept_blocks; /* that the checkpoint has in a smaller one */
} ConvertReport;

Err convert_model(const Package *, const ConvertOptions *, const char *out_path, const Progress *, ConvertReport *,
                  Error *err);

#endif
