"""CUDA cards on the fake driver: what the card grants is compared with what the device really did."""
import os
import random
import re
import shutil
import signal
import subprocess
import sys

import pytest

import house as houses
from cuda_house import (ALL_SHARES, AT_ONCE, CLOCK, CUDA_ENVIRONMENT, DRIVER, MIB, PROBE, SHARES, STREAM_SHARES, CudaHouse,
                        share_errors)
from house import eventually

@pytest.fixture
def cuda():
    with CudaHouse() as running:
        yield running


def figures(line):
    return {key: float(value) for key, value in (word.split("=") for word in line.split())}


def table(*words):
    return subprocess.run([sys.executable, os.path.join(houses.ROOT, "src/card/gen/cuda.py"), *words],
                          capture_output=True, text=True, check=False)


TABLE = os.path.join(houses.ROOT, "src/card/gen/cuda.table")


def test_coverage_page(tmp_path):
    """docs/cuda-coverage.md is what the table says."""
    page = tmp_path / "page"
    assert table("coverage", TABLE, str(page)).returncode == 0
    with open(os.path.join(houses.ROOT, "docs/cuda-coverage.md"), encoding="utf-8") as shipped:
        assert shipped.read() == page.read_text()


def test_unclassified_names_are_refused(tmp_path):
    """A header with one more function, a row of an unknown class, a hook without parameters."""
    header = tmp_path / "header.h"
    header.write_text("CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr *p, size_t n);\nCUresult CUDAAPI cuMadeUp(void);\n")
    stamp = tmp_path / "stamp"  # what the build waits for
    checked = table("check", TABLE, str(header), str(stamp))
    assert checked.returncode == 1 and "cuMadeUp is not classified" in checked.stdout and not stamp.exists()
    header.write_text("CUresult CUDAAPI cuMemAlloc_v2(CUdeviceptr *p, size_t n);\n")
    assert table("check", TABLE, str(header), str(stamp)).returncode == 0 and stamp.exists()
    doctored = tmp_path / "table"
    for row in ("cuMadeUp", "unknown cuMadeUp", "account cuMadeUp", "pass cuInit\npass cuInit"):
        doctored.write_text(row + "\n")
        assert table("api", str(doctored), str(tmp_path / "out")).returncode != 0, row


def test_exports_are_the_interface():
    """Nothing but the table's names is exported, and the driver is not linked."""
    library = os.path.join(houses.BUILD, "src/card/cuda/libcuda.so.1")
    symbols = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    with open(os.path.join(houses.ROOT, "docs/cuda-coverage.md"), encoding="utf-8") as page:
        assert names == {line.split("`")[1] for line in page if line.startswith("| `")}


    sections = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    assert {line.split("[")[1].rstrip("]") for line in sections.splitlines() if "(NEEDED)" in line} <= {
        "libc.so.6", "ld-linux-x86-64.so.2"}  # the loader finds variables of threads; it is libc's


def test_a_program_notices_nothing(cuda):
    """No output, no signal handlers, no umask, no errno."""
    assert cuda.probe(cuda.lease("a"), "manners") == "changed=0"


def test_many_start_at_once(cuda):
    """Each finds its own slot, and those of the dead serve again."""
    tokens = [cuda.lease(name, 64 * MIB, 500)["token"] for name in "ab"]
    for _ in range(3):
        assert figures(cuda.probe({"token": ""}, "crowd", 150, *tokens))["failed"] == 0
    eventually("slots free", lambda: cuda.show("a")["sessions"] == 0 == cuda.show("b")["sessions"])


def test_a_slot_is_nobody_elses(cuda):
    """A killed and a refused process leave no room for a third that was not there before."""
    lease = cuda.lease("a", 64 * MIB)
    first, second = (cuda.start_probe(lease, "hold", 24 * MIB) for _ in range(2))
    assert first.stdout.readline() == second.stdout.readline() == "held\n"
    first.kill()
    first.communicate()
    eventually("gone", lambda: cuda.show("a")["memory_used_bytes"] == 24 * MIB)
    _, err = cuda.start_probe(lease, "hold", 41 * MIB).communicate(timeout=60)
    assert ": 2\n" in err
    third = cuda.start_probe(lease, "hold", 40 * MIB)
    assert third.stdout.readline() == "held\n"
    _, err = cuda.start_probe(lease, "hold", 1).communicate(timeout=60)
    assert ": 2\n" in err and cuda.truth()["peak"] <= 64 * MIB
    for program in (second, third):
        program.communicate("\n", timeout=60)


def test_kills_while_starting(cuda):
    """Processes that are killed at any point of their start leave nothing that the next would wait for, with leat-cardd and
    without."""
    lease = cuda.lease("a", 64 * MIB)
    limits = dict(cuda.environment, CUDA_DEVICE_MEMORY_LIMIT="64m", CUDA_DEVICE_MEMORY_SHARED_CACHE=os.path.join(cuda.folder, "c"))
    for number in range(20):
        victims = [cuda.start_probe(lease, "hold", MIB), subprocess.Popen([PROBE, "hold", str(MIB)], env=limits,
                                                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)]
        for victim in victims:
            try:
                victim.wait(number / 1000)  # somewhere on its way
            except subprocess.TimeoutExpired:
                victim.kill()
            victim.communicate()
    assert figures(cuda.probe(lease, "codes"))["full"] == 2
    alone = subprocess.run([PROBE, "codes"], env=limits, capture_output=True, text=True, check=True, timeout=60)
    assert figures(alone.stdout)["full"] == 2
    eventually("free", lambda: cuda.show("a")["memory_used_bytes"] == 0)


def test_many_blocks(cuda):
    """What is allocated is found again among thousands, without a walk through them."""
    assert figures(cuda.probe(cuda.lease("a"), "blocks", 20000)) == {"blocks": 20000, "wrong": 0}
    assert cuda.show("a")["memory_used_bytes"] == 0 == cuda.truth()["used"]


def test_every_scenario_has_its_test():
    """The page's rows are numbered without a gap, and each names tests that exist."""
    with open(os.path.join(houses.ROOT, "docs/cuda-scenarios.md"), encoding="utf-8") as page:
        rows = [re.match(r"\| (\d+) \|", line) and line for line in page]
    rows = [row for row in rows if row]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named and not [name for name in named if name not in globals()], row


def test_same_answer_on_driver_and_card(cuda):
    direct = dict(cuda.environment, LD_PRELOAD=DRIVER)
    plain = subprocess.run([PROBE, "numbers"], env=direct, capture_output=True, text=True, check=True).stdout.strip()
    assert plain == "2 3 4 5" == cuda.probe(cuda.lease("a"), "numbers")


def test_card_exec(cuda):
    words = ("card", "exec", "--cuda", "--memory", "64MiB", "--share", "50%")
    done = cuda.leat(*words, "--stats", "--", PROBE, "codes")
    assert figures(done.stdout)["whole"] == 64 * MIB
    assert "card on cuda-0" in done.stderr
    shown = cuda.leat(*words, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES $LD_LIBRARY_PATH").stdout
    assert shown.startswith("GPU-00000000-0000-0000-0000-000000000000 /") and "card/cuda" in shown
    both = cuda.leat(*words, "--device", "cuda-1,cuda-0", "--stats", "--", PROBE, "devices")
    assert both.stdout.strip() == ("count=2 total=64/64 beyond=101 pooled=64/56 virtual=64/56 released=64/56 graph=64/56 "
                                   "current=64/43 rest=64/64 over=2")
    assert re.findall(r"card on (\S+)", both.stderr) == ["cuda-1", "cuda-0"] and cuda.truth(0)["peak"] > 0
    for several in (("--remote",), ("--on", "127.0.0.1:1", "--host-token", "x")):
        refused = cuda.leat(*words, "--device", "cuda-0,cuda-1", *several, "--", "true", check=False)
        assert refused.returncode != 0 and "several devices" in refused.stderr
    refused = cuda.leat(*words, "--device", "cpu-0", "--", "true", check=False)
    assert refused.returncode != 0 and "CUDA" in refused.stderr


def test_without_a_card_everything_passes(cuda):
    free = subprocess.run([PROBE, "codes"], env=cuda.environment, capture_output=True, text=True, check=True).stdout
    assert figures(free)["whole"] == 8 << 30


def test_return_codes_and_figures(cuda):
    got = figures(cuda.probe(cuda.lease("a", 64 * MIB), "codes"))
    assert got == {"whole": 64 * MIB, "total": 64 * MIB, "over": 2, "over_async": 2, "full": 2, "left": 0, "unknown": 1,
                   "never": 801, "missing": 500}


def test_graphs_that_allocate(cuda):
    """Charged when they are uploaded or launched, with what the device's graph memory grows by; refused at the quota only, and
    at once when there could never be room. Idle graph memory serves other graphs, and makes room for everything else."""
    got = figures(cuda.probe(cuda.lease("a", 64 * MIB), "graphs"))
    assert got == {"made": 64, "uploaded": 40, "launched": 40, "never": 2, "shared": 16, "refused": 2, "refused_upload": 2,
                   "refused_params": 2, "trimmed": 48, "inside": 24, "captured": 16, "beside": 2, "left": 0}
    assert cuda.truth()["peak"] == 64 * MIB


def test_parts_of_a_divided_device_are_devices():
    """MIG: the parts are listed instead of the whole, with what their programs know them by."""
    with CudaHouse(LEAT_FAKE_MIG="2") as cuda:
        devices = [d for d in cuda.card("device.list")["devices"] if d["kind"] == "cuda"]
        assert [(d["id"], d["index"], d["memory_bytes"], d["uuid"].split("-")[0], d.get("part")) for d in devices] == [
            ("cuda-0", 0, 8 << 30, "GPU", None), ("cuda-1", 1, 4 << 30, "MIG", "1/0"), ("cuda-2", 1, 4 << 30, "MIG", "2/0")]
        shown = cuda.leat("card", "exec", "--cuda", "--device", "cuda-2", "--memory", "1GiB", "--share", "50%", "--",
                          "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").stdout
        assert shown.strip() == devices[2]["uuid"]


def test_a_removed_card_refuses(cuda):
    lease = cuda.lease("a")
    cuda.card("card.remove", card="a")
    _, err = cuda.start_probe(lease, "numbers").communicate(timeout=60)
    assert "cuMemAlloc_v2(&memory, sizeof(values)): 802" in err


def test_a_local_card_stays_on_its_device(cuda):
    cuda.lease("a")
    for op, members in (("card.suspend", {}), ("card.move", {"device": "cuda-1"})):
        with pytest.raises(houses.CardError) as caught:
            cuda.card(op, card="a", **members)
        assert caught.value.code == "card-local"


OURS = {"LD_LIBRARY_PATH": os.path.join(houses.BUILD, "src/card/cuda")}


def test_nvml_tells_of_the_card(cuda):
    """One device with the card's memory and processes; the other device is not there, and nothing can be set."""
    got = figures(cuda.probe(cuda.lease("a", 64 * MIB), "nvml", **OURS))
    assert got == {"count": 1, "index": 0, "total": 64 * MIB, "used": MIB, "free": 63 * MIB, "total_v2": 64 * MIB,
                   "used_v2": MIB, "busy": 0, "processes": 1, "full": 7, "own": 1, "held": MIB, "second": 2,
                   "second_total": 0, "uuid": 0, "other_uuid": 6, "bus": 0, "set": 3}


def test_nvml_without_a_card_is_the_librarys_own(cuda):
    there = dict(cuda.environment, **OURS)
    got = figures(subprocess.run([PROBE, "nvml"], env=there, capture_output=True, text=True, check=True).stdout)
    assert got["count"] == 2 and got["total"] == 8 << 30 and got["other_uuid"] == 0 and got["busy"] == 77


def test_limits_of_the_environment(cuda):
    """HAMi's names make a card without leat-cardd: shared by the processes of a container, exact, and free again after a
    kill."""
    limits = {"CUDA_DEVICE_MEMORY_LIMIT_0": "64m", "CUDA_DEVICE_SM_LIMIT": "30",
              "CUDA_DEVICE_MEMORY_SHARED_CACHE": os.path.join(cuda.folder, "cache")}
    there = dict(cuda.environment, **limits)

    def run(*words, **more):
        return subprocess.run([PROBE, *words], env=dict(there, **more), capture_output=True, text=True, check=True).stdout

    assert figures(run("codes", CUDA_DISABLE_CONTROL="true"))["whole"] == 64 * MIB  # no way out by a variable of one's own
    holder = subprocess.Popen([PROBE, "hold", str(48 * MIB)], env=there, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    assert figures(run("nvml", **OURS))["used"] == 49 * MIB
    second = subprocess.run([PROBE, "hold", str(17 * MIB)], env=there, capture_output=True, text=True, check=False)
    assert second.returncode == 1 and ": 2\n" in second.stderr
    holder.kill()
    holder.communicate()
    assert figures(run("codes"))["full"] == 2  # and all of it could be had before
    clock = {"LD_PRELOAD": CLOCK, "LEAT_FAKE_CLOCK": cuda.truth_file + ".clock"}
    before = cuda.truth()["busy_ns"]
    run("spin", "2000", "1000", "plain", **clock)
    assert abs((cuda.truth()["busy_ns"] - before) / 2e7 - 30) <= 3


# What is left of a card of 64 MiB and one of 128 MiB while memory of the second device is held, in MiB.
ON_SECOND = ("count=2 total=64/128 beyond=101 pooled=64/120 virtual=64/120 released=64/120 graph=64/120 current=64/107 "
             "rest=64/128 over=2")


def test_memory_is_charged_to_its_device(cuda):
    """Of all kinds, whichever device is current when it is taken and when it is given; and each device has its own quota."""
    both = cuda.leases((64 * MIB, 1000), (128 * MIB, 1000))
    assert cuda.probe(both, "devices") == ON_SECOND
    assert [cuda.show(name)["memory_peak_bytes"] for name in ("card-0", "card-1")] == [0, 20 * MIB + 2] == [
        cuda.truth(0)["peak"], cuda.truth(1)["peak"]]
    told = figures(cuda.probe(both, "nvml", **OURS))
    assert (told["count"], told["total"], told["used"], told["second_total"]) == (2, 64 * MIB, MIB, 128 * MIB)
    assert figures(cuda.probe(both, "codes"))["full"] == 2 and cuda.truth(1)["used"] == 0


def test_limits_of_each_device(cuda):
    """A limit with a number is that device's, one without all others'; 0 is none of its own."""
    def told(number, *words, **limits):
        there = dict(cuda.environment, CUDA_DEVICE_MEMORY_SHARED_CACHE=os.path.join(cuda.folder, f"cache-{number}"), **limits)
        return subprocess.run([PROBE, *words], env=there, capture_output=True, text=True, check=True).stdout.strip()

    for number, limits in enumerate([{"CUDA_DEVICE_MEMORY_LIMIT_0": "64m", "CUDA_DEVICE_MEMORY_LIMIT_1": "128m"},
                                     {"CUDA_DEVICE_MEMORY_LIMIT": "64m", "CUDA_DEVICE_MEMORY_LIMIT_1": "128M"},
                                     {"CUDA_DEVICE_MEMORY_LIMIT": "131072k", "CUDA_DEVICE_MEMORY_LIMIT_0": "67108864",
                                      "CUDA_DEVICE_MEMORY_LIMIT_1": "0"}]):
        assert told(number, "devices", **limits) == ON_SECOND
        seen = figures(told(number, "nvml", **OURS, **limits))
        assert (seen["count"], seen["total"], seen["second_total"]) == (2, 64 * MIB, 128 * MIB)
    free = told("free", "devices", CUDA_DEVICE_MEMORY_LIMIT_1="128m")
    assert free == ON_SECOND.replace("64/", "8192/")


@pytest.mark.parametrize("way", ["leases", "limits"])
def test_launches_are_held_to_the_share_of_their_device(cuda, way):
    """One process launches on both devices at once."""
    there = {"LD_PRELOAD": CLOCK, "LEAT_FAKE_CLOCK": cuda.truth_file + ".clock"}
    if way == "leases":
        program = cuda.start_probe(cuda.leases((64 * MIB, 200), (64 * MIB, 600)), "spin", 2000, 500, "devices", **there)
    else:
        there |= dict(cuda.environment, CUDA_DEVICE_SM_LIMIT="60", CUDA_DEVICE_SM_LIMIT_0="20",
                      CUDA_DEVICE_MEMORY_SHARED_CACHE=os.path.join(cuda.folder, "cache"))
        program = subprocess.Popen([PROBE, "spin", "2000", "500", "devices"], env=there, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 0 and not err, err
    got = [cuda.busy_ns(program.pid, device) / 2e7 for device in (0, 1)]
    assert abs(got[0] - 20) <= 3 and abs(got[1] - 60) <= 3, got


def test_resolver(cuda):
    assert cuda.probe(cuda.lease("a"), "resolve") == "wrong=0"


def test_fork(cuda):
    assert cuda.probe(cuda.lease("a"), "fork") == "child=0"


@pytest.mark.parametrize("call", ["cuMemAlloc_v2", "cuMemCreate", "cuMemAllocFromPoolAsync", "cuMemAllocManaged"])
def test_a_failed_allocation_is_not_charged(cuda, call):
    churn = cuda.start_probe(cuda.lease("a", 1 << 30), "churn", 500, 1, LEAT_FAKE_CUDA_FAIL=call)
    assert figures(churn.stdout.readline())["refused"] > 0
    assert cuda.show("a")["memory_used_bytes"] == 0 == cuda.truth()["used"]
    churn.communicate("\n", timeout=30)


def start_and_kill(cuda, both, operations, rounds):
    """Processes that are killed at any point of their way."""
    for seed in range(rounds):
        victim = cuda.start_probe(both, "churn", operations, 1000 + seed)
        try:
            victim.wait(random.Random(seed).random() / 4)
        except subprocess.TimeoutExpired:
            victim.kill()
        victim.communicate()


def test_quota_is_exact_over_many_processes_and_kills(cuda):
    """16 processes on two devices, all families, kills: never a byte over a quota by the devices' own count, nothing leaks, the
    ledgers are the truth at rest. LEAT_LONG=1: 10^6 operations of those that live, beside 40 that are killed."""
    long, quotas = os.environ.get("LEAT_LONG"), (256 * MIB, 160 * MIB)
    operations, survivors, names = 62500 if long else 4000, 16 if long else 12, ("card-0", "card-1")
    both = cuda.leases(*((quota, 1000) for quota in quotas))
    victims = [cuda.start_probe(both, "churn", operations, seed) for seed in range(4)]
    running = [cuda.start_probe(both, "churn", operations, 10 + seed) for seed in range(survivors)]
    eventually("work", lambda: cuda.truth(0)["used"] > 0 < cuda.truth(1)["used"])
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    start_and_kill(cuda, both, operations, 36 if long else 0)
    results = [figures(p.stdout.readline()) for p in running]
    assert all(r["granted"] > 0 and r["refused"] > 0 for r in results)
    for name in names:
        eventually("rest", lambda: cuda.show(name)["memory_used_bytes"] == 0)
    for p in running:
        _, err = p.communicate("\n", timeout=30)
        assert p.returncode == 0 and not err, err
    for device, quota in enumerate(quotas):
        assert quota * 0.8 < cuda.truth(device)["peak"] <= quota
    for name in names:
        eventually("slots free", lambda: cuda.show(name)["sessions"] == 0)
    assert cuda.probe(both, "numbers") == "2 3 4 5"  # the fake devices look after their dead
    assert [cuda.show(name)["memory_used_bytes"] for name in names] == [0, 0]
    print(f"\ncuda.operations={operations * survivors} granted={sum(r['granted'] for r in results):.0f} "
          f"refused={sum(r['refused'] for r in results):.0f} kills={40 if long else 4} "
          f"overshoot_bytes={max(0, *(cuda.truth(d)['peak'] - q for d, q in enumerate(quotas)))} "
          f"leaked_bytes={cuda.truth(0)['used'] + cuda.truth(1)['used']}")


def test_shares():
    """Limits, lengths and ways of launching, alone and with neighbours; LEAT_LONG=1: all of them."""
    errors = []
    for setting in ALL_SHARES if os.environ.get("LEAT_LONG") else SHARES:
        with CudaHouse() as cuda:
            errors += [(abs(error), setting) for error in share_errors(cuda, setting)]
    assert max(errors)[0] <= 3, sorted(errors)[-5:]
    assert sum(error for error, _ in errors) / len(errors) <= 1, errors


def test_shares_of_kernels_that_run_at_once():
    """Time in which kernels of several streams run at once is device time once."""
    settings = [setting for setting, at_once in STREAM_SHARES if at_once] if os.environ.get("LEAT_LONG") else [
        [(30, 50, "many")], [(60, 100, "joined")], [(30, 1000, "streams")]]
    errors = []
    for setting in settings:
        with CudaHouse(**AT_ONCE) as cuda:
            errors += [(abs(error), setting) for error in share_errors(cuda, setting)]
    assert max(errors)[0] <= 3, sorted(errors)[-5:]


def test_streams_come_and_go(cuda):
    """A launch that is measured together with others leaves no trace in a stream that has gone: the driver ends who uses one."""
    assert cuda.probe(cuda.lease("a", share_permille=500), "passing", 400) == "launched=19200"


@pytest.mark.parametrize("policy, state", [("warn", "S"), ("pause", "T"), ("kill", None)])
def test_what_is_taken_past_a_card_is_seen(policy, state):
    """The device's own count of a program against its slot of the ledger; who keeps to the card is left alone."""
    with CudaHouse("--audit", f"{policy},allow=1MiB,every=50ms") as cuda:
        lease = cuda.lease("a", 64 * MIB)
        listening = cuda.control()
        listening("subscribe")
        honest, cheat = (cuda.start_probe(lease, verb, 8 * MIB) for verb in ("hold", "cheat"))
        assert honest.stdout.readline() == cheat.stdout.readline() == "held\n"
        overdrawn = eventually("told", lambda: listening("hello") and [
            e for e in listening.events if e["event"] == "card.overdrawn"])
        assert [(e["pid"], e["policy"], e["device_bytes"] - e["ledger_bytes"]) for e in overdrawn] == [
            (cheat.pid, policy, 8 * MIB)]
        eventually("acted on", lambda: houses.process_state(cheat.pid) in (state, "Z" if policy == "kill" else state))
        assert houses.process_state(honest.pid) == "S"
        cheat.kill()
        for program in (honest, cheat):
            program.communicate("\n", timeout=60)
        assert honest.returncode == 0


def test_a_job_in_a_container():
    """A CUDA program gets a card of a CUDA device and nothing else does; the driver is behind Leat's libraries, read-only."""
    with houses.House(environment=CUDA_ENVIRONMENT) as house:
        words = ("run", "--cuda", "--memory", "64MiB", "--share", "50%")
        assert figures(house.leat(*words, PROBE, "codes").stdout)["whole"] == 64 * MIB
        told = figures(house.leat(*words, PROBE, "nvml").stdout)
        assert told["total"] == 64 * MIB and told["own"] == 1  # a process number of the container's
        shown = house.leat(*words, "--", "sh", "-c", "ls /run/cuda/driver; touch /run/cuda/libcuda.so.1 2>&- || echo no").stdout
        assert shown.split() == ["libcuda.so.1", "libnvidia-ml.so.1", "no"]
        assert {job["device"] for job in house.jobs()} == {"cuda-0"}
        house.leat("run", "-d", "--device", "cuda-1", "--", "true")
        assert "unknown-interface" in house.leat("explain", "4", "--json").stdout


def test_a_job_gives_way_by_stopping_and_starts_again():
    """A local card cannot leave its device. A job that allows it is asked to end within its notice, and goes on from what it
    saved when there is room; one that does not allow it keeps its memory."""
    program = os.path.join(os.path.dirname(__file__), "programs", "cuda_steps.py")
    words = ("submit", "--cuda", "--image", "host", "--device", "cuda-0", "--share", "40%", "--idle-after", "0")
    with houses.House(arguments=("--loan-minimum", "1ms", "--loan-notice", "20s"), environment=CUDA_ENVIRONMENT) as house:
        whole = next(device["memory_bytes"] for device in house.get("/v1/devices")["devices"] if device["id"] == "cuda-0")
        large = str(whole * 3 // 5)
        low = house.leat(*words, "--memory", large, "--priority", "100", "--requeue", "--pre-stop", "exit 0",
                         "--grace", "10s", program).stdout.strip()
        eventually("its steps", lambda: "goes on" in house.logs(low))
        high = house.leat(*words, "--memory", large, "--priority", "900", "--", "sleep", "60").stdout.strip()
        house.wait_state(high, ("running",))
        waits = house.job(low)
        assert waits["state"] == "queued" and waits["requeues"] == 1, waits
        house.leat("stop", "--grace", "0s", high)
        done = house.wait(low)
        assert done["state"] == "succeeded", house.logs(low)
        begin, end = [int(line.split()[-1]) for line in house.logs(low).split("\n") if " at step " in line]
        assert 0 < begin == end - 100, house.logs(low)  # the log is that of the second start
        story = [event["kind"] for event in house.events() if str(event.get("job")) == low]
        taken = story.index("job.preempted")
        assert story.index("job.preempting") < story.index("job.pre_stop") < taken < story.index("job.requeued"), story
        assert "1" in house.leat("show", low).stdout.split("Started again")[1].split("\n")[0]


MPS_CONTROL = """#!/bin/sh
# In place of NVIDIA's: a process that reads lines from its pipe, and leaves at "quit".
mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" && cd "$CUDA_MPS_PIPE_DIRECTORY" && mkfifo -m 666 control || exit 1
( exec <> control > log 2>&1; while read -r line; do echo "$line"; [ "$line" != quit ] || exit 0; done ) &
echo $! > nvidia-cuda-mps-control.pid
"""


def test_mps_is_used_when_asked_and_there(tmp_path):
    """A client sees the daemon's pipes and has its share as percentage; without a daemon the job says what to do."""
    control, pipes = tmp_path / "nvidia-cuda-mps-control", tmp_path / "pipes"
    control.write_text(MPS_CONTROL)
    control.chmod(0o755)
    there = dict(CUDA_ENVIRONMENT, CUDA_MPS_PIPE_DIRECTORY=str(pipes), PATH=f"{tmp_path}:{os.environ['PATH']}")
    with houses.House(environment=there) as house:
        words = ("run", "--cuda", "--mps", "--memory", "64MiB", "--share", "25%", "--", "sh", "-c")
        tell = "echo $CUDA_MPS_ACTIVE_THREAD_PERCENTAGE; echo quit > $CUDA_MPS_PIPE_DIRECTORY/control"
        assert house.leat(*words, tell, check=False).returncode != 0
        answer = house.get("/v1/jobs/1/explain")
        assert answer["code"] == "no-mps" and str(pipes) in answer["text"] and "nvidia-cuda-mps-control -d" in answer["text"]
        subprocess.run(["nvidia-cuda-mps-control", "-d"], env=house.environment, check=True, timeout=30)
        assert house.leat(*words, tell).stdout == "25\n"
        eventually("quit", lambda: (pipes / "log").read_text() == "quit\n")
        eventually("end", lambda: not os.path.exists(f"/proc/{(pipes / 'nvidia-cuda-mps-control.pid').read_text().strip()}"))
        assert house.leat(*words, tell, check=False).returncode != 0  # its pipes are left, and nobody reads them
        assert house.get("/v1/jobs/3/explain")["code"] == "no-mps"
        assert house.leat("run", "--mps", "--", "true", check=False).returncode != 0


def test_driver_files_are_where_nvidias_tool_says(tmp_path):
    """With NVIDIA's container toolkit installed its listing comes before Leat's own search."""
    tool, folder = tmp_path / "nvidia-container-cli", tmp_path / "driver"
    folder.mkdir()
    for name, file in (("libcuda.so.570.1", DRIVER), ("libnvidia-ml.so.570.1", CUDA_ENVIRONMENT["LEAT_NVML_DRIVER"]),
                       ("libnvidia-ptxjitcompiler.so.570.1", DRIVER)):
        shutil.copy(file, folder / name)
    tool.write_text(f"#!/bin/sh\n[ \"$*\" = list ] && echo /dev/nvidiactl && echo /usr/bin/nvidia-smi && ls -d {folder}/*\n")
    tool.chmod(0o755)
    there = {name: value for name, value in CUDA_ENVIRONMENT.items() if name != "LEAT_CUDA_DRIVER"}
    with houses.House(environment=dict(there, PATH=f"{tmp_path}:{os.environ['PATH']}")) as house:
        eventually("listing", lambda: "cuda.listed" in house.log())
        words = ("run", "--cuda", "--memory", "64MiB", "--share", "50%")
        shown = house.leat(*words, "--", "ls", "/run/cuda/driver").stdout
        assert shown.split() == ["libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1"]
        assert figures(house.leat(*words, PROBE, "codes").stdout)["whole"] == 64 * MIB


def test_templates_of_cuda_libraries():
    """Each resolves to a card of a CUDA device; what an image lacks is said."""
    with houses.House(environment=CUDA_ENVIRONMENT) as house:
        for library in ("pytorch", "tensorflow", "jax", "tinygrad", "vllm"):
            filled = house.leat("run", "--dry-run", "--cuda", "--library", library, "--type", "inference", PROBE).stdout
            assert "interface: cuda" in filled and "image: host" in filled, filled
        missing = house.leat("run", "--cuda", "--memory", "64MiB", "--share", "50%", "--", "no-such-program", check=False)
        assert missing.returncode == 127
        text = house.get("/v1/jobs/1/explain")["text"]
        assert "not found" in text and "image host" in text and "--image" in text
