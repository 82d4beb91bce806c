/* route_choose.c -- the choice of experts: comparisons only, so that every tier makes the same one. */
#include <math.h>

#include "kernels/route/route.h"

RouteShape route_shape(const OpCall *c)
{
    const Router *r = &c->router;
    RouteShape s = {c->in[ROUTE_SCORES].dim[0], (int32_t)tensor_width(c->in[ROUTE_SCORES]),
                    (int32_t)tensor_width(c->out[0])};
    ASSERT(s.experts <= EXPERTS_MAX && s.k >= 1 && s.k <= s.experts && same_shape(c->out[0], c->out[1]));
    ASSERT(c->out[0].dim[0] == s.rows && c->out[0].format == &format_i32);
    if (r->groups > 0)
        ASSERT(s.experts % r->groups == 0 && r->groups_used >= 1 && r->groups_used <= r->groups &&
               s.k <= s.experts / r->groups * r->groups_used && (r->group_top == 1 || r->group_top == 2));
    return s;
}

/* Puts `id` where it belongs among the best so far: behind all that are as large. */
static void insert(int32_t *ids, int32_t held, int32_t most, const float *value, int32_t id)
{
    int32_t at = held < most ? held : most - 1;
    if (held == most && !(value[id] > value[ids[at]]))
        return;
    for (; at > 0 && value[id] > value[ids[at - 1]]; at--)
        ids[at] = ids[at - 1];
    ids[at] = id;
}

/* The k largest of those that may be chosen (NULL: all). */
static void largest(int32_t *ids, int32_t k, const float *value, int32_t n, const bool *may)
{
    int32_t held = 0;
    for (int32_t i = 0; i < n; i++)
        if (!may || may[i]) {
            insert(ids, held, k, value, i);
            held += held < k;
        }
}

static float goodness(const float *choice, int32_t n, int32_t top)
{
    int32_t best[2];
    if (top > n)
        top = n;
    largest(best, top, choice, n, NULL);
    return top == 1 ? choice[best[0]] : choice[best[0]] + choice[best[1]];
}

static void allow_groups(const Router *r, const float *choice, int32_t experts, bool *may)
{
    float good[EXPERTS_MAX];
    int32_t used[EXPERTS_MAX], n = experts / r->groups;
    for (int32_t g = 0; g < r->groups; g++)
        good[g] = goodness(choice + g * n, n, r->group_top);
    largest(used, r->groups_used, good, r->groups, NULL);
    for (int32_t e = 0; e < experts; e++)
        may[e] = false;
    for (int32_t i = 0; i < r->groups_used; i++)
        for (int32_t e = 0; e < n; e++)
            may[used[i] * n + e] = true;
}

void route_choose(const Router *r, RouteShape shape, const float *s, const float *scores, const float *bias, int32_t *ids)
{
    float with_bias[EXPERTS_MAX];
    bool may[EXPERTS_MAX];
    const float *choice = r->groups > 0 && r->group_top == 2 ? s : scores;
    if (bias) {
        for (int32_t e = 0; e < shape.experts; e++)
            with_bias[e] = s[e] + bias[e];
        choice = with_bias;
    }
    if (r->groups > 0)
        allow_groups(r, choice, shape.experts, may);
    largest(ids, shape.k, choice, shape.experts, r->groups > 0 ? may : NULL);
}

int32_t route_sparse_round(const Router *r, int32_t experts, const float *scores, const bool *taken, float *near)
{
    int32_t best = -1;
    for (int32_t e = 0; e < experts; e++)
        if (!taken[e] && (best < 0 || scores[e] > scores[best]))
            best = e;
    float m = scores[best];
    for (int32_t e = 0; e < experts; e++) {
        float size = fabsf(scores[e]) > m ? fabsf(scores[e]) : m;
        near[e] = taken[e] || (m - scores[e]) / size > 2 * r->jitter ? -INFINITY : scores[e];
    }
    return best;
}
