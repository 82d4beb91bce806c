/* cuda_upload.c -- weights on their way to the GPU: by halves of the pinned staging memory, so that the host fills one
 * (from a file that is mapped, so this is where it is read) while the GPU takes the other. */
#ifdef RIDGE_CUDA

#include <string.h>

#include "base/checked.h"
#include "devices/cuda/cuda_parts.h"
#include "formats/planes.h"

enum { HALF_BYTES = CUDA_STAGING_BYTES / 2 };

/* Where a piece of weights goes, once it lies in a half of the staging memory. */
typedef struct Piece {
    CudaDevice *c;
    Tensor host;
    uint8_t *to;
    WeightKind kind;
    enum { AS_IT_IS, IN_PLANES, AS_F32 } how;
} Piece;

/* Elements [first, first + elems) from staging half `half`. */
static bool send(const Piece *p, int half, int64_t first, int64_t elems)
{
    CudaDevice *c = p->c;
    const Format *f = p->how == AS_F32 ? &format_f32 : p->host.format;
    size_t bytes = format_row_bytes(f, elems);
    uint8_t *from = c->staging + (size_t)half * HALF_BYTES, *raw = c->raw + (size_t)half * HALF_BYTES;
    void *to = p->how == IN_PLANES ? raw : p->to + format_row_bytes(f, first);
    bool fine = cuda_fine(c, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, c->stream), "uploading weights");
    if (fine && p->how == IN_PLANES) {
        planes_pack(p->kind, p->to, tensor_elems(p->host), first, elems, raw, c->stream);
        fine = cuda_fine(c, cudaGetLastError(), "uploading weights");
    }
    return fine && cuda_fine(c, cudaEventRecord(c->staged[half], c->stream), "uploading weights");
}

static void fill(const Piece *p, int half, int64_t first, int64_t elems)
{
    uint8_t *to = p->c->staging + (size_t)half * HALF_BYTES;
    const uint8_t *from = (const uint8_t *)p->host.data + format_row_bytes(p->host.format, first);
    if (p->how == AS_F32)
        p->host.format->decode((float *)to, from, (size_t)elems);
    else
        memcpy(to, from, format_row_bytes(p->host.format, elems));
}

static Err send_all(const Piece *p, Error *err)
{
    enum { UNIT = 256 };      /* a multiple of every format's block */
    const Format *f = p->how == AS_F32 ? &format_f32 : p->host.format;
    int64_t all = tensor_elems(p->host), most = HALF_BYTES / (int64_t)format_row_bytes(f, UNIT) * UNIT;
    int half = 0;
    for (int64_t first = 0; first < all; first += most, half ^= 1) {
        int64_t elems = min_i64(most, all - first);
        if (!cuda_fine(p->c, cudaEventSynchronize(p->c->staged[half]), "uploading weights"))
            break;
        fill(p, half, first, elems);
        if (!send(p, half, first, elems))
            break;
    }
    return p->c->trouble.code == OK ? OK : fail(err, p->c->trouble.code, "%s", p->c->trouble.text);
}

Err cuda_upload(Device *d, const char *name, Tensor host, WeightUse use, Tensor *out, Error *err)
{
    CudaDevice *c = (CudaDevice *)d;
    Piece p = {.c = c, .host = host, .kind = weight_kind(host.format), .how = AS_IT_IS};
    void *to;
    *out = host;
    out->row_elems = tensor_width(host);
    if (use == USE_VECTOR || p.kind == W_NONE)
        p.how = host.format == &format_f32 ? AS_IT_IS : AS_F32;
    else if (p.kind >= W_PLAIN_KINDS)
        p.how = IN_PLANES;
    if (p.kind == W_NONE && use != USE_VECTOR && host.format->activation && host.format->activation != &format_f32)
        return fail(err, UNSUPPORTED, "tensor '%s': the GPU has no products with %s; use --device cpu, or convert the model",
                    name, host.format->name);
    if (p.how == AS_F32)
        out->format = &format_f32;
    if (p.how == IN_PLANES)
        out->packing = PACKING_PLANES;
    size_t bytes = p.how == IN_PLANES ? planes_bytes(p.kind, tensor_elems(host)) : tensor_bytes(*out);
    TRY(cuda_region(c, bytes, &to, err));
    p.to = out->data = to;
    return send_all(&p, err);
}

#endif
