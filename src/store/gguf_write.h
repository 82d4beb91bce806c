/* gguf_write.h -- writes a GGUF file, version 3.
 *
 *     GgufWriter *w = gguf_writer_new();
 *     gguf_put_text(w, "general.architecture", "llama");
 *     gguf_put_tensor(w, "output_norm.weight", &format_f32, 1, (int64_t[]){4096});
 *     Err result = gguf_write(w, "model.gguf", fill, context, err);
 *     gguf_writer_free(w);
 *
 * Keys and tensors are announced first, without their bytes; gguf_write() then asks for the bytes
 * of one tensor after the other, so a model larger than the memory can be written. The puts return
 * nothing: the first thing that is wrong with any of them (a name put twice, a format that GGUF has
 * no number for, no memory) is what gguf_write() says, before it touches the disk.
 *
 * A key "general.alignment" counts; without it tensors are aligned to 32 bytes.
 */
#ifndef STORE_GGUF_WRITE_H
#define STORE_GGUF_WRITE_H

#include "base/buf.h"
#include "base/file_out.h"
#include "core/format.h"
#include "store/gguf.h"

typedef struct GgufWriter GgufWriter;

GgufWriter *gguf_writer_new(void);     /* NULL: no memory */
void gguf_writer_free(GgufWriter *);   /* NULL is allowed */

bool gguf_written(const GgufWriter *, const char *key);   /* whether the key was put */

/* One value of any type but string and array. */
void gguf_put(GgufWriter *, const char *key, GgufType, const void *value);
void gguf_put_string(GgufWriter *, const char *key, Span);
void gguf_put_strings(GgufWriter *, const char *key, const Span *values, uint64_t count);
void gguf_put_array(GgufWriter *, const char *key, GgufType element, const void *values,
                    uint64_t count);
void gguf_put_entry(GgufWriter *, const GgufEntry *);   /* as it lies in another file */

static inline void gguf_put_u32(GgufWriter *w, const char *key, uint32_t v)
{
    gguf_put(w, key, GGUF_U32, &v);
}
static inline void gguf_put_i32(GgufWriter *w, const char *key, int32_t v)
{
    gguf_put(w, key, GGUF_I32, &v);
}
static inline void gguf_put_u64(GgufWriter *w, const char *key, uint64_t v)
{
    gguf_put(w, key, GGUF_U64, &v);
}
static inline void gguf_put_f32(GgufWriter *w, const char *key, float v)
{
    gguf_put(w, key, GGUF_F32, &v);
}
static inline void gguf_put_bool(GgufWriter *w, const char *key, bool v)
{
    gguf_put(w, key, GGUF_BOOL, &(uint8_t){v});
}
static inline void gguf_put_text(GgufWriter *w, const char *key, const char *text)
{
    gguf_put_string(w, key, span_text(text));
}

/* dim: outermost first, [rows, width], 1 to 4 of them. Tensors are numbered as they come. */
void gguf_put_tensor(GgufWriter *, const char *name, const Format *, int dims, const int64_t *dim);

/* Puts the bytes of this tensor, in as many pieces as it likes. */
typedef Err GgufFill(void *context, size_t tensor, FileOut *out, Error *err);
Err gguf_write(const GgufWriter *, const char *path, GgufFill *fill, void *context, Error *err);

/* All that lies before the bytes of the tensors. A buffer of its own, which the caller gives back in any case. `what` names
 * the file in messages. */
Err gguf_write_head(const GgufWriter *, const char *what, Buf *out, Error *err);
uint64_t gguf_data_bytes(const GgufWriter *);   /* that come after it, up to the end of the last tensor */

#endif
