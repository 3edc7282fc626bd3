#!/usr/bin/env python3
"""Build every tests/fuzz/fuzz_*.c with libFuzzer, ASan and UBSan, replay its corpus and fuzz for a while.

usage: fuzz.py [--seconds N | --runs N] [--max-len BYTES] [--jobs N] [--whole] [NAME ...]

A new finding is left in build-fuzz/NAME.crash-*. Sessions have small tables and a slab of 1 MiB: with those of a real
one, which --whole gives them, one input that says "a gigabyte" takes as long as many thousand others.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build") + "-fuzz")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, help="executions of each target, however long they take")
    parser.add_argument("--max-len", type=int, default=0, help="bytes of the longest input; 0: libFuzzer's choice by the seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="targets at once")
    parser.add_argument("--whole", action="store_true", help="sessions as large as real ones")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    env = dict(os.environ, CC="clang")
    folder = BUILD + "-whole" if options.whole else BUILD
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        subprocess.run(["meson", "setup", folder, "-Dfuzz=true", f"-Dfuzz_small={'false' if options.whole else 'true'}",
                        "-Db_sanitize=address,undefined", "-Dc_args=-fsanitize=fuzzer-no-link"], cwd=ROOT, env=env,
                       check=True, stdout=subprocess.DEVNULL)
    names = options.names or sorted(re.sub(r".*/fuzz_(.*)\.c", r"\1", p) for p in glob.glob(f"{ROOT}/tests/fuzz/fuzz_*.c"))
    # Only the targets: libraries cannot be linked with the sanitizers' runtime left out.
    built = subprocess.run(["ninja", "-C", folder, "--quiet", *(f"tests/fuzz/fuzz_{name}" for name in names)], env=env,
                           capture_output=True, text=True, check=False)
    if built.returncode:
        sys.exit(built.stdout[-4000:] + built.stderr)
    # Entropic schedules look through all rare features at each one an input has: two thirds of the time.
    until = ["-entropic=0"]
    until += [f"-max_total_time={options.seconds}"] if options.runs is None else [f"-runs={options.runs}"]
    env["ASAN_OPTIONS"] = "quarantine_size_mb=16:malloc_context_size=8:" + env.get("ASAN_OPTIONS", "")
    env["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1:" + env.get("UBSAN_OPTIONS", "")  # else it only prints
    with ThreadPoolExecutor(options.jobs) as pool:
        clean = list(pool.map(lambda name: fuzz(folder, name, [*until, f"-max_len={options.max_len}"], env), names))
    sys.exit(0 if all(clean) else 1)


def fuzz(folder, name, limits, env):
    """Replay the seeds and go on until a limit; True: nothing was found."""
    seeds = os.path.join(ROOT, "tests/fuzz/corpus", name)
    found = os.path.join(folder, "corpus", name)
    os.makedirs(found, exist_ok=True)
    run = subprocess.run([os.path.join(folder, "tests/fuzz", f"fuzz_{name}"), *limits, "-rss_limit_mb=2048", "-timeout=20",
                          "-print_final_stats=1", f"-artifact_prefix={folder}/{name}.", found,
                          *([seeds] if os.path.isdir(seeds) else [])],
                         env=env, capture_output=True, text=True, errors="replace", check=False)
    done = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    print(f"{name}\t{done[1] if done else 0} executions\t{'clean' if run.returncode == 0 else 'FAILED'}", flush=True)
    if run.returncode:
        print(run.stderr[-4000:], flush=True)
    return run.returncode == 0


main()
