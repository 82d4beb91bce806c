/* profile_out.h -- where a profile goes when its session ends: the terminal, an SVG file, a page. */
#ifndef MAIN_PROFILE_OUT_H
#define MAIN_PROFILE_OUT_H

#include "devices/watch/watch.h"
#include "plan/profile.h"

typedef struct ProfileOut ProfileOut;

/* svg, html: paths, or NULL. They are opened now, so that a run is not lost to a path that cannot be written. */
Err profile_out_new(ProfileOut **, bool text, const char *svg, const char *html, Error *);
/* Decoding was measured. NULL is allowed, and does nothing. */
void profile_out_add(ProfileOut *, const PhaseWork *decode);
/* Writes all, and ends it. machine: NULL: not known. */
Err profile_out_finish(ProfileOut *, const Work *, const Machine *, const char *model, Error *);
void profile_out_drop(ProfileOut *);           /* NULL is allowed */

#endif
