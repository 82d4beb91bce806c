#include "test.h"

#include "small_model.h"

void small_model_open(SmallModel *m, const char *folder, EngineOptions o)
{
    Error err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s%s", strchr(folder, '/') ? "" : "tests/fixtures/hf/", folder);
    must_be_ok(package_open(&m->package, path, &err), &err);
    must_be_ok(cpu_device_open(&(CpuOptions){.tier = TIER_BEST, .threads = 1}, &m->device, &err), &err);
    must_be_ok(model_open(&m->package.checkpoint, m->device, NULL, &m->model, &err), &err);
    EngineModel model = engine_model(m->model);
    must_be_ok(engine_new(&m->engine, &o, &model, m->device, &err), &err);
}

void small_model_close(SmallModel *m)
{
    engine_free(m->engine);
    model_close(m->model);
    device_close(m->device);
    package_close(&m->package);
}
