"""Remote CUDA cards on the fake driver: an executor calls it for a program that has only a socket."""
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

import house as houses
from cuda_house import CUDA_ENVIRONMENT, DRIVER, MIB, PROBE, PROGRAM, CudaHouse
from house import eventually
from relay import Lender

SIZE = ("--memory", "64MiB", "--share", "50%")
LINES = 10  # that PROGRAM prints of all that it does


@pytest.fixture
def cuda():
    with CudaHouse() as running:
        yield running


def run(cuda, lease, *words, program=PROGRAM, **environment):
    started = cuda.start_program(lease, program, *words, **environment)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 0 and not err, err
    return out


def at_rest(cuda, name):
    """Nothing of the program is left: neither by the card's books nor by the device's own."""
    eventually("rest", lambda: cuda.show(name)["sessions"] == 0 == cuda.show(name)["memory_used_bytes"])
    subprocess.run([PROBE, "numbers"], env=dict(cuda.environment, LD_PRELOAD=DRIVER), capture_output=True, check=True)
    assert cuda.truth()["used"] == 0  # the fake device looks after its dead when somebody comes


def test_threads_everywhere(cuda):
    """Threads with streams and memory of their own, in one context and in several."""
    direct = dict(cuda.environment, LD_PRELOAD=DRIVER)
    plain = subprocess.run([PROGRAM, "threads", "8"], env=direct, capture_output=True, text=True, check=True).stdout
    assert plain == "threads 8, wrong 0\n"
    for lease in (cuda.lease("local", share_permille=500), cuda.lease("remote", share_permille=500, remote=True)):
        assert run(cuda, lease, "threads", 8) == plain


def test_same_answer_everywhere(cuda):
    """One program on the driver, on a local card and on a remote one, also where each call waits for its outcome."""
    direct = dict(cuda.environment, LD_PRELOAD=DRIVER)
    plain = subprocess.run([PROGRAM, "all"], env=direct, capture_output=True, text=True, check=True).stdout
    local, remote = cuda.lease("local", share_permille=500), cuda.lease("remote", share_permille=500, remote=True)
    assert plain.count("\n") == LINES
    assert run(cuda, local, "all") == plain == run(cuda, remote, "all")
    assert run(cuda, remote, "all", LEAT_CARD_STRICT="1") == plain
    # Nothing but the socket: no driver to be found.
    assert run(cuda, remote, "all", LEAT_CUDA_DRIVER="/nowhere", LD_LIBRARY_PATH="") == plain
    assert run(cuda, remote, "numbers", program=PROBE) == "2 3 4 5\n"
    at_rest(cuda, "remote")


def test_memory_comes_back_as_it_was(cuda):
    """Suspended and resumed, a program's memory is the same at the same addresses, and meanwhile the device has none of it.
    What was made before still works: kernels, graphs."""
    lease = cuda.lease("a", 64 * MIB, remote=True)
    program = cuda.start_program(lease, PROGRAM, "keep", 20 * MIB)
    first = program.stdout.readline()
    for _ in range(2):
        held = cuda.show("a")["memory_used_bytes"]
        assert cuda.truth()["used"] == held > 20 * MIB
        cuda.card("card.suspend", card="a")
        assert (cuda.truth()["used"], cuda.show("a")["memory_used_bytes"], cuda.show("a")["state"]) == (0, 0, "suspended")
        program.stdin.write("\n")
        program.stdin.flush()
        eventually("wanted", lambda: cuda.show("a")["share_wanted"])
        cuda.card("card.resume", card="a")
        assert program.stdout.readline() == first
        assert cuda.truth()["used"] == held == cuda.show("a")["memory_used_bytes"]
    out, err = program.communicate(timeout=60)
    assert program.returncode == 0 and not err and out == "launches 6\n"
    at_rest(cuda, "a")


def test_a_remote_card_stays_on_its_device(cuda):
    program = cuda.start_program(cuda.lease("a", 64 * MIB, remote=True), PROGRAM, "keep", MIB)
    first = program.stdout.readline()
    with pytest.raises(houses.CardError) as caught:
        cuda.card("card.move", card="a", device="cuda-1")
    assert caught.value.code == "other-device"
    assert program.communicate("\n", timeout=60)[0].startswith(first)


def test_the_quota_is_exact(cuda):
    """To the last granule, with the driver's own code; what is freed can be had again at once."""
    lease = cuda.lease("a", 64 * MIB, remote=True)
    assert "whole=67108864 total=67108864 over=2 over_async=801 full=2 left=0" in run(cuda, lease, "codes", program=PROBE)
    holder = cuda.start_program(lease, PROBE, "hold", 48 * MIB)
    assert holder.stdout.readline() == "held\n"
    _, err = cuda.start_program(lease, PROBE, "hold", 17 * MIB).communicate(timeout=60)
    assert ": 2\n" in err and cuda.truth()["peak"] == 64 * MIB
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    at_rest(cuda, "a")
    assert "left=0" in run(cuda, lease, "codes", program=PROBE)


def test_what_fails_behind_a_posted_call_is_told():
    """By the next call that waits; in strict mode by the call itself."""
    with CudaHouse(LEAT_FAKE_CUDA_FAIL="cuLaunchKernel") as cuda:
        lease = cuda.lease("a", 64 * MIB, remote=True)
        for strict, told in (("0", "cuCtxSynchronize()"), ("1", "cuLaunchKernel(")):
            program = cuda.start_program(lease, PROBE, "numbers", LEAT_CARD_STRICT=strict)
            assert f"{told}" in (err := program.communicate(timeout=60)[1]) and ": 719\n" in err


def test_the_runtime_library_is_told_why(cuda):
    program = cuda.start_program(cuda.lease("a", 64 * MIB, remote=True), PROBE, "resolve")
    _, err = program.communicate(timeout=60)
    assert "CUDA runtime library" in err and program.returncode != 0


def test_card_exec(cuda):
    done = cuda.leat("card", "exec", "--cuda", "--remote", *SIZE, "--stats", "--", PROGRAM, "all")
    assert done.stdout.count("\n") == LINES and "posted" in done.stderr
    refused = cuda.leat("card", "exec", "--remote", *SIZE, "--", "true", check=False)
    assert refused.returncode != 0 and "--cuda" in refused.stderr


def test_shares_of_remote_cards(cuda):
    """A launch is gated and measured in the executor as it is in a local program."""
    lease = cuda.lease("a", 64 * MIB, 400, remote=True)
    before = cuda.truth()["busy_ns"]
    run(cuda, lease, "spin", 300, 1000, "plain", program=PROBE)
    figures = cuda.show("a")
    assert figures["device_time_ns"] > 0 and figures["throttled_ns"] > 0
    assert abs(figures["device_time_ns"] - (cuda.truth()["busy_ns"] - before)) < 50e6


def test_card_of_another_host(cuda):
    """Over TLS the program says the same, and leaves nothing behind on either host."""
    here = cuda.leat("card", "exec", "--cuda", *SIZE, "--", PROGRAM, "all").stdout
    with Lender(cuda, f"127.0.0.1:{20000 + os.getpid() % 10000}") as lender:
        there = cuda.leat("card", "exec", "--cuda", *lender.options(), *SIZE, "--", PROGRAM, "all")
        assert there.stdout == here and not there.stderr
        eventually("no cards", lambda: not cuda.card("card.list")["cards"])


def test_a_child_has_a_session_of_its_own(cuda):
    lease = cuda.lease("a", 64 * MIB, remote=True)
    assert run(cuda, lease, "child") == "numbers 2 3, those of the child 2 3\n"
    at_rest(cuda, "a")


def test_a_thread_that_waits_holds_up_no_other(cuda):
    """While four threads wait for a kernel of some seconds, in all ways, a fifth has its calls answered."""
    out = run(cuda, cuda.lease("a", 64 * MIB, remote=True), "beside", 100)
    assert out.endswith(" busy=600\n")
    at_rest(cuda, "a")


def test_a_job_with_a_remote_card():
    """It sees nothing of the driver, and `leat explain` says why a program on the runtime library has failed."""
    with tempfile.TemporaryDirectory(prefix="leat-", dir="/dev/shm") as folder:
        with houses.House(environment=dict(CUDA_ENVIRONMENT, LEAT_FAKE_CUDA=os.path.join(folder, "truth"))) as house:
            words = ("run", "--cuda", "--remote", *SIZE)
            assert house.leat(*words, PROGRAM, "all").stdout.count("\n") == LINES
            assert house.leat(*words, "--", "ls", "/run/cuda").stdout == "libcuda.so.1\n"
            assert house.leat(*words, PROBE, "resolve", check=False).returncode != 0
            answer = house.get("/v1/jobs/3/explain")
            assert answer["code"] == "cuda-runtime" and "without --remote" in answer["text"]
            assert "CUDA runtime library" in house.leat("explain", "3").stdout


def test_an_idle_job_gives_its_memory_away(tmp_path):
    """The card of a job that waits leaves the device, and comes back to it, with the same contents, when the program goes on."""
    shutil.copy(PROGRAM, tmp_path / "program")
    os.mkfifo(tmp_path / "lines")
    with tempfile.TemporaryDirectory(prefix="leat-", dir="/dev/shm") as folder:
        with houses.House(environment=dict(CUDA_ENVIRONMENT, LEAT_FAKE_CUDA=os.path.join(folder, "truth"))) as house:
            job = house.submit(interface="cuda-remote", image="host", workdir=str(tmp_path), memory="64MiB", share="50%",
                               command=["sh", "-c", f"/work/program keep {20 * MIB} < /work/lines"], idle_after="1s",
                               idle="memory")["id"]
            with open(os.open(tmp_path / "lines", os.O_RDWR), "w", encoding="utf-8") as lines:  # which waits for no reader
                first = eventually("its first sum", lambda: house.logs(job).rstrip("\n"))
                eventually("its card leaves", lambda: house.get(f"/v1/cards/{job}")["state"] == "suspended")
                assert house.get(f"/v1/cards/{job}")["memory_used_bytes"] == 0
                lines.write("\n")  # and the end, when it is closed
            done = house.wait(job)
            assert done["state"] == "succeeded" and done["device"] == "cuda-0", (done, house.logs(job))
            assert house.logs(job) == f"{first}\n{first}\nlaunches 4\n"
