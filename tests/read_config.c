#include "read_config.h"

#include "test.h"

Err read_config(Read *r, const char *family, const char *fields, bool convert, Error *err)
{
    static const char empty_safetensors[] = "\2\0\0\0\0\0\0\0{}";
    static const char usual[] =
        "{\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "
        "\"vocab_size\": 300, \"max_position_embeddings\": 256}";
    char text[1024];
    json_t *more;
    assert_true(snprintf(text, sizeof text, "{%s}", fields) < (int)sizeof text);
    *r = (Read){.arena = arena_new(1 << 20), .writer = convert ? gguf_writer_new() : NULL};
    assert_non_null(r->arena);
    assert_int_equal(json_read(span_text(usual), sizeof usual, "config", &r->config, err), OK);
    assert_int_equal(json_read(span_text(text), sizeof text, "config", &more, err), OK);
    json_object_update(r->config, more);
    json_decref(more);
    assert_int_equal(
        store_open_bytes(span_of(empty_safetensors, sizeof empty_safetensors - 1), "nothing", &r->nothing, err), OK);
    const Arch *arch = arch_find(family);
    assert_non_null(arch);
    Keys keys = {.where = "config",
                 .config = r->config,
                 .store = r->nothing,
                 .record = r->writer,
                 .record_family = arch_gguf_name(arch, family)};
    snprintf(keys.family, sizeof keys.family, "%s", family);
    return arch->read_shape(&keys, r->arena, &r->shape, err);
}

void close_config(Read *r)
{
    json_decref(r->config);
    store_free(r->nothing);
    arena_free(r->arena);
    gguf_writer_free(r->writer);
}
