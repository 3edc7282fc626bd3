"""Posts what waits for nothing: prints "ready", and for each line that it reads then "posted" when a round of such calls has
returned; at the end of the input whether the result is right.

usage: posted.py LAUNCHES
"""
import sys

import numpy
import pyopencl

SOURCE = "__kernel void add(__global int *data, int value) { data[get_global_id(0)] += value; }"


class Poster:
    def __init__(self):
        self.context = pyopencl.Context([pyopencl.get_platforms()[0].get_devices()[0]])
        self.queue = pyopencl.CommandQueue(self.context)
        self.kernel = pyopencl.Program(self.context, SOURCE).build().add
        self.data = numpy.zeros(1024, numpy.int32)
        self.buffer = self.make_buffer(self.data)
        self.expected = 0
        self.events = []

    def make_buffer(self, data):
        flags = pyopencl.mem_flags
        return pyopencl.Buffer(self.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=data)

    def launch(self, value):
        self.kernel(self.queue, self.data.shape, None, self.buffer, numpy.int32(value))
        self.expected += value

    def post(self, launches):
        """Everything that a training step does, but to ask for a result."""
        self.launch(1)
        event = pyopencl.enqueue_copy(self.queue, self.buffer, self.data, is_blocking=False)
        self.events.append(event)  # pyopencl waits for one that nobody holds any more
        self.expected = 0
        other = self.make_buffer(numpy.ones(1024, numpy.int32))
        pyopencl.enqueue_copy(self.queue, self.buffer, other)
        self.expected += 1
        pyopencl.enqueue_fill_buffer(self.queue, other, numpy.int32(3), 0, self.data.nbytes)
        pyopencl.enqueue_marker(self.queue, [event])
        gate = pyopencl.UserEvent(self.context)
        self.kernel(self.queue, self.data.shape, None, other, numpy.int32(1), wait_for=[gate])
        gate.set_status(pyopencl.command_execution_status.COMPLETE)
        other.release()
        for _ in range(launches):
            self.launch(1)
        self.queue.flush()

    def is_right(self):
        found = numpy.zeros_like(self.data)
        pyopencl.enqueue_copy(self.queue, found, self.buffer, is_blocking=True)
        return bool((found == self.expected).all())


def main():
    poster = Poster()
    poster.launch(1)
    assert poster.is_right()
    print("ready", flush=True)
    for _ in sys.stdin:
        poster.post(int(sys.argv[1]))
        print("posted", flush=True)
    print("right" if poster.is_right() else "wrong")


main()
