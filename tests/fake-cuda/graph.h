/* Graphs of the fake driver: how long they take and what memory they hold. Physical memory of a
 * device's graphs comes into being when they are uploaded or launched, serves others afterwards and
 * goes when it is trimmed. */
#ifndef LEAT_FAKE_CUDA_GRAPH_H
#define LEAT_FAKE_CUDA_GRAPH_H

#include "card/cuda/types.h"

struct CUgraph_st {
    uint64_t duration_ns;
    CUgraphNode nodes;
    unsigned others; /* executable graphs that were made of it */
};

struct CUgraphExec_st {
    CUgraph graph;
};

/* A node that allocates, as a captured allocation is one. */
CUresult graph_allocate(CUgraph graph, CUgraphNode *node, CUdeviceptr *pointer, uint64_t bytes,
                        int device);
CUresult graph_free(CUgraph graph, CUgraphNode *node, CUdeviceptr pointer);
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags);
CUresult cuGraphInstantiate_v2(CUgraphExec *exec, CUgraph graph, CUgraphNode *wrong, char *log,
                               size_t log_bytes);
/* The memory of a launch: taken, and given up by the nodes that free. */
CUresult graph_take(CUgraphExec exec);
/* Outside of a graph: 1 when the pointer is one of a graph's. */
int graph_free_pointer(CUdeviceptr pointer);

#endif
