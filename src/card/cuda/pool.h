/* Memory that a driver keeps after its allocations: its pools, and the graph memory of devices.
 * Each is charged with what it has reserved, not with what was asked of it: a free gives nothing
 * back until it shrinks. Any thread. */
#ifndef LEAT_CARD_CUDA_POOL_H
#define LEAT_CARD_CUDA_POOL_H

#include "card/cuda/attach.h"
#include "card/cuda/types.h"

#define POOL_STEP_BYTES (2ull << 20) /* drivers take memory for a pool in steps of 2 MiB */

/* Bring a device's charges to what is reserved now. */
void pools_reconcile(CUdevice device);
/* Let go of what nothing uses on the device. */
void pools_trim(CUdevice device);
/* Graphs of the process allocate on this device. */
void pools_note_graphs(CUdevice device);
int pools_have_graphs(void);
/* Launch or upload a graph that allocates at most so many bytes on each device, and charge what
 * their graph memory grows by. */
CUresult pools_run_graph(CUresult (*call)(CUgraphExec, CUstream), CUgraphExec graph,
                         CUstream stream, enum stream_flavour flavour,
                         const uint64_t bytes[CARD_DEVICES_MAX]);
/* A child after fork has none of it. */
void pools_clear(void);

#endif
