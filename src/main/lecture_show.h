/* lecture_show.h -- ridge plan --lecture: the inference lecture's numbers (tools/plan_lecture.h), as a page. */
#ifndef MAIN_LECTURE_SHOW_H
#define MAIN_LECTURE_SHOW_H

#include "main/flags.h"
#include "tools/plan_lecture.h"

typedef struct LectureOptions {
    PlanModelOptions model;
    Machine machine;
    int32_t context;
    FlagInts batch;
    bool json;
} LectureOptions;

Err lecture_show(const LectureOptions *, Error *err);

#endif
