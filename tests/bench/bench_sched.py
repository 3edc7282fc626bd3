#!/usr/bin/python3
"""Measure placement and tenants; one tab-separated line a figure: name, value, unit, target.

usage: bench_sched.py      (LEAT_OPENB names the folder of the openb trace; BENCH_SEEDS how many sequences, 10)

Without LEAT_OPENB only the figures of the running daemon are measured.
"""
import glob
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

SEEDS = int(os.environ.get("BENCH_SEEDS", "10"))
PUBLISHED_FGD = "06-FGD"
MINIMUM_S, NOTICE_S = 0.2, 0.2
RECLAIMS = 5
EXPLAINS = 200


def figure(name, value, unit, target=""):
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    print(f"sched.{name}", text, unit, target, sep="\t", flush=True)


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def simulate(trace, workload, policies):
    """The runs of `leat simulate`: {policy: [run of each sequence]}."""
    sequences = sorted(glob.glob(os.path.join(trace, "sequences", f"{workload}-*.txt")))[:SEEDS]
    words = [os.path.join(houses.BUILD, "src/cli/leat"), "simulate", "--json", "--policy", policies,
             "--nodes", os.path.join(trace, "openb_node_list_gpu_node.csv"),
             "--tasks", os.path.join(trace, f"openb_pod_list_{workload}.csv")]
    for sequence in sequences:
        words += ["--sequence", sequence]
    runs = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["runs"]
    return {policy: [run for run in runs if run["policy"] == policy] for policy in policies.split(",")}


def mean(runs, member):
    return statistics.mean(run[member] for run in runs)


def published_fgd(trace):
    """Allocation at 130 % by sequence, as published, for the workload default."""
    found = {}
    with open(os.path.join(trace, "published_allocation.csv")) as lines:
        columns = next(lines).strip().split(",")
        at = columns.index("130")
        for line in lines:
            row = line.strip().split(",")
            if row[0] == "openb_pod_list_default" and row[1] == PUBLISHED_FGD:
                found[f"default-{row[3]}.txt"] = float(row[at])
    return found


def bench_trace(trace):
    say("the workload default: best-fit, fgd, leat")
    runs = simulate(trace, "default", "best-fit,fgd,leat")
    figure("openb_default_bestfit_130_pct", mean(runs["best-fit"], "allocated_end_percent"), "%", "93.08 +- 0.25")
    figure("openb_default_fgd_130_pct", mean(runs["fgd"], "allocated_end_percent"), "%", "95.39 +- 0.25")
    figure("openb_default_leat_130_pct", mean(runs["leat"], "allocated_end_percent"), "%", ">= 95.65")
    figure("openb_default_leat_95_pct", mean(runs["leat"], "allocated_95_percent"), "%", ">= 94.85")
    theirs = published_fgd(trace)
    won = sum(run["allocated_end_percent"] > theirs[run["sequence"]] for run in runs["leat"])
    figure("openb_default_seeds_won", won, f"of {len(runs['leat'])}", "all")
    figure("decision_1213_p50_us", statistics.median(run["decision_p50_ns"] for run in runs["leat"]) / 1000, "us",
           "<= 20")
    figure("decision_1213_p99_us", statistics.median(run["decision_p99_ns"] for run in runs["leat"]) / 1000, "us",
           "<= 2000")
    for path in sorted(glob.glob(os.path.join(trace, "openb_pod_list_*.csv"))):
        workload = os.path.basename(path)[len("openb_pod_list_"):-len(".csv")]
        if workload == "default":
            continue
        say(f"the workload {workload}")
        runs = simulate(trace, workload, "fgd,leat")
        fgd = mean(runs["fgd"], "allocated_end_percent")
        figure(f"openb_{workload}_leat_130_pct", mean(runs["leat"], "allocated_end_percent"), "%", f">= {fgd - 0.1:.2f}")


def submit(house, tenant, share):
    return house.submit(command=["/bin/true"], image="host", ram="64MiB", memory="64MiB", share=share, tenant=tenant,
                        idle_after=0)["id"]


def end(house, job):
    house.request("POST", f"/v1/jobs/{job}/stop", {"grace": 0})
    house.wait(job)


def bench_reclaims():
    """From an owner's request until its job runs, while a borrower has what it reserved."""
    say("reclaims on a daemon with real cards and no containers")
    arguments = ("--engine", "fake", "--loan-minimum", f"{int(MINIMUM_S * 1000)}ms", "--loan-notice",
                 f"{int(NOTICE_S * 1000)}ms")
    took = []
    with houses.House(arguments=arguments) as house:
        for tenant in ("a", "b"):
            house.request("PUT", f"/v1/tenants/{tenant}", {"reserved_milli": 500})
        for _ in range(RECLAIMS):
            borrower = submit(house, "a", "100%")
            house.wait_state(borrower, ("running",))
            begin = time.monotonic()
            owner = submit(house, "b", "50%")
            house.wait_state(owner, ("running",))
            took.append(time.monotonic() - begin)
            end(house, owner)
            end(house, borrower)
        figure("reclaim_bound_s", house.get("/v1/tenants/b")["bound_ms"] / 1000, "s")
        figure("reclaim_p99_s", max(took), "s", "<= the bound")
        bench_explain(house)


def bench_explain(house):
    holder = submit(house, "a", "100%")
    house.wait_state(holder, ("running",))
    waiting = submit(house, "a", "100%")
    times = []
    for _ in range(EXPLAINS):
        begin = time.monotonic()
        house.get(f"/v1/jobs/{waiting}/explain")
        times.append((time.monotonic() - begin) * 1000)
    figure("explain_p99_ms", sorted(times)[int(EXPLAINS * 0.99)], "ms", "<= 10")
    end(house, waiting)
    end(house, holder)


def bench_properties():
    say("a million random steps of the tenants' book")
    done = subprocess.run([os.path.join(houses.BUILD, "tests/unit/test_tenant")], capture_output=True)
    figure("property_violations", 0 if done.returncode == 0 else 1, "", "0")


def main():
    trace = os.environ.get("LEAT_OPENB")
    if trace:
        bench_trace(trace)
    else:
        say("LEAT_OPENB is not set: no figures of the trace")
    bench_properties()
    bench_reclaims()


if __name__ == "__main__":
    main()
