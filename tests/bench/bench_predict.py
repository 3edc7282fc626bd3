#!/usr/bin/python3
"""Foretell memory and duration of small jobs that run on cards, one tab-separated line a figure: name, value, unit, target.

usage: bench_predict.py [--rows] [--firsts]        (BUILD names the build folder)

Fourteen job shapes: two trainers over batch sizes and numbers of steps, and a matrix product over sizes. Each shape is
foretold before it ever ran, from what other shapes taught, then after one run and after two. The first shape of all has
its device to go by only, the first of another library or type what others computed. --rows prints every job to standard
error; --firsts runs each shape once only.
"""
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

RUNS = 3
NET = {"params": 42192, "weights": "fp32", "optimizer": "sgd-momentum", "framework": "opencl"}


def trainer(library, program, steps, batch, *more):
    return {"library": library, "program": houses.built(program), "type": "training", "model": "net",
            "model_settings": {"steps": steps, "batch": batch},
            "args": ["--steps", str(steps), "--batch", str(batch), *more]}


def product(side, rounds):
    """Two matrix operands; each element of the result is a multiplication and an addition a side."""
    return {"library": "opencl-c", "program": houses.built("sgemm"), "type": "batch", "model": "product",
            "model_settings": {"steps": rounds, "sample_kflop": max(1, 2 * side ** 3 // 1000)},
            "args": [str(side), str(rounds)]}


SHAPES = [trainer("opencl-c", "digits", steps, batch, "--report", "250")
          for steps, batch in ((1500, 64), (600, 256), (3000, 32), (300, 512), (1000, 128))] + \
         [trainer("pyopencl", "train.py", steps, batch) for steps, batch in ((60, 128), (120, 64), (30, 256), (160, 32))] + \
         [product(side, rounds) for side, rounds in ((256, 60), (512, 12), (384, 30), (512, 30), (320, 60))]


def figure(name, value, unit, target=""):
    print(name, f"{value:.2f}".rstrip("0").rstrip("."), unit, target, sep="\t", flush=True)


def seconds(text):
    """Of a time of day of the interface."""
    hours, minutes, rest = text.rstrip("Z").split("T")[1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def run(house, shape):
    """The job as it ended, what was foretold of it, and how long it took, in milliseconds."""
    job = house.wait(house.submit(share="100%", **shape)["id"])
    if job["state"] != "succeeded":
        raise SystemExit(f"{shape['args']}: {job['text']}\n{house.logs(job['id'])}")
    return job, 1000 * (seconds(job["ended"]) - seconds(job["started"])) % 86400000


def apart(foretold, real):
    return 100 * abs(foretold - real) / real


def main():
    firsts, after_two, memory = [], [], []
    with houses.House() as house:
        house.request("PUT", "/v1/models/net", {"run": NET})
        house.request("PUT", "/v1/models/product", {"run": {"params": 1, "task": "infer", "framework": "opencl"}})
        for shape in SHAPES:
            for number in range(1 if "--firsts" in sys.argv else RUNS):
                job, wall_ms = run(house, dict(shape, **({"memory": "256MiB"} if number == 0 else {})))
                foretold = job["prediction"]
                if "--rows" in sys.argv:
                    print(f"# {shape['library']} {' '.join(shape['args'])} run {number}: {foretold['duration_ms']} ms "
                          f"for {wall_ms:.0f}, {foretold['memory_bytes']} bytes for "
                          f"{job['usage']['memory_peak_bytes']}: {foretold['basis']}", file=sys.stderr, flush=True)
                if number == 0:
                    firsts.append(max(foretold["duration_ms"] / wall_ms, wall_ms / max(1, foretold["duration_ms"])))
                if number == 1:
                    memory.append(apart(foretold["memory_bytes"], job["usage"]["memory_peak_bytes"]))
                if number == 2:
                    after_two.append(apart(foretold["duration_ms"], wall_ms))
    figure("predict.shapes", len(SHAPES), "shapes", ">= 12")
    figure("predict.before_factor_median", statistics.median(firsts), "times", "<= 2")
    figure("predict.before_within_two_pct", 100 * sum(factor <= 2 for factor in firsts) / len(firsts), "%", "100")
    if "--firsts" in sys.argv:
        return
    figure("predict.duration_median_pct", statistics.median(after_two), "%", "<= 15")
    figure("estimate.after_one_run_pct", max(memory), "%", "<= 3")


if __name__ == "__main__":
    main()
