/* ops.h -- the operations as a forward pass calls them. One line each: what they mean stands in
 * kernels/<name>/<name>.h, who computes them is the device's business. */
#ifndef CORE_OPS_H
#define CORE_OPS_H

#include "core/device.h"
#include "core/kv_view.h"

#define NONE ((Tensor){0})

#define RUN(device, ...) device_run(device, &(OpCall){__VA_ARGS__})

/* y[r] = factor * table[ids[r]] */
static inline void op_embed(Device *d, Tensor y, Tensor table, Tensor ids, float factor)
{
    RUN(d, .op = OP_EMBED, .out = {y}, .in = {table, ids}, .embed = {.factor = factor});
}
/* The same, but ids beyond the table mean its row 0. */
static inline void op_embed_short(Device *d, Tensor y, Tensor table, Tensor ids, float factor)
{
    RUN(d, .op = OP_EMBED, .out = {y}, .in = {table, ids}, .embed = {.factor = factor, .short_table = true});
}
/* y = x w^T + bias      x: [rows, in], w: [out, in], y: [rows, out] */
static inline void op_linear(Device *d, Tensor y, Tensor x, Tensor w, Tensor bias)
{
    RUN(d, .op = OP_LINEAR, .out = {y}, .in = {x, w, bias});
}
/* y += x w^T + bias */
static inline void op_linear_add(Device *d, Tensor y, Tensor x, Tensor w, Tensor bias)
{
    RUN(d, .op = OP_LINEAR, .reads_out = true, .out = {y}, .in = {x, w, bias});
}
/* q = x wq^T + bq, k = x wk^T + bk, v = x wv^T + bv: x is read (and rounded) once */
static inline void op_linear3(Device *d, Tensor q, Tensor k, Tensor v, Tensor x, Tensor wq, Tensor wk, Tensor wv,
                              Tensor bq, Tensor bk, Tensor bv)
{
    RUN(d, .op = OP_LINEAR3, .out = {q, k, v}, .in = {x, wq, wk, wv, bq, bk, bv});
}
/* y += (act(x gate^T + gate_bias) * (x up^T + up_bias)) down^T + down_bias */
static inline void op_gated_mlp_add(Device *d, Tensor y, Tensor x, Tensor gate, Tensor up, Tensor down,
                                    Tensor gate_bias, Tensor up_bias, Tensor down_bias, Activation act)
{
    RUN(d, .op = OP_GATED_MLP, .reads_out = true, .out = {y}, .in = {x, gate, up, down, gate_bias, up_bias, down_bias},
        .activation = act);
}
/* On each head of x ([rows, heads, width]) or on each row ([rows, width]); gain: [width], [heads width] or NONE. */
static inline void op_rms_norm(Device *d, Tensor y, Tensor x, Tensor gain, float eps)
{
    RUN(d, .op = OP_RMS_NORM, .out = {y}, .in = {x, gain}, .eps = eps);
}
static inline void op_layer_norm(Device *d, Tensor y, Tensor x, Tensor gain, Tensor bias, float eps)
{
    RUN(d, .op = OP_LAYER_NORM, .out = {y}, .in = {x, gain, bias}, .eps = eps);
}
/* angles[r] = cos (dims/2 values), then sin (dims/2), of the row's position. inv_freq: [1 or 2, dims/2] */
static inline void op_rope_angles(Device *d, Tensor angles, Tensor positions, Tensor lengths, Tensor inv_freq, RopeAngles a)
{
    RUN(d, .op = OP_ROPE_ANGLES, .out = {angles}, .in = {positions, lengths, inv_freq}, .angles = a);
}
/* Turns the first dims values of each head of x ([rows, heads, width]) in place. */
static inline void op_rope(Device *d, Tensor x, Tensor angles, bool interleaved)
{
    RUN(d, .op = OP_ROPE, .reads_out = true, .out = {x}, .in = {angles}, .rope = {interleaved});
}
/* Puts k and v of each row ([rows, kv heads, width]) into the cache at the row's position. */
static inline void op_cache_write(Device *d, const KvView *kv, Tensor k, Tensor v)
{
    RUN(d, .op = OP_CACHE_WRITE, .reads_out = true, .out = {kv->k, kv->v},
        .in = {k, v, kv->tables, kv->positions, kv->row_seq});
}
/* y, q: [rows, heads, width]. sinks ([heads], a score that takes part in the softmax only) and
 * slopes ([heads], ALiBi) may be NONE. */
static inline void op_attend(Device *d, Tensor y, Tensor q, const KvView *kv, Tensor sinks, Tensor slopes, Attend a)
{
    RUN(d, .op = OP_ATTEND, .out = {y},
        .in = {q, kv->k, kv->v, kv->tables, kv->positions, kv->row_seq, sinks, slopes}, .attend = a);
}
static inline void op_activate(Device *d, Tensor y, Tensor x, Activation act)
{
    RUN(d, .op = OP_ACTIVATE, .out = {y}, .in = {x}, .activation = act);
}
/* y = act(gate) * up. gate: of up's shape, one value for so many neighbours ([rows, heads, 1] for
 * [rows, heads, width]), or one row (a vector) for all. */
static inline void op_gate(Device *d, Tensor y, Tensor gate, Tensor up, Activation act)
{
    RUN(d, .op = OP_GATE, .out = {y}, .in = {gate, up}, .activation = act);
}
/* y = g sigmoid(alpha g) (u + shift), with gate and up cut off at the limit */
static inline void op_limited_gate(Device *d, Tensor y, Tensor gate, Tensor up, LimitedGate limits)
{
    RUN(d, .op = OP_LIMITED_GATE, .out = {y}, .in = {gate, up}, .limited_gate = limits);
}
/* y += factor * x; x may be one row (a vector) for all */
static inline void op_add_scaled(Device *d, Tensor y, Tensor x, float factor)
{
    RUN(d, .op = OP_ADD, .reads_out = true, .out = {y}, .in = {x}, .factor = factor);
}
static inline void op_add(Device *d, Tensor y, Tensor x) { op_add_scaled(d, y, x, 1); }
/* y = factor * x */
static inline void op_scale(Device *d, Tensor y, Tensor x, float factor)
{
    RUN(d, .op = OP_SCALE, .out = {y}, .in = {x}, .factor = factor);
}
/* y = low where x is below it, high where it is above, else x */
static inline void op_clamp(Device *d, Tensor y, Tensor x, float low, float high)
{
    RUN(d, .op = OP_CLAMP, .out = {y}, .in = {x}, .clamp = {low, high});
}
static inline void op_fill(Device *d, Tensor y, float value)   /* y = value */
{
    RUN(d, .op = OP_FILL, .out = {y}, .factor = value);
}
/* x[r] *= 1 + growth ln(1 + floor((positions[r] + offset) / floor)) */
static inline void op_position_scale(Device *d, Tensor x, Tensor positions, PositionScale s)
{
    RUN(d, .op = OP_POSITION_SCALE, .reads_out = true, .out = {x}, .in = {positions}, .position_scale = s);
}
/* ids ([rows, k] I32): the k experts that each row of scores ([rows, E]) chooses; weights: [rows, k].
 * bias ([E], for the choice only) and gain ([E], of the weights) may be NONE. */
static inline void op_route(Device *d, Tensor ids, Tensor weights, Tensor scores, Tensor bias, Tensor gain, Router r)
{
    RUN(d, .op = OP_ROUTE, .out = {ids, weights}, .in = {scores, bias, gain}, .router = r);
}
/* y[r][i] = w[ids[r][i]] x[r] + bias[ids[r][i]]      y: [rows, k, out], w: [E, out, in], bias: [E, out] or NONE
 * x: [rows, in], or [rows, k, in]: one for each i. ids: [rows, k] I32, or NONE: the i-th of a row meets w[i].
 * An id >= E gives zeros. */
static inline void op_expert_linear(Device *d, Tensor y, Tensor x, Tensor w, Tensor bias, Tensor ids)
{
    RUN(d, .op = OP_EXPERT_LINEAR, .out = {y}, .in = {x, w, bias, ids});
}
/* y[r] += sum_i weights[r][i] x[r][i]      x: [rows, k, width]; weights: [rows, k], or NONE: all 1 */
static inline void op_combine(Device *d, Tensor y, Tensor x, Tensor weights)
{
    RUN(d, .op = OP_COMBINE, .reads_out = true, .out = {y}, .in = {x, weights});
}
/* The same, but self[r] ([rows, width]) stands for x[r][i] where ids[r][i] >= experts. */
static inline void op_combine_or_self(Device *d, Tensor y, Tensor x, Tensor weights, Tensor ids, Tensor self,
                                      int32_t experts)
{
    RUN(d, .op = OP_COMBINE, .reads_out = true, .out = {y}, .in = {x, weights, ids, self}, .combine = {experts});
}
/* y = beta x + (x > 0 ? alpha_p x^2 : alpha_n (e^min(x, eps) - 1 - x)) */
static inline void op_xielu(Device *d, Tensor y, Tensor x, Xielu f)
{
    RUN(d, .op = OP_XIELU, .out = {y}, .in = {x}, .xielu = f);
}
/* y = max(x - (mean + deviations * std), 0), of each row: what stands out */
static inline void op_keep_above(Device *d, Tensor y, Tensor x, float deviations)
{
    RUN(d, .op = OP_KEEP_ABOVE, .out = {y}, .in = {x}, .factor = deviations);
}
/* y = x, made as large as `of` ([rows, any width]): x * rms(of) / max(rms(x), sqrt(least)). On each head or each row */
static inline void op_match_rms(Device *d, Tensor y, Tensor x, Tensor of, float least)
{
    RUN(d, .op = OP_MATCH_RMS, .out = {y}, .in = {x, of}, .eps = least);
}
/* y[i] = x[rows[i]] */
static inline void op_take_rows(Device *d, Tensor y, Tensor x, Tensor rows)
{
    RUN(d, .op = OP_TAKE_ROWS, .out = {y}, .in = {x, rows});
}
/* A causal convolution of each channel by itself: y[r] = act(sum_j w[j] x[r - K + 1 + j] + bias).
 * y, x: [rows, C]; w: [C, K]; bias: [C] or NONE; state: (K - 1) C values, the last rows of x */
static inline void op_conv(Device *d, Tensor y, Tensor x, Tensor w, Tensor bias, StateView s, Activation act)
{
    RUN(d, .op = OP_CONV, .reads_out = true, .out = {y, s.state}, .in = {x, w, bias, s.from, s.to, s.row_seq},
        .activation = act);
}
/* Mamba-1: h = exp(dt A) h + dt B x; y = C.h + D x.  y, x, dt: [rows, width]; B, C: [rows, N]; A: [width, N];
 * D: [width] or NONE; state: N width values */
static inline void op_selective_scan(Device *d, Tensor y, Tensor x, Tensor dt, Tensor B, Tensor C, Tensor A, Tensor D,
                                     StateView s)
{
    RUN(d, .op = OP_SELECTIVE_SCAN, .reads_out = true, .out = {y, s.state},
        .in = {x, dt, B, C, A, D, s.from, s.to, s.row_seq});
}
/* Linear attention that forgets: S = decay S + k v^T; y = q^T S.  y, v: [rows, heads, P]; q, k: [rows, groups, N];
 * decay: [rows, heads], or one row (a vector) for all; state: heads N P values */
static inline void op_decay_scan(Device *d, Tensor y, Tensor q, Tensor k, Tensor v, Tensor decay, StateView s)
{
    RUN(d, .op = OP_DECAY_SCAN, .reads_out = true, .out = {y, s.state},
        .in = {q, k, v, decay, s.from, s.to, s.row_seq});
}
/* h = a h + b, channel by channel; keeps_size: b weighs sqrt(1 - a^2) (RG-LRU). y, a, b: [rows, C] */
static inline void op_linear_scan(Device *d, Tensor y, Tensor a, Tensor b, StateView s, bool keeps_size)
{
    RUN(d, .op = OP_LINEAR_SCAN, .reads_out = true, .out = {y, s.state}, .in = {a, b, s.from, s.to, s.row_seq},
        .scan = {keeps_size});
}
/* The gated delta rule. S = decay S; S += k (beta (v - S^T k))^T; y = S^T q */
static inline void op_delta_scan(Device *d, Tensor y, Tensor q, Tensor k, Tensor v, Tensor decay, Tensor beta,
                                 StateView s)
{
    RUN(d, .op = OP_DELTA_SCAN, .reads_out = true, .out = {y, s.state},
        .in = {q, k, v, decay, beta, s.from, s.to, s.row_seq});
}
/* RWKV-4: a mean of the values so far, weighted by e^k and by age. first, decay: [C] */
static inline void op_wkv_scan(Device *d, Tensor y, Tensor k, Tensor v, Tensor decay, Tensor first, StateView s)
{
    RUN(d, .op = OP_WKV_SCAN, .reads_out = true, .out = {y, s.state}, .in = {k, v, decay, first, s.from, s.to, s.row_seq});
}
/* xLSTM's matrix memory. input, forget: [rows, heads], before their exponential and sigmoid */
static inline void op_mlstm_scan(Device *d, Tensor y, Tensor q, Tensor k, Tensor v, Tensor input, Tensor forget,
                                 StateView s, float eps)
{
    RUN(d, .op = OP_MLSTM_SCAN, .reads_out = true, .out = {y, s.state},
        .in = {q, k, v, input, forget, s.from, s.to, s.row_seq}, .eps = eps);
}
/* Linear attention with the weights 1 + q.k + (q.k)^2 / 2, divided by their sum (Based) */
static inline void op_taylor_scan(Device *d, Tensor y, Tensor q, Tensor k, Tensor v, StateView s, float eps)
{
    RUN(d, .op = OP_TAYLOR_SCAN, .reads_out = true, .out = {y, s.state}, .in = {q, k, v, s.from, s.to, s.row_seq},
        .eps = eps);
}
/* A diagonal state space: h = lambda h + x, y = Re(c h) + skip x. lambda, c: [C, modes, 2] */
static inline void op_complex_scan(Device *d, Tensor y, Tensor x, Tensor lambda, Tensor c, Tensor skip, StateView s)
{
    RUN(d, .op = OP_COMPLEX_SCAN, .reads_out = true, .out = {y, s.state},
        .in = {x, lambda, c, skip, s.from, s.to, s.row_seq});
}
/* H3's shift: h[n] = h[n - 1] + b[n] x, y = c.h + skip x. b, c: [C, N] */
static inline void op_shift_scan(Device *d, Tensor y, Tensor x, Tensor b, Tensor c, Tensor skip, StateView s)
{
    RUN(d, .op = OP_SHIFT_SCAN, .reads_out = true, .out = {y, s.state}, .in = {x, b, c, skip, s.from, s.to, s.row_seq});
}
/* lambda, c for op_complex_scan from dh/dt = a h + b x, y = 2 Re(c h) in steps of dt; b may be NONE: 1 */
static inline void op_discretise(Device *d, Tensor lambda, Tensor c, Tensor dt, Tensor a_real, Tensor a_imag,
                                 Tensor c_in, Tensor b, Discretise how)
{
    RUN(d, .op = OP_DISCRETISE, .out = {lambda, c}, .in = {dt, a_real, a_imag, c_in, b}, .discretise = how);
}
/* chosen[i] ([rows, words] I32): the token that hows[i] chooses from its row of logits; choose.h has the words */
static inline void op_choose(Device *d, Tensor chosen, Tensor logits, Tensor hows, Tensor edits, Tensor masks)
{
    RUN(d, .op = OP_CHOOSE, .out = {chosen}, .in = {logits, hows, edits, masks});
}

#endif
