"""CUDA cards on the fake driver: what the library adds to a call, and how far the card is from the truth."""
import os
import random
import subprocess
import sys

import house as houses
from cuda_house import ALL_SHARES, AT_ONCE, DRIVER, MIB, PROBE, PROGRAM, STREAM_SHARES, CudaHouse, share_errors

ROUNDS = 7
HEADERS = ("/usr/local/cuda/include/cuda.h", "/usr/include/cuda.h")
CROWD = 1000
PROCESSES, OPERATIONS = 16, 20000


def read(line):
    return {key: float(value) for key, value in (word.split("=") for word in line.split())}


def bench_table(figure):
    """Names of the toolkit's driver header that the table lacks; without a toolkit the table alone can be checked, which the
    build has done."""
    generator = os.path.join(houses.ROOT, "src/card/gen/cuda.py")
    table = os.path.join(houses.ROOT, "src/card/gen/cuda.table")
    header = next((path for path in HEADERS if os.path.exists(path)), None)
    words = ["check", table, header] if header else ["coverage", table, os.devnull]
    done = subprocess.run([sys.executable, generator, *words], capture_output=True, text=True, check=False)
    figure("cuda.unclassified_entry_points", len(done.stdout.splitlines()), "names", "0")


def bench_calls(figure):
    """The same program on the driver and on a card, in turn: of each the quietest round's mean, in time on a processor."""
    direct, carded = [], []
    with CudaHouse() as cuda:
        lease = cuda.lease("calls")
        driver = dict(cuda.environment, LD_PRELOAD=DRIVER)
        for _ in range(ROUNDS):
            done = subprocess.run([PROBE, "bench"], env=driver, capture_output=True, text=True, check=True)
            direct.append(read(done.stdout))
            carded.append(read(cuda.probe(lease, "bench")))
    least = {name: [min(run[f"{name}_mean_ns"] for run in runs) for runs in (direct, carded)]
             for name in ("alloc_free", "launch", "streams", "resolve")}
    figure("cuda.alloc_free_over_direct_ns", least["alloc_free"][1] - least["alloc_free"][0], "ns", "<= 150")
    figure("cuda.launch_over_direct_ns", least["launch"][1] - least["launch"][0], "ns", "<= 100")
    figure("cuda.launch_streams_over_direct_ns", least["streams"][1] - least["streams"][0], "ns", "<= 100")
    figure("cuda.resolver_ns", least["resolve"][1], "ns", "<= 1000")


def bench_remote(figure):
    """A launch that is posted to an executor, and a copy and a wait while other threads wait for long: of each run the median,
    of those the least."""
    with CudaHouse() as cuda:
        lease = cuda.lease("remote", remote=True)
        runs = [cuda.start_program(lease, PROGRAM, "launches", 2000).communicate(timeout=60)[0] for _ in range(ROUNDS)]
        beside = [cuda.start_program(lease, PROGRAM, "beside", 2000).communicate(timeout=60)[0] for _ in range(ROUNDS)]
    figure("cuda.remote_launch_p50_ns", min(read(line)["launch_p50_ns"] for line in runs), "ns", "")
    figure("cuda.remote_beside_wait_p50_ns", min(read(line)["beside_p50_ns"] for line in beside), "ns", "")


def bench_quota(figure):
    """Processes that allocate and free in all ways on one card, against the device's own count."""
    quota = 256 * MIB
    with CudaHouse() as cuda:
        lease = cuda.lease("quota", quota)
        running = [cuda.start_probe(lease, "churn", OPERATIONS, random.randrange(1 << 30)) for _ in range(PROCESSES)]
        for program in running:
            program.stdout.readline()
        leaked = cuda.show("quota")["memory_used_bytes"] + cuda.truth()["used"]
        overshoot = max(0, cuda.truth()["peak"] - quota)
        for program in running:
            program.communicate("\n")
    figure("cuda.overshoot_bytes", overshoot, "bytes", "0")
    figure("cuda.leaked_bytes", leaked, "bytes", "0")


def bench_shares(figure):
    tables = {"": [(setting, False) for setting in ALL_SHARES], "streams_": STREAM_SHARES}
    for name, settings in tables.items():
        errors = []
        for setting, at_once in settings:
            with CudaHouse(**(AT_ONCE if at_once else {})) as cuda:
                errors += map(abs, share_errors(cuda, setting))
        figure(f"cuda.share_error_{name}mean_points", sum(errors) / len(errors), "points", "<= 1")
        figure(f"cuda.share_error_{name}max_points", max(errors), "points", "<= 3")


def bench_starts(figure):
    """Processes that attach to their cards at the same instant, a card has 256 at most; and that find the driver alone."""
    with CudaHouse() as cuda:
        tokens = [cuda.lease(f"start-{n}", 16 * MIB, 200)["token"] for n in range(5)]
        got = [[read(cuda.probe({"token": ""}, "crowd", CROWD, *tokens, **there))["p99_us"] for there in ({}, {"LD_PRELOAD": DRIVER})]
               for _ in range(3)]
    figure("cuda.start_1000_p99_ms", min(card for card, _ in got) / 1000, "ms", "<= 100")
    figure("cuda.start_1000_direct_p99_ms", min(direct for _, direct in got) / 1000, "ms", "")


def bench(figure, say):
    say("CUDA: calls, quota, starts and shares on the fake driver")
    bench_table(figure)
    bench_calls(figure)
    bench_remote(figure)
    bench_quota(figure)
    bench_starts(figure)
    bench_shares(figure)
