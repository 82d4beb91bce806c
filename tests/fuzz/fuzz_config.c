/* fuzz_config.c -- any bytes as what a model says of itself, config.json or GGUF: a shape, its cache and its list of
 * weights, or an error. No weight is there, so what is read beyond the config is refused as missing. */
#include "cache/kv_ledger.h"
#include "fuzz_store.h"
#include "model/arch.h"

static const size_t CONFIG_BYTES_MAX = 1 << 20, SHAPE_BYTES_MAX = (size_t)256 << 20;

static void follow(const Keys *k)
{
    static KvLedger ledger;
    static KvLayout kv;
    const Arch *arch = arch_find(k->family);
    Arena *arena = arena_new(SHAPE_BYTES_MAX);
    ModelShape shape = {0};
    Error err;
    if (arch && arena && arch->read_shape(k, arena, &shape, &err) == OK) {
        WeightList list = {.arena = arena};
        ASSERT(shape.L >= 1 && shape.L <= LAYERS_MAX && shape.V >= 1 && shape.D >= 1);
        kv = (KvLayout){0};
        arch->kv_layout(&shape, &kv);
        kv_ledger_init(&ledger, &kv, &(KvOptions){.format = &format_f32, .block_tokens = 16, .sequences = 4, .context = 1024,
                                                  .rows = 64}, &err);
        arch->declare(&shape, &list);
        weight_list_deinit(&list);
    }
    arena_free(arena);
}

static void as_config(const uint8_t *data, size_t bytes)
{
    static const char empty_safetensors[] = "\2\0\0\0\0\0\0\0{}";
    Error err;
    Keys k = {.where = "config.json"};
    json_t *config = NULL;
    Store *nothing = NULL;
    if (json_read(span_of(data, bytes), CONFIG_BYTES_MAX, "config.json", &config, &err) == OK &&
        store_open_bytes(span_of(empty_safetensors, sizeof empty_safetensors - 1), "nothing", &nothing, &err) == OK) {
        k.config = config;
        k.store = nothing;
        if (json_is_object(config) && keys_text_or(&k, "model_type", NULL, NULL, k.family, sizeof k.family, &err) == OK)
            follow(&k);
    }
    store_free(nothing);
    json_decref(config);
}

static void as_gguf(const uint8_t *data, size_t bytes)
{
    Store *s = fuzz_open(data, bytes, "x.gguf");
    Keys k = {.where = "x.gguf", .store = s, .gguf = s ? store_gguf(s) : NULL};
    Span family;
    Error err;
    if (k.gguf && gguf_string(k.gguf, "general.architecture", &family, &err) == OK && family.bytes < sizeof k.family) {
        memcpy(k.family, family.data, family.bytes);
        follow(&k);
    }
    store_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes > 0 && data[0] == '{')
        as_config(data, bytes);
    else
        as_gguf(data, bytes);
    return 0;
}
