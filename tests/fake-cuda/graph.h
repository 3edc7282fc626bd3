/* Graphs of the fake driver: how long they take and what memory they hold. Physical memory of a
 * device's graphs comes into being when they are uploaded or launched, serves others afterwards and
 * goes when it is trimmed. */
#ifndef LEAT_FAKE_CUDA_GRAPH_H
#define LEAT_FAKE_CUDA_GRAPH_H

#include "card/cuda/types.h"

#define KERNEL_BYTES 16 /* of a kernel's parameters */

/* What a node does, but for memory. */
struct work {
    int type;
    CUfunction function;
    char parameters[KERNEL_BYTES];
    struct cuda_copy copy;
    struct cuda_fill fill;
};

struct edge {
    CUgraphNode from, to;
    struct edge *next;
};

struct CUgraphNode_st {
    CUgraphNode next;
    struct work work;
    int device;
    int live; /* allocated by a launch and not freed since */
    uint64_t bytes;
    CUdeviceptr pointer;
    CUgraph graph, child;
    int placed;             /* while steps are put in order */
    CUgraphNode next_known; /* of all that allocate */
};

struct CUgraph_st {
    uint64_t duration_ns;
    CUgraphNode nodes;
    struct edge *edges;
    unsigned others; /* executable graphs that were made of it, and graphs that it is a child of */
};

/* The work of nodes, in an order that their dependencies allow. */
struct step {
    CUgraphNode node;
    struct work work;
};

struct CUgraphExec_st {
    CUgraph graph;
    struct step *steps;
    unsigned count;
};

CUgraphNode graph_add(CUgraph graph, int type);
void graph_depend(CUgraph graph, CUgraphNode node, const CUgraphNode *after, size_t count);
/* Put the work of all nodes into `exec`; CUDA_ERROR_INVALID_VALUE: they wait for each other. */
CUresult graph_order(CUgraph graph, CUgraphExec exec);
CUresult graph_run(CUgraphExec exec, CUstream stream);
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
