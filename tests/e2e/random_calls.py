#!/usr/bin/env python3
"""Random sequences of OpenCL calls, directly and on a card: the same seed must print the same lines.

    random_calls.py [--first 1] [--seeds 200] [--threads 1] [--moved | --relay]

With --moved the card is suspended, resumed and moved to another device at random meanwhile, with --relay each sequence has a
card of another host, over TLS on the loopback. Prints one line for each seed that differs and a summary; exit status 1 when
one does. A sequence that PoCL itself ends or never ends is compared up to there."""
import argparse
import concurrent.futures
import contextlib
import os
import random
import socket
import subprocess
import sys
import threading

import house as houses
from relay import Lender

SECONDS = 100  # a sequence that takes longer hangs
TRIES = 3


def command(seed, threads=1):
    return [houses.built("random_calls"), str(seed), "1", str(threads)]


def directly(words):
    """What the sequence prints, and whether it came to its end."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        return ended(program)


def ended(program):
    try:
        text = program.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        program.kill()
        text = program.communicate()[0]
    return text.splitlines(), program.returncode == 0


def on_card(house, lease):
    """What runs a sequence on that card."""
    def run(words):
        with house.on_card(lease, *words) as program:
            return ended(program)
    return run


def over_relay(house, lender):
    """What runs a sequence on a card of its own of another host."""
    start = [houses.built("leat"), "card", "exec", *lender.options(), "--memory", "512MiB", "--share", "25%", "--"]

    def run(words):
        with subprocess.Popen(start + words, env=house.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as program:
            return ended(program)
    return run


def compared(run, words):
    """What both print, and where they differ first. A run on the card that crashes or hangs differs, unless a direct one
    does likewise when it is tried more often: PoCL crashes and hangs now and then."""
    direct, carded = directly(words), run(words)
    for _ in range(TRIES):
        if carded[1] or not direct[1]:
            break
        direct = directly(words)
    return direct, carded, first_difference(direct, carded)


def first_difference(direct, carded):
    """None, or the first line that differs as (directly, on the card). Of a run that was cut off the last line does not count."""
    (ours, whole), (theirs, all_theirs) = direct, carded
    for here, there in zip(ours if whole else ours[:-1], theirs if all_theirs else theirs[:-1]):
        if here != there:
            return here, there
    if whole and not all_theirs:
        return "".join(ours[max(len(theirs) - 1, 0):len(theirs)]), "the program ended or hung: " + "".join(theirs[-1:])
    return None if not whole or len(ours) == len(theirs) else (len(ours), len(theirs))


def disturb(house, card, over, cycles):
    """Suspend and resume or move the card until `over` is set."""
    dice, device = random.Random(1), 0
    while not over.wait(dice.random() / 4):
        if dice.random() < 0.5:
            device = 1 - device
            house.card("card.move", card=card, device=f"cpu-{device}")
        else:
            house.card("card.suspend", card=card)
            over.wait(dice.random() / 20)
            house.card("card.resume", card=card)
        cycles.append(device)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--moved", action="store_true")
    parser.add_argument("--relay", action="store_true")
    asked = parser.parse_args()
    if asked.moved:
        os.environ["POCL_DEVICES"] = "pthread pthread"
    seeds = range(asked.first, asked.first + asked.seeds)
    over, cycles, unlike, cut = threading.Event(), [], [], 0
    with contextlib.ExitStack() as stack:
        house = stack.enter_context(houses.House(cards_only=True))
        if asked.relay:
            run = over_relay(house, stack.enter_context(Lender(house, f"127.0.0.1:{free_port()}")))
        else:
            run = on_card(house, house.card("card.create", card="one", memory_bytes=1 << 30, share_permille=1000))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(os.cpu_count()))

        def both(seed):
            return seed, *compared(run, command(seed, asked.threads))

        disturber = threading.Thread(target=disturb, args=(house, "one", over, cycles))
        if asked.moved:
            disturber.start()
        try:
            for seed, direct, _, found in pool.map(both, seeds):
                cut += not direct[1]
                if found:
                    unlike.append(seed)
                    print(f"seed {seed}\n  directly  {found[0]}\n  on a card {found[1]}", flush=True)
        finally:
            over.set()
            if asked.moved:
                disturber.join()
    print(f"{asked.seeds} seeds, {len(unlike)} differ, {cut} cut short by the driver, {len(cycles)} disturbances")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
