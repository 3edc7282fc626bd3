#!/usr/bin/python3
"""Train a net (256-128-64-10) to read drawn digits with pyopencl and numpy.

The same net and training as examples/digits, written to be read: one work-item makes one number.
"""
import argparse
import time

import numpy as np
import pyopencl as cl
import pyopencl.array as cl_array

WIDTHS = (256, 128, 64, 10)
SIDE = 16
MOMENTUM = np.float32(0.9)

KERNELS = """
kernel void forward(global const float *x, global const float *w, global const float *bias,
                    int in, int out, int relu, global float *y)
{
    int o = get_global_id(0), b = get_global_id(1);
    float sum = bias[o];
    for (int k = 0; k < in; k++)
        sum += x[b * in + k] * w[k * out + o];
    y[b * out + o] = relu ? fmax(sum, 0.0f) : sum;
}

kernel void softmax(global const float *z, global const int *labels, int classes, global float *gz,
                    global float *loss)
{
    int b = get_global_id(0);
    float top = -INFINITY, total = 0;
    for (int c = 0; c < classes; c++)
        top = fmax(top, z[b * classes + c]);
    for (int c = 0; c < classes; c++)
        total += exp(z[b * classes + c] - top);
    for (int c = 0; c < classes; c++)
        gz[b * classes + c] = (exp(z[b * classes + c] - top) / total - (c == labels[b]))
                              / get_global_size(0);
    loss[b] = log(total) + top - z[b * classes + labels[b]];
}

kernel void backward(global const float *gy, global const float *w, global const float *x,
                     int in, int out, global float *gx)
{
    int k = get_global_id(0), b = get_global_id(1);
    float sum = 0;
    for (int o = 0; o < out; o++)
        sum += gy[b * out + o] * w[k * out + o];
    gx[b * in + k] = x[b * in + k] > 0 ? sum : 0;
}

/* Row `in` is the bias: it sees an input of 1. */
kernel void update(global const float *x, global const float *gy, int in, int out, int batch,
                   float rate, float momentum, global float *w, global float *bias,
                   global float *velocity)
{
    int o = get_global_id(0), k = get_global_id(1);
    global float *value = k < in ? &w[k * out + o] : &bias[o];
    float g = 0;
    for (int b = 0; b < batch; b++)
        g += (k < in ? x[b * in + k] : 1) * gy[b * out + o];
    velocity[k * out + o] = momentum * velocity[k * out + o] - rate * g;
    *value += velocity[k * out + o];
}
"""

# Each digit is one or two lines through points of a 10 x 10 square, y downwards.
GLYPHS = [
    [[(5, 1), (7, 2), (8, 5), (7, 8), (5, 9), (3, 8), (2, 5), (3, 2), (5, 1)]],
    [[(3, 3), (5, 1), (5, 9)]],
    [[(2, 3), (3, 1), (7, 1), (8, 3), (2, 9), (8, 9)]],
    [[(2, 2), (4, 1), (7, 2), (7, 4), (5, 5), (8, 6), (7, 8), (5, 9), (2, 8)]],
    [[(6, 1), (2, 6), (8, 6)], [(6, 4), (6, 9)]],
    [[(8, 1), (3, 1), (3, 5), (6, 4), (8, 6), (7, 9), (4, 9), (2, 8)]],
    [[(7, 1), (4, 2), (3, 6), (3, 8), (5, 9), (7, 8), (7, 6), (5, 5), (3, 6)]],
    [[(2, 1), (8, 1), (4, 9)], [(4, 5), (7, 5)]],
    [[(5, 1), (7, 3), (5, 5), (3, 3), (5, 1)], [(5, 5), (8, 7), (5, 9), (2, 7), (5, 5)]],
    [[(7, 4), (5, 5), (3, 4), (3, 2), (5, 1), (7, 2), (7, 4), (6, 8), (4, 9)]],
]


def draw(labels, rng):
    """One image a label: rotated, scaled, shifted, noisy. Returns (count, 256) floats in 0..1."""
    count = len(labels)
    angle = rng.uniform(-0.4, 0.4, count)
    scale = rng.uniform(0.7, 1.05, count) / 10
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * scale
    shift = rng.uniform(-0.1, 0.1, (2, count)) + 0.5
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    pixels = (np.stack([columns, rows]) + 0.5) / SIDE
    distance = np.full((count, SIDE * SIDE), 2.0)
    for digit, lines in enumerate(GLYPHS):
        mine = np.flatnonzero(labels == digit)
        for line in lines:
            points = np.einsum("ijn,pj->pin", turn[:, :, mine], np.array(line) - 5.0) + shift[:, mine]
            for a, b in zip(points, points[1:]):
                along, to_pixel = (b - a)[:, :, None], pixels[:, None, :] - a[:, :, None]
                t = np.clip((to_pixel * along).sum(0) / (along ** 2).sum(0), 0, 1)
                gap = np.sqrt(((to_pixel - t * along) ** 2).sum(0))
                distance[mine] = np.minimum(distance[mine], gap)
    ink = np.clip(1 - (distance - 0.05) * SIDE, 0, 1) + rng.normal(0, 0.2, distance.shape)
    return np.clip(ink, 0, 1).astype(np.float32)


class Layer:
    def __init__(self, queue, width_in, width_out, batch, rng):
        weights = rng.normal(0, np.sqrt(2 / width_in), (width_in, width_out)).astype(np.float32)
        self.width_in, self.width_out = np.int32(width_in), np.int32(width_out)
        self.weights = cl_array.to_device(queue, weights)
        self.bias = cl_array.zeros(queue, width_out, np.float32)
        self.velocity = cl_array.zeros(queue, (width_in + 1, width_out), np.float32)
        self.y = cl_array.zeros(queue, (batch, width_out), np.float32)
        self.gy = cl_array.zeros(queue, (batch, width_out), np.float32)


class Net:
    def __init__(self, queue, batch, rng):
        program = cl.Program(queue.context, KERNELS).build()
        self.forward_k, self.softmax_k = program.forward, program.softmax
        self.backward_k, self.update_k = program.backward, program.update
        self.queue, self.batch = queue, np.int32(batch)
        self.layers = [Layer(queue, i, o, batch, rng) for i, o in zip(WIDTHS, WIDTHS[1:])]
        self.loss = cl_array.zeros(queue, batch, np.float32)

    def forward(self, x):
        for i, layer in enumerate(self.layers):
            relu = np.int32(i < len(self.layers) - 1)
            self.forward_k(self.queue, (int(layer.width_out), int(self.batch)), None, x.data,
                           layer.weights.data, layer.bias.data, layer.width_in, layer.width_out,
                           relu, layer.y.data)
            x = layer.y

    def train(self, x, labels, rate):
        self.forward(x)
        last = self.layers[-1]
        self.softmax_k(self.queue, (int(self.batch),), None, last.y.data, labels.data,
                       last.width_out, last.gy.data, self.loss.data)
        for i in reversed(range(len(self.layers))):
            layer, below = self.layers[i], self.layers[i - 1] if i else None
            if below:
                self.backward_k(self.queue, (int(layer.width_in), int(self.batch)), None,
                                layer.gy.data, layer.weights.data, below.y.data, layer.width_in,
                                layer.width_out, below.gy.data)
            self.update_k(self.queue, (int(layer.width_out), int(layer.width_in) + 1), None,
                          below.y.data if below else x.data, layer.gy.data, layer.width_in,
                          layer.width_out, self.batch, np.float32(rate), MOMENTUM,
                          layer.weights.data, layer.bias.data, layer.velocity.data)

    def guesses(self, x):
        self.forward(x)
        return self.layers[-1].y.get().argmax(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    device = cl.get_platforms()[0].get_devices()[0]
    queue = cl.CommandQueue(cl.Context([device]))
    print(f"device: {device.name}, {device.global_mem_size >> 20} MiB", flush=True)

    labels = rng.integers(0, 10, 64 * args.batch).astype(np.int32)
    images = draw(labels, rng).reshape(64, args.batch, -1)
    batches = [(cl_array.to_device(queue, x), cl_array.to_device(queue, l))
               for x, l in zip(images, labels.reshape(64, args.batch))]
    train, validation = batches[:56], batches[56:]

    net = Net(queue, args.batch, rng)
    started = time.monotonic()
    for step in range(1, args.steps + 1):
        net.train(*train[step % len(train)], rate=0.05 / (1 + step / 500))
        if step % 100 == 0 or step == args.steps:
            accuracy = np.mean([net.guesses(x) == l.get() for x, l in validation])
            print(f"step {step:6d}  loss {net.loss.get().mean():.4f}  validation {accuracy:.4f}"
                  f"  {time.monotonic() - started:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
