/* op_call.h -- one operation on its way to a device, as a value.
 *
 * Because a call is data, a watcher needs one function to see every operation: it looks at the call,
 * passes it on, looks again. Outputs that are also read (x += ...) are outputs with reads_out set.
 */
#ifndef CORE_OP_CALL_H
#define CORE_OP_CALL_H

#include "core/tensor.h"

typedef enum Op {
#define OP(kind, NAME, name) OP_##NAME,
#include "core/ops.inc"
#undef OP
    OP_COUNT
} Op;

typedef enum Activation {
    SILU, GELU, GELU_TANH, RELU, RELU_SQUARED, SIGMOID, TANH, IDENTITY, SOFTPLUS, EXP
} Activation;
enum { ACTIVATIONS = EXP + 1 };

/* How positions become angles (Su et al. 2021, and the scalings named at each field). */
typedef enum RopeKind {
    ROPE_FIXED,      /* angle = position * inv_freq: default, linear, llama3, yarn differ in the table only */
    ROPE_DYNAMIC,    /* dynamic NTK: the base grows with the length of the row's sequence */
    ROPE_LONG,       /* LongRoPE: one table up to original_length, another beyond */
} RopeKind;

typedef struct RopeAngles {
    RopeKind kind;
    int32_t dims;              /* how many of a head's values turn; even */
    int32_t original_length;   /* DYNAMIC, LONG: tokens that the model was trained for */
    float base, factor;        /* DYNAMIC */
    float magnitude;           /* multiplies cos and sin (YaRN, LongRoPE); else 1 */
    float magnitude_long;      /* LONG: beyond original_length */
} RopeAngles;

typedef struct Attend {
    float scale;               /* of q.k */
    int32_t window;            /* a row sees itself and window - 1 rows before it; 0: all before it */
    int32_t chunk;             /* a row sees only rows of its own chunk of positions; 0: no chunks */
    float softcap;             /* s = cap tanh(s / cap); 0: none */
    bool bidirectional;        /* a row sees all rows of its sequence that are in the cache */
    float coarse;              /* what slopes add is rounded as bfloat16 is, and then times this; 0: as it is */
} Attend;

/* Queries that grow with their position, so that attention over long texts stays sharp (Llama 4). */
typedef struct PositionScale {
    float growth;
    int32_t floor, offset;     /* 1 + growth ln(1 + (position + offset) / floor), the quotient rounded down */
} PositionScale;

/* The options of smaller operations. */
typedef struct ClampRange { float low, high; } ClampRange;
typedef struct EmbedHow { float factor; bool short_table; } EmbedHow;
typedef struct RopeHow { bool interleaved; } RopeHow;      /* pairs (2i, 2i+1) instead of (i, i + dims/2) */
typedef struct CombineHow { int32_t experts; } CombineHow;
typedef struct ScanHow { bool keeps_size; } ScanHow;       /* linear_scan */

/* A gated unit that is cut off (kernels/limited_gate/limited_gate.h). */
typedef struct LimitedGate { float limit, alpha, shift; } LimitedGate;

/* How scores of experts become a choice and weights (kernels/route/route.h). */
typedef enum RouterScore { SCORE_SOFTMAX, SCORE_SIGMOID, SCORE_SOFTMAX_TOP, SCORE_SPARSEMIXER } RouterScore;
typedef enum RouterNorm { ROUTER_NORM_NONE, ROUTER_NORM_SUM, ROUTER_NORM_L2 } RouterNorm;
enum { EXPERTS_MAX = 2048 };

typedef struct Router {
    RouterScore score;
    RouterNorm norm;           /* of the weights of the chosen */
    float norm_eps;            /* added to what they are divided by */
    float norm_min;            /* which is at least this */
    float factor;              /* multiplies the weights */
    float jitter;              /* SPARSEMIXER */
    int32_t groups;            /* of neighbouring experts; 0: none */
    int32_t groups_used;       /* the best so many may be chosen from */
    int32_t group_top;         /* a group is as good as its best expert (1), as its two best together (2) */
} Router;

/* How a state space in continuous time becomes a recurrence (kernels/discretise). */
typedef enum Discretise { ZERO_ORDER_HOLD, BILINEAR } Discretise;

/* The activation of Huang & Schlag 2024, "Deriving Activation Functions Using Integration". */
typedef struct Xielu { float alpha_p, alpha_n, beta, eps; } Xielu;

enum { OP_OUTS = 3, OP_INS = 10 };

typedef struct OpCall {
    Op op;
    bool reads_out;            /* the outputs are added to */
    int8_t outs;               /* set by device_run(): how many leading ones may be in use ... */
    int16_t ins;               /* ... and of these; no smaller, as in Tensor */
    Tensor out[OP_OUTS];
    Tensor in[OP_INS];         /* a missing one (no bias) has no format */
    union {
        float eps;             /* norms, match_rms, mlstm_scan, taylor_scan */
        float factor;          /* scale, add, keep_above */
        ClampRange clamp;
        PositionScale position_scale;
        Xielu xielu;
        EmbedHow embed;
        RopeAngles angles;
        RopeHow rope;
        Attend attend;
        LimitedGate limited_gate;
        Router router;
        CombineHow combine;
        Activation activation;
        ScanHow scan;
        Discretise discretise;
    };
} OpCall;

const char *op_name(Op);

/* An operation with a state (core/kv_view.h): out[1] holds the states, of which it reads and writes those
 * that its last three inputs say: from, to ([seqs]) and row_seq ([rows]). Of a call that device_run() has seen. */
static inline bool op_has_state(const OpCall *call)
{
    bool has = call->reads_out && call->outs == 2 && call->ins > 3;
    for (int i = call->ins - 3; has && i < call->ins; i++)
        has = call->in[i].format == &format_i32 && call->in[i].dims == 1;
    return has;
}

#endif
