#!/usr/bin/python3
"""Add one to numbers on a CUDA device, step by step, through the driver's own interface: SIGTERM saves them in the work
folder and ends the program, a restart goes on from there for 100 steps more and checks every number."""
import array
import ctypes
import os
import signal

COUNT = 4096
STATE = "/work/state"
cuda = ctypes.CDLL("libcuda.so.1")
stop = []


def check(result):
    if result:
        raise SystemExit(f"the CUDA driver answers {result}")


signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
again = int(os.environ["LEAT_RESTARTS"]) > 0
numbers = array.array("Q", range(COUNT))
if again:
    with open(STATE, "rb") as file:
        numbers = array.array("Q", file.read())
first = numbers[0]
context, memory = ctypes.c_void_p(), ctypes.c_uint64()
host = (ctypes.c_uint64 * COUNT).from_buffer(numbers)
check(cuda.cuInit(0))
check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, 0))
check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(8 * COUNT)))
check(cuda.cuMemcpyHtoD_v2(memory, host, ctypes.c_size_t(8 * COUNT)))
print("begins at step", first, flush=True)
while not stop and not (again and numbers[0] == first + 100):
    check(cuda.cuMemcpyDtoH_v2(host, memory, ctypes.c_size_t(8 * COUNT)))
    for number in range(COUNT):
        numbers[number] += 1
    check(cuda.cuMemcpyHtoD_v2(memory, host, ctypes.c_size_t(8 * COUNT)))
    if numbers[0] == first + 1:
        print("goes on", flush=True)
if stop:
    with open(STATE + ".new", "wb") as file:
        file.write(numbers.tobytes())
    os.rename(STATE + ".new", STATE)
print("ends at step", numbers[0], flush=True)
assert numbers.tolist() == list(range(numbers[0], numbers[0] + COUNT))
