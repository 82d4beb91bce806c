/* kv_report.h -- what a model keeps of the past, one line for each kind of layer, in bytes.
 *
 *     kind            layers          per token     per sequence
 *     full            3                     256                0
 *     window of 64    0-2, 4-5                0           81,920
 *
 * A line's numbers are those of a ledger over its layers alone, with blocks of one token: what is kept,
 * without the rest of a block that a running cache rounds up to.
 */
#ifndef CACHE_KV_REPORT_H
#define CACHE_KV_REPORT_H

#include "cache/kv_ledger.h"
#include "model/model.h"

enum { KV_REPORT_LINES_MAX = 16 };

typedef struct KvReportLine {
    char kind[32];               /* "full", "window of 64", "latent", "alias", "state", "nothing"; "all" */
    char layers[96];             /* "0-2, 4-5" */
    int32_t count;               /* of the layers */
    int64_t token_bytes;         /* by which each token adds */
    int64_t fixed_bytes;         /* what does not grow: windows that are full, states */
    KvLedger ledger;             /* of these layers alone */
} KvReportLine;

typedef struct KvReport {
    KvReportLine all;
    int32_t lines;
    KvReportLine line[KV_REPORT_LINES_MAX];
    int64_t multi_head_bytes;    /* per token, of plain multi-head attention of the same width */
} KvReport;

Err kv_report_init(KvReport *, const ModelShape *, const KvLayout *, const Format *, Error *);
int64_t kv_report_bytes(const KvReportLine *, int64_t tokens);      /* of a sequence of so many */

#endif
