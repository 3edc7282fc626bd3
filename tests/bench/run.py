#!/usr/bin/python3
"""Measure, and print one tab-separated line a figure: name, value, unit, target.

usage: run.py [card|cuda|daemon|sched|all]      (BUILD names the build folder; BENCH_SECONDS the length of the share test, 30)

Progress goes to standard error. Nothing is compared with the target here: a figure is printed as it is.
"""
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import bench_cuda  # noqa: E402
import bench_sched  # noqa: E402
import house as houses  # noqa: E402

MIB = 1 << 20
ROUNDS = 3
CALL_ROUNDS, FINISH_ROUNDS, TRAINER_ROUNDS, SGEMM_ROUNDS = 5, 25, 13, 15  # turn by turn: single runs differ by a third
SHARE_SECONDS = float(os.environ.get("BENCH_SECONDS", "30"))
SHARES = {"thirty": 300, "sixty": 600}


def figure(name, value, unit, target=""):
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    print(name, text, unit, target, sep="\t", flush=True)


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def figures(text):
    return {name: float(value) for name, value in (line.split("\t")[:2] for line in text.splitlines() if "\t" in line)}


def medians(runs):
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def run_directly(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def make_card(house, name, memory_bytes, share_permille):
    device = house.card("device.list")["devices"][0]["id"]
    return house.card("card.create", card=name, device=device, memory_bytes=memory_bytes, share_permille=share_permille)


def run_on_card(house, *words, name="bench", memory_bytes=512 * MIB, share_permille=1000):
    """(output, figures of the card at the end) of a program that has a card of its own."""
    program = house.on_card(make_card(house, name, memory_bytes, share_permille), *words)
    out, errors = program.communicate()
    if program.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {program.returncode}\n{out}{errors}\n{house.log()}")
    return out, house.card("card.remove", card=name)


def bench_finish(house):
    """What waits swings most with what else wakes up here: many short runs, each compared with the one beside it."""
    words = [houses.built("bench_card"), "finish"]
    pairs = []
    for _ in range(FINISH_ROUNDS):
        pairs.append([figures(text)["launch_finish_p50_us"] for text in (run_directly(*words), run_on_card(house, *words)[0])])
    figure("card.launch_finish_direct_p50_us", statistics.median(direct for direct, _ in pairs), "us")
    figure("card.launch_finish_p50_us", statistics.median(carded for _, carded in pairs), "us")
    figure("card.launch_finish_over_direct_us", statistics.median(carded - direct for direct, carded in pairs), "us", "<= 3")


def bench_calls(house):
    """The same program on the device and on a card, turn by turn, so that other load hits both."""
    say("calls, launches and copies: directly and on a card")
    words = [houses.built("bench_card")]
    direct, carded = [], []
    for _ in range(CALL_ROUNDS):
        direct.append(figures(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
        carded.append(figures(run_on_card(house, *words)[0]))
    direct, carded = medians(direct), medians(carded)
    local = max(carded["set_arg_p50_ns"], carded["get_info_p50_ns"])
    figure("card.local_call_p50_ns", local, "ns", "<= 60")
    figure("card.local_call_direct_p50_ns", max(direct["set_arg_p50_ns"], direct["get_info_p50_ns"]), "ns")
    figure("card.create_release_p50_ns", carded["create_release_buffer_p50_ns"], "ns", "<= 400")
    figure("card.posted_launch_p50_ns", carded["posted_launch_p50_ns"], "ns", "<= 300")
    figure("card.posted_launch_direct_p50_ns", direct["posted_launch_p50_ns"], "ns")
    if "posted_launch_syscalls_p50" in carded:
        figure("card.posted_launch_syscalls", carded["posted_launch_syscalls_p50"], "calls", "0")
    bench_finish(house)
    figure("card.pipelined_launches_per_s", carded["pipelined_launches_per_s"], "1/s", ">= 200000")
    figure("card.pipelined_over_direct_ratio",
           carded["pipelined_launches_per_s"] / direct["pipelined_launches_per_s"], "")
    figure("card.pipelined_launch_over_direct_us",
           1e6 / carded["pipelined_launches_per_s"] - 1e6 / direct["pipelined_launches_per_s"], "us", "<= 1")
    figure("card.event_poll_p50_ns", carded["event_poll_p50_ns"], "ns", "<= 40")
    figure("card.map_unmap_64mib_p50_us", carded["map_unmap_p50_us"], "us")
    figure("card.map_unmap_64mib_over_direct_us", carded["map_unmap_p50_us"] - direct["map_unmap_p50_us"], "us")
    copies = {name: carded[name] / carded["memcpy_gb_per_s"] for name in ("write_gb_per_s", "read_gb_per_s")}
    figure("card.copy_over_memcpy_ratio", min(copies.values()), "", ">= 0.9")
    figure("card.copy_direct_over_memcpy_ratio",
           min(direct["write_gb_per_s"], direct["read_gb_per_s"]) / direct["memcpy_gb_per_s"], "")


def bench_shares(house):
    """Two compute-bound programs at once: what each got of the device's time while both ran."""
    say(f"compute shares of 30 % and 60 % for {SHARE_SECONDS:g} s")
    programs = {}
    for name, permille in SHARES.items():
        lease = make_card(house, name, 64 * MIB, permille)
        programs[name] = house.on_card(lease, houses.built("bench_load"), "waiting", str(SHARE_SECONDS + 10), "3")
    for program in programs.values():
        if not program.stdout.readline().startswith("ready"):
            raise SystemExit(program.stderr.read() + house.log())
    before, start = {name: house.card("card.show", card=name) for name in SHARES}, time.monotonic()
    time.sleep(SHARE_SECONDS)  # the length of the measurement
    after, wall_ns = {name: house.card("card.show", card=name) for name in SHARES}, (time.monotonic() - start) * 1e9
    commands = {name: figures(program.communicate()[0])["commands"] for name, program in programs.items()}
    worst = 0.0
    for name, permille in SHARES.items():
        share = (after[name]["device_time_ns"] - before[name]["device_time_ns"]) / wall_ns * 100
        worst = max(worst, abs(share - permille / 10))
        figure(f"meter.share_{name}_percent", share, "%", f"{permille // 10} +- 3")
        house.card("card.remove", card=name)
    figure("meter.share_error_max_points", worst, "points", "<= 3")
    figure("meter.work_ratio_sixty_to_thirty", commands["sixty"] / commands["thirty"], "", "2")


def bench_ledger(house):
    say("memory pressed against the quota by four processes that are killed")
    quota = 48 * MIB
    out, end = run_on_card(house, houses.built("quota_storm"), str(quota), "1000000", "4", "1", memory_bytes=quota)
    found = figures(out)
    figure("ledger.overshoot_bytes", max(found["overshoot_bytes"], end["memory_peak_bytes"] - quota, 0.0), "bytes", "0")
    figure("ledger.storm_operations", found["operations"], "", ">= 1000000")
    figure("ledger.storm_kills", found["kills"], "")
    figure("ledger.storm_refusals", found["refusals"], "")


def bench_demo(house):
    say("the trainer of the demo")
    words = [houses.built("digits"), "--report", "100", "--steps"]
    run_on_card(house, *words, "20")  # kernels are compiled now
    start = time.monotonic()
    out, long = run_on_card(house, *words, "2000")
    seconds = time.monotonic() - start
    _, short = run_on_card(house, *words, "1000")
    steps = 1000  # the difference leaves the start out
    accuracy = float(out.rsplit("validation accuracy", 1)[1].split()[0])
    start = time.monotonic()
    subprocess.run([*words, "2000"], capture_output=True, check=True)
    figure("demo.accuracy", accuracy, "", ">= 0.95")
    figure("card.second_start_builds", short["builds"], "builds", "0")
    figure("demo.records_per_step", (long["records"] - short["records"]) / steps, "", "<= 16")
    figure("card.demo_waits_per_step", (long["calls_waited"] - short["calls_waited"]) / steps, "", "<= 1")
    figure("demo.calls_answered_locally_per_step", (long["calls_local"] - short["calls_local"]) / steps, "")
    figure("demo.seconds", seconds, "s")
    figure("demo.seconds_over_direct_ratio", seconds / (time.monotonic() - start), "")


def median_ratio(figures_there, figures_here):
    return statistics.median(there / here for there, here in zip(figures_there, figures_here))


def bench_programs(house):
    """Seconds of whole programs on a card over seconds directly, turn by turn, without start and compilation; medians of pairs,
    for the machine's pace changes by more than the figure from one to the next."""
    say("slow-down of the trainer and of CLBlast's SGEMM")
    digits = [houses.built("digits"), "--report", "256", "--steps"]
    times = {"direct": [], "card": []}
    for _ in range(TRAINER_ROUNDS):
        for where, run in (("direct", run_directly), ("card", lambda *words: run_on_card(house, *words))):
            spent = []
            for steps in ("200", "1200"):
                start = time.monotonic()
                run(*digits, steps)
                spent.append(time.monotonic() - start)
            times[where].append(spent[1] - spent[0])
    figure("card.demo_slowdown_ratio", median_ratio(times["card"], times["direct"]), "", "<= 1.02")
    if not os.path.exists(houses.built("sgemm")):
        return
    direct, carded = [], []
    for _ in range(SGEMM_ROUNDS):
        direct.append(figures(run_directly(houses.built("sgemm"), "512", "30"))["sgemm_p50_ms"])
        carded.append(figures(run_on_card(house, houses.built("sgemm"), "512", "30")[0])["sgemm_p50_ms"])
    figure("card.sgemm512_slowdown_ratio", median_ratio(carded, direct), "", "<= 1.02")
    few, many = (run_on_card(house, houses.built("sgemm"), "64", calls)[1] for calls in ("20", "120"))
    figure("card.blas_crossings_per_call", (many["records"] - few["records"]) / 100, "records", "<= 2")


def bench_second_start(house):
    """A small program from its start to its end, directly and on a card in turn, once everything is compiled and kept."""
    say("second starts of a program")
    words, lease = [houses.built("hello")], make_card(house, "hello", 64 * MIB, 1000)
    times = {"direct": [], "card": []}
    for _ in range(2 * ROUNDS + 1):
        for where in times:
            start = time.monotonic()
            if where == "direct":
                run_directly(*words)
            elif (program := house.on_card(lease, *words)).wait() != 0:
                raise SystemExit(program.communicate()[1] + house.log())
            times[where].append(time.monotonic() - start)
    house.card("card.remove", card="hello")
    direct, carded = (statistics.median(times[where][1:]) for where in times)  # the first ones compile
    figure("card.second_start_ms", carded * 1e3, "ms")
    figure("card.second_start_over_direct_ratio", carded / direct, "", "<= 1.1")


def bench_kill():
    say("twenty kills at random moments")
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(HERE), "e2e", "kill_storm.py"), "--kills", "20"],
                          stdout=subprocess.PIPE, text=True, check=False)
    sys.stdout.write(done.stdout)
    sys.stdout.flush()


def bench_card():
    for script in ("bench_start.py", "bench_relay.py", "bench_suspend.py", "bench_share.py"):
        subprocess.run([sys.executable, os.path.join(HERE, script)], check=True)
    with houses.House(cards_only=True) as house:
        for part in (bench_calls, bench_second_start, bench_programs, bench_shares, bench_ledger, bench_demo):
            part(house)


def bench_daemon():
    """The daemon's own bench prints finished lines."""
    script = os.path.join(HERE, "bench_daemon.py")
    if os.path.exists(script):
        subprocess.run([sys.executable, script], check=True)
    bench_kill()


def bench_cuda_cards():
    bench_cuda.bench(figure, say)


def main():
    parts = {"card": [bench_card], "daemon": [bench_daemon], "sched": [bench_sched.main],
             "cuda": [bench_cuda_cards], "all": [bench_card, bench_cuda_cards, bench_daemon]}
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    if wanted not in parts or len(sys.argv) > 2:
        raise SystemExit(__doc__)
    for part in parts[wanted]:
        part()


if __name__ == "__main__":
    main()
