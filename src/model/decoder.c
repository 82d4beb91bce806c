#include "model/decoder.h"

DecoderShape *decoder_shape(const ModelShape *s) { return s->own; }

/* ---- forward ---- */

Tensor decoder_begin(const ModelShape *s, const DecoderWeights *w, Device *d, const Step *step, Pass *p)
{
    const DecoderShape *m = decoder_shape(s);
    Tensor x = device_f32(d, step->rows, s->D);
    Tensor narrow = m->embed_width == s->D ? x : device_f32(d, step->rows, m->embed_width);
    *p = (Pass){.step = step};
    device_label(d, "embed", -1);
    op_embed(d, narrow, w->embed, step->tokens, m->embed_factor);
    if (m->embed_width != s->D)
        op_linear(d, x, narrow, w->project_in, NONE);
    if (!tensor_is_none(w->positions)) {
        Tensor place = like(d, x);
        op_embed(d, place, tensor_rows(w->positions, m->position_first, w->positions.dim[0] - m->position_first),
                 step->positions, 1);
        op_add(d, x, place);
    }
    if (m->names.embed_norm)
        norm_run(&m->norm, d, x, x, &w->embed_norm);
    for (int i = 0; i < m->ropes; i++) {
        p->angles[i] = device_f32(d, step->rows, m->rope[i].angles.dims);
        op_rope_angles(d, p->angles[i], step->positions, step->lengths, w->inv_freq[i], m->rope[i].angles);
    }
    return x;
}

/* What the branches of a stage read: all of it before any of them adds. */
static void branch_inputs(const ModelShape *s, const Stage *stage, const BranchWeights *w, Device *d, Tensor x, Tensor *in)
{
    for (int b = 0; b < stage->branches; b++) {
        const Branch *branch = &stage->branch[b];
        in[b] = branch->same_input ? in[b - 1] : x;
        if (!branch->pre)
            continue;
        in[b] = branch->on_stream ? x : like(d, x);
        norm_run(&decoder_shape(s)->norm, d, in[b], x, &w[b].pre);
    }
}

static void branch_run(const ModelShape *s, const Branch *branch, const BranchWeights *w, Device *d, const Pass *p, int l,
                       Tensor in, Tensor x)
{
    const DecoderShape *m = decoder_shape(s);
    device_label(d, branch->part->label, l);
    if ((!branch->post || branch->on_stream) && m->residual_factor == 1 && !branch->keeps) {
        branch->part->forward(branch->shape, w->part, d, p, l, x, in);
        if (branch->post)
            norm_run(&m->norm, d, x, x, &w->post);
        return;
    }
    ASSERT(!branch->on_stream || !branch->post);
    Tensor y = like(d, x);
    op_fill(d, y, 0);
    branch->part->forward(branch->shape, w->part, d, p, l, y, in);
    if (branch->post)
        norm_run(&m->norm, d, y, y, &w->post);
    if (branch->keeps)
        op_scale(d, x, x, branch->keeps);
    op_add_scaled(d, x, y, m->residual_factor * (branch->keeps ? branch->adds : 1));
}

void decoder_stage_run(const ModelShape *s, const DecoderWeights *w, Device *d, const Pass *p, int l, int i, Tensor x)
{
    const Stage *stage = &decoder_shape(s)->layer[l].stage[i];
    const BranchWeights *weights = w->layer[l][i];
    Tensor in[BRANCHES_MAX];
    size_t mark = device_mark(d);
    device_label(d, stage->branch[0].part->label, l);
    branch_inputs(s, stage, weights, d, x, in);
    for (int b = 0; b < stage->branches; b++)
        branch_run(s, &stage->branch[b], &weights[b], d, p, l, in[b], x);
    device_release(d, mark);
}

static void last_norm(const ModelShape *s, const DecoderWeights *w, Device *d, Tensor x)
{
    const DecoderShape *m = decoder_shape(s);
    NormShape norm = m->norm;
    norm.eps = m->last_eps ? m->last_eps : norm.eps;
    if (m->names.norm)
        norm_run(&norm, d, x, x, &w->norm);
}

/* x: the rows that are asked for; they become others. */
static void head_run(const ModelShape *s, const DecoderWeights *w, Device *d, Tensor x, Tensor logits)
{
    const DecoderShape *m = decoder_shape(s);
    last_norm(s, w, d, x);
    if (m->embed_width != s->D) {
        Tensor narrow = device_f32(d, x.dim[0], m->embed_width);
        op_linear(d, narrow, x, w->project_out, NONE);
        x = narrow;
    }
    op_linear(d, logits, x, w->head.w, w->head.bias);
    float cap = m->logit_cap, factor = m->logit_factor / (cap ? cap : 1);
    if (factor != 1)
        op_scale(d, logits, logits, factor);
    if (cap) {
        op_activate(d, logits, logits, TANH);
        op_scale(d, logits, logits, cap);
    }
}

static Tensor take_asked(const ModelShape *s, Device *d, const Step *step, Tensor x)
{
    Tensor asked = device_f32(d, step->outs, s->D);
    op_take_rows(d, asked, x, step->out_rows);
    return asked;
}

void decoder_end(const ModelShape *s, const DecoderWeights *w, Device *d, const Step *step, Tensor x, Tensor logits)
{
    device_label(d, "head", -1);
    if (step->hiddens > 0) {
        op_take_rows(d, step->hidden, x, step->hidden_rows);
        last_norm(s, w, d, step->hidden);
    }
    head_run(s, w, d, take_asked(s, d, step, x), logits);
}

/* A stage that sees each row by itself. */
static bool is_rowwise(const Stage *stage)
{
    bool rowwise = true;
    for (int b = 0; b < stage->branches; b++)
        rowwise &= stage->branch[b].part->keep == NULL;
    return rowwise;
}

/* Behind the last stage that mixes rows only those go on that somebody asks for: of a prompt the last one. */
static void finish_asked(const ModelShape *s, const DecoderWeights *w, Device *d, const Pass *p, Tensor x, Tensor logits)
{
    int last = s->L - 1;
    Tensor asked = take_asked(s, d, p->step, x);
    if (asked.dim[0] > 0)
        decoder_stage_run(s, w, d, p, last, decoder_shape(s)->layer[last].stages - 1, asked);
    device_label(d, "head", -1);
    head_run(s, w, d, asked, logits);
}

void decoder_forward(const Model *model, Device *d, const Step *step, Tensor logits)
{
    const ModelShape *s = &model->shape;
    const DecoderWeights *w = model->weights;
    const DecoderLayer *layer = decoder_shape(s)->layer, *last = &layer[s->L - 1];
    bool asks_few = step->hiddens == 0 && is_rowwise(&last->stage[last->stages - 1]);
    Pass pass;
    Tensor x = decoder_begin(s, w, d, step, &pass);
    for (int l = 0; l < s->L; l++)
        for (int i = 0; i < layer[l].stages - (asks_few && l == s->L - 1); i++)
            decoder_stage_run(s, w, d, &pass, l, i, x);
    if (asks_few)
        finish_asked(s, w, d, &pass, x, logits);
    else
        decoder_end(s, w, d, step, x, logits);
}

/* ---- what is kept of the past ---- */

/* A layer may keep keys and values once, and states beside them: parts that share one say where theirs begins. */
static void keep_also(KvLayer *layer, KvLayer also)
{
    ASSERT(layer->kind == KV_NONE || layer->kind == KV_STATE || also.kind == KV_STATE);
    int64_t state = layer->state_width + also.state_width;
    if (layer->kind == KV_NONE || layer->kind == KV_STATE)
        *layer = also;
    layer->state_width = (int32_t)state;
}

void decoder_kv_layout(const ModelShape *s, KvLayout *kv)
{
    const DecoderShape *m = decoder_shape(s);
    kv->layers = s->L;
    for (int l = 0; l < s->L; l++) {
        kv->layer[l] = (KvLayer){.kind = KV_NONE};
        for (int i = 0; i < m->layer[l].stages; i++)
            for (int b = 0; b < m->layer[l].stage[i].branches; b++) {
                const Branch *branch = &m->layer[l].stage[i].branch[b];
                KvLayer also = {.kind = KV_NONE};
                if (branch->part->keep) {
                    branch->part->keep(branch->shape, &also);
                    keep_also(&kv->layer[l], also);
                }
            }
    }
}

/* ---- weights ---- */

static void declare_positions(const DecoderShape *m, const ModelShape *s, WeightList *list, DecoderWeights *w)
{
    int32_t rows = s->context + m->position_first;
    if (m->names.positions)
        weight_matrix(list, &w->positions, weight_name(m->names.positions, ".weight").text, "position_embd.weight", 0,
                      rows, s->D)
            ->use = USE_TABLE;
    else if (m->position_table)
        weight_constant(list, &w->positions, "", m->position_table, rows, s->D)->use = USE_TABLE;
}

static void declare_head(const DecoderShape *m, const ModelShape *s, WeightList *list, DecoderWeights *w)
{
    LinearName head = {.hf_before = m->names.head, .hf = "", .gguf = "output"};
    if (!s->tied) {
        linear_declare(list, &w->head, head, 0, s->V, m->embed_width, m->head_bias);
        return;
    }
    weight_same(list, &w->head.w, &w->embed);
    if (m->head_bias)
        weight_vector(list, &w->head.bias, weight_name(m->names.head, ".bias").text, "output.bias", 0, s->V);
}

void decoder_declare_ends(const ModelShape *s, WeightList *list, DecoderWeights *w)
{
    const DecoderShape *m = decoder_shape(s);
    weight_matrix(list, &w->embed, weight_name(m->names.embed, ".weight").text, "token_embd.weight", 0, s->V, m->embed_width)
        ->use = s->tied ? USE_TABLE_AND_MATRIX : USE_TABLE;
    declare_positions(m, s, list, w);
    if (m->embed_width != s->D) {
        weight_matrix(list, &w->project_in, weight_name(m->names.project_in, ".weight").text, "", 0, s->D, m->embed_width);
        weight_matrix(list, &w->project_out, weight_name(m->names.project_out, ".weight").text, "", 0, m->embed_width, s->D);
    }
    if (m->names.embed_norm)
        norm_declare(&m->norm, list, &w->embed_norm, m->names.embed_norm, "token_embd_norm", 0, s->D);
    if (m->names.norm)
        norm_declare(&m->norm, list, &w->norm, m->names.norm, m->names.norm_gguf ? m->names.norm_gguf : "output_norm",
                     0, s->D);
    declare_head(m, s, list, w);
    for (int i = 0; i < m->ropes; i++) {
        const RopeConfig *rope = &m->rope[i];
        weight_constant(list, &w->inv_freq[i], "", rope->inv_freq, rope->tables, rope->angles.dims / 2);
        if (rope->factors) {
            weight_constant(list, NULL, "rope_factors_short.weight", rope->factors, 0, rope->angles.dims / 2);
            weight_constant(list, NULL, "rope_factors_long.weight", rope->factors + rope->angles.dims / 2, 0,
                            rope->angles.dims / 2);
        }
        if (rope->divisors)
            weight_constant(list, NULL, "rope_freqs.weight", rope->divisors, 0, rope->angles.dims / 2);
    }
}

static void declare_branch(const DecoderShape *m, const ModelShape *s, WeightList *list, const Branch *b, BranchWeights *w,
                           int l)
{
    if (b->pre)
        norm_declare(&m->norm, list, &w->pre, weight_name(m->names.layer, b->pre).text, b->pre_gguf, l, s->D);
    if (b->post)
        norm_declare(&m->norm, list, &w->post, weight_name(m->names.layer, b->post).text, b->post_gguf, l, s->D);
    w->part = b->part->declare(b->shape, list, l);
}

void *decoder_declare(const ModelShape *s, WeightList *list)
{
    const DecoderShape *m = decoder_shape(s);
    DecoderWeights *w = part_weights(list, sizeof *w);
    list->hf_without = m->hf_without;
    w->layer = arena_take_array(list->arena, (size_t)s->L, sizeof *w->layer);
    if (!w->layer) {
        list->failed = true;
        return w;
    }
    decoder_declare_ends(s, list, w);
    for (int l = 0; l < s->L; l++)
        for (int i = 0; i < m->layer[l].stages; i++)
            for (int b = 0; b < m->layer[l].stage[i].branches; b++)
                declare_branch(m, s, list, &m->layer[l].stage[i].branch[b], &w->layer[l][i][b], l);
    return w;
}
