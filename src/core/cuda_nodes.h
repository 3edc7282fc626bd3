/* Which nodes of /dev a program on an NVIDIA device opens. */
#ifndef LEAT_CORE_CUDA_NODES_H
#define LEAT_CORE_CUDA_NODES_H

#define CUDA_NODES_MAX 8
#define CUDA_NODE_PATH_MAX 64

struct cuda_nodes {
    unsigned count;
    char paths[CUDA_NODES_MAX][CUDA_NODE_PATH_MAX]; /* "/dev/..." */
};

/* Of the device with that number, in NVML's order; `part` is "GPU INSTANCE/COMPUTE INSTANCE" of one
 * that is divided (MIG), or NULL. `root` stands before /dev and /proc: "" but in tests. Nodes that
 * are not there are left out: a machine of the fake driver has none. */
void cuda_nodes_find(const char *root, unsigned index, const char *part,
                     struct cuda_nodes *ret_nodes);

#endif
