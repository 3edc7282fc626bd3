/* The network on the device: see net.h. */
#include "net.h"

#include <math.h>
#include <stdlib.h>

static const uint32_t widths[LAYERS + 1] = NET_WIDTHS;

struct layer {
    uint32_t in, out;
    cl_mem weights, bias, velocity; /* velocity: that of the weights, then that of the bias */
    cl_mem x, gx; /* what came in, and the gradient by it; gx of layer 0 is unused */
};

struct net {
    const struct device *device;
    uint32_t batch;
    cl_kernel gather, forward, softmax, backward, update;
    cl_mem images, labels, order;
    cl_mem logits, logits_gradient;
    cl_mem results; /* float2 (loss, hit) for each image of each slot */
    float *results_read;
    struct layer layers[LAYERS];
};

static size_t weights_count(const struct layer *layer)
{
    return (size_t)layer->in * layer->out;
}

/* Floats in weights and bias, and as many again in the velocity. */
static size_t values_count(const struct layer *layer)
{
    return weights_count(layer) + layer->out;
}

static void layer_create(struct layer *layer, const struct net *net, uint32_t in, uint32_t out)
{
    const size_t x_bytes = (size_t)net->batch * in * sizeof(float);
    layer->in = in;
    layer->out = out;
    layer->weights = device_buffer(net->device, weights_count(layer) * sizeof(float), "weights");
    layer->bias = device_buffer(net->device, out * sizeof(float), "bias");
    layer->velocity = device_buffer(net->device, values_count(layer) * sizeof(float), "velocity");
    layer->x = device_buffer(net->device, x_bytes, "activations");
    layer->gx = device_buffer(net->device, x_bytes, "gradients");
}

static void layer_destroy(struct layer *layer)
{
    clReleaseMemObject(layer->weights);
    clReleaseMemObject(layer->bias);
    clReleaseMemObject(layer->velocity);
    clReleaseMemObject(layer->x);
    clReleaseMemObject(layer->gx);
}

size_t net_state_bytes(void)
{
    size_t floats = 0;
    for (int i = 0; i < LAYERS; i++)
        floats += 2 * ((size_t)widths[i] * widths[i + 1] + widths[i + 1]);
    return floats * sizeof(float);
}

void net_save(const struct net *net, void *state)
{
    float *at = state;
    for (const struct layer *layer = net->layers; layer < net->layers + LAYERS; layer++) {
        device_read(net->device, layer->weights, at, weights_count(layer) * sizeof(float));
        device_read(net->device, layer->bias, at + weights_count(layer),
                    layer->out * sizeof(float));
        at += values_count(layer);
        device_read(net->device, layer->velocity, at, values_count(layer) * sizeof(float));
        at += values_count(layer);
    }
}

void net_load(struct net *net, const void *state)
{
    const float *at = state;
    for (struct layer *layer = net->layers; layer < net->layers + LAYERS; layer++) {
        device_write(net->device, layer->weights, at, weights_count(layer) * sizeof(float));
        device_write(net->device, layer->bias, at + weights_count(layer),
                     layer->out * sizeof(float));
        at += values_count(layer);
        device_write(net->device, layer->velocity, at, values_count(layer) * sizeof(float));
        at += values_count(layer);
    }
}

/* Weights as He et al. 2015 proposed for ReLU: deviation sqrt(2 / in). The rest is 0. */
static void weights_init(struct net *net, uint64_t seed)
{
    float *state = calloc(1, net_state_bytes()), *at = state;
    struct random random;
    if (!state)
        fail("out of memory");
    random_seed(&random, seed, UINT64_MAX);
    for (const struct layer *layer = net->layers; layer < net->layers + LAYERS; layer++) {
        const float deviation = sqrtf(2.0f / (float)layer->in);
        for (size_t i = 0; i < weights_count(layer); i++)
            at[i] = deviation * random_normal(&random);
        at += 2 * values_count(layer);
    }
    net_load(net, state);
    free(state);
}

static void kernels_create(struct net *net)
{
    net->gather = device_kernel(net->device, "gather");
    net->forward = device_kernel(net->device, "dense_forward");
    net->softmax = device_kernel(net->device, "softmax_loss");
    net->backward = device_kernel(net->device, "dense_backward");
    net->update = device_kernel(net->device, "dense_update");
}

static void data_upload(struct net *net, const struct dataset *dataset)
{
    uint32_t order[IMAGE_COUNT];
    for (uint32_t i = 0; i < IMAGE_COUNT; i++)
        order[i] = i;
    net->images = device_buffer(net->device, sizeof(dataset->images), "images");
    net->labels = device_buffer(net->device, sizeof(dataset->labels), "labels");
    net->order = device_buffer(net->device, sizeof(order), "order");
    device_write(net->device, net->images, dataset->images, sizeof(dataset->images));
    device_write(net->device, net->labels, dataset->labels, sizeof(dataset->labels));
    device_write(net->device, net->order, order, sizeof(order));
}

struct net *net_create(const struct device *device, const struct dataset *dataset, uint32_t batch,
                       uint64_t seed)
{
    struct net *net = calloc(1, sizeof(*net));
    const size_t results_bytes = (size_t)SLOTS_MAX * batch * 2 * sizeof(float);
    if (!net || !(net->results_read = malloc(results_bytes)))
        fail("out of memory");
    net->device = device;
    net->batch = batch;
    kernels_create(net);
    data_upload(net, dataset);
    for (int i = 0; i < LAYERS; i++)
        layer_create(&net->layers[i], net, widths[i], widths[i + 1]);
    const size_t logits_bytes = (size_t)batch * widths[LAYERS] * sizeof(float);
    net->logits = device_buffer(device, logits_bytes, "logits");
    net->logits_gradient = device_buffer(device, logits_bytes, "gradients");
    net->results = device_buffer(device, results_bytes, "results");
    weights_init(net, seed);
    return net;
}

void net_destroy(struct net *net)
{
    const cl_mem buffers[] = {net->images, net->labels,          net->order,
                              net->logits, net->logits_gradient, net->results};
    const cl_kernel kernels[] = {net->gather, net->forward, net->softmax, net->backward,
                                 net->update};
    for (int i = 0; i < LAYERS; i++)
        layer_destroy(&net->layers[i]);
    for (size_t i = 0; i < sizeof(buffers) / sizeof(*buffers); i++)
        clReleaseMemObject(buffers[i]);
    for (size_t i = 0; i < sizeof(kernels) / sizeof(*kernels); i++)
        clReleaseKernel(kernels[i]);
    free(net->results_read);
    free(net);
}

void net_order(struct net *net, const uint32_t order[TRAIN_COUNT])
{
    device_write(net->device, net->order, order, TRAIN_COUNT * sizeof(*order));
}

/* Enough work-items for a work-group to be worth starting, few enough to use all cores. */
static struct work_size group_of(struct work_size global)
{
    struct work_size local = {global.x < 16 ? global.x : 16, 1};
    while (local.x * local.y < 32 && local.y * 2 <= global.y)
        local.y *= 2;
    return local;
}

static void launch(const struct net *net, cl_kernel kernel, struct work_size global,
                   const struct argument *arguments, cl_uint count)
{
    device_launch(net->device, kernel, global, group_of(global), arguments, count);
}
#define LAUNCH(net, kernel, x, y, ...) \
    launch(net, kernel, (struct work_size){x, y}, (const struct argument[]){__VA_ARGS__}, \
           sizeof((const struct argument[]){__VA_ARGS__}) / sizeof(struct argument))

static void gather(const struct net *net, cl_uint first)
{
    const cl_uint pixels = IMAGE_PIXELS;
    LAUNCH(net, net->gather, IMAGE_PIXELS / 4, net->batch, ARGUMENT(net->images),
           ARGUMENT(net->order), ARGUMENT(first), ARGUMENT(pixels), ARGUMENT(net->layers[0].x));
}

static void layer_forward(const struct net *net, const struct layer *layer, cl_mem y, cl_uint relu)
{
    LAUNCH(net, net->forward, layer->out / 8, net->batch / 4, ARGUMENT(layer->x),
           ARGUMENT(layer->weights), ARGUMENT(layer->bias), ARGUMENT(layer->in),
           ARGUMENT(layer->out), ARGUMENT(relu), ARGUMENT(y));
}

static void layer_backward(const struct net *net, const struct layer *layer, cl_mem gy)
{
    LAUNCH(net, net->backward, layer->in, net->batch / 4, ARGUMENT(gy), ARGUMENT(layer->weights),
           ARGUMENT(layer->x), ARGUMENT(layer->in), ARGUMENT(layer->out), ARGUMENT(layer->gx));
}

static void layer_update(const struct net *net, const struct layer *layer, cl_mem gy, float rate,
                         float momentum)
{
    LAUNCH(net, net->update, layer->out / 8, layer->in / 4, ARGUMENT(layer->x), ARGUMENT(gy),
           ARGUMENT(layer->in), ARGUMENT(layer->out), ARGUMENT(net->batch), ARGUMENT(rate),
           ARGUMENT(momentum), ARGUMENT(layer->weights), ARGUMENT(layer->bias),
           ARGUMENT(layer->velocity));
}

static void softmax(const struct net *net, cl_uint first, cl_uint slot)
{
    const cl_uint classes = CLASSES, out = widths[LAYERS], result_first = slot * net->batch;
    LAUNCH(net, net->softmax, net->batch, 1, ARGUMENT(net->logits), ARGUMENT(net->labels),
           ARGUMENT(net->order), ARGUMENT(first), ARGUMENT(classes), ARGUMENT(out),
           ARGUMENT(result_first), ARGUMENT(net->logits_gradient), ARGUMENT(net->results));
}

void net_evaluate(struct net *net, uint32_t first, uint32_t slot)
{
    gather(net, first);
    for (int i = 0; i < LAYERS; i++) {
        const int last = i == LAYERS - 1;
        layer_forward(net, &net->layers[i], last ? net->logits : net->layers[i + 1].x, !last);
    }
    softmax(net, first, slot);
}

void net_train(struct net *net, uint32_t first, uint32_t slot, float rate, float momentum)
{
    net_evaluate(net, first, slot);
    cl_mem gy = net->logits_gradient;
    for (int i = LAYERS - 1; i >= 0; i--) {
        if (i > 0) /* before the update: the gradient is by the weights that were used */
            layer_backward(net, &net->layers[i], gy);
        layer_update(net, &net->layers[i], gy, rate, momentum);
        gy = net->layers[i].gx;
    }
}

struct results net_results(struct net *net, uint32_t slots)
{
    struct results sum = {0, 0};
    const size_t count = (size_t)slots * net->batch;
    device_read(net->device, net->results, net->results_read, count * 2 * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        sum.loss += net->results_read[2 * i];
        sum.accuracy += net->results_read[2 * i + 1];
    }
    return (struct results){sum.loss / (double)count, sum.accuracy / (double)count};
}
