#include "model/package.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/gguf_tokenizer.h"

static const size_t SIDE_FILE_BYTES_MAX = 64 << 20;

static Err no_memory(const Package *p, Error *err) { return fail(err, NO_MEMORY, "%s: no memory to open it", p->path); }

/* ---- a directory ---- */

static bool side_path(const Package *p, const char *name, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s/%s", p->path, name) < PATH_MAX && file_exists(out);
}

static Err read_side_json(const Package *p, const char *name, json_t **out, Error *err)
{
    char path[PATH_MAX];
    *out = NULL;
    if (!side_path(p, name, path))
        return OK;
    TRY(json_read_file(path, SIDE_FILE_BYTES_MAX, out, err));
    if (json_is_object(*out))
        return OK;
    json_decref(*out);
    *out = NULL;
    return fail(err, BAD_FILE, "%s: must be an object", path);
}

static Err add_chat(Package *p, const char *name, Span text, Error *err)
{
    if (p->chat_count == CHAT_SOURCES_MAX)
        return fail(err, LIMIT_REACHED, "%s: has more than %d chat templates", p->path, CHAT_SOURCES_MAX);
    ChatSource *c = &p->chat[p->chat_count];
    c->name = strdup(name);
    c->text = strndup((const char *)text.data, text.bytes);
    p->chat_count++;
    return c->name && c->text ? OK : no_memory(p, err);
}

/* chat_template: a text, or a list of {"name", "template"}. */
static Err read_chat_field(Package *p, const json_t *field, Error *err)
{
    size_t i;
    json_t *entry;
    if (json_is_string(field))
        return add_chat(p, "default", span_of(json_string_value(field), json_string_length(field)), err);
    json_array_foreach(field, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        const json_t *text = json_object_get(entry, "template");
        if (!name || !json_is_string(text))
            return fail(err, BAD_FILE, "%s/tokenizer_config.json: chat_template[%zu] must have a name and a template",
                        p->path, i);
        TRY(add_chat(p, name, span_of(json_string_value(text), json_string_length(text)), err));
    }
    return OK;
}

static Err read_chat_files(Package *p, const json_t *config, Error *err)
{
    char path[PATH_MAX];
    if (side_path(p, "chat_template.jinja", path)) {
        FileMap map;
        TRY(file_map_init(&map, path, err));
        Err result = add_chat(p, "default", map.span, err);
        file_map_deinit(&map);
        return result;
    }
    return config ? read_chat_field(p, json_object_get(config, "chat_template"), err) : OK;
}

/* A token is a text, or {"content": text, ...}. */
static Err copy_token_text(const Package *p, const json_t *config, const char *key, char **out, Error *err)
{
    const json_t *token = json_object_get(config, key);
    const char *text = json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
    if (!text)
        return OK;
    *out = strdup(text);
    return *out ? OK : no_memory(p, err);
}

static Err open_tokenizer_file(Package *p, const char *path, bool is_json, Span config, Error *err)
{
    FileMap map;
    TRY(file_map_init(&map, path, err));
    Err result = is_json ? tokenizer_open_json(map.span, config, path, &p->tokenizer, err)
                         : tokenizer_open_sentencepiece(map.span, config, path, &p->tokenizer, err);
    file_map_deinit(&map);
    return result;
}

static Err open_tokenizer(Package *p, Error *err)
{
    char path[PATH_MAX], config_path[PATH_MAX];
    FileMap config = {0};
    if (side_path(p, "tokenizer_config.json", config_path))
        TRY(file_map_init(&config, config_path, err));
    Err result = OK;
    if (side_path(p, "tokenizer.json", path))
        result = open_tokenizer_file(p, path, true, config.span, err);
    else if (side_path(p, "tokenizer.model", path))
        result = open_tokenizer_file(p, path, false, config.span, err);
    file_map_deinit(&config);
    return result;
}

static bool has_weights(const Package *p)
{
    char path[PATH_MAX];
    return side_path(p, "config.json", path);
}

static Err open_directory(Package *p, Error *err)
{
    json_t *config = NULL;
    if (has_weights(p))
        TRY(checkpoint_open(&p->checkpoint, p->path, err));
    TRY(open_tokenizer(p, err));
    if (!p->checkpoint.store && !p->tokenizer)
        return checkpoint_open(&p->checkpoint, p->path,
                               err); /* a lone GGUF in it; or the error that says what is missing */
    TRY(read_side_json(p, "generation_config.json", &p->generation, err));
    TRY(read_side_json(p, "tokenizer_config.json", &config, err));
    Err result = read_chat_files(p, config, err);
    if (result == OK)
        result = copy_token_text(p, config, "bos_token", &p->bos_text, err);
    if (result == OK)
        result = copy_token_text(p, config, "eos_token", &p->eos_text, err);
    json_decref(config);
    return result;
}

/* ---- a GGUF ---- */

static Err copy_piece(const Package *p, int32_t id, char **out, Error *err)
{
    if (id == TOKEN_NONE)
        return OK;
    Span piece = tokenizer_piece(p->tokenizer, id);
    *out = strndup((const char *)piece.data, piece.bytes);
    return *out ? OK : no_memory(p, err);
}

/* tokenizer.chat_template, and tokenizer.chat_template.NAME */
static Err read_gguf_templates(Package *p, const Gguf *g, Error *err)
{
    static const char key[] = "tokenizer.chat_template";
    Span text;
    if (gguf_has(g, key)) {
        TRY(gguf_string(g, key, &text, err));
        TRY(add_chat(p, "default", text, err));
    }
    for (size_t i = 0; i < gguf_count(g); i++) {
        char name[256];
        GgufEntry entry = gguf_at(g, i);
        if (entry.key.bytes >= sizeof name || !span_starts(entry.key, span_text(key)) || entry.key.bytes < sizeof key + 1)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)entry.key.bytes, (const char *)entry.key.data);
        TRY(gguf_string(g, name, &text, err));
        TRY(add_chat(p, name + sizeof key, text, err));
    }
    return OK;
}

static Err open_gguf_text(Package *p, Error *err)
{
    const Gguf *g = p->checkpoint.keys.gguf;
    if (gguf_has(g, "tokenizer.ggml.model"))
        TRY(gguf_tokenizer_open(g, p->checkpoint.keys.where, &p->tokenizer, err));
    TRY(read_gguf_templates(p, g, err));
    if (!p->tokenizer)
        return OK;
    TRY(copy_piece(p, tokenizer_specials(p->tokenizer)->bos, &p->bos_text, err));
    return copy_piece(p, tokenizer_specials(p->tokenizer)->eos, &p->eos_text, err);
}

/* ---- both ---- */

static Err open_parts(Package *p, Error *err)
{
    if (directory_exists(p->path))
        TRY(open_directory(p, err));
    else
        TRY(checkpoint_open(&p->checkpoint, p->path, err));
    if (p->checkpoint.store && keys_are_gguf(&p->checkpoint.keys))
        TRY(open_gguf_text(p, err));
    return OK;
}

Err package_open(Package *p, const char *path, Error *err)
{
    char standard[PATH_MAX];
    *p = (Package){0};
    if (!path) {
        TRY(default_model_path(standard, sizeof standard, err));
        path = standard;
    }
    p->path = strdup(path);
    Err result = p->path ? open_parts(p, err) : fail(err, NO_MEMORY, "%s: no memory to open it", path);
    if (result != OK)
        package_close(p);
    return result;
}

void package_close(Package *p)
{
    checkpoint_close(&p->checkpoint);
    tokenizer_free(p->tokenizer);
    for (int i = 0; i < p->chat_count; i++) {
        free(p->chat[i].name);
        free(p->chat[i].text);
    }
    json_decref(p->generation);
    free(p->bos_text);
    free(p->eos_text);
    free(p->path);
    *p = (Package){0};
}

static const ChatSource *find_chat(const Package *p, const char *name)
{
    for (int i = 0; i < p->chat_count; i++)
        if (!strcmp(p->chat[i].name, name))
            return &p->chat[i];
    return NULL;
}

const ChatSource *package_chat(const Package *p, const char *name, bool tools)
{
    if (name)
        return find_chat(p, name);
    const ChatSource *chosen = tools ? find_chat(p, "tool_use") : NULL;
    if (!chosen)
        chosen = find_chat(p, "default");
    return chosen || p->chat_count != 1 ? chosen : &p->chat[0];
}

/* ---- the default model ---- */

static bool holds_gguf(const char *directory)
{
    Store *store;
    Error err;
    if (!directory_exists(directory) || store_open(directory, &store, &err) != OK)
        return false;
    store_free(store);
    return true;
}

Err default_model_path(char *out, size_t bytes, Error *err)
{
    char program[PATH_MAX], tried[4][PATH_MAX + 32];
    const char *named = getenv("RIDGE_MODEL");
    if (named && *named) {
        snprintf(out, bytes, "%s", named);
        return OK;
    }
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    if (strrchr(program, '/'))
        *strrchr(program, '/') = 0;
    snprintf(tried[0], sizeof tried[0], "models");
    snprintf(tried[1], sizeof tried[1], "%s/models", program);
    snprintf(tried[2], sizeof tried[2], "%s/../models", program);
    snprintf(tried[3], sizeof tried[3], "%s/../share/ridge/models", program);
    for (size_t i = 0; i < COUNT_OF(tried); i++)
        if (holds_gguf(tried[i])) {
            snprintf(out, bytes, "%s", tried[i]);
            return OK;
        }
    return fail(err, NOT_FOUND, "no model was named with -m, and the default one is in none of models/, %s, %s, %s",
                tried[1], tried[2], tried[3]);
}
