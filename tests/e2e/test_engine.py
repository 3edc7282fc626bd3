"""Real containers through src/engine: what a container sees and may do, how it ends, what it leaves."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile

import pytest

import engines
import house

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers with limits and id ranges need root")

DATA = house.ROOT


@pytest.fixture(scope="module")
def folders():
    """Not pytest's own folder: containers must be able to pass through it."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="leat-engine-"))
    base.chmod(0o711)
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def engine(folders):
    e = engines.Engine(folders / "run", folders / "state", DATA)
    e.wait("ready")
    yield e
    assert e.close() == 0


@pytest.fixture
def task(engine, request):
    """An id that is removed after the test."""
    id = request.node.name.lower().replace("[", "-").replace("]", "").replace("_", "-")[:40]
    yield id
    assert engine.remove(id)["errno"] == 0


def sh(engine, task, script, **spec):
    return engine.run(task, ["/bin/sh", "-c", script], **spec)


def prefix_of(state):
    """The name that a centre gives its cgroups and runtime records."""
    value = 2166136261
    for c in os.path.realpath(state).encode():
        value = ((value ^ c) * 16777619) & 0xffffffff
    return f"leat-{value:08x}"


def prefix(folders):
    return prefix_of(folders / "state")


def traces(folders, id):
    """Everything on the host that has to do with a task, apart from its work and its log."""
    name = f"{prefix(folders)}-{id}"
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if name in f.read().decode(errors="replace"):
                    found.append(f"process {pid}")
        except OSError:
            pass
    for top, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, n) for n in names
                  if n == id and os.path.basename(top) == prefix(folders)]
    with open("/proc/self/mounts") as f:
        found += [line for line in f if str(folders) in line]
    for path in (folders / "run/runtime" / name, folders / "run/attach" / name,
                 folders / "state/jobs" / id / "bundle"):
        if os.path.lexists(path):
            found.append(str(path))
    return found


def test_report_names_the_runtime_and_why(engine):
    report = engine.ask("report")["report"]
    assert report["ready"] and report["runtime"] and "ran a container" in report["why"]
    assert report["tried"][-1]["works"]


def test_exit_status(engine, task):
    exit, log = sh(engine, task, "echo out; echo err >&2; printf end; exit 7")
    assert (exit["status"], exit["signal"], exit["oom"]) == (7, 0, False)
    assert sorted(log.replace("end", "end\n").split()) == ["end", "err", "out"]


def test_death_by_signal(engine, task):
    exit, _ = sh(engine, task, "kill -SEGV $$")
    assert (exit["status"], exit["signal"]) == (-1, signal.SIGSEGV)


def test_unknown_program_says_so(engine, task):
    exit, log = engine.run(task, ["/no/such/program"])
    assert exit["status"] == 127 and "/no/such/program" in log


def test_oom_is_reported(engine, task):
    exit, _ = engine.run(task, ["/usr/bin/python3", "-c", "x = bytearray(400 << 20)"], ram_bytes=64 << 20)
    assert exit["oom"] and exit["signal"] == signal.SIGKILL


def test_stop_asks_first(engine, task):
    engine.start(task, ["/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; echo on; while :; do sleep 0.05; done"])
    engine.send(do="follow", id=task)
    engine.wait("follow", text="on\n")
    engine.send(do="stop", id=task, grace_ms=20000)
    assert engine.wait("exit", id=task)["exit"]["status"] == 5
    assert "bye" in engine.log(task)


def test_stop_ends_a_program_without_handlers(engine, task):
    """At whatever moment: the first ones come before the container's init hears signals."""
    for _ in range(10):
        engine.start(task, ["/bin/sleep", "1000"])
        engine.send(do="stop", id=task, grace_ms=60000)
        assert engine.wait("exit", id=task, seconds=20)["exit"]["signal"] == signal.SIGTERM
        assert engine.remove(task)["errno"] == 0


def test_stop_kills_after_the_grace(engine, task):
    engine.start(task, ["/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 0.05; done"])
    engine.send(do="follow", id=task)
    engine.wait("follow", text="on\n")
    engine.send(do="stop", id=task, grace_ms=200)
    assert engine.wait("exit", id=task)["exit"]["signal"] == signal.SIGKILL


def test_kill_and_unknown(engine, task):
    engine.start(task, ["/bin/sleep", "1000"])
    engine.send(do="kill", id=task)
    assert engine.wait("exit", id=task)["exit"]["signal"] == signal.SIGKILL
    engine.send(do="kill", id="nobody")
    assert engine.wait("kill")["code"] == "unknown-task"


# -- what a container may do --

def test_root_is_read_only(engine, task):
    exit, log = sh(engine, task, "for d in / /usr /etc /opt /src /sys; do touch $d/x 2>/dev/null && echo $d; done;"
                                 "touch /work/x /tmp/x /dev/shm/x && echo good")
    assert log == "good\n"


def test_no_devices(engine, task):
    exit, log = sh(engine, task, "find /dev -type b; ls /dev; mknod /work/n c 1 3 2>&1; head -c1 /dev/kmsg 2>&1")
    names = set(log.split())
    assert not names & {"kvm", "kmsg", "mem", "sda", "vda", "fuse", "dri"} and "not permitted" in log


def test_no_capabilities_no_privileges(engine, task):
    _, log = sh(engine, task, "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status")
    values = dict(line.split(":") for line in log.splitlines())
    assert all(int(v, 16) == 0 for k, v in values.items() if k.startswith("Cap"))
    assert values["NoNewPrivs"].strip() == "1" and values["Seccomp"].strip() == "2"


SYSCALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(n, *a):
    ctypes.set_errno(0)
    r = libc.syscall(n, *a)
    return errno.errorcode.get(ctypes.get_errno(), "ok") if r < 0 else "ok"
print(call(165, b"x", b"/tmp", b"tmpfs", 0, 0), call(272, 0x10000000), call(250, 0, 0), call(321, 0, 0, 0),
      call(435, 0, 0), call(308, 0, 0), call(41, 40, 1, 0), call(41, 2, 1, 0), call(39))
"""


def test_seccomp(engine, task):
    _, log = engine.run(task, ["/usr/bin/python3", "-c", SYSCALLS])
    # mount unshare(user) keyctl bpf clone3 setns socket(vsock) socket(inet) getpid
    assert log.split() == ["EPERM", "EPERM", "EPERM", "EPERM", "ENOSYS", "EPERM", "ENOSYS", "ok", "ok"]


def test_own_ids_and_names(engine, task):
    _, log = sh(engine, task, "id -u; cat /proc/1/comm; hostname; cat /proc/self/uid_map; ls /proc | grep -c '^[0-9]'",
                hostname="here")
    uid, comm, name, uids, count = log.splitlines()
    assert (uid, name) == ("0", "here") and int(uids.split()[1]) >= 1000 and int(count) < 10


def test_limits_are_seen(engine, folders, task):
    engine.start(task, ["/bin/sleep", "1000"], cpus_milli=1500, ram_bytes=100 << 20, pids_max=77)
    values = []
    for top, names, files in os.walk("/sys/fs/cgroup"):
        if os.path.basename(top) == task and os.path.basename(os.path.dirname(top)) == prefix(folders):
            for name in ("cpu.cfs_quota_us", "memory.limit_in_bytes", "pids.max", "cpu.max", "memory.max"):
                if name in files:
                    with open(os.path.join(top, name)) as f:
                        values.append(f.read().split()[0])
    assert sorted(values) == sorted(["150000", str(100 << 20), "77"])


def test_pids_limit_holds(engine, task):
    _, log = sh(engine, task, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo all", pids_max=6)
    assert "all" not in log or "fork" in log


def test_tmp_is_limited(engine, task):
    _, log = sh(engine, task, "head -c 3000000 /dev/zero >/tmp/x 2>/dev/null; wc -c </tmp/x", tmp_bytes=1 << 20)
    sizes = [int(line) for line in log.split("\n") if line.isdigit()]
    assert sizes and sizes[0] <= 1 << 20


def test_numpy_works(engine, task):
    pytest.importorskip("numpy")
    exit, log = engine.run(task, ["/usr/bin/python3", "-c",
                                  "import numpy as n; print(int((n.ones((300,300)) @ n.ones((300,300)))[0,0]))"])
    assert log.splitlines()[-1] == "300", log


# -- network --

def listener():
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server, server.getsockname()[1]


CONNECT = "import socket,sys\ntry: socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); print('yes')\n" \
          "except OSError as e: print('no')\n"


@pytest.mark.parametrize("network,loopback", [("none", "no"), ("outbound", "no"), ("host", "yes")])
def test_network_and_the_hosts_loopback(engine, task, network, loopback):
    server, port = listener()
    with server:
        exit, log = engine.run(task, ["/usr/bin/python3", "-c", CONNECT, "127.0.0.1", str(port)], network=network)
    assert log.strip() == loopback


@pytest.mark.parametrize("network", ["none", "outbound"])
def test_network_interfaces(engine, task, network):
    _, log = sh(engine, task, "cat /proc/net/dev; cat /proc/net/route; cat /etc/hosts", network=network)
    assert ("tap0" in log) == (network == "outbound") and "localhost" in log


def test_outbound_reaches_out(engine, task):
    """To an address of this host that is not its loopback, which is as far out as a test may rely on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this host has no route out")
        address = s.getsockname()[0]
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        _, log = engine.run(task, ["/usr/bin/python3", "-c", CONNECT, address, str(server.getsockname()[1])],
                            network="outbound")
    assert log.strip() == "yes"


# -- mounts --

def test_folders_of_the_user(engine, task, tmp_path):
    src, work, extra = tmp_path / "src", tmp_path / "work", tmp_path / "extra"
    for folder in (src, work, extra):
        folder.mkdir()
    (src / "a.txt").write_text("program\n")
    (extra / "b.txt").write_text("data\n")
    os.chown(work, 4242, 4242)
    exit, log = sh(engine, task, "cat /src/a.txt /mnt/data/b.txt; touch /src/x 2>/dev/null && echo bad; pwd;"
                                 "touch /mnt/data/x 2>/dev/null && echo bad; echo hi >result",
                   src_dir=str(src), work_dir=str(work), mounts=[{"host": str(extra), "inside": "/mnt/data"}])
    assert exit["status"] == 0 and log == "program\ndata\n/work\n"
    assert (work / "result").read_text() == "hi\n" and (work / "result").stat().st_uid == 4242


def test_card_files(engine, task, tmp_path):
    sockets, library = tmp_path / "card", tmp_path / "lib.so"
    sockets.mkdir(mode=0o755)
    library.write_text("library\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sockets / "card.sock"))
        os.chmod(sockets / "card.sock", 0o666)
        server.listen()
        _, log = engine.run(task, ["/usr/bin/python3", "-c",
                                   "import os,socket; socket.socket(socket.AF_UNIX).connect(os.environ['LEAT_CARD_SOCKET'])\n"
                                   "v=os.environ['OCL_ICD_VENDORS']; print(os.listdir(v), open(v+'/leat.icd').read().strip())\n"
                                   "print(open('/usr/lib/leat/libleat-opencl.so').read())"],
                            card_socket_dir=str(sockets), card_library=str(library))
    assert log.split("\n")[:2] == ["['leat.icd'] /usr/lib/leat/libleat-opencl.so", "library"]


def test_the_host_view_hides(engine, folders, task):
    """Of the host only /usr, /etc and /opt are there; its secrets and this centre's state are not."""
    _, log = sh(engine, task, "ls /; ls -A /root /home /var /mnt /src /tmp; cat /etc/shadow 2>&1 | head -1;"
                              f"ls {folders} 2>&1; ls /sys/fs/cgroup/memory 2>&1")
    assert "root:x" not in log and "root:*" not in log and "root:$" not in log and str(folders) in log and "No such file" in log
    assert not {"boot", "media", "srv"} & set(log.split())


@pytest.mark.parametrize("spec,code", [
    (dict(src_dir="/"), "path-shows-state"),
    (dict(work_dir="/no/such/place"), "no-such-path"),
    (dict(mounts=[{"host": "/etc", "inside": "/usr/x"}]), "bad-mount"),
    (dict(image="nowhere"), "unknown-image"),
    (dict(image="base"), "image-not-ready"),
])
def test_refusals(engine, task, spec, code):
    assert engine.start(task, ["/bin/true"], **spec)["code"] == code


def test_state_of_the_centre_cannot_be_mounted(engine, folders, task):
    for path in (folders, folders / "state"):
        assert engine.start(task, ["/bin/true"], src_dir=str(path))["code"] == "path-shows-state"


def test_closed_program_folder_is_refused(engine, task, tmp_path):
    (tmp_path / "src").mkdir(mode=0o700)
    assert engine.start(task, ["/bin/true"], src_dir=str(tmp_path / "src"))["code"] == "program-not-readable"
    assert engine.start(task, ["/bin/true"], src_dir=str(tmp_path / "src"), work_dir=str(tmp_path))["errno"] == 0


def test_root_of_a_root_owned_folder_sees_no_secrets(engine, task, tmp_path):
    _, log = sh(engine, task, "cat /etc/shadow | wc -c; ls -A /etc/ssh 2>/dev/null | wc -l; grep Cap /proc/self/status",
                work_dir=str(tmp_path))
    lines = log.split("\n")
    assert lines[:2] == ["0", "0"] and all(int(line.split()[1], 16) == 0 for line in lines[2:] if line)


# -- output --

def test_log_offsets(engine, task):
    sh(engine, task, "printf 0123456789")
    assert engine.log(task, 4) == "456789" and engine.log(task, 10) == "" and engine.log(task, 99) == ""


def test_log_rotates_and_keeps_its_numbering(engine, folders, task):
    script = "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done"
    exit, log = sh(engine, task, script, log_limit_bytes=200000)
    whole = "".join(f"line {i}\n" for i in range(30000))
    engine.send(do="log", id=task, offset=0)
    kept = engine.wait("log", id=task)
    assert kept["text"] and whole.endswith(kept["text"]), "the end is always kept"
    job = folders / "state/jobs" / task
    assert sum(f.stat().st_size for f in job.glob("log*") if f.name != "log.held") < 700000
    # What a reader at an offset gets is what is there, after a restart of the engine too.
    assert engine.log(task, kept["offset"] + 100) == kept["text"][100:]


def test_binary_output(engine, task):
    _, log = engine.run(task, ["/usr/bin/python3", "-c", "import sys; sys.stdout.write('a\\n\\nb\\tc' + 'x' * 20000)"])
    assert log == "a\n\nb\tc" + "x" * 20000


def test_follow(engine, task):
    engine.start(task, ["/bin/sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done"])
    engine.send(do="follow", id=task)
    got = ""
    while got != "1\n2\n3\n":
        got += engine.wait("follow", id=task)["text"]


# -- robustness --

def test_remove_leaves_nothing(engine, folders, task):
    engine.start(task, ["/bin/sh", "-c", "sleep 1000 & setsid sleep 1000 & wait"], network="outbound")
    assert traces(folders, task)
    assert engine.remove(task)["errno"] == 0
    assert traces(folders, task) == []
    assert engine.tasks().get(task) is None
    assert engine.remove(task)["errno"] == 0
    assert (folders / "state/jobs" / task / "work").is_dir()


def test_id_can_be_used_again(engine, task):
    assert sh(engine, task, "echo one")[1] == "one\n"
    assert engine.start(task, ["/bin/true"])["code"] == "task-exists"
    engine.remove(task)
    assert sh(engine, task, "echo two")[1] == "two\n"


def test_container_survives_its_starter(folders, tmp_path):
    run, state = folders / "run2", folders / "state2"
    first = engines.Engine(run, state, DATA)
    first.wait("ready")
    for id, script in (("1", "echo on; while [ ! -e /work/go ]; do sleep 0.05; done; echo off; exit 9"),
                       ("2", "exit 3")):
        assert first.start(id, ["/bin/sh", "-c", script], network="outbound")["errno"] == 0
    first.wait("exit", id="2")
    first.kill()
    second = engines.Engine(run, state, DATA)
    second.wait("ready")
    tasks = second.tasks()
    assert tasks["1"]["state"] == "running"
    assert tasks["2"]["state"] == "ended" and tasks["2"]["exit"]["status"] == 3
    (state / "jobs/1/work/go").touch()
    assert second.wait("exit", id="1")["exit"]["status"] == 9
    assert second.log("1") == "on\noff\n"
    for id in ("1", "2"):
        assert second.remove(id)["errno"] == 0
    assert second.tasks() == {} and second.close() == 0


def test_restarted_engine_commands_before_it_is_ready(folders):
    """A daemon reconciles at once; it does not wait until the host was looked at again."""
    run, state = folders / "run4", folders / "state4"
    first = engines.Engine(run, state, DATA)
    first.wait("ready")
    for id in ("1", "2"):
        first.start(id, ["/bin/sleep", "1000"])
    first.kill()
    second = engines.Engine(run, state, DATA)
    assert second.tasks()["1"]["state"] == "running"
    second.send(do="stop", id="1", grace_ms=60000)
    assert second.wait("exit", id="1")["exit"]["signal"] == signal.SIGTERM
    for id in ("1", "2"):
        assert second.remove(id)["errno"] == 0
    second.wait("ready")  # else the container that it tries would be left to the next one
    assert second.tasks() == {} and second.close() == 0


def test_task_started_before_the_engine_is_ready(folders):
    engine = engines.Engine(folders / "run5", folders / "state5", DATA)
    assert engine.run("1", ["/bin/echo", "hi"], env=["A=b"], cwd="/tmp")[1] == "hi\n"
    assert engine.remove("1")["errno"] == 0 and engine.close() == 0


def test_without_root(tmp_path):
    """An ordinary user gets containers too, and the report says what they lack."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="leat-engine-"))
    try:
        os.chown(base, 1000, 1000)
        engine = engines.Engine(base / "run", base / "state", DATA,
                                as_user=["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"])
        engine.wait("ready")
        report = engine.ask("report")["report"]
        if not report["ready"]:
            pytest.skip(f"this host lets users have no containers: {report['why']}")
        assert any("limits" in note for note in report["notes"])
        exit, log = engine.run("1", ["/bin/sh", "-c", "id -u; touch /work/x && echo good"])
        assert log == "0\ngood\n" and (base / "state/jobs/1/work/x").stat().st_uid == 1000
        assert engine.remove("1")["errno"] == 0 and engine.tasks() == {} and engine.close() == 0
    finally:
        shutil.rmtree(base)


def test_killed_conmon_ends_the_task(engine, folders, task):
    engine.start(task, ["/bin/sleep", "1000"])
    with open(folders / "state/jobs" / task / "bundle/conmon.pid") as f:
        os.kill(int(f.read()), signal.SIGKILL)
    exit = engine.wait("exit", id=task)["exit"]
    assert (exit["status"], exit["signal"]) == (-1, 0)
    assert engine.remove(task)["errno"] == 0 and traces(folders, task) == []


@pytest.mark.parametrize("delay_ms", [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 100])
def test_killed_starter_leaves_nothing_unfindable(folders, delay_ms):
    """kill -9 of the daemon at a moment of a start: the next one finds what there is and removes it."""
    run, state = folders / "run3", folders / "state3"
    first = engines.Engine(run, state, DATA)
    first.wait("ready")
    first.send(do="start", network="outbound", spec=dict(id="k", image="host", argv=["/bin/sleep", "1000"]))
    try:
        first.wait("never", seconds=delay_ms / 1000)
    except AssertionError:
        pass
    first.kill()
    second = engines.Engine(run, state, DATA)
    second.wait("ready")
    for id in second.tasks():
        assert second.remove(id)["errno"] == 0
    assert second.tasks() == {}
    assert second.close() == 0
    name = f"{prefix_of(state)}-k"
    ps = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert name not in ps


# -- images --

@pytest.fixture(scope="module")
def small_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root") / "root"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    shutil.copy("/usr/bin/tini-static", root / "bin/tini")
    (root / "etc/resolv.conf").symlink_to("/proc/nowhere")
    return root


def image_of(engine, name, **command):
    engine.send(id=name, **command)
    while True:
        image = engine.wait("image", seconds=600)["image"]
        if image["name"] == name and image["state"] in ("ready", "failed"):
            return image


@pytest.mark.skipif(not shutil.which("umoci") or not shutil.which("skopeo") or
                    not os.path.exists("/usr/bin/tini-static"), reason="umoci, skopeo or tini is not installed")
@pytest.mark.parametrize("kind", ["folder", "tar", "packed", "docker", "layout", "archive"])
def test_import(engine, folders, task, small_root, tmp_path, kind):
    source = small_root
    store = f"oci:{folders}/state/images/store:i-folder"
    skopeo = ["skopeo", "--insecure-policy", "copy", "-q", store]
    if kind in ("tar", "packed"):
        source = tmp_path / "root.tar"
        with tarfile.open(source, "w:gz" if kind == "packed" else "w") as t:
            t.add(small_root, ".")
    elif kind in ("docker", "layout", "archive"):
        transport = {"docker": "docker-archive", "layout": "oci", "archive": "oci-archive"}[kind]
        source = tmp_path / "image"
        subprocess.run(skopeo + [f"{transport}:{source}:some:tag"], check=True)
    image = image_of(engine, f"i-{kind}", do="import", source=str(source))
    assert image["state"] == "ready" and image["size_bytes"] > 100000, image
    exit, log = engine.run(task, ["/bin/tini", "--version"], image=f"i-{kind}", network="outbound")
    assert exit["status"] == 0 and "tini" in log


def test_import_of_nonsense_fails_with_a_reason(engine, tmp_path):
    (tmp_path / "x").write_text("no archive\n" * 100)
    image = image_of(engine, "nonsense", do="import", source=str(tmp_path / "x"))
    assert image["state"] == "failed" and "archive" in image["text"]
    engine.send(do="import", id="nowhere", source="/no/such/file")
    assert engine.wait("import", id="nowhere")["errno"] < 0


def test_removed_image_stays_for_its_task(engine, folders, task, small_root):
    image_of(engine, "gone", do="import", source=str(small_root))
    engine.start(task, ["/bin/tini", "-s", "--", "/bin/tini", "--version"], image="gone")
    engine.send(do="rmi", id="gone")
    assert engine.wait("image")["image"]["state"] == "absent"
    assert engine.ask("images") and "gone" not in [i["name"] for i in engine.ask("images")["images"]]
    with open(folders / "state/jobs" / task / "bundle/root") as f:
        assert (folders / "state/images/roots" / f.read()).is_dir()


@pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="mmdebstrap is not installed")
@pytest.mark.skipif(not os.environ.get("LEAT_TEST_SLOW"), reason="installs a Debian: set LEAT_TEST_SLOW=1")
def test_build_base(engine, task):
    image = image_of(engine, "base", do="build")
    assert image["state"] == "ready", image
    exit, log = sh(engine, task, "cat /etc/os-release; id -u; ls -d /root/.", image="base")
    assert exit["status"] == 0 and "Debian" in log
