#!/usr/bin/python3
"""How long a card that holds 1 GiB takes to leave its device and to come back, against copying as much memory, how long
the program of a card with 64 MiB stands still while it goes to another host (over TLS on loopback), and whether a training
that is disturbed all the time ends with other bytes. Lines as run.py prints them."""
import os
import random
import signal
import sys
import tempfile
import time

import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402
from relay import Lender  # noqa: E402

GIB = 1 << 30
ROUNDS = 3
CYCLES = 100
STEPS = 12000

# Fills 1 GiB of buffers, waits for a signal and says how many of them are not as they were.
HOLDER = f"""
import signal, numpy, pyopencl
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
context = pyopencl.create_some_context(interactive=False)
queue = pyopencl.CommandQueue(context)
part = {GIB} // 16
data = numpy.random.default_rng(1).integers(0, 1 << 62, part // 8, dtype=numpy.int64)
buffers = [pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE, part) for _ in range(16)]
for number, buffer in enumerate(buffers):
    pyopencl.enqueue_copy(queue, buffer, data + number)
queue.finish()
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])
back = numpy.empty_like(data)
wrong = 0
for number, buffer in enumerate(buffers):
    pyopencl.enqueue_copy(queue, back, buffer)
    wrong += not numpy.array_equal(back, data + number)
print(wrong, flush=True)
"""

# Fills 64 MiB, uses the queue until a signal, and says for how many ms it stood still at most and how many bytes have changed.
MOVER = f"""
import signal, time, numpy, pyopencl
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
context = pyopencl.create_some_context(interactive=False)
queue = pyopencl.CommandQueue(context)
data = numpy.random.default_rng(1).integers(0, 255, {64 << 20}, dtype=numpy.uint8)
buffer = pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE, data.nbytes)
pyopencl.enqueue_copy(queue, buffer, data)
print("ready", flush=True)
last, longest = time.monotonic(), 0
while not signal.sigtimedwait([signal.SIGUSR1], 0):
    pyopencl.enqueue_copy(queue, buffer, data[:4096])
    now = time.monotonic()
    last, longest = now, max(longest, now - last)
back = numpy.empty_like(data)
pyopencl.enqueue_copy(queue, back, buffer)
print(longest * 1e3, numpy.count_nonzero(back != data), flush=True)
"""


def figure(name, value, unit, target=""):
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    print(name, text, unit, target, sep="\t", flush=True)


def memcpy_ms():
    """Copying 1 GiB into memory that was never touched, as a suspension does; the best of the rounds."""
    source, best = numpy.ones(GIB, dtype=numpy.uint8), float("inf")
    for _ in range(ROUNDS):
        start = time.monotonic()
        numpy.copyto(numpy.empty(GIB, dtype=numpy.uint8), source)
        best = min(best, (time.monotonic() - start) * 1e3)
    return best


def bench_gib(house):
    lease = house.card("card.create", card="gib", memory_bytes=GIB + (64 << 20), share_permille=1000)
    program = house.on_card(lease, sys.executable, "-c", HOLDER)
    if program.stdout.readline() != "ready\n":
        raise SystemExit(program.communicate()[1] + house.log())
    runs = []
    for _ in range(ROUNDS):
        house.card("card.suspend", card="gib")
        runs.append(house.card("card.resume", card="gib"))
    program.send_signal(signal.SIGUSR1)
    wrong = int(program.communicate()[0])
    house.card("card.remove", card="gib")
    figure("card.suspend_1gib_ms", min(run["suspend_ns"] for run in runs) / 1e6, "ms")
    figure("card.resume_1gib_ms", min(run["resume_ns"] for run in runs) / 1e6, "ms")
    figure("card.memcpy_1gib_ms", memcpy_ms(), "ms")
    figure("card.suspended_buffers_changed", wrong, "buffers", "0")


def move_once(here, there, lender):
    lease = here.card("card.create", card="mover", memory_bytes=80 << 20, share_permille=1000)
    program = here.on_card(lease, sys.executable, "-c", MOVER)
    if program.stdout.readline() != "ready\n":
        raise SystemExit(program.communicate()[1] + here.log())
    start = time.monotonic()
    here.leat("card", "move", "mover", *lender.options())
    took_ms = (time.monotonic() - start) * 1e3
    program.send_signal(signal.SIGUSR1)
    still_ms, changed = program.communicate()[0].split()
    here.card("card.remove", card="mover")
    houses.eventually("the end of the card there", lambda: there.card("card.list")["cards"] == [])
    return float(still_ms), took_ms, int(changed)


def bench_departure(here):
    with houses.House(cards_only=True) as there:
        with Lender(there, f"127.0.0.1:{20000 + os.getpid() % 10000}") as lender:
            runs = [move_once(here, there, lender) for _ in range(ROUNDS)]
    figure("card.move_to_host_64mib_still_ms", min(run[0] for run in runs), "ms")
    figure("card.move_to_host_64mib_command_ms", min(run[1] for run in runs), "ms")
    figure("card.move_to_host_bytes_changed", sum(run[2] for run in runs), "bytes", "0")


def disturb_once(house, chance):
    """Away and back, or over to either of the two equal devices, the one it is on included."""
    device = chance.choice(("cpu-0", "cpu-1"))
    if chance.random() < 0.5:
        house.card("card.suspend", card="train")
        house.card("card.resume", card="train", device=device)
    else:
        house.card("card.move", card="train", device=device)


def train(house, lease, checkpoint, disturb):
    """The weights with what was said of the loss, and how often the training was disturbed."""
    program = house.on_card(lease, houses.built("digits"), "--steps", str(STEPS), "--checkpoint", checkpoint,
                            "--metrics", checkpoint + ".metrics")
    chance, cycles = random.Random(1), 0
    while disturb and cycles < CYCLES and program.poll() is None:
        before = house.card("card.show", card="train")["commands"]
        wanted = before + chance.randrange(1, 200)
        houses.eventually("commands", lambda: program.poll() is not None
                          or house.card("card.show", card="train")["commands"] >= wanted)  # noqa: B023
        disturb_once(house, chance)
        cycles += 1
    errors = program.communicate()[1]
    if program.returncode != 0:
        raise SystemExit(errors + house.log())
    with open(checkpoint, "rb") as net, open(checkpoint + ".metrics", "rb") as metrics:
        return net.read() + b"".join(line.rsplit(b",", 1)[0] for line in metrics), cycles  # all but its clock


def bench_training(house):
    lease = house.card("card.create", card="train", memory_bytes=256 << 20, share_permille=1000)
    with tempfile.TemporaryDirectory() as folder:
        calm, _ = train(house, lease, os.path.join(folder, "calm"), False)
        disturbed, cycles = train(house, lease, os.path.join(folder, "disturbed"), True)
    figure("card.disturbed_training_cycles", cycles, "cycles", str(CYCLES))
    figure("card.disturbed_training_differences",
           sum(a != b for a, b in zip(calm, disturbed)) + abs(len(calm) - len(disturbed)), "bytes", "0")


def main():
    with houses.House(cards_only=True) as house:
        bench_gib(house)
        bench_departure(house)
    with houses.House(cards_only=True, environment={"POCL_DEVICES": "pthread pthread"}) as house:
        bench_training(house)


if __name__ == "__main__":
    main()
