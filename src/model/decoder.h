/* decoder.h -- how families put parts together: stages one after another, branches side by side.
 *
 *     x = embed(tokens)                                              [rows, D]
 *     for each layer, for each stage:
 *         x += factor * post(part(pre(x)))                           for each branch, all from the same x
 *     logits = head(norm(x))                                         [outs, V]
 *
 * The last stage of all, where it mixes no rows (an mlp), sees only those that are asked for: of a prompt one.
 *
 *     Llama     stage 1: attention        stage 2: mlp                 each behind a norm
 *     Gemma 2   the same with norms before and behind
 *     OLMo 2    the same with norms behind only
 *     Cohere    stage 1: attention and mlp, side by side, behind one norm
 *     NeoX      stage 1: attention and mlp, each behind a norm of its own
 *     Jamba     stage 1: attention or Mamba      stage 2: mlp or experts
 *     Falcon-H1 stage 1: attention and Mamba-2   stage 2: mlp
 *
 * decoder_read() understands what most configs spell alike and makes Llama's layers of it; a family then
 * changes the values in which it differs. A family whose layers do not fit writes its own forward from
 * the same pieces.
 */
#ifndef MODEL_DECODER_H
#define MODEL_DECODER_H

#include "model/arch.h"
#include "model/attention.h"
#include "model/mlp.h"
#include "model/rope_config.h"

enum { BRANCHES_MAX = 3, STAGES_MAX = 3 };

typedef struct Branch {
    const Part *part;
    const void *shape;                   /* of the part */
    const char *pre, *post;              /* norms, behind the layer's prefix; NULL: none */
    const char *pre_gguf, *post_gguf;
    bool same_input;                     /* reads what the branch before it reads */
    bool on_stream;                      /* the norms are of x itself: x = pre(x), x = post(x + part(x)); no gate then */
    float keeps, adds;                   /* x = keeps x + adds part(x); 0: as it is, and a gate may be on the stream */
} Branch;

typedef struct Stage { int branches; Branch branch[BRANCHES_MAX]; } Stage;

typedef struct DecoderLayer {
    AttentionShape attention;            /* the values of the parts that nearly all families have */
    MlpShape mlp;
    int stages;
    Stage stage[STAGES_MAX];
} DecoderLayer;

/* What checkpoints call things. */
typedef struct DecoderNames {
    const char *layer;                             /* "model.layers.%d." */
    const char *embed, *norm, *head;               /* without ".weight"; norm may be NULL: there is none */
    const char *norm_gguf;                         /* NULL: "output_norm" */
    const char *positions, *embed_norm;            /* a table of learned positions; a norm of the embeddings; NULL: none */
    const char *project_in, *project_out;          /* where embeddings are narrower than x */
    const char *pre_attention, *pre_mlp;           /* norms, behind the layer's prefix */
    const AttentionNames *attention;
    const char *mlp, *gate, *up, *down;            /* "mlp." behind the prefix; "gate_proj", ... behind that */
} DecoderNames;

extern const DecoderNames decoder_names;           /* Llama's */

/* ModelShape.own of the families that are made of this. */
typedef struct DecoderShape {
    DecoderNames names;
    NormShape norm;                      /* of all norms but those of heads */
    float last_eps;                      /* of the norm behind the last layer; 0: as the others */
    RopeConfig rope[ROPES_MAX];
    int ropes;
    float embed_factor;                  /* of the embeddings */
    float residual_factor;               /* of what a branch adds */
    float logit_factor, logit_cap;       /* cap: logits = cap tanh(logits / cap); 0: none */
    bool head_bias;
    const char *hf_without;              /* how all names begin in other checkpoints, but not in this; NULL: nothing */
    int32_t embed_width;                 /* of the embeddings and of the head */
    const float *position_table;         /* instead of a learned one: it follows from the shape */
    int32_t position_first;              /* position p is row p + first of the table, of context + first rows */
    DecoderLayer *layer;                 /* [L] */
} DecoderShape;

typedef struct BranchWeights { Norm pre, post; void *part; } BranchWeights;
typedef struct DecoderWeights {
    Tensor embed, positions, project_in, project_out;
    Norm embed_norm, norm;
    Linear head;
    Tensor inv_freq[ROPES_MAX];
    BranchWeights (*layer)[STAGES_MAX][BRANCHES_MAX];
} DecoderWeights;

/* What a family means where its config says nothing. */
typedef struct DecoderUsual {
    const DecoderNames *names;           /* NULL: Llama's */
    NormKind norm;
    float eps;                           /* 0: 1e-6 for RMS, 1e-5 for layer norms */
    Activation activation;
    bool own_activation;                 /* the family reads it itself */
    bool plain_mlp;                      /* no gate */
    int32_t head_width;                  /* 0: D / N */
    int32_t kv_heads;                    /* 0: N */
    int32_t mlp_times;                   /* the width of the mlp is so many times D; 0: it must be given */
    float theta;                         /* 0: 10000 */
    const char *rope;                    /* rope_parameters, where the config has neither these nor rope_scaling; NULL: none */
    int32_t rope_original;               /* original_max_position_embeddings; 0: that of the model */
    const char *activation_key;          /* NULL: the words that most configs have for it */
    float rotary;                        /* the part of a head that turns, where the config may say it; 0: all turns, always */
    bool own_mlps;                       /* the family reads the widths of mlps itself */
    bool own_heads;                      /* the family reads the widths of heads itself */
    bool no_rope;
    int32_t context;                     /* positions; 0: 2048 */
    int32_t layers;                      /* 0: the config says how many */
    bool no_attention;                   /* nor an mlp: layers are all something else */
    bool yarn_exact;                     /* a yarn scaling does not round where it begins and ends */
    bool mixed;                          /* some layers have attention or an mlp, others not: see decoder_read_kinds */
    bool gguf_turned;                    /* a GGUF holds the rows of q and k turned (model/weights.h) */
    bool tied;                           /* the head is the table of embeddings */
} DecoderUsual;

Err decoder_read(const Keys *, Arena *, ModelShape *, const DecoderUsual *, DecoderShape **out, Error *);
/* One more rotary table: group "rope_parameters.full_attention", say. */
Err decoder_add_rope(const Keys *, const char *group, int32_t dims, float theta, ModelShape *, Arena *, DecoderShape *,
                     Error *);
/* The table of most layers, and another of local ones. */
Err decoder_add_two_ropes(const Keys *, int32_t dims, float theta, float local_theta, ModelShape *, Arena *, DecoderShape *,
                          Error *);
DecoderShape *decoder_shape(const ModelShape *);

/* What a layer of a `mixed` family has. A GGUF says it by the numbers of key/value heads and the widths of mlps, layer by
 * layer, 0 where there are none. A family knows from its config and records it; from a GGUF it reads it. */
typedef struct LayerHas { bool attention, mlp; } LayerHas;
Err decoder_read_kinds(const Keys *, const ModelShape *, LayerHas *out, Error *);
void decoder_record_kinds(const Keys *, const ModelShape *, const LayerHas *);

/* attention_bias (of q, k, v and o) and mlp_bias; a GGUF just holds them. */
Err decoder_read_biases(const Keys *, ModelShape *, Error *);
/* One that a config switches on. */
Err decoder_read_bias(const Keys *, const char *hf, const char *gguf_tensor, bool otherwise, bool *out, Error *);
/* Windows as transformers says them: sliding_window, layer_types, max_window_layers, use_sliding_window.
 * first: the layer from which on there is one, where max_window_layers is not given. usual: the window of a config
 * that does not speak of it; a null is none. */
Err decoder_read_windows(const Keys *, ModelShape *, bool used_by_default, int32_t first, int32_t usual, Error *);
void decoder_record_windows(const Keys *, const ModelShape *);   /* it does; for who changes them behind it */
/* Which layers are local, [L]: layer_types says it, or else sliding_window_pattern: all but every so many-th.
 * pattern: where that is not given; 0: none is. */
Err decoder_read_local(const Keys *, const ModelShape *, const char *local_name, int32_t pattern, bool *local, Error *);

/* The last n layers have queries only, for the keys and values of the last layer before them that is of their kind.
 * After their windows and heads are known; those of one kind must be alike. */
Err decoder_share_keys(const Keys *, ModelShape *, const bool *local, int32_t n, Error *);

void decoder_record_local(const Keys *, const ModelShape *, const bool *local);   /* for a GGUF */
/* Norms behind the first branch of the first two stages, under these names. */
void decoder_norms_behind(DecoderLayer *, const char *attention, const char *mlp);

/* The biases of all layers. */
void decoder_biases(const ModelShape *, bool qkv, bool o, bool mlp);
/* Attention and mlp of Llama's layer side by side: each behind its own norm, or both behind that of attention. */
void decoder_side_by_side(DecoderLayer *, bool one_norm);
/* Stage `stage` of a layer becomes these branches. */
void decoder_stage(DecoderLayer *, int stage, int branches, const Branch *);

void decoder_kv_layout(const ModelShape *, KvLayout *);
void *decoder_declare(const ModelShape *, WeightList *);
void decoder_forward(const Model *, Device *, const Step *, Tensor logits);

/* Its pieces, for families whose layers are something else. */
void decoder_declare_ends(const ModelShape *, WeightList *, DecoderWeights *);
Tensor decoder_begin(const ModelShape *, const DecoderWeights *, Device *, const Step *, Pass *);   /* x; fills the pass */
void decoder_stage_run(const ModelShape *, const DecoderWeights *, Device *, const Pass *, int layer, int stage, Tensor x);
void decoder_end(const ModelShape *, const DecoderWeights *, Device *, const Step *, Tensor x, Tensor logits);

/* "silu", "gelu_pytorch_tanh", ... as config.json calls them; unknown ones are refused by name. */
Err activation_read(const Keys *, const char *hf, Activation otherwise, Activation *out, Error *err);

#endif
