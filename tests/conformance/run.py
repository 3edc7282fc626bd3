"""Programs of others, on the device directly and on a card: one line a program, `program  direct  card  same?`.

usage: run.py [--list] [--verbose] [--jobs N] [NAME ...]     NAME: a program, or the start of some programs' names

An outcome is the exit status (or signal, or `timeout`) and what the program printed on its standard output, without what
changes from run to run; the order of lines is left out of account, for what kernels print does not wait for a program's
own buffer. A program that ends otherwise directly is run directly again: what it does now and then it may do on a card. Which programs there are says suites.py.
"""
import argparse
import collections
import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
import house as houses  # noqa: E402
import suites  # noqa: E402

TIMEOUT = 900
MEMORY = "1GiB"
DIRECT_RUNS = 3  # at most: some programs do not end alike each time
TEMPORARY = r"\S*/tempfile_\w+"  # what the driver calls a program's source in its log


def make(program):
    """Compile what the program needs; None, or why that does not go."""
    name, sources, options = program.made
    target = os.path.join(suites.MADE, name)
    if os.path.exists(target):
        return None
    plus = any(not source.endswith(".c") for source in sources)
    folder = os.path.dirname(sources[0])
    with open(sources[0], encoding="utf-8", errors="replace") as first:  # some count from the top of PoCL's source
        folder = suites.POCL if re.search(r'SRCDIR "/(tests|examples)', first.read()) else folder
    poclu = f"{HERE}/poclu"
    words = [*(["g++", "-std=c++17"] if plus else ["gcc", "-std=gnu11"]), "-w", "-O1", "-DCL_TARGET_OPENCL_VERSION=300",
             "-DCL_HPP_TARGET_OPENCL_VERSION=120", "-DCL_HPP_MINIMUM_OPENCL_VERSION=120", "-DCL_HPP_ENABLE_EXCEPTIONS",
             f'-DSRCDIR="{folder}"', f'-DBUILDDIR="{suites.MADE}"', f"-I{poclu}", *sources]
    with tempfile.TemporaryDirectory() as scratch:
        helper = os.path.join(scratch, "poclu.o")
        subprocess.run(["gcc", "-std=gnu11", "-w", "-O1", "-DCL_TARGET_OPENCL_VERSION=300", f'-DSRCDIR="{folder}"', f"-I{poclu}",
                        "-c", f"{poclu}/poclu.c", "-o", helper], check=True)
        built = subprocess.run([*words, helper, "-o", f"{target}.new", *options, "-lOpenCL", "-lpthread", "-ldl", "-lm"],
                               capture_output=True, text=True, check=False)
    if built.returncode:
        error = next((line for line in built.stderr.splitlines() if "error" in line), built.stderr)
        return f"does not compile: {error.split('error:')[-1].strip()[:90]}"
    os.rename(f"{target}.new", target)
    return None


def homes(folder):
    """Where programs keep what they compiled: a card's run is not to find what the direct one left, nor the other way round."""
    return {name: folder for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}


def outcome(program, start, environment):
    """(short word, everything that is compared)"""
    command = [os.path.join(suites.MADE, program.command[0]) if program.made else program.command[0], *program.command[1:]]
    with tempfile.TemporaryDirectory() as scratch:
        try:
            done = subprocess.run([*start, *command], cwd=program.cwd or scratch, env={**environment, **homes(scratch), **program.environment},
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return "timeout", None, ""
    signalled = 128 < done.returncode <= 128 + signal.SIGRTMAX  # leat tells a signal as a shell does
    status = 128 - done.returncode if signalled else done.returncode
    word = "ok" if status == 0 else f"exit {status}" if status > 0 else f"signal {-status}"
    text = re.sub(program.hide, "", re.sub(TEMPORARY, "", done.stdout.decode(errors="replace")))
    return word, (status, sorted(line.rstrip() for line in text.splitlines() if line.strip())), done.stderr.decode(errors="replace")


def tell_apart(name, there, here, errors):
    """Say on standard error what only one of the two runs has."""
    lines = [collections.Counter(str(line) for line in outcome[1]) if outcome else collections.Counter() for outcome in (there, here)]
    print(f"--- {name}", *(f"direct: {line}" for line in lines[0] - lines[1]), *(f"card:   {line}" for line in lines[1] - lines[0]),
          errors[-2000:], sep="\n", file=sys.stderr, flush=True)


def compare(program, houses_of, share, verbose):
    missing = program.missing or (make(program) if program.made else None)
    missing = missing or (None if program.made or shutil.which(program.command[0]) else "not installed")
    if missing:
        return program.name, "-", "-", missing
    house = houses_of[program.driver]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LEAT_CARD_")}
    if "LEAT_DEVICE_ICD_VENDORS" in house.environment:
        environment["OCL_ICD_VENDORS"] = house.environment["LEAT_DEVICE_ICD_VENDORS"]
    card, here, errors = outcome(program, [houses.built("leat"), "card", "exec", "--memory", MEMORY, "--share", f"{share}%", "--"],
                                 house.environment)
    directly = []
    while len(directly) < DIRECT_RUNS and (not directly or directly[-1][1] != here):
        directly.append(outcome(program, [], environment))
    direct, there, _ = directly[-1]
    varies = any(run[:2] != directly[0][:2] for run in directly)
    if verbose and there != here:
        tell_apart(program.name, there, here, errors)
    if direct == card == "timeout":
        return program.name, direct, card, f"not known: both take longer than {TIMEOUT} s"
    verdict = "same" if there == here else "output differs" if direct == card else "DIFFERENT"
    return program.name, direct, card, verdict + (", varies directly" if varies else "")


@contextlib.contextmanager
def of_driver(name):
    """A house with cards of the device of a driver: PoCL itself, or a test driver that stands in front of it."""
    if not name:
        with houses.House(cards_only=True) as house:
            yield house
        return
    with tempfile.TemporaryDirectory() as vendors:
        with open(os.path.join(vendors, f"{name}.icd"), "w", encoding="utf-8") as icd:
            icd.write(houses.built(name) + "\n")
        with houses.House(cards_only=True, environment={"LEAT_DEVICE_ICD_VENDORS": vendors}) as house:
            yield house


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--list", action="store_true", help="only the names")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--verbose", action="store_true", help="say what differs")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    programs = [p for suite in suites.ALL for p in suite() if not options.names or p.name.startswith(tuple(options.names))]
    if options.list:
        print("\n".join(p.name for p in programs))
        return
    os.makedirs(suites.WRITES_HERE, exist_ok=True)
    differing = 0
    with contextlib.ExitStack() as stack:
        houses_of = {driver: stack.enter_context(of_driver(driver)) for driver in sorted({p.driver for p in programs})}
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(options.jobs))
        print(f"{'program':58} {'direct':12} {'card':12} same?")
        for name, direct, card, verdict in pool.map(lambda p: compare(p, houses_of, 100 // options.jobs, options.verbose), programs):
            print(f"{name:58} {direct:12} {card:12} {verdict}", flush=True)
            differing += verdict.startswith(("DIFFERENT", "output differs"))
    print(f"{len(programs)} programs, {differing} not the same")
    sys.exit(1 if differing else 0)


main()
