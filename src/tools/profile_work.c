#include "tools/profile_work.h"

void profile_take_work(Profile *p, const Work *work)
{
    for (int32_t i = 0; i < work->lines; i++) {
        const WorkLine *l = &work->line[i];
        profile_add_line(p, (ProfileLine){.part = work_part_name[l->part], .op = op_name(l->op), .colour = (int)l->part,
                                          .rows = l->rows, .least_rows = l->rows, .calls = l->calls, .demand = l->demand,
                                          .seconds = l->seconds});
    }
}
