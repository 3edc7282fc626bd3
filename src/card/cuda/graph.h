/* Graphs whose nodes allocate: how much is known when they are instantiated, and is charged when
 * they are uploaded or launched, as the device's graph memory grows then. Any thread. */
#ifndef LEAT_CARD_CUDA_GRAPH_H
#define LEAT_CARD_CUDA_GRAPH_H

#include "card/cuda/types.h"

/* Let the driver launch or upload the graph, by `call`, if the card has room for its memory. */
CUresult graph_run(CUresult (*call)(CUgraphExec, CUstream), CUgraphExec graph, CUstream stream,
                   enum stream_flavour flavour);

#endif
