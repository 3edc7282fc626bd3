"""How long calls take that wait, and calls that do not: prints one object of JSON, in seconds.

usage: trips.py READS LAUNCHES [copies]     (with the last word large copies, too)
"""
import json
import sys
import time

import numpy
import pyopencl

SOURCE = "__kernel void add(__global int *data, int value) { data[get_global_id(0)] += value; }"


def copies_are_right(context, queue):
    large = numpy.arange(4 << 20, dtype=numpy.int32)
    target = pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE, large.nbytes)
    pyopencl.enqueue_copy(queue, target, large, is_blocking=True)
    back = numpy.zeros_like(large)
    pyopencl.enqueue_copy(queue, back, target, is_blocking=True)
    return bool((back == large).all())


def main():
    reads, launches = int(sys.argv[1]), int(sys.argv[2])
    device = pyopencl.get_platforms()[0].get_devices()[0]
    context = pyopencl.Context([device])
    queue = pyopencl.CommandQueue(context)
    kernel = pyopencl.Program(context, SOURCE).build().add
    data = numpy.zeros(1024, numpy.int32)
    buffer = pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE | pyopencl.mem_flags.COPY_HOST_PTR, hostbuf=data)
    kernel(queue, data.shape, None, buffer, numpy.int32(0))
    queue.finish()
    figures = {}
    start = time.monotonic()
    for _ in range(reads):
        pyopencl.enqueue_copy(queue, data, buffer, is_blocking=True)
    figures["reads_s"] = time.monotonic() - start
    start = time.monotonic()
    for _ in range(launches):
        kernel(queue, data.shape, None, buffer, numpy.int32(1))
    queue.finish()
    figures["launches_s"] = time.monotonic() - start
    right = "copies" not in sys.argv or copies_are_right(context, queue)
    pyopencl.enqueue_copy(queue, data, buffer, is_blocking=True)
    figures["right"] = right and bool((data == launches).all())
    print(json.dumps(figures))


main()
