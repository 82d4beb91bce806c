/* cuda_graph.h -- operations that wait to be sent, and what was sent before.
 *
 * A step of decoding is some hundred small launches whose addresses and shapes are those of the step before; what
 * differs lies in memory (tokens, positions, tables). So the queue keeps the calls of a step as they are, bytes and all,
 * and looks for a graph that was made of the same bytes. Found: one launch. Not: the calls are launched into a
 * stream that records, and the graph takes the place of the one that was used longest ago. Steps that do not come again
 * (the chunks of a prompt) are not worth a graph: they are recorded only when they come a second time.
 */
#ifndef DEVICES_CUDA_CUDA_GRAPH_H
#define DEVICES_CUDA_CUDA_GRAPH_H

#include <cuda_runtime_api.h>

#include "core/op_call.h"

enum { CUDA_QUEUE_CALLS = 16384, CUDA_GRAPHS = 64, CUDA_SEEN = 256 };

typedef struct CudaGraph {
    cudaGraphExec_t exec;
    OpCall *calls;                 /* of which it was made */
    int count;
    uint64_t hash, used;
} CudaGraph;

typedef struct CudaQueue {
    OpCall *calls;
    int count;
    CudaGraph graphs[CUDA_GRAPHS];
    uint64_t seen[CUDA_SEEN];      /* hashes of steps that came once */
    uint64_t clock;
} CudaQueue;

struct CudaDevice;
bool cuda_queue_open(CudaQueue *);
void cuda_queue_close(CudaQueue *);
void cuda_queue_put(struct CudaDevice *, const OpCall *);
void cuda_queue_send(struct CudaDevice *);          /* all that waits */

#endif
