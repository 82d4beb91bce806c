#include "engine/engine.h"
__attribute__((weak)) Err engine_new(Engine **e, const EngineOptions *o, const EngineModel *m, Device *d, Error *err)
{ (void)e,(void)o,(void)m,(void)d; return fail(err, UNSUPPORTED, "no engine"); }
__attribute__((weak)) void engine_free(Engine *e) {(void)e;}
__attribute__((weak)) EngineModel engine_model(const Model *m) { return (EngineModel){.model=m}; }
