/* f64.c -- IEEE double precision, found in a few checkpoints; products use it as f32. */
#include "formats/plain.h"

PLAIN_FORMAT(f64, "F64", 28, double, &format_f32)
