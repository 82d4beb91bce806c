#include "main/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/memory_left.h"
#include "devices/cpu/cpu_device.h"
#include "devices/cuda/cuda_device.h"
#include "devices/watch/watch.h"
#include "main/help.h"
#include "main/profile_out.h"
#include "store/store.h"

static const double PROGRESS_AFTER_SECONDS = 0.5;
static const int64_t SMALL_CACHE_BYTES = 64 << 20;
static const size_t INPUT_BYTES_MAX = (size_t)1 << 28;

enum { DEVICE_CPU, DEVICE_CUDA, DEVICE_AUTO };
enum { CACHE_AUTO, CACHE_F32, CACHE_F16, CACHE_BF16, CACHE_F8_E4M3, CACHE_FP8, CACHE_Q8_0 };

#define AT(field) offsetof(ModelFlags, field)
const Flag model_flags[MODEL_FLAG_COUNT] = {
    {"--model", "-m", "MODEL", FLAG_TEXT, AT(model),
     "checkpoint directory, .gguf file, or synth:SHAPE:FORMAT; without it the default model", 0, 0, 0, 0},
    {"--threads", "-t", "N", FLAG_INT, AT(threads), "threads; 0: as many as the processor and its cgroup allow", 0, 512,
     0, 0},
    {"--tier", NULL, "TIER", FLAG_CHOICE, AT(tier), "instruction set: the best there is, or as named; the bits are the same", 0,
     0, CPU_TIER_CHOICES, 0},
    {"--device", NULL, "DEVICE", FLAG_CHOICE, AT(device),
     "what computes: cpu; cuda, an NVIDIA GPU; or auto: the GPU where there is one, else the CPU", 0, 0, "cpu,cuda,auto", 0},
    {"--products", NULL, "HOW", FLAG_CHOICE, AT(products),
     "of many rows, as prompts have: exact; or bf16, rounded: faster on a GPU and with AMX, where attention is rounded too if "
     "many heads share keys; with AVX-512 alone only where weights are floats", 0, 0, "exact,bf16", 0},
    {"--deterministic", NULL, NULL, FLAG_SWITCH, AT(deterministic),
     "on a GPU too: the same request gives the same bits, alone or in a batch; exact, and slower where rows are many", 0, 0, 0,
     0},
    {"--context", "-c", "N", FLAG_INT, AT(context),
     "positions of the longest sequence; 0: the model's own, 8192 at most", 0, 1 << 28, 0, 0},
    {"--cache-type", NULL, "TYPE", FLAG_CHOICE, AT(cache_type),
     "format of keys and values: f32, f16, bf16, f8_e4m3 (or fp8), q8_0, or auto: f32 while all of the cache stays under "
     "64 MiB, else f16, on a GPU bf16", 0, 0, "auto,f32,f16,bf16,f8_e4m3,fp8,q8_0", 0},
    {"--block-size", NULL, "N", FLAG_INT, AT(block_tokens), "tokens of a cache block", 1, 1024, 0, 0},
    {"--state-snapshots", NULL, "N", FLAG_INT, AT(state_snapshots),
     "states of fixed size that are kept for prompts that begin alike; 0: none", 0, 65536, 0, 0},
    {"--state-interval", NULL, "N", FLAG_INT, AT(state_interval),
     "tokens from one of them to the next; 0: only where prompts part and end", 0, 1 << 26, 0, 0},
    {"--trace", NULL, "FILE", FLAG_TEXT, AT(trace), "write each operation's time as events that ui.perfetto.dev opens",
     0, 0, 0, 0},
    {"--profile", NULL, NULL, FLAG_SWITCH, AT(profile),
     "at the end, the roofline as a drawing, and a table of operations: time, bytes, GB/s, share of the bound", 0, 0, 0, 0},
    {"--profile-svg", NULL, "FILE", FLAG_TEXT, AT(profile_svg), "the same drawings as SVG; of several models the last", 0, 0, 0,
     0},
    {"--profile-html", NULL, "FILE", FLAG_TEXT, AT(profile_html), "the same as a page, which needs nothing else", 0, 0, 0, 0},
    {"--dump", NULL, "PART", FLAG_TEXT, AT(dump),
     "print the outputs of parts, as layer.3.attn, layer.*.mlp, embed or head", 0, 0, 0, 0},
    {"--compare", NULL, NULL, FLAG_SWITCH, AT(compare),
     "compute all on the reference too and name the first operation that differs", 0, 0, 0, 0},
};

ModelFlags model_flags_default(void)
{
    EngineOptions o = engine_options_default();
    return (ModelFlags){.block_tokens = o.block_tokens, .state_snapshots = o.state_snapshots,
                        .state_interval = o.state_interval};
}

/* ---- opening ---- */

typedef struct Bar {
    double started;
    bool shown;
} Bar;

static void show_progress(void *context, double done, double total)
{
    Bar *bar = context;
    if (clock_seconds() - bar->started < PROGRESS_AFTER_SECONDS || !isatty(STDERR_FILENO))
        return;
    bar->shown = true;
    int filled = (int)(30 * done / total);
    fprintf(stderr, "\rloading [%.*s%*s] %3.0f%%", filled, "##############################", 30 - filled, "",
            100 * done / total);
}

static Err watch_over(Session *s, const ModelFlags *flags, Error *err)
{
    if (flags->compare) {
        Device *reference;
        TRY(cpu_device_open(&(CpuOptions){.tier = TIER_REFERENCE, .threads = flags->threads}, &reference, err));
        if (compare_open(s->device, reference, flags->products == 1, &s->comparer, err) != OK) {
            device_close(reference);
            return err->code;
        }
        s->device = s->comparer;
    }
    if (flags->dump)
        TRY(dump_open(s->device, flags->dump, stderr, &s->device, err));
    if (flags->trace)
        TRY(trace_events_open(flags->trace, &s->events, err));
    bool draws = flags->profile || flags->profile_svg || flags->profile_html;
    if (draws)
        TRY(profile_out_new(&s->profile, flags->profile, flags->profile_svg, flags->profile_html, err));
    s->tells_trace = flags->trace || draws;
    if (s->tells_trace || flags->learns) {
        TRY(trace_open(s->device, s->events, &s->tracer, err));
        trace_pause(s->tracer, !s->tells_trace);
        s->device = s->tracer;
    }
    TRY(tally_open(s->device, &s->tally, err));
    s->device = s->tally;
    return OK;
}

bool session_wants_gpu(const ModelFlags *flags)
{
    return flags->device == DEVICE_CUDA || (flags->device == DEVICE_AUTO && cuda_is_there());
}

static Err open_device(Session *s, const ModelFlags *flags, Error *err)
{
    if (session_wants_gpu(flags)) {
        TRY(cuda_device_open(&(CudaOptions){.exact = flags->products == 0, .same = flags->deterministic}, &s->computes,
                             err));
        snprintf(s->backend, sizeof s->backend, "%s", cuda_device_title(s->computes));
        s->threads = 1;
    } else {
        if (flags->device == DEVICE_AUTO)
            fprintf(stderr, "ridge: no NVIDIA GPU answers, so the CPU computes\n");
        CpuOptions options = {.tier = (CpuTier)(flags->tier - 1), .threads = flags->threads, .touches = flags->touches,
                              .near = flags->products == 1};
        TRY(cpu_device_open(&options, &s->computes, err));
        if (options.near && !cpu_tier_rounds(cpu_device_tier(s->computes)))
            fprintf(stderr, "ridge: tier %s has no products of bf16, so all are exact\n",
                    cpu_tier_name(cpu_device_tier(s->computes)));
        snprintf(s->backend, sizeof s->backend, "CPU %s", cpu_tier_name(cpu_device_tier(s->computes)));
        s->threads = cpu_device_threads(s->computes);
    }
    s->device = s->computes;
    return OK;
}

static void note_load(Session *s, double started)
{
    const Store *store = s->package.checkpoint.store;
    s->load_seconds = clock_seconds() - started;
    for (size_t i = 0; i < store_count(store); i++)
        s->load_bytes += (double)store_at(store, i)->bytes.bytes;
}

static Err open_parts(Session *s, const ModelFlags *flags, Error *err)
{
    double started = clock_seconds();
    TRY(package_open(&s->package, flags->model, err));
    if (!s->package.checkpoint.store || store_count(s->package.checkpoint.store) == 0)
        return fail(err, BAD_ARGUMENT, "%s: holds no weights, only a vocabulary", s->package.path);
    TRY(open_device(s, flags, err));
    TRY(watch_over(s, flags, err));
    Bar bar = {.started = clock_seconds()};
    Err result = model_open(&s->package.checkpoint, s->device, &(Progress){show_progress, &bar}, &s->model, err);
    if (bar.shown)
        fprintf(stderr, "\r%48s\r", "");
    TRY(result);
    note_load(s, started);
    if (s->package.tokenizer && tokenizer_size(s->package.tokenizer) > s->model->shape.V)
        return fail(err, BAD_FILE, "%s: the tokenizer has ids up to %d, but the model's vocabulary has %d entries",
                    s->package.path, tokenizer_size(s->package.tokenizer) - 1, s->model->shape.V);
    return OK;
}

Err session_open_model(Session *s, const ModelFlags *flags, Error *err)
{
    Error ignored;
    *s = (Session){0};
    Err result = open_parts(s, flags, err);
    if (result != OK)
        session_close(s, &ignored);
    return result;
}

static const Format *cache_format(const Session *s, int32_t choice, int32_t context, int32_t sequences)
{
    static const char *const names[] = {[CACHE_F32] = "F32", [CACHE_F16] = "F16", [CACHE_BF16] = "BF16",
                                        [CACHE_F8_E4M3] = "F8_E4M3", [CACHE_FP8] = "F8_E4M3", [CACHE_Q8_0] = "Q8_0"};
    if (choice == CACHE_AUTO) {
        int64_t bytes = 0;
        for (int l = 0; l < s->model->kv.layers; l++) {
            const KvLayer *layer = &s->model->kv.layer[l];
            bytes +=
                (int64_t)sizeof(float) * layer->heads * (layer->key_width + layer->value_width) * context * sequences;
        }
        choice = bytes <= SMALL_CACHE_BYTES ? CACHE_F32 : device_is_apart(s->computes) ? CACHE_BF16 : CACHE_F16;
    }
    const Format *format = format_find(names[choice]);
    ASSERT(format);
    return format;
}

/* What is asked for comes before what the command would like, and that before the model's own. */
static int32_t choose_context(const Session *s, const ModelFlags *flags, int32_t liked)
{
    int32_t own = s->model->shape.context, asked = flags->context ? flags->context : liked;
    return asked ? asked : own < SESSION_CONTEXT ? own : SESSION_CONTEXT;
}

int32_t session_context(const Session *s, const ModelFlags *flags) { return choose_context(s, flags, 0); }

/* Half of what is free, as others live here too; of a GPU's memory all but room for activations. */
static int64_t most_cache_bytes(const Session *s)
{
    static const double OF_A_GPU = 0.85;
    return device_is_apart(s->computes) ? (int64_t)(OF_A_GPU * (double)device_left(s->computes)) : memory_left("") / 2;
}

/* Whole contexts of all sequences, unless that is more than should be taken unasked. */
static void bound_cache(const Session *s, EngineOptions *o)
{
    const KvLayout *kv = &s->model->kv;
    double of_value = (double)o->cache_format->block_bytes / o->cache_format->block_elems, bytes = 0;
    for (int l = 0; l < kv->layers; l++)
        bytes += of_value * kv->layer[l].heads * (kv->layer[l].key_width + kv->layer[l].value_width);
    bytes *= (double)o->context * o->sequences;
    int64_t most = most_cache_bytes(s);
    if (!o->cache_bytes && !o->cache_tokens && most > 0 && bytes > (double)most)
        o->cache_bytes = most;
}

Err session_open_engine(Session *s, const ModelFlags *flags, EngineOptions options, Error *err)
{
    options.context = choose_context(s, flags, options.context);
    options.block_tokens = flags->block_tokens;
    options.state_snapshots = flags->state_snapshots;
    options.state_interval = flags->state_interval;
    options.cache_format = s->cache_format = cache_format(s, flags->cache_type, options.context, options.sequences);
    if (flags->touches)
        bound_cache(s, &options);
    EngineModel model = engine_model(s->model);
    return engine_new(&s->engine, &options, &model, s->device, err);
}

Err session_open_diffusion(Session *s, const ModelFlags *flags, DiffusionOptions options, Error *err)
{
    options.context = options.context ? options.context : session_context(s, flags);
    options.block_tokens = flags->block_tokens;
    options.cache_format = cache_format(s, flags->cache_type, options.context, options.sequences);
    EngineModel model = engine_model(s->model);
    return diffusion_new(&s->diffusion, &options, &model, s->device, err);
}

Err session_open(Session *s, const ModelFlags *flags, EngineOptions options, Error *err)
{
    Error ignored;
    TRY(session_open_model(s, flags, err));
    Err result = session_open_engine(s, flags, options, err);
    if (result != OK)
        session_close(s, &ignored);
    return result;
}

/* The table of operations, and the drawings. */
static Err tell_trace(Session *s, Error *err)
{
    Machine machine;
    const Machine *known = session_machine(s, &machine);
    trace_print(s->tracer, known, stderr);
    if (!known)
        fprintf(stderr, "`ridge probe` measures this machine; then each operation's share of its bound is told too\n");
    if (!s->profile)
        return OK;
    const Store *store = s->package.checkpoint.store;
    const char *name = store_gguf(store) ? store_file(store, 0)->path : s->package.path;
    Err result = profile_out_finish(s->profile, trace_read(s->tracer), known, name, err);
    s->profile = NULL;
    return result;
}

Err session_close(Session *s, Error *err)
{
    Error ignored;
    Err drawn = OK;
    engine_free(s->engine);
    diffusion_free(s->diffusion);
    if (s->comparer) {
        const Difference *d = compare_read(s->comparer);
        fprintf(stderr,
                d->found ? "first difference after %lld operations: %s\n" : "%lld operations compared: none differs\n",
                (long long)d->calls, d->text);
    }
    if (s->tells_trace && s->model)
        drawn = tell_trace(s, err);
    profile_out_drop(s->profile);
    model_close(s->model);
    device_close(s->device);
    Err result = trace_events_close(s->events, drawn == OK ? err : &ignored);
    package_close(&s->package);
    *s = (Session){0};
    return drawn == OK ? result : drawn;
}

const Machine *session_machine(const Session *s, Machine *machine)
{
    Error err;
    bool gpu = device_is_apart(s->computes);
    Err result = machine_of_this(gpu, machine, &err);
    if (result == OK && gpu && strcmp(machine->name, s->backend))
        return NULL;      /* another one was measured */
    if (result != OK && result != NOT_FOUND)
        fprintf(stderr, "no shares of what is possible: %s\n", err.text);
    return result == OK ? machine : NULL;
}

void session_print_load(const Session *s, FILE *out)
{
    Machine machine;
    const Machine *known = session_machine(s, &machine);
    double rate = s->load_bytes / s->load_seconds;
    fprintf(out, "loaded %.2f GiB in %.2f s: %.1f GB/s", s->load_bytes / (1 << 30), s->load_seconds, rate / 1e9);
    if (known && known->copy_bytes_per_second > 0)
        fprintf(out, ", %.0f%% of what copying reaches", 100 * rate / known->copy_bytes_per_second);
    fputc('\n', out);
}

/* ---- manners ---- */

int command_fail(const Error *err)
{
    fflush(stdout);
    fprintf(stderr, "ridge: %s\n", err->text);
    return 1;
}

bool command_begin(const Command *c, const FlagGroup *groups, int argc, char **argv, const char **words, int words_max,
                   int *word_count, int *status)
{
    Error err;
    bool help;
    if (flags_read(groups, argc, argv, words, words_max, word_count, &help, &err) != OK) {
        fprintf(stderr, "ridge %s: %s\n", c->name, err.text);
        *status = 1;
        return false;
    }
    if (help) {
        help_command(stdout, c);
        *status = 0;
        return false;
    }
    return true;
}

static Err read_stream(FILE *file, const char *name, Buf *out, Error *err)
{
    char chunk[1 << 16];
    size_t bytes;
    while ((bytes = fread(chunk, 1, sizeof chunk, file)) > 0)
        if (!buf_put(out, chunk, bytes))
            return fail(err, LIMIT_REACHED, "%s: has more than %zu bytes", name, INPUT_BYTES_MAX);
    return ferror(file) ? fail(err, IO_FAILED, "%s: %s", name, strerror(errno)) : OK;
}

Err text_input(const char *text, const char *file, Buf *out, Error *err)
{
    buf_init(out, INPUT_BYTES_MAX);
    if (text && file)
        return fail(err, BAD_ARGUMENT, "give the prompt with -p or with -f, not both");
    if (text)
        return buf_put_text(out, text) ? OK : fail(err, NO_MEMORY, "no memory for the prompt");
    if (!file || !strcmp(file, "-"))
        return read_stream(stdin, "standard input", out, err);
    FILE *f = fopen(file, "rb");
    if (!f)
        return fail(err, IO_FAILED, "%s: %s", file, strerror(errno));
    Err result = read_stream(f, file, out, err);
    fclose(f);
    return result;
}

Err stdout_flush(Error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return fail(err, IO_FAILED, "standard output: %s", strerror(errno));
    return OK;
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    if (++interrupts > 1)
        _exit(130);
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

bool interrupted(void) { return interrupts > 0; }
void interrupt_clear(void) { interrupts = 0; }
