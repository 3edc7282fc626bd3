"""The `leat` command with the real daemons and real containers."""
import json
import os
import pty
import signal
import socket
import subprocess

import house as houses

DEADLINE_S = 120


def start(house, *words):
    return subprocess.Popen([houses.built("leat"), *words], env=house.environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_run_brings_output_and_status(shared_house):
    done = shared_house.leat("run", "--", "sh", "-c", "echo out; echo err >&2; pwd; exit 7", check=False)
    assert done.returncode == 7
    assert sorted(done.stdout.split()) == ["/work", "err", "out"]  # two pipes have no order between them


def test_run_tells_the_signal(shared_house):
    assert shared_house.leat("run", "--", "sh", "-c", "kill -SEGV $$", check=False).returncode == 128 + signal.SIGSEGV


def test_dry_run_starts_nothing(shared_house):
    before = len(shared_house.jobs())
    out = shared_house.leat("run", "--dry-run", "--memory", "96MiB", "--", "true").stdout
    assert "memory: 96MiB" in out and "image: host" in out
    assert len(shared_house.jobs()) == before


def test_workdir_and_environment(shared_house, tmp_path):
    os.chmod(tmp_path, 0o777)
    shared_house.leat("run", "--workdir", str(tmp_path), "--env", "WHO=me", "--", "sh", "-c", "echo $WHO > found")
    assert (tmp_path / "found").read_text() == "me\n"


def test_interrupt_stops_the_job(shared_house):
    run = start(shared_house, "run", "--", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo there; sleep 1000 & wait")
    assert run.stdout.readline() == "there\n"
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=DEADLINE_S)
    assert (run.returncode, out) == (0, "bye\n"), err
    assert "asking job" in err


def test_log_goes_on_over_a_killed_leatd(house):
    """The reader sees every line once, in order, although leatd is killed while the job writes."""
    gate = os.path.join(house.folder, "gate")
    os.makedirs(gate)
    os.chmod(gate, 0o777)
    run = start(house, "run", "--workdir", gate, "--", "sh", "-c",
                "for i in 1 2 3; do echo line $i; done; while ! test -e go; do sleep 0.05; done; echo line 4; exit 5")
    assert [run.stdout.readline() for _ in range(3)] == [f"line {i}\n" for i in (1, 2, 3)]
    house.kill()
    with open(os.path.join(gate, "go"), "w", encoding="utf-8"):
        pass
    house.start()
    out, err = run.communicate(timeout=DEADLINE_S)
    assert (run.returncode, out) == (5, "line 4\n"), err + house.log()


def test_explain_says_why_it_waits(shared_house):
    full = shared_house.leat("submit", "--share", "100%", "--memory", "64MiB", "--", "sleep", "1000").stdout.strip()
    shared_house.wait_state(full, ["running"])
    waits = shared_house.leat("submit", "--share", "60%", "--memory", "64MiB", "--", "true").stdout.strip()
    out = shared_house.leat("explain", waits).stdout
    assert f"Job {waits} is queued" in out and "share 60 %" in out, out
    shared_house.leat("rm", "--force", full)
    assert shared_house.leat("wait", waits).returncode == 0
    shared_house.leat("rm", waits)
    assert not {full, waits} & {str(job["id"]) for job in shared_house.jobs()}


def test_every_list_is_there(shared_house):
    for words in (["device"], ["card"], ["template"], ["image"], ["ps"], ["top"], ["events"], ["version"]):
        shared_house.leat(*words)
        for line in shared_house.leat(*words, "--json").stdout.splitlines():
            json.loads(line)
    assert "host" in shared_house.leat("image", "show", "host").stdout
    assert "command:" in shared_house.leat("template", "show", "opencl-c/training").stdout


def test_refusals_are_clear(shared_house):
    for words, text in ((["run", "--memory", "9999GiB", "--", "true"], "9.8 TiB"),
                        (["run", "--library", "nonsense", "--", "true"], "nonsense"),
                        (["run", "--image", "nonsense", "--", "true"], "nonsense"),
                        (["show", "999999"], "999999"), (["image", "rm", "host"], "host")):
        done = shared_house.leat(*words, check=False)
        assert done.returncode in (1, 125) and text in done.stderr, done.stderr


def test_up_and_down():
    house = houses.House()  # only its folders; the command starts the daemon
    try:
        first = house.leat("up")
        assert "listens at" in first.stdout and "DEVICE" in first.stdout
        again = house.leat("up")
        assert "is up already" in again.stdout
        job = house.leat("submit", "--", "sh", "-c", "sleep 1000").stdout.strip()
        house.wait_state(job, ["running"])
        assert "has ended" in house.leat("down").stderr
        assert "no leatd is up" in house.leat("down").stderr
        house.leat("up")
        assert house.job(job)["state"] == "running"
        house.leat("rm", "--force", job)
        house.leat("down")
    finally:
        house.leat("down", check=False)
        house.finish()


def test_tcp_asks_for_the_token():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    with houses.House(arguments=["--listen", place]) as house:
        with open(os.path.join(house.state_dir, "token"), encoding="utf-8") as file:
            token = file.read().strip()
        assert "cpu" in house.leat("--host", place, "--token", token, "device").stdout
        assert house.leat("--host", f"http://{place}", "--token", token, "run", "--", "true").returncode == 0
        for words in (["--token", token[:-1] + ("0" if token[-1] != "0" else "1")], []):
            done = house.leat("--host", place, *words, "ps", check=False)
            assert done.returncode == 1 and "--token" in done.stderr, done.stderr
        assert "not on this machine" in house.leat("--host", place, "down", check=False).stderr


def test_top_refreshes_on_a_terminal(shared_house):
    terminal, inside = pty.openpty()
    top = subprocess.Popen([houses.built("leat"), "top", "--interval", "10ms"], env=shared_house.environment,
                           stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    shown = b""
    while shown.count(b"leatd at") < 3:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"q")
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        pass  # its end is closed: it has left
    assert top.wait(DEADLINE_S) == 0
    os.close(terminal)


def test_up_says_why_it_failed():
    house = houses.House()
    try:
        done = house.leat("up", "--data-dir", "/nonexistent-folder", check=False)
        assert done.returncode == 1
        assert "/nonexistent-folder" in done.stderr, done.stderr
    finally:
        house.finish()
