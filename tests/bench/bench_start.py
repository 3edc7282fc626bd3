#!/usr/bin/python3
"""Programs that start at once: how long each waits for its device and for its first command, and whether any got another's.

usage: bench_start.py [CLIENTS]      (BUILD names the build folder)

bench_crowd forks the programs, lets them go together, and has each ask for its device, which is the session's start, and then
write and read a number. What a program waits is in the figures, what it takes to make its process is not. The same binary
tells what the driver itself needs for as many programs without Leat: the limit that the machine sets. Cards differ in their
quota, which a program sees as its device's memory, so that one with another's card is found.
"""
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

MIB = 1 << 20
CARDS = 3
ALONE = 5
REST_S = 0.3  # between single starts, in which a spare executor is made


def figure(name, value, unit, target=""):
    print(name, value if isinstance(value, str) else f"{value:.1f}", unit, target, sep="\t", flush=True)


def crowd(house, leases, count):
    """The figures of `count` programs on cards, or directly when there are no leases."""
    words = [houses.built("bench_crowd"), str(count)]
    if leases:
        program = house.on_card(leases[0], *words, *(f"{lease['token']}:{lease['bytes']}" for lease in leases))
        output, errors = program.communicate()
        if program.returncode:
            raise SystemExit(errors + house.log())
    else:
        output = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {name: float(value) for name, value in (line.split("\t") for line in output.splitlines())}


def alone(house, leases):
    """Medians of single starts."""
    seen = []
    for _ in range(ALONE):
        time.sleep(REST_S)
        seen.append(crowd(house, leases, 1))
    return {name: statistics.median(one[name] for one in seen) for name in seen[0]}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with houses.House(cards_only=True) as house:
        leases = [dict(house.card("card.create", card=f"start-{number}", memory_bytes=(16 + number) * MIB,
                                  share_permille=1000 // CARDS), bytes=(16 + number) * MIB) for number in range(CARDS)]
        carded, direct = alone(house, leases[:1]), alone(house, [])
        figure("card.start_alone_ms", carded["device_p50_ms"], "ms")
        figure("card.first_command_alone_ms", carded["first_command_p50_ms"], "ms")
        figure("direct.start_alone_ms", direct["device_p50_ms"], "ms")
        figure("direct.first_command_alone_ms", direct["first_command_p50_ms"], "ms")
        many = crowd(house, leases, count)
        limit = crowd(house, [], count)
        figure(f"card.start_{count}_p50_ms", many["device_p50_ms"], "ms")
        figure(f"card.start_{count}_p99_ms", many["device_p99_ms"], "ms", "<= 100")
        figure(f"card.first_command_{count}_p99_ms", many["first_command_p99_ms"], "ms")
        figure(f"direct.start_{count}_p99_ms", limit["device_p99_ms"], "ms")
        figure(f"direct.first_command_{count}_p99_ms", limit["first_command_p99_ms"], "ms")
        figure(f"card.start_{count}_mixed_up", f"{many['wrong']:.0f}", "programs", "0")


if __name__ == "__main__":
    main()
