/* f8_e4m3_cpu.c -- panels of F8_E4M3. */
#include "formats/f8_e4m3/f8_e4m3_lanes.h"

#define PANEL_FORMAT f8_e4m3
#define ELEM_BYTES 1

INLINE Vf weights(const uint8_t *p) { return f8_e4m3_lanes(p); }

#include "formats/panel_float.h"
