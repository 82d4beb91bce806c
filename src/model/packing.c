#include "model/packing.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"

enum { METHOD_BYTES = 64, BLOCK_MAX = 1 << 20, SCALES_NAME_BYTES = STORE_NAME_BYTES_MAX + 16 };

#define CONFIG "quantization_config"

/* ---- what the config says ---- */

static Err read_blocks(const Keys *k, Packing *p, Error *err)
{
    p->scaled = true;
    return keys_ints_or(k, CONFIG ".weight_block_size", NULL, 1, BLOCK_MAX, 0, p->block, 2, err);
}

/* The weights of one group of layers: {"num_bits": 8, "type": "float", "strategy": "channel", ...} */
static Err read_group(const Keys *weights, Packing *p, Error *err)
{
    char type[METHOD_BYTES], strategy[METHOD_BYTES];
    int32_t bits, block[2];
    TRY(keys_int(weights, "num_bits", NULL, 1, 64, &bits, err));
    TRY(keys_text_or(weights, "type", NULL, NULL, type, sizeof type, err));
    TRY(keys_text_or(weights, "strategy", NULL, "tensor", strategy, sizeof strategy, err));
    if (bits != 8 || strcmp(type, "float") != 0)
        return fail(err, UNSUPPORTED, "%s: weights of type '%s' of %d bits; ridge reads 'float' of 8", weights->where, type,
                    bits);
    if (strcmp(strategy, "tensor") != 0 && strcmp(strategy, "channel") != 0 && strcmp(strategy, "block") != 0)
        return fail(err, UNSUPPORTED, "%s: strategy '%s' is unknown; ridge reads 'tensor', 'channel' and 'block'",
                    weights->where, strategy);
    TRY(keys_ints_or(weights, "block_structure", NULL, 1, BLOCK_MAX, 0, block, 2, err));
    if (p->scaled && memcmp(block, p->block, sizeof block) != 0)
        return fail(err, UNSUPPORTED, "%s: blocks of [%d, %d] beside others of [%d, %d]", weights->where, block[0], block[1],
                    p->block[0], p->block[1]);
    memcpy(p->block, block, sizeof block);
    p->scaled = true;
    return OK;
}

static Err read_groups(const Keys *k, Packing *p, Error *err)
{
    const json_t *config = json_object_get(k->config, CONFIG), *group;
    const char *name, *format = json_string_value(json_object_get(config, "format"));
    char where[512];
    if (!format || strcmp(format, "float-quantized") != 0)
        return fail(err, UNSUPPORTED, "%s: " CONFIG ".format '%s' is one that ridge does not read; it reads 'float-quantized'",
                    k->where, format ? format : "");
    if (json_object_size(json_object_get(config, "transform_config")))
        return fail(err, UNSUPPORTED, "%s: " CONFIG ".transform_config turns the weights, which ridge does not undo", k->where);
    json_object_foreach((json_t *)json_object_get(config, "config_groups"), name, group)
    {
        snprintf(where, sizeof where, "%s: " CONFIG ".config_groups.%.60s.weights", k->where, name);
        TRY(read_group(&(Keys){.where = where, .config = json_object_get(group, "weights")}, p, err));
    }
    if (!p->scaled)
        return fail(err, BAD_FILE, "%s: " CONFIG ".config_groups names no weights", k->where);
    return OK;
}

Err packing_read(const Keys *k, Packing *p, Error *err)
{
    static const struct {
        const char *name;
        Err (*read)(const Keys *, Packing *, Error *);
    } methods[] = {{"fp8", read_blocks}, {"compressed-tensors", read_groups}};
    char method[METHOD_BYTES];
    *p = (Packing){0};
    if (keys_are_gguf(k) || !keys_have(k, CONFIG, NULL))
        return OK;
    TRY(keys_text_or(k, CONFIG ".quant_method", NULL, NULL, method, sizeof method, err));
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (!strcmp(method, methods[i].name))
            return methods[i].read(k, p, err);
    const Format *format = format_find(method);
    if (!format || !format->join || format->block_bytes > PACKED_BLOCK_BYTES_MAX)
        return fail(err, UNSUPPORTED,
                    "%s: " CONFIG ".quant_method '%s' is one that ridge does not read; take a checkpoint in 16 bits, or a GGUF",
                    k->where, method);
    p->joins = format;
    return OK;
}

/* ---- scales ---- */

int64_t scales_number(const Scales *s, int64_t value)
{
    int64_t row = value / s->width, column = value % s->width, matrix = row / s->rows;
    int64_t block_row = matrix * ceil_div(s->rows, s->block_rows) + row % s->rows / s->block_rows;
    return block_row * ceil_div(s->width, s->block_width) + column / s->block_width;
}

static float scale_of(const Scales *s, int64_t number)
{
    const Format *f = s->tensor->format;
    float scale;
    f->decode(&scale, s->tensor->bytes.data + (size_t)number * (size_t)f->block_bytes, 1);
    return scale;
}

void scales_apply(const Scales *s, int64_t value, float *x, int64_t n)
{
    for (int64_t i = 0, run; i < n; i += run) {
        float scale = scale_of(s, scales_number(s, value + i));
        run = min_i64(n - i, s->block_width - (value + i) % s->width % s->block_width);
        for (int64_t j = i; j < i + run; j++)
            x[j] *= scale;
    }
}

/* ---- tensors ---- */

static const StoreTensor *find_beside(const Store *store, const char *name, const char *end)
{
    char whole[SCALES_NAME_BYTES];
    int bytes = snprintf(whole, sizeof whole, "%s%s", name, end);
    return bytes < (int)sizeof whole ? store_find(store, whole) : NULL;
}

/* One scale for all, for each matrix, or for each row, if the config names no blocks. */
static Scales scales_of(const Packing *p, const StoreTensor *values, const StoreTensor *scales)
{
    int64_t width = store_tensor_width(values), rows = values->dims > 1 ? values->dim[values->dims - 2] : 1;
    int64_t matrices = store_tensor_elems(values) / max_i64(1, rows * width), count = store_tensor_elems(scales);
    Scales s = {scales, rows, width, p->block[0], p->block[1]};
    if (p->block[0])
        return s;
    s.block_width = width;
    s.rows = count == 1 ? matrices * rows : rows;
    s.block_rows = count == 1 || count == matrices ? s.rows : 1;
    return s;
}

static Err check_scales(const StoreTensor *values, const Scales *s, Error *err)
{
    const StoreTensor *t = s->tensor;
    int64_t elems = store_tensor_elems(values), columns = ceil_div(s->width, s->block_width);
    int64_t wanted = elems ? scales_number(s, elems - 1) + 1 : 0;
    if (!strchr(t->format->name, 'F')) /* so are all floats called, and nothing else */
        return fail(err, UNSUPPORTED, "%s: tensor '%s' is %s; scales must be floats", t->file->path, t->name,
                    t->format->name);
    if (elems && store_tensor_elems(t) == wanted && (t->dims > 1 ? store_tensor_width(t) : 1) == columns)
        return OK;
    return fail(err, BAD_FILE,
                "%s: tensor '%s' has %lld scales in rows of %lld; '%s', [%lld, %lld] in blocks of [%lld, %lld], needs %lld in "
                "rows of %lld",
                t->file->path, t->name, (long long)store_tensor_elems(t), (long long)store_tensor_width(t), values->name,
                (long long)s->rows, (long long)s->width, (long long)s->block_rows, (long long)s->block_width,
                (long long)wanted, (long long)columns);
}

/* Whatever is wider than a byte was left as it is (modules_to_not_convert). */
static Err find_scales(const Packing *p, const Store *store, PackedTensor *out, Error *err)
{
    const StoreTensor *values = out->stored, *scales = find_beside(store, values->name, "_scale_inv");
    if (!p->scaled || values->format->block_bytes != 1)
        return OK;
    scales = scales ? scales : find_beside(store, values->name, "_scale");
    if (!scales)
        return fail(err, BAD_FILE, "%s: tensor '%s' is %s, and there is no '%s_scale_inv' or '%s_scale' for it",
                    values->file->path, values->name, values->format->name, values->name, values->name);
    if (!store_tensor_elems(values))
        return fail(err, BAD_FILE, "%s: tensor '%s' has no values", values->file->path, values->name);
    out->scales = scales_of(p, values, scales);
    return check_scales(values, &out->scales, err);
}

/* [.., C / 32, 16] of pairs and [.., C / 32] of scales, for blocks of 32 elements in 17 bytes, are [.., C]. */
static Err find_apart(const Format *joins, const Store *store, const char *name, PackedTensor *out, Error *err)
{
    const StoreTensor *values = find_beside(store, name, "_blocks"), *scales = find_beside(store, name, "_scales");
    if (!values || !scales)
        return OK;
    int dims = values->dims - 1;
    int64_t bytes = joins->block_bytes - 1;
    if (dims < 1 || dims != scales->dims || store_tensor_width(values) != bytes ||
        memcmp(values->dim, scales->dim, (size_t)dims * sizeof *values->dim) != 0 || values->format->block_bytes != 1 ||
        scales->format->block_bytes != 1)
        return fail(err, BAD_FILE,
                    "%s: '%s' (%s, %d dimensions, %lld values) and '%s' (%s, %d dimensions, %lld values) are not %s blocks: "
                    "they should be bytes, %lld beside each scale",
                    values->file->path, values->name, values->format->name, values->dims,
                    (long long)store_tensor_elems(values), scales->name, scales->format->name, scales->dims,
                    (long long)store_tensor_elems(scales), joins->name, (long long)bytes);
    int64_t width = values->dim[dims - 1] * joins->block_elems, rows = dims > 1 ? values->dim[dims - 2] : 1;
    *out = (PackedTensor){.stored = values, .view = *values, .scales = {scales, rows, width, 1, joins->block_elems}};
    out->together = joins->block_elems / (joins->block_bytes - 1);
    out->view.format = joins;
    out->view.dims = dims;
    out->view.dim[dims - 1] = width;
    out->view.dim[dims] = 1;
    return OK;
}

Err packing_find(const Packing *p, const Store *store, const char *name, PackedTensor *out, Error *err)
{
    *out = (PackedTensor){.stored = store_find(store, name), .together = 1};
    if (!out->stored)
        return p->joins ? find_apart(p->joins, store, name, out, err) : OK;
    out->view = *out->stored;
    return find_scales(p, store, out, err);
}

bool packing_ignores(const Packing *p, const char *name)
{
    static const char *const ends[] = {".input_scale", ".activation_scale"};
    size_t bytes = strlen(name);
    for (size_t i = 0; p->scaled && i < COUNT_OF(ends); i++)
        if (bytes > strlen(ends[i]) && !strcmp(name + bytes - strlen(ends[i]), ends[i]))
            return true;
    return false;
}
