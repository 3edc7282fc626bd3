/* The network, 256-128-64-10 with ReLU, and its training on the device: SGD with momentum. Nothing
 * here waits for the device but net_results, net_save and net_load. */
#ifndef DIGITS_NET_H
#define DIGITS_NET_H

#include <stddef.h>
#include <stdint.h>

#include "dataset.h"
#include "device.h"

#define LAYERS 3
/* Width of what goes into layer 0, 1, 2 and out of the last: the classes padded to a whole tile. */
#define NET_WIDTHS \
    { \
        IMAGE_PIXELS, 128, 64, 16 \
    }

#define BATCH_MIN 8
#define BATCH_MAX 1024
#define SLOTS_MAX 256 /* batches whose results wait on the device to be read together */

struct net;

/* Loss and accuracy over a number of batches. */
struct results {
    double loss, accuracy;
};

/* `batch` is a power of two from BATCH_MIN to BATCH_MAX. Uploads the data set and random
 * weights. */
struct net *net_create(const struct device *device, const struct dataset *dataset, uint32_t batch,
                       uint64_t seed);
void net_destroy(struct net *net);

/* The order of the training images; index `first` of net_train and net_evaluate counts in it.
 * After the TRAIN_COUNT training images come those for validation, always in the same order. */
void net_order(struct net *net, const uint32_t order[TRAIN_COUNT]);

/* Enqueue one step on the batch that begins at `first`; its results go to `slot`. */
void net_train(struct net *net, uint32_t first, uint32_t slot, float rate, float momentum);
/* Enqueue a forward pass only. */
void net_evaluate(struct net *net, uint32_t first, uint32_t slot);
/* Wait, and average the results of slots 0 to `slots` - 1. */
struct results net_results(struct net *net, uint32_t slots);

/* All that training changes (weights, biases, velocities) as one block of memory. */
size_t net_state_bytes(void);
void net_save(const struct net *net, void *state);
void net_load(struct net *net, const void *state);

#endif
