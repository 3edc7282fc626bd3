/* The nodes of NVIDIA's driver: see cuda_nodes.h. What they are is read from its folder in
 * /proc. */
#include "core/cuda_nodes.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRIVER "/proc/driver/nvidia"

static int is_address(const struct dirent *entry)
{
    return strchr(entry->d_name, ':') != NULL;
}

/* The number behind `key` in a file of lines "KEY: NUMBER". */
static bool read_number(const char *path, const char *key, unsigned *ret_number)
{
    char line[256];
    size_t length = strlen(key);
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof(line), file)) {
        found = strncmp(line, key, length) == 0 && line[length] == ':';
        if (found)
            *ret_number = (unsigned)strtoul(line + length + 1, NULL, 10);
    }
    if (file)
        (void)fclose(file); /* it was read only */
    return found;
}

/* NVML counts devices in the order of their bus addresses, nodes are counted otherwise. */
static unsigned node_of(const char *root, unsigned index)
{
    struct dirent **found = NULL;
    char path[PATH_MAX];
    unsigned node = index;
    (void)snprintf(path, sizeof(path), "%s" DRIVER "/gpus", root);
    int count = scandir(path, &found, is_address, alphasort);
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof(path), "%s" DRIVER "/gpus/%s/information", root,
                       found[i]->d_name);
        if ((unsigned)i == index)
            (void)read_number(path, "Device Minor", &node); /* else it is as NVML counts */
        free(found[i]);
    }
    free(found);
    return node;
}

static void add(const char *root, const char *path, struct cuda_nodes *nodes)
{
    char real[PATH_MAX];
    (void)snprintf(real, sizeof(real), "%s%s", root, path);
    if (nodes->count == CUDA_NODES_MAX || access(real, F_OK) < 0)
        return;
    (void)snprintf(nodes->paths[nodes->count++], CUDA_NODE_PATH_MAX, "%s", path);
}

/* A part may be used by who can open the node of its capability. */
static void add_capability(const char *root, unsigned node, const char *of,
                           struct cuda_nodes *nodes)
{
    char path[PATH_MAX];
    unsigned minor;
    (void)snprintf(path, sizeof(path), "%s" DRIVER "/capabilities/gpu%u/mig/%s/access", root, node,
                   of);
    if (!read_number(path, "DeviceFileMinor", &minor))
        return;
    (void)snprintf(path, sizeof(path), "/dev/nvidia-caps/nvidia-cap%u", minor);
    add(root, path, nodes);
}

void cuda_nodes_find(const char *root, unsigned index, const char *part,
                     struct cuda_nodes *ret_nodes)
{
    struct cuda_nodes nodes = {0};
    unsigned node = node_of(root, index), gpu, compute;
    char path[CUDA_NODE_PATH_MAX];
    (void)snprintf(path, sizeof(path), "/dev/nvidia%u", node);
    add(root, path, &nodes);
    add(root, "/dev/nvidiactl", &nodes);
    add(root, "/dev/nvidia-uvm", &nodes);
    add(root, "/dev/nvidia-uvm-tools", &nodes);
    if (part && sscanf(part, "%u/%u", &gpu, &compute) == 2) {
        (void)snprintf(path, sizeof(path), "gi%u", gpu);
        add_capability(root, node, path, &nodes);
        (void)snprintf(path, sizeof(path), "gi%u/ci%u", gpu, compute);
        add_capability(root, node, path, &nodes);
    }
    *ret_nodes = nodes;
}
