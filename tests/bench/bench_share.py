#!/usr/bin/python3
"""How exactly cards get their shares: limits x lengths of kernels x neighbours, each card's part of the device's time against
what it was granted, while all of them always have work. Lines as run.py prints them; cells and table go to standard error.

Two measures that know nothing of each other. Time: what the meter charged the card, in percent of the time that went by; it
misses what was granted also when the device stood still. Work: the rounds of its loop that the card's kernels did, as a part of
what all cards did together; a meter that counted wrongly would show here. After the table: cards whose programs differ in kind, and
what is lent to a card that may burst. Beside each cell stands what part of the processors'
time niced processes and the hypervisor had meanwhile: on a device that is the host's processors they are neighbours, too.

usage: bench_share.py [--cells FILE] [--for SECONDS]      (LEAT_LONG=1: all limits, lengths and numbers of neighbours, 5 s each)

With FILE the table can be measured in pieces: cells that are in it are not measured again, and after SECONDS no other is begun.
"""
import argparse
import json
import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

LONG = os.environ.get("LEAT_LONG") == "1"
LIMITS = range(10, 91, 10) if LONG else (10, 50, 90)
KERNELS_MS = (0.1, 0.5, 2, 5, 20) if LONG else (0.1, 2, 20)
NEIGHBOURS = (1, 2, 3) if LONG else (1, 3)
SECONDS = 5.0 if LONG else 1.5
MIX_SECONDS = 8.0  # kernels of 200 ms: one more or less is 2.5 points
SETTLE_SECONDS = 0.3
GRANTED_PERCENT = 95  # of all cards: no program keeps a device busy all the time
# Programs side by side: kind, length of a kernel in ms, thousandths of the device.
MIXES = (
    (("mixed", 1, 450), ("copying", 1, 200), ("unordered", 0.5, 200), ("even", 200, 100)),
    (("threads", 0.5, 300), ("even", 200, 300), ("mixed", 2, 300), ("copying", 0.1, 50)),
)
CELLS = [(neighbours, kernel_ms, limit) for neighbours in NEIGHBOURS for kernel_ms in KERNELS_MS for limit in LIMITS]


def shares_of(limit, neighbours):
    """Thousandths of each card, the one looked at first."""
    rest = max(GRANTED_PERCENT - limit, neighbours)
    return [limit * 10] + [rest * 10 // neighbours] * neighbours


def set_shares(house, names, permilles):
    """Those that lose first, so that the device is never granted twice."""
    now = {name: house.card("card.show", card=name)["share_permille"] for name in names}
    for name, permille in sorted(zip(names, permilles), key=lambda pair: pair[1] - now[pair[0]]):
        house.card("card.set_share", card=name, share_permille=permille)


def so_far(house, names):
    """(device time, commands) of each card."""
    shown = [house.card("card.show", card=name) for name in names]
    return [(card["device_time_ns"], card["commands"]) for card in shown]


def elsewhere():
    """Processor seconds that went to niced processes and to the hypervisor."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) for field in file.readline().split()[1:]]
    return (ticks[1] + ticks[7]) / os.sysconf("SC_CLK_TCK")


def measure(house, names, seconds=SECONDS):
    """Percent of the device's time that each card got, and of the commands that all did; what others had of the processors."""
    time.sleep(SETTLE_SECONDS)
    before, start, others = so_far(house, names), time.monotonic(), elsewhere()
    time.sleep(seconds)  # the length of the measurement
    after, wall_s, others = so_far(house, names), time.monotonic() - start, elsewhere() - others
    times = [(b[0] - a[0]) / wall_s / 1e7 for a, b in zip(before, after)]
    commands = [b[1] - a[1] for a, b in zip(before, after)]
    return times, [100 * done / max(sum(commands), 1) for done in commands], 100 * others / wall_s / os.cpu_count()


def start_program(house, lease, kind, kernel_ms, rounds, seconds):
    """(program, rounds of its kernels' loop), when it has begun."""
    program = house.on_card(lease, houses.built("bench_load"), kind, str(seconds), str(kernel_ms), str(rounds))
    ready = program.stdout.readline().split()
    if not ready:
        raise SystemExit(program.stderr.read() + house.log())
    return program, int(ready[1])


class Table:
    """Cells measured so far, and how long a loop of each length is: (neighbours, kernel, limit) -> figures."""

    def __init__(self, path, until):
        self.path, self.until = path, until
        self.cells, self.rounds = {}, {}
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    self.take(json.loads(line))

    def take(self, cell):
        self.cells[cell["neighbours"], cell["kernel_ms"], cell["limit"]] = cell
        self.rounds[cell["kernel_ms"]] = cell["rounds"]

    def add(self, cell):
        self.take(cell)
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(cell) + "\n")
        print(f"# {cell['limit']:3} % of {cell['kernel_ms']:4} ms kernels, {cell['neighbours']} neighbours: "
              + ", ".join(f"{got:.1f} of {permille / 10:.1f}" for got, permille in zip(cell["time"], cell["permilles"]))
              + "; work " + " : ".join(f"{part:.1f}" for part in cell["work"]) + f"; others {cell['others']:.0f}",
              file=sys.stderr, flush=True)

    def missing(self):
        return [cell for cell in CELLS if cell not in self.cells] if time.monotonic() < self.until else []


def run_together(house, table, neighbours, kernel_ms):
    """Measure those limits of one length and number of neighbours that are missing."""
    names = [f"share-{number}" for number in range(neighbours + 1)]
    length = (SECONDS + SETTLE_SECONDS + 1) * len(LIMITS) * 3 + 30
    programs = []
    for name in names:
        lease = house.card("card.create", card=name, memory_bytes=128 << 20, share_permille=1000 // len(names))
        program, table.rounds[kernel_ms] = start_program(house, lease, "even", kernel_ms, table.rounds.get(kernel_ms, 0), length)
        programs.append(program)
    while table.missing() and table.missing()[0][:2] == (neighbours, kernel_ms):
        limit = table.missing()[0][2]
        permilles = shares_of(limit, neighbours)
        set_shares(house, names, permilles)
        got, work, others = measure(house, names)
        table.add({"neighbours": neighbours, "kernel_ms": kernel_ms, "limit": limit, "permilles": permilles, "time": got,
                   "work": work, "others": others, "rounds": table.rounds[kernel_ms]})
    for program in programs:
        program.kill()
        program.communicate()
    for name in names:
        house.card("card.remove", card=name)


def run_cards(house, cards):
    """Percent of the device's time that each of (kind, kernel in ms, thousandths, more members of card.create) got."""
    names, programs = [f"mix-{number}" for number in range(len(cards))], []
    lease = house.card("card.create", card="length", memory_bytes=128 << 20, share_permille=1000)
    program, rounds_of_2ms = start_program(house, lease, "even", 2, 0, 1)
    program.communicate()
    house.card("card.remove", card="length")
    for name, (kind, kernel_ms, permille, more) in zip(names, cards):
        lease = house.card("card.create", card=name, memory_bytes=128 << 20, share_permille=permille, **more)
        programs.append(start_program(house, lease, kind, kernel_ms, int(rounds_of_2ms * kernel_ms / 2), MIX_SECONDS + 30)[0])
    got, _, others = measure(house, names, MIX_SECONDS)
    for program in programs:
        program.kill()
        program.communicate()
    for name in names:
        house.card("card.remove", card=name)
    print(f"# others {others:.0f}", file=sys.stderr)
    return got


def run_mixes(house):
    errors = []
    for mix in MIXES:
        got = run_cards(house, [(*card, {}) for card in mix])
        errors += [abs(share - permille / 10) for share, (_, _, permille) in zip(got, mix)]
        print("# " + ", ".join(f"{kind} {kernel_ms} ms: {share:.1f} of {permille / 10:.1f}"
                               for share, (kind, kernel_ms, permille) in zip(got, mix)), file=sys.stderr, flush=True)
    print("meter.mix_error_mean_points", f"{statistics.mean(errors):.2f}", "points", "<= 1", sep="\t")
    print("meter.mix_error_max_points", f"{max(errors):.2f}", "points", "<= 3", sep="\t")


def run_bursts(house):
    alone = run_cards(house, [("even", 2, 100, {"burst": True})])[0]
    hard, burst = run_cards(house, [("even", 2, 600, {}), ("even", 2, 100, {"burst": True})])
    print("meter.burst_alone_percent", f"{alone:.1f}", "%", "", sep="\t")
    print("meter.burst_beside_sixty_percent", f"{burst:.1f}", "%", "", sep="\t")
    print("meter.sixty_beside_burst_percent", f"{hard:.1f}", "%", "60 +- 3", sep="\t")


def errors_of(cells):
    """By how many points each card of the cells missed its share, in time and in work."""
    times = [abs(got - permille / 10) for cell in cells for got, permille in zip(cell["time"], cell["permilles"])]
    work = [abs(part - 100 * permille / sum(cell["permilles"]))
            for cell in cells for part, permille in zip(cell["work"], cell["permilles"])]
    return times, work


def print_table(table):
    """Mean and largest error of each length and number of neighbours: time, then work."""
    def row(fields):
        print("# | " + " | ".join(fields) + " |", file=sys.stderr)
    row(["kernels"] + [f"{neighbours} neighbours" for neighbours in NEIGHBOURS])
    for kernel_ms in KERNELS_MS:
        fields = [f"{kernel_ms} ms"]
        for neighbours in NEIGHBOURS:
            found = errors_of([table.cells[neighbours, kernel_ms, limit] for limit in LIMITS])
            fields.append("; ".join(f"{statistics.mean(errors):.2f}, {max(errors):.1f}" for errors in found))
        row(fields)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells")
    parser.add_argument("--for", dest="seconds", type=float, default=float("inf"))
    arguments = parser.parse_args()
    table = Table(arguments.cells, time.monotonic() + arguments.seconds)
    with houses.House(cards_only=True) as house:
        while table.missing():
            run_together(house, table, *table.missing()[0][:2])
        if len(table.cells) < len(CELLS):
            return
        run_mixes(house)
        run_bursts(house)
    print_table(table)
    times, work = errors_of(table.cells.values())
    print("meter.share_error_mean_points", f"{statistics.mean(times):.2f}", "points", "<= 1", sep="\t")
    print("meter.share_error_table_max_points", f"{max(times):.2f}", "points", "<= 3", sep="\t")
    print("meter.work_error_mean_points", f"{statistics.mean(work):.2f}", "points", sep="\t")
    print("meter.work_error_max_points", f"{max(work):.2f}", "points", sep="\t")


if __name__ == "__main__":
    main()
