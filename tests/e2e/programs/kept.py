"""A program that keeps its compiled kernels from run to run: `kept.py keep FILE` writes them, `kept.py use FILE` runs them, and
`kept.py spoil FILE` says what becomes of a file that begins otherwise."""
import sys

import numpy
import pyopencl

SOURCE = "kernel void square(global int *a) { a[get_global_id(0)] *= a[get_global_id(0)]; }"
way, path = sys.argv[1:]
device = pyopencl.get_platforms()[0].get_devices()[0]
context = pyopencl.Context([device])
queue = pyopencl.CommandQueue(context)
if way == "keep":
    with open(path, "wb") as file:
        file.write(pyopencl.Program(context, SOURCE).build().get_info(pyopencl.program_info.BINARIES)[0])
    sys.exit()
with open(path, "rb") as file:
    kept = file.read()
if way == "spoil":
    kept = b"spoilt" + kept
try:
    program = pyopencl.Program(context, [device], [kept]).build()
    values = numpy.arange(8, dtype=numpy.int32)
    buffer = pyopencl.Buffer(context, pyopencl.mem_flags.COPY_HOST_PTR, hostbuf=values)
    pyopencl.Kernel(program, "square")(queue, values.shape, None, buffer)
    pyopencl.enqueue_copy(queue, values, buffer)
    print(values, program.get_info(pyopencl.program_info.BINARIES)[0] == kept)
except pyopencl.Error as error:
    print("refused", error.code)
