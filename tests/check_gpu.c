/* check_gpu.c -- every kernel of the GPU, in every format, against the scalar reference:
 *
 *     check_gpu [--same | --products bf16] [OPERATION ...]
 *
 * The cases are those of test_kernels (kernel_cases.h). What a case owns is laid out on the GPU as it lies on the host,
 * guards included; the call runs there, and all of it is read back, so that a byte written beside the outputs is seen.
 * Weights go the way that a model's go. --same: on a device that computes rows alike however many there are; then each
 * row is computed alone as well, and must have the same bits. --products bf16: on one that may round what it multiplies to
 * BF16; then what has products may be wrong by more (op_allowed()). The status is 0 if nothing is wrong; 2 where there is no GPU.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/cuda/cuda_device.h"
#include "kernel_cases.h"

enum { SEEDS = 40, SEEDS_OF_BLOCKS = 16, LINES_MAX = 60 };
static const size_t ROOM_BYTES = (size_t)64 << 20;

typedef struct Gpu {
    Device *device;
    uint8_t *room;             /* of a case's memory */
    uint8_t *at[CASE_PIECES];  /* where in it each piece lies */
} Gpu;

typedef struct Tally {
    int cases, wrong, refused;
    double worst;
    char refusal[ERROR_TEXT_BYTES];
} Tally;

static int lines;
static bool same, near;

static void open_gpu(Gpu *g)
{
    Error err;
    void *room;
    if (cuda_device_open(&(CudaOptions){.exact = !near, .same = same}, &g->device, &err) != OK ||
        g->device->calls->take(g->device, ROOM_BYTES, &room, &err) != OK) {
        fprintf(stderr, "check_gpu: %s\n", err.text);
        exit(2);
    }
    g->room = room;
}

static void lay_out(Gpu *g, const KernelCase *c)
{
    size_t used = 0;
    for (int i = 0; i < c->pieces; i++) {
        g->at[i] = g->room + used;
        used += (c->piece[i].bytes + 255) / 256 * 256;
        ASSERT(used <= ROOM_BYTES);
        g->device->calls->write(g->device, g->at[i], c->piece[i].before, c->piece[i].bytes);
    }
}

static void bring_back(Gpu *g, KernelCase *c)
{
    for (int i = 0; i < c->pieces; i++)
        g->device->calls->read(g->device, c->piece[i].start, g->at[i], c->piece[i].bytes);
}

static void translate(const Gpu *g, const KernelCase *c, Tensor *t)
{
    for (int i = 0; i < c->pieces && !tensor_is_none(*t); i++) {
        uint8_t *data = t->data;
        const CasePiece *p = &c->piece[i];
        if (data >= p->start && data < p->start + p->bytes) {
            t->data = g->at[i] + (data - p->start);
            return;
        }
    }
}

static Err make_call(Gpu *g, const KernelCase *c, OpCall *call, Error *err)
{
    *call = c->call;
    for (int i = 0; i < OP_INS; i++)
        if (!tensor_is_none(c->packed[i]))
            TRY(g->device->calls->upload(g->device, "w", c->call.in[i], c->call.in[i].dims == 3 ? USE_EXPERTS : USE_MATRIX,
                                         &call->in[i], err));
        else
            translate(g, c, &call->in[i]);
    for (int o = 0; o < OP_OUTS; o++)
        translate(g, c, &call->out[o]);
    return OK;
}

/* As kernel_case_rows(), of a call on the GPU. */
static OpCall row_of_call(KernelCase *c, const OpCall *call, int32_t row)
{
    OpCall host = c->fast;
    c->fast = *call;
    OpCall alone = kernel_case_rows(c, row, 1);
    c->fast = host;
    return alone;
}

static Err run_case(Gpu *g, KernelCase *c, bool by_rows, Error *err)
{
    OpCall call;
    kernel_case_reset(c);
    lay_out(g, c);
    TRY(make_call(g, c, &call, err));
    g->device->calls->plan_begin(g->device);
    device_run(g->device, &call);
    TRY(g->device->calls->plan_end(g->device, err));
    for (int32_t r = 0; by_rows && r < c->rows; r++) {
        OpCall alone = row_of_call(c, &call, r);
        device_run(g->device, &alone);
    }
    if (!by_rows)
        device_run(g->device, &call);
    bring_back(g, c);
    const Error *trouble = device_trouble(g->device);
    return trouble ? fail(err, trouble->code, "%s", trouble->text) : OK;
}

static void say_wrong(Tally *t, const KernelCase *c, const char *what)
{
    t->wrong++;
    if (lines++ < LINES_MAX)
        printf("WRONG %s: %s\n", c->what, what);
}

static void check_rows_alone(Gpu *g, KernelCase *c, Tally *t, const uint8_t *together)
{
    Error err;
    size_t bytes;
    if (run_case(g, c, true, &err) != OK) {
        say_wrong(t, c, err.text);
        exit(1);
    }
    uint8_t *alone = kernel_case_outputs(c, &bytes);
    if (memcmp(alone, together, bytes))
        say_wrong(t, c, "a row has other bits alone");
    free(alone);
}

static void check_case(Gpu *g, KernelCase *c, Tally *t)
{
    Error err;
    size_t bytes;
    char text[100];
    t->cases++;
    kernel_case_reset(c);
    kernel_case_run_reference(c);
    uint8_t *exact = kernel_case_outputs(c, &bytes), *fast = NULL;
    Err result = run_case(g, c, false, &err);
    if (result == UNSUPPORTED) {
        t->refused++;
        snprintf(t->refusal, sizeof t->refusal, "%s", err.text);
        device_close(g->device);      /* a refusal stays */
        open_gpu(g);
    } else if (result != OK) {
        say_wrong(t, c, err.text);
        exit(1);
    } else if (!kernel_case_intact(c)) {
        say_wrong(t, c, "wrote beside its outputs");
    } else {
        fast = kernel_case_outputs(c, &bytes);
        double error = memcmp(fast, exact, bytes) ? kernel_case_error(c, fast, exact) : 0, allowed = op_allowed(c->call.op, near);
        t->worst = fmax(t->worst, error);
        snprintf(text, sizeof text, "by %.3g of the row, %.3g allowed", error, allowed);
        if (!(error <= allowed))
            say_wrong(t, c, text);
        if (same && c->rows_alone && !c->state_from)
            check_rows_alone(g, c, t, fast);
    }
    free(fast);
    free(exact);
}

static bool chosen(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc == 1;
}

static int check_op(Op op)
{
    const Format *format;
    int wrong = 0;
    Gpu g;
    open_gpu(&g);
    for (int f = 0; (format = format_at(f)); f++) {
        Tally t = {0};
        int seeds = format->block_elems > 1 ? SEEDS_OF_BLOCKS : SEEDS;
        for (int seed = 0; kernel_case_varies(op, format) && seed < seeds; seed++) {
            KernelCase c;
            kernel_case_init(&c, op, format, (uint64_t)seed);
            check_case(&g, &c, &t);
            kernel_case_deinit(&c);
        }
        if (t.refused == t.cases && t.cases)
            printf("%-16s %-8s %3d cases  refused: %s\n", op_name(op), format->name, t.cases, t.refusal);
        else if (t.cases)
            printf("%-16s %-8s %3d cases  wrong by %.1e of the row at most, %.1e allowed%s\n", op_name(op), format->name,
                   t.cases, t.worst, op_allowed(op, near), t.wrong ? "  WRONG" : "");
        wrong += t.wrong;
    }
    fflush(stdout);
    device_close(g.device);
    return wrong;
}

int main(int argc, char **argv)
{
    int wrong = 0;
    Gpu g;
    if (argc > 1 && !strcmp(argv[1], "--same")) {
        same = true;
        argc--, argv++;
    } else if (argc > 2 && !strcmp(argv[1], "--products") && !strcmp(argv[2], "bf16")) {
        near = true;
        argc -= 2, argv += 2;
    }
    open_gpu(&g);
    printf("%s\n", cuda_device_title(g.device));
    device_close(g.device);
    for (int op = 0; op < OP_COUNT; op++)
        if (chosen(op_name((Op)op), argc, argv))
            wrong += check_op((Op)op);
    printf("%d cases wrong\n", wrong);
    return wrong > 0;
}
