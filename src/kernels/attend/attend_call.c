/* attend_call.c -- what a row sees, and what a call costs: shared by all versions. */
#include <math.h>

#include "kernels/attend/attend.h"

AttendCall attend_call(const OpCall *c)
{
    Tensor y = c->out[0], q = c->in[0], k = c->in[1], v = c->in[2], tables = c->in[3];
    AttendCall a = {
        .how = c->attend, .y = y, .q = q, .k = k, .v = tensor_is_none(v) ? k : v,
        .tables = tensor_i32(tables), .positions = tensor_i32(c->in[4]), .row_seq = tensor_i32(c->in[5]),
        .sinks = tensor_is_none(c->in[6]) ? NULL : tensor_f32(c->in[6]),
        .slopes = tensor_is_none(c->in[7]) ? NULL : tensor_f32(c->in[7]),
        .table_step = tables.row_elems,
        .rows = q.dim[0], .seqs = tables.dim[0], .heads = q.dim[1], .group = q.dim[1] / k.dim[1],
        .key_width = q.dim[2], .value_width = y.dim[2],
        .capacity = tables.dim[1] * k.dim[2],
    };
    ASSERT(q.format == &format_f32 && y.format == &format_f32);
    ASSERT(y.dim[0] == a.rows && y.dim[1] == a.heads && a.heads % k.dim[1] == 0);
    ASSERT(k.dim[3] == a.key_width && a.value_width <= a.v.dim[3]);
    ASSERT(a.v.dim[1] == k.dim[1] && a.v.dim[2] == k.dim[2]);
    ASSERT(tensor_width(c->in[4]) == a.rows && tensor_width(c->in[5]) == a.rows);
    return a;
}

Sees attend_sees(const AttendCall *a, int32_t row, int32_t last)
{
    int32_t pos = a->positions[row], window = a->how.window, chunk = a->how.chunk;
    Sees sees = {0, a->how.bidirectional ? last + 1 : pos + 1};
    if (window > 0) {
        sees.from = (int32_t)max_i64(sees.from, (int64_t)pos - window + 1);
        sees.to = (int32_t)min_i64(sees.to, (int64_t)pos + window);
    }
    if (chunk > 0) {
        sees.from = (int32_t)max_i64(sees.from, pos - pos % chunk);
        sees.to = (int32_t)min_i64(sees.to, (int64_t)pos - pos % chunk + chunk);
    }
    ASSERT(sees.from <= pos && pos < sees.to && sees.to <= a->capacity);
    return sees;
}

int32_t attend_rows_together(const AttendCall *a, int32_t row, int32_t most)
{
    int32_t n = 1;
    while (n < most && row + n < a->rows && a->row_seq[row + n] == a->row_seq[row] &&
           a->positions[row + n] == a->positions[row] + n)
        n++;
    return n;
}

int32_t attend_last(const AttendCall *a, int32_t row)
{
    int32_t last = a->positions[row];
    if (!a->how.bidirectional)
        return last;
    for (int32_t r = row - 1; r >= 0 && a->row_seq[r] == a->row_seq[row]; r--)
        last = a->positions[r] > last ? a->positions[r] : last;
    for (int32_t r = row + 1; r < a->rows && a->row_seq[r] == a->row_seq[row]; r++)
        last = a->positions[r] > last ? a->positions[r] : last;
    return last;
}

/* How many positions the rows see, one by one and all rows of a sequence together. Where the host cannot read them (a step is
 * only being planned, or they lie on a device), sequences have as many rows each, which are the last of all that their tables
 * have room for. */
typedef struct Seen { double by_rows, by_sequences; } Seen;

static Seen count_blindly(const AttendCall *a)
{
    double seqs = a->seqs < a->rows ? a->seqs : a->rows, each = a->rows / fmax(seqs, 1);
    return (Seen){a->rows * (a->capacity - (each - 1) / 2), seqs * a->capacity};
}

static Seen count_seen(const AttendCall *a)
{
    Seen seen = {0};
    if (!a->positions || !a->row_seq)
        return count_blindly(a);
    for (int32_t row = 0, rows; row < a->rows; row += rows) {
        int32_t last = attend_last(a, row);
        Sees all = {a->capacity, 0};
        rows = attend_rows_together(a, row, a->rows);
        for (int32_t r = row; r < row + rows; r++) {
            Sees sees = attend_sees(a, r, last);
            seen.by_rows += sees.to - sees.from;
            all.from = sees.from < all.from ? sees.from : all.from;
            all.to = sees.to > all.to ? sees.to : all.to;
        }
        seen.by_sequences += all.to - all.from;
    }
    return seen;
}

double attend_operations(const AttendCall *a)
{
    return 2.0 * (a->key_width + a->value_width) * a->heads * count_seen(a).by_rows;
}

static OpCost cost(const OpCall *c)
{
    AttendCall a = attend_call(c);
    double position_bytes = (double)format_row_bytes(a.k.format, a.key_width);
    if (!tensor_is_none(c->in[2]))
        position_bytes += (double)format_row_bytes(a.v.format, a.value_width);
    return (OpCost){
        .operations = attend_operations(&a),
        .cache_bytes = count_seen(&a).by_sequences * position_bytes * a.k.dim[1],
        .activation_bytes = bytes_moved(a.q) + bytes_moved(a.y),
    };
}

const OpSpec spec_attend = {.cost = cost, .tolerance = 2e-5f};
