/* peer.c -- llama.cpp as an oracle: what it makes of a GGUF, as plain numbers on standard output.
 *
 *     peer tokens   MODEL         ids of the text on standard input, special tokens recognised
 *     peer run      MODEL N IDS   N greedy tokens after the ids "1,2,3", then the logits of each position
 *     peer score    MODEL C FROM  nats per token of the text on standard input, as ridge score --context C
 *                                 --score-from FROM counts them
 *     peer quantise IN OUT TYPE   writes a file of llama_ftype TYPE
 *
 * tests/interop/run builds it against a llama.cpp that the caller names; it is no part of ridge.
 */
#include <gguf.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES_MAX = 1 << 20, IDS_MAX = 1 << 19 };

static void quiet(enum ggml_log_level level, const char *text, void *data)
{
    (void)data;
    if (level == GGML_LOG_LEVEL_ERROR)
        fputs(text, stderr);
}

static struct llama_model *open_model(const char *path, bool vocabulary_only)
{
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = vocabulary_only;
    struct llama_model *m = llama_model_load_from_file(path, params);
    if (!m)
        fprintf(stderr, "llama.cpp does not open %s\n", path), exit(1);
    return m;
}

static struct llama_context *open_context(struct llama_model *m, int positions)
{
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)positions;
    params.n_threads = params.n_threads_batch = 1;
    params.type_k = params.type_v = GGML_TYPE_F32;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    struct llama_context *c = llama_init_from_model(m, params);
    if (!c)
        fprintf(stderr, "llama.cpp makes no context of %d positions\n", positions), exit(1);
    return c;
}

static int read_tokens(const struct llama_model *m, int32_t *ids)
{
    static char text[TEXT_BYTES_MAX];
    size_t bytes = fread(text, 1, sizeof text, stdin);
    return llama_tokenize(llama_model_get_vocab(m), text, (int32_t)bytes, ids, IDS_MAX, false, true);
}

static int vocabulary_size(const struct llama_model *m) { return llama_vocab_n_tokens(llama_model_get_vocab(m)); }

/* Rows [count] of logits, the context being at position `from`. */
static void compute(struct llama_context *c, const int32_t *ids, int count, int from)
{
    struct llama_batch b = llama_batch_init(count, 0, 1);
    for (int i = 0; i < count; i++) {
        b.token[i] = ids[i];
        b.pos[i] = from + i;
        b.n_seq_id[i] = 1;
        b.seq_id[i][0] = 0;
        b.logits[i] = 1;
    }
    b.n_tokens = count;
    if (llama_decode(c, b))
        fputs("llama.cpp does not compute\n", stderr), exit(1);
    llama_batch_free(b);
}

static int best(const float *logits, int count)
{
    int at = 0;
    for (int i = 1; i < count; i++)
        if (logits[i] > logits[at])
            at = i;
    return at;
}

static int tokens(char **argv)
{
    static int32_t ids[IDS_MAX];
    struct llama_model *m = open_model(argv[2], true);
    int count = read_tokens(m, ids);
    for (int i = 0; i < count; i++)
        printf("%d%s", ids[i], i + 1 < count ? "," : "\n");
    return 0;
}

static int run(char **argv)
{
    static int32_t ids[IDS_MAX];
    int count = 0, wanted = atoi(argv[3]);
    for (char *at = argv[4]; *at && count < IDS_MAX; at += *at == ',')
        ids[count++] = (int32_t)strtol(at, &at, 10);
    struct llama_model *m = open_model(argv[2], false);
    struct llama_context *c = open_context(m, count + wanted);
    int size = vocabulary_size(m);
    compute(c, ids, count, 0);
    float *logits = malloc((size_t)count * (size_t)size * sizeof *logits);
    memcpy(logits, llama_get_logits(c), (size_t)count * (size_t)size * sizeof *logits);
    int32_t next = best(logits + (size_t)(count - 1) * (size_t)size, size);
    for (int i = 0; i < wanted; i++) {
        printf("%d%s", next, i + 1 < wanted ? "," : "\n");
        compute(c, &next, 1, count + i);
        next = best(llama_get_logits(c), size);
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < size; j++)
            printf("%.7g%c", logits[(size_t)i * (size_t)size + (size_t)j], j + 1 < size ? ',' : '\n');
    return 0;
}

static double nats(const float *logits, int size, int32_t token)
{
    double most = logits[best(logits, size)], sum = 0;
    for (int i = 0; i < size; i++)
        sum += exp(logits[i] - most);
    return log(sum) + most - logits[token];
}

static int score(char **argv)
{
    static int32_t ids[IDS_MAX];
    int context = atoi(argv[3]), from = atoi(argv[4]), scored = 0;
    struct llama_model *m = open_model(argv[2], false);
    struct llama_context *c = open_context(m, context);
    int count = read_tokens(m, ids), size = vocabulary_size(m);
    double sum = 0;
    for (int at = 0; at + context <= count; at += context) {
        llama_memory_clear(llama_get_memory(c), true);
        compute(c, ids + at, context, 0);
        for (int i = from; i < context; i++, scored++)
            sum += nats(llama_get_logits_ith(c, i - 1), size, ids[at + i]);
    }
    printf("%.6f\n", sum / scored);
    return 0;
}

/* For types that ask for an importance matrix: all weights of a tensor matter alike. */
static const struct llama_model_imatrix_data *even_importance(const char *path)
{
    struct ggml_context *tensors = NULL;
    struct gguf_init_params params = {.no_alloc = true, .ctx = &tensors};
    struct gguf_context *file = gguf_init_from_file(path, params);
    int64_t count = gguf_get_n_tensors(file);
    struct llama_model_imatrix_data *out = calloc((size_t)count + 1, sizeof *out);
    for (int64_t i = 0; i < count; i++) {
        size_t width = (size_t)ggml_get_tensor(tensors, gguf_get_tensor_name(file, i))->ne[0];
        float *ones = malloc(width * sizeof *ones);
        for (size_t j = 0; j < width; j++)
            ones[j] = 1;
        out[i] = (struct llama_model_imatrix_data){gguf_get_tensor_name(file, i), ones, width};
    }
    return out;
}

static int quantise(char **argv)
{
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.imatrix = even_importance(argv[2]);
    params.ftype = (enum llama_ftype)atoi(argv[4]);
    params.nthread = 1;
    return (int)llama_model_quantize(argv[2], argv[3], &params);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int words;
        int (*run)(char **argv);
    } commands[] = {{"tokens", 3, tokens}, {"run", 5, run}, {"score", 5, score}, {"quantise", 5, quantise}};
    llama_log_set(quiet, NULL);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (argc == commands[i].words && !strcmp(argv[1], commands[i].name))
            return commands[i].run(argv);
    fputs("see the top of tests/interop/peer.c\n", stderr);
    return 2;
}
