#!/usr/bin/python3
"""How exactly cards get their shares: limits x lengths of kernels x neighbours, each card's part of the device's time against
what it was granted, while all of them always have work. Lines as run.py prints them; the table goes to standard error.

Two measures that know nothing of each other. Time: what the meter charged the card, in percent of the time that went by; it
misses what was granted also when the device stood still. Work: the rounds of its loop that the card's kernels did, as a part of
what all cards did together; a meter that counted wrongly would show here.

usage: bench_share.py      (LEAT_LONG=1: all limits, lengths and numbers of neighbours, and 5 s for each)
"""
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
SETTLE_SECONDS = 0.3
GRANTED_PERCENT = 95  # of all cards: no program keeps a device busy all the time


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


def measure(house, names, rounds):
    """Percent of the device's time that each card got, and of the work that all did."""
    time.sleep(SETTLE_SECONDS)
    before, start = so_far(house, names), time.monotonic()
    time.sleep(SECONDS)  # the length of the measurement
    after, wall_ns = so_far(house, names), (time.monotonic() - start) * 1e9
    times = [(b[0] - a[0]) / wall_ns * 100 for a, b in zip(before, after)]
    work = [(b[1] - a[1]) * loops for a, b, loops in zip(before, after, rounds)]
    return times, [100 * done / sum(work) for done in work]


def run_together(house, neighbours, kernel_ms, errors, work_errors):
    names = [f"share-{number}" for number in range(neighbours + 1)]
    length = str((SECONDS + SETTLE_SECONDS + 1) * len(LIMITS) * 3 + 30)
    programs, rounds = [], []
    for name in names:
        lease = house.card("card.create", card=name, memory_bytes=128 << 20, share_permille=1000 // len(names))
        programs.append(house.on_card(lease, houses.built("bench_card"), "bursts", length, str(kernel_ms)))
        ready = programs[-1].stdout.readline().split()
        if not ready:
            raise SystemExit(programs[-1].stderr.read() + house.log())
        rounds.append(int(ready[1]))
    for limit in LIMITS:
        permilles = shares_of(limit, neighbours)
        set_shares(house, names, permilles)
        got, work = measure(house, names, rounds)
        errors += [abs(share - permille / 10) for share, permille in zip(got, permilles)]
        work_errors += [abs(part - permille * 100 / sum(permilles)) for part, permille in zip(work, permilles)]
        print(f"# {limit:3} % of {kernel_ms:4} ms kernels, {neighbours} neighbours: "
              + ", ".join(f"{share:.1f} of {permille / 10:.1f}" for share, permille in zip(got, permilles))
              + "; work " + " : ".join(f"{part:.1f}" for part in work),
              file=sys.stderr, flush=True)
    for program in programs:
        program.kill()
        program.communicate()
    for name in names:
        house.card("card.remove", card=name)


def main():
    errors, work_errors = [], []
    with houses.House(cards_only=True) as house:
        for neighbours in NEIGHBOURS:
            for kernel_ms in KERNELS_MS:
                run_together(house, neighbours, kernel_ms, errors, work_errors)
    print("meter.share_error_mean_points", f"{statistics.mean(errors):.2f}", "points", "<= 1", sep="\t")
    print("meter.share_error_table_max_points", f"{max(errors):.2f}", "points", "<= 3", sep="\t")
    print("meter.work_error_mean_points", f"{statistics.mean(work_errors):.2f}", "points", sep="\t")
    print("meter.work_error_max_points", f"{max(work_errors):.2f}", "points", sep="\t")


if __name__ == "__main__":
    main()
