/* machine.h -- what a machine can do, as far as inference asks: how fast it reads, how fast it multiplies.
 *
 *     {"name": "AMD EPYC ...", "bytes_per_second": 78e9, "fp32": 0.53e12, "bf16": 0.98e12, "int8": 2.1e12,
 *      "memory_bytes": 25e9, "threads": 2, "source": "ridge probe, 2026-11-29"}
 *
 * Rates are of all threads together; operations count a multiplication and an addition as two, of dense matrices. A
 * field of 0 is not known. `ridge probe` measures this machine and keeps the file; everything that speaks of a share of
 * what is possible reads it. Others are described in share/machines/, from their makers' data sheets.
 *
 * A graphics processor ("gpu": true) multiplies whatever is not of 8 bits in its bf16 units. Machines that share a model
 * exchange what they computed over a link, whose rate is that of one direction.
 */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <stdio.h>

#include "base/json.h"

enum { MACHINE_PATH_BYTES = 1024 };

typedef struct Machine {
    char name[128], source[256];
    double bytes_per_second, copy_bytes_per_second;   /* read; copied from one place to another */
    double fp32, bf16, int8;         /* operations per second */
    double memory_bytes;
    double link_bytes_per_second;
    int threads;
    bool gpu;
} Machine;

/* BAD_FILE: names the file and the field. */
Err machine_read(const char *path, Machine *out, Error *err);
Err machine_write(const char *path, const Machine *, Error *err);
json_t *machine_json(const Machine *);

/* Where this machine's is kept: $RIDGE_MACHINE, else ridge/machine.json in $XDG_CACHE_HOME or ~/.cache; that of its graphics
 * processor beside it, in machine-gpu.json. */
Err machine_path(bool gpu, char out[MACHINE_PATH_BYTES], Error *err);
/* "this", "this-gpu"; a name of share/machines/; or the path of such a file. */
Err machine_find(const char *name, Machine *out, Error *err);
Err machines_print(FILE *, Error *err);
/* NOT_FOUND: it was never probed. */
Err machine_of_this(bool gpu, Machine *out, Error *err);

#endif
