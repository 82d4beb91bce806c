#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

void weight_list_deinit(WeightList *list)
{
    free(list->items);
    *list = (WeightList){0};
}

static void put_name(char out[WEIGHT_NAME_BYTES], const char *pattern, int layer)
{
    const char *mark = strstr(pattern, "%d");
    int before = mark ? (int)(mark - pattern) : (int)strlen(pattern);
    int bytes = mark ? snprintf(out, WEIGHT_NAME_BYTES, "%.*s%d%s", before, pattern, layer, mark + 2)
                     : snprintf(out, WEIGHT_NAME_BYTES, "%s", pattern);
    ASSERT(bytes < WEIGHT_NAME_BYTES);
}

static size_t lacking(const WeightList *list, const char *hf)
{
    size_t bytes = list->hf_without ? strlen(list->hf_without) : 0;
    return bytes && !strncmp(hf, list->hf_without, bytes) ? bytes : 0;
}

static WeightDecl *add(WeightList *list, WeightDecl decl)
{
    static WeightDecl spare; /* what is handed out once memory has failed: written, never read */
    if (list->count == list->capacity) {
        int capacity = list->capacity ? 2 * list->capacity : 64;
        WeightDecl *items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (!items) {
            list->failed = true;
            return &spare;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count] = decl;
    return &list->items[list->count++];
}

WeightDecl *weight_matrix(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t rows,
                          int32_t width)
{
    WeightDecl *decl = add(list, (WeightDecl){.slot = slot, .rows = rows, .width = width, .use = USE_MATRIX});
    put_name(decl->hf.name, hf + lacking(list, hf), layer);
    put_name(decl->gguf.name, gguf, layer);
    return decl;
}

WeightDecl *weight_vector(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t width)
{
    WeightDecl *decl = weight_matrix(list, slot, hf, gguf, layer, 0, width);
    decl->use = USE_VECTOR;
    return decl;
}

WeightDecl *weight_experts(WeightList *list, Tensor *slot, const char *hf, const char *gguf, int layer, int32_t experts,
                           int32_t rows, int32_t width)
{
    WeightDecl *decl = weight_matrix(list, slot, hf, gguf, layer, rows, width);
    decl->experts = experts;
    decl->use = rows ? USE_EXPERTS : USE_VECTOR;
    return decl;
}

WeightDecl *weight_constant(WeightList *list, Tensor *slot, const char *gguf, const float *values, int32_t rows,
                            int32_t width)
{
    WeightDecl *decl =
        add(list, (WeightDecl){.slot = slot, .rows = rows, .width = width, .use = USE_VECTOR, .constant = values});
    put_name(decl->gguf.name, gguf, 0);
    return decl;
}

void weight_same(WeightList *list, Tensor *slot, const Tensor *other)
{
    add(list, (WeightDecl){.slot = slot, .same_as = other});
}

/* ---- places ---- */

static int64_t spread(int64_t n, WeightPart p) { return p.stride ? n / p.take * p.stride : n; }

static bool part_fits(int64_t n, WeightPart p)
{
    return !p.stride || (p.take > 0 && p.first >= 0 && p.first + (int64_t)p.take <= p.stride && n % p.take == 0);
}

static bool groups_fit(int64_t n, WeightGroups g)
{
    return g.groups >= 0 && g.heads >= 0 && g.width >= 0 &&
           (!g.groups || (__int128)g.groups * g.heads * g.width == n);
}

bool weight_fits(const WeightDecl *decl, const WeightPlace *place)
{
    WeightShape s = weight_shape(decl);
    size_t elems;
    if (decl->experts < 0 || decl->experts > WEIGHT_EXPERTS_MAX || decl->rows < 0 || decl->width < 1 ||
        !part_fits(s.rows, place->part) || !part_fits(s.width, place->width_part) ||
        !groups_fit(place->groups.columns ? s.width : s.rows, place->groups) ||
        (place->turned_heads && (place->turned_heads < 0 || s.rows % (2 * (int64_t)place->turned_heads))))
        return false;
    WeightShape there = weight_shape_there(decl, place);
    return mul_fits((size_t)there.rows, (size_t)there.width, &elems) &&
           mul_fits(elems, sizeof(float) * (size_t)there.experts, &elems) && elems < (size_t)1 << 62;
}

WeightShape weight_shape(const WeightDecl *decl)
{
    int64_t experts = decl->experts ? decl->experts : 1;
    return decl->rows ? (WeightShape){experts, decl->rows, decl->width} : (WeightShape){experts, decl->width, 1};
}

WeightShape weight_shape_there(const WeightDecl *decl, const WeightPlace *place)
{
    WeightShape s = weight_shape(decl);
    return (WeightShape){s.experts, spread(s.rows, place->part), spread(s.width, place->width_part)};
}

int weight_dims_there(const WeightDecl *decl, const WeightPlace *place, int64_t dims[3])
{
    WeightShape s = weight_shape_there(decl, place);
    int n = 0;
    for (; n < 3 && place->dim[n]; n++)
        dims[n] = place->dim[n];
    if (n)
        return n;
    if (decl->experts)
        dims[n++] = s.experts;
    dims[n++] = place->transposed ? s.width : s.rows;
    if (decl->rows)
        dims[n++] = place->transposed ? s.rows : s.width;
    return n;
}

static bool rows_move(const WeightPlace *p)
{
    return p->part.stride || p->turned_heads || (p->groups.groups && !p->groups.columns);
}
static bool columns_move(const WeightPlace *p)
{
    return p->width_part.stride || (p->groups.groups && p->groups.columns);
}

bool weight_experts_apart(const WeightPlace *p) { return strstr(p->name, "%e") != NULL; }

bool weight_is_whole(const WeightPlace *p)
{
    return !weight_experts_apart(p) && !p->transposed && !rows_move(p) && !columns_move(p);
}

bool weight_rows_stay(const WeightDecl *decl, const WeightPlace *p)
{
    return decl->rows && !p->transposed && !columns_move(p);
}

static int64_t grouped(WeightGroups g, int64_t i)
{
    int64_t group = i / ((int64_t)g.heads * g.width), head = i / g.width % g.heads;
    return (head * g.groups + group) * g.width + i % g.width;
}

static int64_t taken(WeightPart p, int64_t i) { return p.stride ? i / p.take * p.stride + p.first + i % p.take : i; }

int64_t weight_row_there(const WeightPlace *p, int64_t rows, int64_t row)
{
    if (p->groups.groups && !p->groups.columns)
        row = grouped(p->groups, row);
    if (p->turned_heads) {
        int64_t head = rows / p->turned_heads, half = head / 2, in_head = row % head;
        row += in_head % half * 2 + in_head / half - in_head;
    }
    return taken(p->part, row);
}

int64_t weight_column_there(const WeightPlace *p, int64_t column)
{
    if (p->groups.groups && p->groups.columns)
        column = grouped(p->groups, column);
    return taken(p->width_part, column);
}

bool weight_maps(const WeightPlace *p) { return p->map || (p->scale && p->scale != 1) || p->row_scale; }

float weight_read(const WeightPlace *p, int64_t row, float stored)
{
    float value = p->map == MAP_PLUS_ONE ? stored + 1 : p->map == MAP_MINUS_EXP ? -expf(stored) : stored;
    value *= p->row_scale ? p->row_scale[row] : 1;
    return p->scale ? value * p->scale : value;
}

float weight_store(const WeightPlace *p, float value)
{
    float stored = p->scale ? value / p->scale : value;
    return p->map == MAP_PLUS_ONE ? stored - 1 : p->map == MAP_MINUS_EXP ? logf(-stored) : stored;
}

void weight_expert_name(const WeightPlace *p, int64_t expert, char out[WEIGHT_NAME_BYTES + 16])
{
    const char *mark = strstr(p->name, "%e");
    if (mark)
        snprintf(out, WEIGHT_NAME_BYTES + 16, "%.*s%d%s", (int)(mark - p->name), p->name, (int)expert, mark + 2);
    else
        snprintf(out, WEIGHT_NAME_BYTES + 16, "%s", p->name);
}
