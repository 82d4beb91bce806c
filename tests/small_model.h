/* small_model.h -- an engine on a carried fixture: a real family, small enough to be asked many times. */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include "devices/cpu/cpu_device.h"
#include "engine/engine.h"
#include "model/package.h"

typedef struct SmallModel {
    Package package;
    Device *device;
    Model *model;
    Engine *engine;
} SmallModel;

/* folder: with "/": a path; else a family below tests/fixtures/hf. One thread, the best tier. */
void small_model_open(SmallModel *, const char *folder, EngineOptions);
void small_model_close(SmallModel *);

#endif
