"""pyopencl: arrays, element-wise kernels, reductions, scans, random numbers, an image and profiling."""
import hashlib

import numpy
import pyopencl
import pyopencl.array
import pyopencl.clrandom
import pyopencl.elementwise
import pyopencl.reduction
import pyopencl.scan


def show(name, data):
    print(name, hashlib.sha256(numpy.ascontiguousarray(data).tobytes()).hexdigest()[:16])


device = pyopencl.get_platforms()[0].get_devices()[0]
context = pyopencl.Context([device])
queue = pyopencl.CommandQueue(context, properties=pyopencl.command_queue_properties.PROFILING_ENABLE)
host = (numpy.arange(10000) * 17 % 1009).astype(numpy.float32)
a = pyopencl.array.to_device(queue, host)
show("arithmetic", ((a * 3 + 1) / (a + 2)).get())
show("slices", a[100:2000].get())
show("sum", pyopencl.array.sum(a.astype(numpy.int64)).get())
axpy = pyopencl.elementwise.ElementwiseKernel(context, "float k, float *x, float *y", "y[i] = k * x[i] + y[i]", "axpy")
b = pyopencl.array.zeros(queue, 10000, numpy.float32)
axpy(numpy.float32(2.5), a, b)
show("element-wise", b.get())
most = pyopencl.reduction.ReductionKernel(context, numpy.float32, neutral="-1", reduce_expr="max(a, b)", map_expr="x[i]",
                                          arguments="__global float *x")
show("reduction", most(a).get())
scan = pyopencl.scan.InclusiveScanKernel(context, numpy.int32, "a+b", neutral="0")
integers = pyopencl.array.to_device(queue, host.astype(numpy.int32))
scan(integers)
show("scan", integers.get())
show("random", pyopencl.clrandom.PhiloxGenerator(context, seed=7).uniform(queue, 5000, numpy.float32).get())
image = pyopencl.image_from_array(context, host[:4096].reshape(32, 32, 4), 4)
back = numpy.empty((32, 32, 4), numpy.float32)
pyopencl.enqueue_copy(queue, back, image, origin=(0, 0), region=(32, 32))
show("image", back)
event = axpy(numpy.float32(1), a, b)
event.wait()
print("profiled", event.profile.end >= event.profile.start > 0)
