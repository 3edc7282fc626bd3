"""The `leat` command against canned answers: what it asks, what it prints, how it exits."""
import json
import os
import re
import signal
import subprocess
import threading

import pytest

from fake_leatd import FakeLeatd

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
LEAT = os.path.join(BUILD, "src/cli/leat")
DEADLINE_S = 60

JOB = {
    "id": "12", "name": "digits", "tenant": "default", "library": "opencl-c", "type": "training",
    "image": "host", "state": "running", "code": "running", "text": "the program runs",
    "command": ["./digits", "--epochs", "3"], "program": "/home/me/digits",
    "memory_bytes": 2 << 30, "share_permille": 500, "device": "cpu-0", "network": "outbound",
    "cpus_milli": 1500, "ram_bytes": 1 << 30, "idle_after_ms": 600000,
    "created": "2026-01-31T09:15:00.123Z", "started": "2026-01-31T09:15:01.000Z", "ended": None,
    "exit_status": None, "signal": None, "oom": False, "directory": "/var/lib/leat/jobs/12",
    "usage": {"memory_peak_bytes": 3 << 20, "memory_used_bytes": 2 << 20, "device_time_ns": 3400000000,
              "share_measured_permille": 480, "share_granted_permille": 500, "calls_local": 1000000,
              "calls_posted": 23456, "calls_waited": 7, "records": 23463, "idle_ms": 0,
              "released_permille": 0, "commands": 23000},
    "prediction": {"duration_ms": 61000, "basis": "3 earlier runs"},
}
ENDED = dict(JOB, state="succeeded", text="exit status 0", exit_status=0, ended="2026-01-31T09:16:00.000Z")
DEVICE = {"id": "cpu-0", "name": "cpu-skylake", "vendor": "GenuineIntel", "platform": "Portable Computing Language",
          "kind": "cpu", "driver": "3.1", "memory_bytes": 24 << 30, "max_alloc_bytes": 6 << 30,
          "compute_units": 2, "granted_bytes": 2 << 30, "granted_permille": 500, "cards": 1}
CARD = {"card": "12", "device": "cpu-0", "memory_quota_bytes": 2 << 30, "memory_used_bytes": 0,
        "memory_peak_bytes": 3 << 20, "share_permille": 500, "share_asked_permille": 500,
        "device_time_ns": 3400000000, "throttled_ns": 0, "idle_ms": 250, "age_ms": 61000, "sessions": 1,
        "sessions_total": 1, "commands": 23000, "refusals": 0, "calls_local": 1000000,
        "calls_posted": 23456, "calls_waited": 7, "records": 23463, "share_wanted": False,
        "carried_to_device_bytes": 244 << 20, "line_to_device_bytes": 122 << 20}
IMAGE = {"name": "pyopencl", "state": "ready", "size_bytes": 300 << 20, "created": "2026-01-31T09:15:00Z",
         "text": "Python with pyopencl and numpy"}
TEMPLATE = {"library": "opencl-c", "type": "training", "image": "host", "text": "A C program"}
EVENT = {"seq": 41, "time": "2026-01-31T09:15:00.123Z", "kind": "job.state", "job": "12",
         "from": "queued", "to": "starting", "data": {"device": "cpu-0"}}


def problem(status, code, detail):
    return status, {"type": "about:blank", "title": "Refused", "status": status, "detail": detail, "code": code}


@pytest.fixture
def fake(tmp_path):
    server = FakeLeatd(str(tmp_path))
    server.answers = {
        "GET /v1/version": (200, {"version": "0.1.0", "engine": {"engine": "fake"}}),
        "GET /v1/jobs": (200, {"jobs": [JOB], "next_cursor": None}),
        "GET /v1/jobs/12": (200, JOB),
        "GET /v1/jobs/12/wait": (200, ENDED),
        "GET /v1/jobs/12/logs": (200, b"epoch 1\nepoch 2\n", "text/plain"),
        "GET /v1/jobs/12/explain": (200, {
            "job": "12", "state": "queued", "code": "no-room", "text": "no device has 20 GiB free",
            "asked": {"memory_bytes": 20 << 30, "share_permille": 500}, "available": {"memory_bytes": 4 << 30},
            "unblocks": "the end of job 11"}),
        "POST /v1/jobs": (202, dict(JOB, state="queued")),
        "POST /v1/jobs/12/stop": (202, dict(JOB, state="stopping")),
        "DELETE /v1/jobs/12": (204, None),
        "GET /v1/devices": (200, {"devices": [DEVICE]}),
        "GET /v1/devices/cpu-0": (200, DEVICE),
        "GET /v1/cards": (200, {"cards": [CARD]}),
        "GET /v1/cards/12": (200, CARD),
        "GET /v1/templates": (200, {"templates": [TEMPLATE]}),
        "GET /v1/templates/opencl-c/training": (200, TEMPLATE),
        "GET /v1/images": (200, {"images": [IMAGE]}),
        "GET /v1/images/pyopencl": (200, IMAGE),
        "POST /v1/images/pyopencl/build": (202, dict(IMAGE, state="building")),
        "POST /v1/images": (202, dict(IMAGE, state="building")),
        "DELETE /v1/images/pyopencl": (204, None),
        "GET /v1/events": lambda handler, request: (200, {
            "events": [EVENT] if request["query"]["since"] == "0" else [], "last": 41}),
    }
    yield server
    server.close()


def leat(fake, *words, host=None, env=None, **options):
    environment = dict(os.environ, LEAT_HOST=host or fake.socket, **(env or {}))
    return subprocess.run([LEAT, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=DEADLINE_S, check=False, **options)


def start(fake, *words):
    return subprocess.Popen([LEAT, *words], env=dict(os.environ, LEAT_HOST=fake.socket), text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def shows(out, *texts):
    for text in texts:
        assert text in out, f"{text!r} is not in:\n{out}"


# verb, what its output holds, what was asked
SHOWN = [
    (["ps"], ["JOB", "12", "digits", "running", "cpu-0", "2 GiB", "50 %", "ago"], "GET /v1/jobs"),
    (["show", "12"], ["Job:", "./digits --epochs 3", "1.5", "2 GiB", "1,000,000", "10m", "3 earlier runs"],
     "GET /v1/jobs/12"),
    (["logs", "12"], ["epoch 1\nepoch 2\n"], "GET /v1/jobs/12/logs"),
    (["logs", "-f", "12"], ["epoch 1\nepoch 2\n"], "GET /v1/jobs/12/logs"),
    (["wait", "12"], [], "GET /v1/jobs/12/wait"),
    (["stop", "12"], [], "POST /v1/jobs/12/stop"),
    (["rm", "12"], [], "DELETE /v1/jobs/12"),
    (["top"], ["devices: 1; jobs alive: 1", "cpu-0", "digits", "2 MiB", "48 %"], "GET /v1/jobs"),
    (["explain", "12"], ["Job 12 is queued: no device has 20 GiB free.\n", "Asked: memory 20 GiB, share 50 %.\n",
                         "Available: memory 4 GiB.\n", "the end of job 11.\n"], "GET /v1/jobs/12/explain"),
    (["events"], ["2026-01-31T09:15:00.123Z     41  job.state  job 12  queued -> starting"], "GET /v1/events"),
    (["device"], ["cpu-0", "cpu-skylake", "24 GiB", "50 %"], "GET /v1/devices"),
    (["device", "show", "cpu-0"], ["GenuineIntel", "6 GiB"], "GET /v1/devices/cpu-0"),
    (["card", "list"], ["12", "cpu-0", "3 MiB", "3.4 s"], "GET /v1/cards"),
    (["card", "stats"], ["12", "16,393", "5.6 %", "3 MiB"], "GET /v1/cards"),
    (["card", "stats", "12"], ["12", "16,393", "5.6 %", "3 MiB", "2 MiB"], "GET /v1/cards/12"),
    (["card", "show", "12"], ["Memory quota", "1,000,000", "250 ms", "244 MiB", "122 MiB"], "GET /v1/cards/12"),
    (["template", "list"], ["opencl-c", "training", "A C program"], "GET /v1/templates"),
    (["template", "show", "opencl-c/training"], ["library: opencl-c"], "GET /v1/templates/opencl-c/training"),
    (["template", "show", "opencl-c", "training"], ["type: training"], "GET /v1/templates/opencl-c/training"),
    (["image", "list"], ["pyopencl", "ready", "300 MiB"], "GET /v1/images"),
    (["image", "show", "pyopencl"], ["Python with pyopencl"], "GET /v1/images/pyopencl"),
    (["image", "build", "--detach", "pyopencl"], [], "POST /v1/images/pyopencl/build"),
    (["image", "import", "-d", "mine", "/"], [], "POST /v1/images"),
    (["image", "rm", "pyopencl"], [], "DELETE /v1/images/pyopencl"),
    (["submit", "/bin/true"], ["12\n"], "POST /v1/jobs"),
    (["run", "-d", "/bin/true"], ["12\n"], "POST /v1/jobs"),
    (["version"], ["leat 0.1.0", "fake"], "GET /v1/version"),
]


@pytest.mark.parametrize("words,texts,asked", SHOWN, ids=lambda value: None if isinstance(value, str) else
                         "-".join(value))
def test_verb_shows(fake, words, texts, asked):
    done = leat(fake, *words)
    assert done.returncode == 0, done.stderr
    shows(done.stdout, *texts)
    method, path = asked.split()
    for request in fake.sent(method, path) or [None]:
        assert request and ("Content-Type" in request["headers"]) == (request["body"] is not None)
    assert "\033" not in done.stdout


@pytest.mark.parametrize("words", [row[0] for row in SHOWN if row[0][0] not in ("rm",) and row[0][:2] != ["image", "rm"]],
                         ids="-".join)
def test_verb_gives_json(fake, words):
    done = leat(fake, words[0], "--json", *words[1:]) if len(words) < 2 or words[1] not in (
        "list", "show", "stats", "build", "import") else leat(fake, *words[:2], "--json", *words[2:])
    assert done.returncode == 0, done.stderr
    assert done.stdout
    for line in done.stdout.splitlines():
        json.loads(line)


# options, members of the request
REQUESTS = [
    (["--", "ls", "-l"], {"command": ["ls", "-l"]}),
    (["/bin/true", "-x", "--", "y"], {"program": os.path.realpath("/bin/true"), "args": ["-x", "--", "y"],
                                      "library": "opencl-c"}),
    (["-l", "generic", "-t", "batch", "-i", "host", "-n", "a b", "-m", "2GiB", "-s", "50%", "-D", "cpu-0", "-c", "1.5",
      "-r", "1GiB", "--network", "none", "--idle-after", "5s", "--grace", "1s", "--priority", "7", "--tenant", "t",
      "--pids", "9", "-w", "/", "-e", "A=b=c", "-e", "COPIED", "--", "true"],
     {"library": "generic", "type": "batch", "image": "host", "name": "a b", "memory": "2GiB", "share": "50%",
      "device": "cpu-0", "cpus": "1.5", "ram": "1GiB", "network": "none", "idle_after": "5s", "grace": "1s",
      "priority": 7, "tenant": "t", "pids": 9, "workdir": "/", "env": {"A": "b=c", "COPIED": "yes"},
      "command": ["true"]}),
]


@pytest.mark.parametrize("words,body", REQUESTS, ids=["command", "program", "all"])
def test_request(fake, words, body):
    done = leat(fake, "submit", *words, env={"COPIED": "yes"})
    assert done.returncode == 0, done.stderr
    sent = fake.sent("POST", "/v1/jobs")[0]
    assert sent["body"] == body
    assert len(sent["headers"]["Idempotency-Key"]) == 64


@pytest.mark.parametrize("text,library", [
    ("import numpy as np, pyopencl as cl\n", "pyopencl"),
    ("x = 1\nfrom tinygrad.tensor import Tensor\n", "tinygrad"),
    ("import torch.nn as nn\n", "pytorch"),
    ("import torchlight\nimportant = 'import torch'\n# import pyopencl\n", "generic"),
    ("", "generic"),
])
def test_library_is_guessed(fake, tmp_path, text, library):
    program = tmp_path / "program.py"
    program.write_text(text)
    done = leat(fake, "submit", "program.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shows(done.stderr, f"library '{library}'")
    body = fake.sent("POST", "/v1/jobs")[0]["body"]
    assert body == {"program": str(program), "library": library}


def test_dry_run_prints_yaml(fake):
    fake.answers["POST /v1/jobs"] = (200, {"description": {"image": "host"}, "yaml": "image: host\n"})
    done = leat(fake, "run", "--dry-run", "--", "true")
    assert (done.returncode, done.stdout) == (0, "image: host\n")
    assert fake.requests[0]["query"] == {"dry_run": "true"}


@pytest.mark.parametrize("end,status", [
    ({"state": "succeeded", "exit_status": 0}, 0),
    ({"state": "failed", "exit_status": 3}, 3),
    ({"state": "failed", "exit_status": None, "signal": 9}, 137),
    ({"state": "failed", "exit_status": None}, 125),
    ({"state": "stopped", "exit_status": None, "signal": 15}, 143),
])
def test_run_exits_as_the_job(fake, end, status):
    fake.answers["GET /v1/jobs/12/wait"] = (200, dict(ENDED, **end))
    done = leat(fake, "run", "--", "true")
    assert (done.returncode, done.stdout) == (status, "epoch 1\nepoch 2\n")
    assert leat(fake, "wait", "12").returncode == status


def test_run_json_is_a_line_each(fake):
    fake.answers["GET /v1/jobs/12/logs"] = (200, b"good\nb\xffd\nlast", "text/plain")
    lines = [json.loads(line) for line in leat(fake, "run", "--json", "--", "true").stdout.splitlines()]
    assert [line["line"] for line in lines[:-1]] == ["good", "b?d", "last"]
    assert lines[-1]["state"] == "succeeded"


def test_run_goes_on_after_lost_connection(fake):
    """leatd dies in the middle of the log, is away for a while and comes back."""
    log = b"0123456789" * 10
    cuts = [13, 50]

    def logs(handler, request):
        offset = int(request["query"]["offset"])
        handler.start_stream("text/plain")
        if cuts:
            handler.chunk(log[offset:cuts[0]])
            cuts.pop(0)
            handler.cut()
            return
        handler.chunk(log[offset:])
        handler.chunk(b"")

    fake.answers["GET /v1/jobs/12/logs"] = logs
    done = leat(fake, "run", "--", "true")
    assert (done.returncode, done.stdout.encode()) == (0, log)
    assert [r["query"]["offset"] for r in fake.sent("GET", "/v1/jobs/12/logs")] == ["0", "13", "50"]


def test_submit_is_repeated_with_its_key(fake):
    def lost(handler, _):
        if len(fake.sent("POST", "/v1/jobs")) == 1:
            handler.cut()
            return None
        return 202, JOB

    fake.answers["POST /v1/jobs"] = lost
    done = leat(fake, "submit", "--", "true")
    assert (done.returncode, done.stdout) == (0, "12\n")
    keys = {r["headers"]["Idempotency-Key"] for r in fake.sent("POST", "/v1/jobs")}
    assert len(fake.sent("POST", "/v1/jobs")) == 2 and len(keys) == 1


def test_interrupts_stop_then_kill_then_leave(fake):
    following, stops = threading.Event(), [threading.Event(), threading.Event()]

    def logs(handler, request):
        handler.start_stream("text/plain")
        handler.chunk(b"x" if request["query"]["offset"] == "0" else b"y")
        following.set()

    def stop(*_):
        stops[len(fake.sent("POST", "/v1/jobs/12/stop")) - 1].set()
        return 202, JOB

    fake.answers.update({"GET /v1/jobs/12/logs": logs, "POST /v1/jobs/12/stop": stop})
    leat_run = start(fake, "run", "--", "true")
    assert following.wait(DEADLINE_S)
    for asked in stops:
        leat_run.send_signal(signal.SIGINT)
        assert asked.wait(DEADLINE_S)
    following.clear()
    leat_run.send_signal(signal.SIGINT)
    _, err = leat_run.communicate(timeout=DEADLINE_S)
    assert leat_run.returncode == 130
    shows(err, "interrupt again to kill", "interrupt again to leave", "leat logs -f 12")
    assert [r["body"] for r in fake.sent("POST", "/v1/jobs/12/stop")] == [None, {"grace": 0}]


def test_events_follow_takes_each_once(fake):
    def events(handler, request):
        since = int(request["query"]["since"])
        if "event-stream" not in handler.headers["Accept"]:
            return 200, {"events": [], "last": 0}
        handler.start_stream("text/event-stream")
        for seq in range(max(since, 1), since + 3):  # the last one comes twice
            handler.chunk(f"id: {seq}\nevent: job.state\ndata: {json.dumps(dict(EVENT, seq=seq))}\n\n".encode())
        handler.cut()
        return None

    fake.answers["GET /v1/events"] = events
    following = start(fake, "events", "-f", "--json")
    seen = [json.loads(following.stdout.readline())["seq"] for _ in range(6)]
    following.kill()
    following.communicate()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_image_build_waits(fake):
    """It is ready some events later."""
    state = {"built": False}

    def events(handler, request):
        if "event-stream" not in handler.headers["Accept"]:
            return 200, {"events": [], "last": 0}
        seq = int(request["query"]["since"]) + 1
        state["built"] = seq > 2
        event = dict(EVENT, seq=seq, kind="image.ready" if seq > 2 else "image.building")
        handler.start_stream("text/event-stream")
        handler.chunk(f"data: {json.dumps(event)}\n\n".encode())
        return None

    fake.answers["GET /v1/events"] = events
    fake.answers["GET /v1/images/pyopencl"] = lambda *_: (200, dict(
        IMAGE, state="ready" if state["built"] else "building"))
    done = leat(fake, "image", "build", "pyopencl")
    assert done.returncode == 0, done.stderr
    shows(done.stderr, "is ready")


def test_ps_joins_pages(fake):
    def jobs(_, request):
        page = int(request["query"].get("cursor", 0))
        return 200, {"jobs": [dict(JOB, id=str(page * 2 + i)) for i in range(2)],
                     "next_cursor": str(page + 1) if page < 2 else None}

    fake.answers["GET /v1/jobs"] = jobs
    done = leat(fake, "ps", "--all", "--json")
    assert [job["id"] for job in json.loads(done.stdout)["jobs"]] == [str(i) for i in range(6)]
    assert "state" not in fake.requests[0]["query"]
    leat(fake, "ps")
    assert fake.requests[-1]["query"]["state"] == "queued,starting,running,idle,stopping"


def test_not_yet_is_waited_for(fake):
    def jobs(*_):
        asked = len(fake.sent("POST", "/v1/jobs"))
        return (202, JOB) if asked > 2 else problem(503, "shutting-down", "leatd is being stopped")

    fake.answers["POST /v1/jobs"] = jobs
    assert leat(fake, "submit", "--", "true").returncode == 0


def test_rm_force_kills_first(fake):
    removals = []

    def remove(*_):
        removals.append(1)
        return problem(409, "job-not-ended", "job 12 is running") if len(removals) == 1 else (204, None)

    fake.answers["DELETE /v1/jobs/12"] = remove
    assert leat(fake, "rm", "--force", "12").returncode == 0
    assert fake.sent("POST", "/v1/jobs/12/stop")[0]["body"] == {"grace": 0}


@pytest.mark.parametrize("words,status,text", [
    (["frob"], 2, "there is no verb 'frob'"),
    (["image", "frob"], 2, "there is no verb 'image frob'"),
    (["ps", "--frob"], 2, "no option '--frob'"),
    (["ps", "-Z"], 2, "no option '-Z'"),
    (["ps", "--all=x"], 2, "takes no value"),
    (["ps", "--limit"], 2, "needs a value"),
    (["ps", "extra"], 2, "one operand too many"),
    (["show"], 2, "JOB is missing"),
    ([], 2, "usage: leat"),
    (["show", "99"], 1, "there is no /v1/jobs/99"),
    (["show", "../12?x"], 1, "there is no /v1/jobs/..%2F12%3Fx"),
    (["run", "no-such-file"], 125, "no-such-file"),
    (["run", "-e", "NOT_SET_ANYWHERE", "--", "true"], 125, "NOT_SET_ANYWHERE"),
    (["wait", "99"], 125, "there is no"),
])
def test_refusals(fake, words, status, text):
    done = leat(fake, *words)
    assert (done.returncode, done.stdout) == (status, "")
    shows(done.stderr, text)


def test_problem_and_hint(fake):
    fake.answers["DELETE /v1/jobs/12"] = problem(409, "job-not-ended", "job 12 is running")
    done = leat(fake, "rm", "12")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "leat: job 12 is running"
    shows(done.stderr, "leat stop JOB")


@pytest.mark.parametrize("answer", [(500, b"<html>oops", "text/html"), (200, b"{nonsense"), (200, b'{"jobs": [')])
def test_bad_answers_are_said(fake, answer):
    fake.answers["GET /v1/jobs"] = answer
    done = leat(fake, "ps")
    assert done.returncode == 1
    assert done.stderr.startswith("leat: ")


def test_nobody_answers(fake, tmp_path):
    done = leat(fake, "ps", host=str(tmp_path / "none.sock"))
    assert done.returncode == 1
    shows(done.stderr, "no leatd answers at", "leat up")
    assert leat(fake, "run", "--", "true", host="127.0.0.1:1").returncode == 125


def test_run_dir_and_token(fake, tmp_path):
    done = leat(fake, "--run-dir", str(tmp_path), "--token", "secret", "ps", host="/nowhere.sock")
    assert done.returncode == 0, done.stderr
    assert fake.requests[0]["headers"]["Authorization"] == "Bearer secret"


def test_scan_says_what_it_found_and_why_not(fake, tmp_path):
    """Files of drivers below a folder, and NVIDIA's library as the tests have it."""
    files = {"sys/class/kfd/kfd/topology/nodes/0/properties": "cpu_cores_count 8\nsimd_count 0\n",
             "sys/class/kfd/kfd/topology/nodes/1/properties": "cpu_cores_count 0\nsimd_count 256\n",
             "sys/class/drm/renderD128/device/vendor": "0x8086\n", "sys/class/drm/renderD129/device/vendor": "0x1002\n",
             "dev/davinci0": "", "dev/davinci1": "", "dev/davinci_manager": ""}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = leat(fake, "device", "scan", "--json", "--root", str(tmp_path),
                env={"LD_LIBRARY_PATH": os.path.join(BUILD, "tests/fake-cuda"), "OCL_ICD_VENDORS": str(tmp_path)})
    rows = {row["probe"]: row for row in json.loads(done.stdout)["probes"]}
    assert {name: row["devices"] for name, row in rows.items()} \
        == {"OpenCL": 0, "NVML": rows["NVML"]["devices"], "ROCm": 1, "Level Zero": 1, "Gaudi": 0, "Ascend": 2}
    assert rows["NVML"]["result"] == "found" and rows["NVML"]["names"] and "cuda" in rows["NVML"]["why"]
    assert rows["ROCm"]["names"] == "/sys/class/kfd/kfd/topology/nodes/1/properties"
    assert rows["Ascend"]["names"] == "/dev/davinci0, /dev/davinci1" and "libascendcl.so" in rows["Ascend"]["why"]
    assert rows["Gaudi"]["result"] == "not there" and "habanalabs" in rows["Gaudi"]["why"]
    assert not fake.requests
    shows(leat(fake, "device", "scan", "--root", str(tmp_path)).stdout, "PROBE", "ROCm", "not there")


def verbs():
    """Every verb as the words that name it, from the command's own help."""
    text = subprocess.run([LEAT, "--help"], capture_output=True, text=True, check=True).stdout
    listed = text.split("Verbs:\n")[1].split("\n\n")[0]
    return [line[2:20].split() for line in listed.splitlines()]


VERBS = verbs()


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_every_verb_is_explained(verb):
    done = subprocess.run([LEAT, *verb, "-h"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    shows(done.stdout, f"usage: leat {' '.join(verb)}", "Example", f"leat {' '.join(verb)}")
    if verb != ["card", "exec"]:  # has a result of its own: the program's
        shows(done.stdout, "--json", "--help")


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_every_verb_has_its_page(verb):
    """A page of its own or its group's, which names every option."""
    page = os.path.join(ROOT, "man", f"leat-{verb[0]}.1.scd")
    with open(page, encoding="utf-8") as text:
        page = text.read()
    shows(page, " ".join(["leat", *verb]))
    usage = subprocess.run([LEAT, *verb, "-h"], capture_output=True, text=True, check=True).stdout
    common = {"--host", "--token", "--run-dir", "--json", "--help"}
    for option in set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", usage, re.MULTILINE)) - common:
        shows(page, f"*{option}*")


def complete(fake, *words):
    """What the shell would offer for the last of `words`."""
    script = os.path.join(ROOT, "packaging/bash-completion/leat")
    line = " ".join(words)
    program = (f"source /usr/share/bash-completion/bash_completion; source {script}\n"
               f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}\n"
               f"COMP_LINE={line!r}; COMP_POINT={len(line)}; _leat; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
    path = os.path.dirname(LEAT) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "-c", program], env=dict(os.environ, PATH=path, LEAT_HOST=fake.socket),
                          capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done.stdout.split()


@pytest.mark.parametrize("verb", VERBS, ids="-".join)
def test_every_verb_is_completed(fake, verb):
    assert verb[0] in complete(fake, "leat", verb[0][:1])
    if len(verb) == 2:
        assert verb[1] in complete(fake, "leat", verb[0], verb[1][:1])
    assert "--help" in complete(fake, "leat", *verb, "--h")


@pytest.mark.parametrize("words,offered", [
    (["show", ""], ["12"]), (["stop", "1"], ["12"]), (["logs", "-f", ""], ["12"]), (["rm", ""], ["12"]),
    (["device", "show", ""], ["cpu-0"]), (["card", "show", ""], ["12"]),
    (["template", "show", "open"], ["opencl-c/training"]), (["image", "build", ""], ["pyopencl"]),
    (["run", "--image", ""], ["pyopencl"]), (["run", "--library", ""], ["opencl-c"]),
    (["run", "--type", ""], ["training"]), (["run", "--device", ""], ["cpu-0"]),
    (["run", "--network", ""], ["none", "host", "outbound"]), (["ps", "--state", "q"], ["queued"]),
])
def test_completion_asks_leatd(fake, words, offered):
    assert complete(fake, "leat", *words) == offered


def test_card_stats_follow(fake):
    """Rates are since the look before: in half a second 500 calls were posted and the device worked for 50 ms."""
    with start(fake, "--json", "card", "stats", "12", "--follow", "--interval", "20ms") as follower:
        first = json.loads(follower.stdout.readline())["cards"][0]
        fake.answers["GET /v1/cards/12"] = (200, dict(
            CARD, age_ms=CARD["age_ms"] + 500, calls_posted=CARD["calls_posted"] + 500,
            device_time_ns=CARD["device_time_ns"] + 50_000_000))
        later = first
        while later["age_ms"] == first["age_ms"]:
            later = json.loads(follower.stdout.readline())["cards"][0]
        follower.terminate()
    assert later["rates"]["calls_posted"] == 1000 and later["rates"]["calls_local"] == 0
    assert later["rates"]["device_permille"] == 100
