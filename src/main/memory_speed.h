/* memory_speed.h -- how many bytes per second the threads of a machine read from its memory together.
 *
 * The best of some passes over a buffer that no cache holds. It is the roof under which every step of a small
 * batch stands: what ridge reaches is told as a share of it.
 */
#ifndef MAIN_MEMORY_SPEED_H
#define MAIN_MEMORY_SPEED_H

double memory_speed(int threads);   /* 0: it could not be measured */

#endif
