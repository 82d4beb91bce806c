/* session.h -- what a command that runs a model opens first, and closes last.
 *
 *     flags -> package -> device (with its watchers) -> model -> engine
 *
 * A command says which flags it takes; session_open() brings up what they ask for and leaves nothing
 * open when it fails.
 */
#ifndef MAIN_SESSION_H
#define MAIN_SESSION_H

#include "base/trace_events.h"
#include "core/machine.h"
#include "engine/diffusion.h"
#include "main/flags.h"
#include "model/package.h"

typedef struct ModelFlags {
    const char *model; /* NULL: the default one */
    int32_t threads, tier, device, products; /* tier 0: best; device 0: the CPU; products 0: exact */
    bool deterministic;
    int32_t context, cache_type, block_tokens, state_snapshots, state_interval;
    const char *trace, *dump, *profile_svg, *profile_html;
    bool compare, profile;
    bool learns; /* there is a tracer that stands by, paused */
    bool touches; /* it runs long: the cache's memory is there from the start, as CpuOptions says, and bounded unasked */
} ModelFlags;

ModelFlags model_flags_default(void);
enum { MODEL_FLAG_COUNT = 17 };
extern const Flag model_flags[MODEL_FLAG_COUNT];
#define MODEL_GROUP(options)                                                                                           \
    {                                                                                                                  \
        "model", model_flags, MODEL_FLAG_COUNT, options                                                                \
    }

typedef struct Session {
    Package package;
    Device *computes; /* the device that computes */
    Device *device; /* the outermost: that, or a watcher of it */
    char backend[256]; /* what it is, for people: "CPU avx512", "NVIDIA H200" */
    int threads; /* of the CPU */
    Device *tally, *tracer, *comparer; /* those of the watchers that are there */
    bool tells_trace; /* at the end */
    TraceEvents *events;
    struct ProfileOut *profile; /* profile_out.h; NULL: not asked for */
    Model *model;
    Engine *engine; /* one of these two is open */
    Diffusion *diffusion;
    const Format *cache_format; /* of the engine's keys and values */
    double load_bytes, load_seconds; /* of the weights in the files; from opening them until the device had them */
} Session;

enum { SESSION_CONTEXT = 8192 }; /* without --context: at most so many positions, whatever the model could */

/* Whether they ask for a GPU: --device auto does where there is one. */
bool session_wants_gpu(const ModelFlags *);

/* Opens all but the engine or the refinement. */
Err session_open_model(Session *, const ModelFlags *, Error *err);
/* The engine of an opened model, which stays open if this fails. --context comes before engine.context, and
 * that before the model's own; the cache's format, blocks and snapshots come from the flags, the rest as given. */
Err session_open_engine(Session *, const ModelFlags *, EngineOptions engine, Error *err);
/* Both. */
Err session_open(Session *, const ModelFlags *, EngineOptions engine, Error *err);
/* For diffusion models: as above; a context that is given stays. */
Err session_open_diffusion(Session *, const ModelFlags *, DiffusionOptions, Error *err);
int32_t session_context(const Session *, const ModelFlags *); /* positions of the longest sequence */
/* Tells what a watcher found, and closes. Returns an error of the trace file. */
Err session_close(Session *, Error *err);

/* What `ridge probe` has kept of this machine, into *machine; NULL: nothing, or another GPU. A file that
 * cannot be read is told on stderr. */
const Machine *session_machine(const Session *, Machine *machine);

/* "loaded 1.09 GiB in 0.20 s: 5.9 GB/s, 45% of what copying reaches" */
void session_print_load(const Session *, FILE *);

int command_fail(const Error *); /* prints "ridge: ..." and returns 1 */
/* Reads the flags; false: *status is what to return now (after --help or an error). */
bool command_begin(const Command *, const FlagGroup *groups, int argc, char **argv, const char **words, int words_max,
                   int *word_count, int *status);

/* -p TEXT, -f FILE, or stdin. The caller frees *out's data by buf_deinit. */
Err text_input(const char *text, const char *file, Buf *out, Error *err);
Err stdout_flush(Error *err); /* a full disk or a closed pipe is told */

/* After this Ctrl-C sets the flag instead of ending the program; a second one ends it. */
void interrupt_catch(void);
bool interrupted(void);
void interrupt_clear(void);

#endif
