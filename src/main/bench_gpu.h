/* bench_gpu.h -- what `ridge bench` tells of a GPU besides its rows.
 *
 *     of each row, per step     an H100, predicted    this GPU, predicted    measured    share of this GPU's limit
 *     --deterministic           what the same row took without it, and how many times longer it takes with it
 *
 * Predicted is the roofline of what went by (core/roofline.h): of the H100 by its data sheet (3.35 TB/s), of this GPU by
 * what was measured of it just before. The rows of the inference lecture (tools/plan_lecture.h) are measured where nothing
 * else is asked for.
 */
#ifndef MAIN_BENCH_GPU_H
#define MAIN_BENCH_GPU_H

#include "base/buf.h"
#include "main/bench_end.h"
#include "model/model.h"

/* A prompt of 2,048; batches behind 1,024 positions. Returns how many. */
int bench_gpu_cases(BenchCase *out, int most);

/* Whether weights and the past of this case have room in the GPU's memory. */
bool bench_gpu_fits(BenchCase, const Model *, const Format *cache, double weight_bytes, const Machine *gpu);

void bench_gpu_tell(const BenchEnd *, const Machine *gpu, const Machine *h100, Buf *out);      /* h100: NULL: not known */
void bench_price_tell(const BenchEnd *, Buf *out);      /* nothing, where no row was measured both ways */

#endif
