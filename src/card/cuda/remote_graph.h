/* A remote card's graphs, and their nodes where the program has added them one by one. As with the
 * driver, one thread at a time uses a graph. */
#ifndef LEAT_CARD_CUDA_REMOTE_GRAPH_H
#define LEAT_CARD_CUDA_REMOTE_GRAPH_H

#include "card/cuda/remote.h"

struct CUgraph_st {
    struct remote_object object;
    CUgraphNode nodes; /* owned, and linked; a capture's have no names */
};

struct CUgraphExec_st {
    struct remote_object object;
};

struct CUgraphNode_st {
    struct remote_object object;
    CUgraph graph;
    CUgraphNode next, *at; /* what points to it */
    int type;
};

#endif
