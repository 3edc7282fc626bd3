"""leat-cardd on its own: cards, sessions, and that nothing stays behind, however somebody dies."""
import array
import contextlib
import fcntl
import glob
import os
import re
import signal
import socket
import struct
import subprocess

import pytest

import house as houses
from house import CardError, children_of, eventually, process_alive

MIB = 1 << 20
HELLO = struct.Struct("=IIII72s16xI504s")
WELCOME = struct.Struct("=IIiIQ28x256s4x")
MAGIC = 0x5441454C
F_ADD_SEALS, F_SEAL_FUTURE_WRITE = 1033, 0x10
with open(os.path.join(houses.ROOT, "src", "card", "wire", "wire.h"), encoding="utf-8") as wire:
    VERSION = int(re.search(r"#define WIRE_VERSION (\d+)", wire.read())[1])


class Session:
    """A client that says hello and takes what it gets, with no OpenCL in it."""

    def __init__(self, house, token, version=VERSION, magic=MAGIC):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(30)
        self.socket.connect(os.path.join(house.run_dir, "card", "card.sock"))
        first, *further = token.split("+")
        self.socket.sendall(HELLO.pack(magic, version, os.getpid(), 0, first.encode(), len(further),
                                       b"".join(other.encode().ljust(72, b"\0") for other in further)))
        data, ancillary, _, _ = self.socket.recvmsg(WELCOME.size, socket.CMSG_SPACE(80))
        while data and len(data) < WELCOME.size:
            data += self.socket.recv(WELCOME.size - len(data))
        _, _, self.status, self.slot, self.bytes, text = WELCOME.unpack(data)
        self.text = text.split(b"\0")[0].decode()
        self.fds = array.array("i")
        for _, _, fds in ancillary:
            self.fds.frombytes(fds[:len(fds) - len(fds) % self.fds.itemsize])

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        self.close()

    def close(self):
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = array.array("i")


def executors(pid, count):
    """The executors, when there are `count`: clients are welcomed before theirs run."""
    def serving():
        found = [child for child in children_of(pid) if name_of(child).startswith("leat-exec")]
        return found if len(found) == count else None
    return eventually("the executors", serving)


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
            return name.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def groups(instance):
    """Control groups of one instance, in all hierarchies."""
    return [path for root, folders, _ in os.walk("/sys/fs/cgroup") for folder in folders
            if instance in (path := os.path.join(root, folder))]


def create(house, name, memory_bytes=64 * MIB, share_permille=100, **members):
    return house.card("card.create", card=name, memory_bytes=memory_bytes, share_permille=share_permille, **members)


def refusal(call, *args, **members):
    with pytest.raises(CardError) as caught:
        call(*args, **members)
    return caught.value.code


def ended_session(control):
    """The next event of a session's end."""
    while True:
        for event in control.events:
            if event["event"] == "card.session_ended":
                control.events.remove(event)
                return event
        control("hello")


def test_card_is_made_shown_and_removed(card_house):
    lease = create(card_house, "one", 64 * MIB, 250)
    assert lease["card"] == "one" and len(lease["token"]) == 64
    shown = card_house.card("card.show", card="one")
    assert shown["memory_quota_bytes"] == 64 * MIB and shown["share_permille"] == 250
    assert shown["memory_used_bytes"] == 0 and shown["sessions"] == 0 and not shown["share_wanted"]
    assert [card["card"] for card in card_house.card("card.list")["cards"]] == ["one"]
    device = card_house.card("device.list")["devices"][0]
    assert (device["granted_bytes"], device["granted_permille"], device["cards"]) == (64 * MIB, 250, 1)
    assert card_house.card("card.remove", card="one")["card"] == "one"
    device = card_house.card("device.list")["devices"][0]
    assert (device["granted_bytes"], device["granted_permille"], device["cards"]) == (0, 0, 0)
    assert refusal(card_house.card, "card.show", card="one") == "unknown-card"


def test_a_burst_card_is_not_held_back_while_it_is_alone(card_house):
    for name, members in (("hard", {}), ("burst", {"burst": True, "priority": 9})):
        lease = create(card_house, name, 128 * MIB, 50, **members)
        shown = card_house.card("card.show", card=name)
        assert (shown["burst"], shown["priority"]) == ((1, 9) if members else (0, 0))
        program = card_house.on_card(lease, houses.built("bench_load"), "waiting", "0.3", "2", "2000")
        assert program.communicate(timeout=120)[1] == "" and program.returncode == 0
        ended = card_house.card("card.remove", card=name)
        assert ended["device_time_ns"] > 0
        assert (ended["throttled_ns"] > 0) == (name == "hard")
    assert refusal(create, card_house, "three", priority=10) == "bad-priority"


def test_a_device_is_never_granted_twice(card_house):
    whole = card_house.card("device.list")["devices"][0]["memory_bytes"]
    create(card_house, "one", whole - 64 * MIB, 600)
    assert refusal(create, card_house, "two", 65 * MIB, 100) == "memory-exceeds-device"
    assert refusal(create, card_house, "two", 64 * MIB, 401) == "share-exceeds-device"
    assert refusal(create, card_house, "one", 1, 1) == "card-exists"
    assert refusal(create, card_house, "two", 1, 1, device="gpu-7") == "unknown-device"
    create(card_house, "two", 64 * MIB, 400)
    card_house.card("card.set_share", card="one", share_permille=0)
    card_house.card("card.set_share", card="two", share_permille=1000)
    assert refusal(card_house.card, "card.set_share", card="one", share_permille=600) == "share-exceeds-device"


def test_card_keeps_a_token_that_is_given(card_house):
    token = "0123456789abcdef" * 4
    assert create(card_house, "one", token=token)["token"] == token
    assert refusal(create, card_house, "two", token=token) == "token-in-use"
    with Session(card_house, token) as session:
        assert session.status == 0


def test_bad_lines_are_refused_and_the_connection_goes_on(card_house):
    control = card_house.control()
    for line in (b"nonsense\n", b"{}\n", b"[1]\n", b'{"id":1,"op":"card.show","card":"../x"}\n'):
        control.socket.sendall(line)
        assert "error" in control.lines.readline()
    assert control("hello")["pid"] in children_of(card_house.daemon.pid)
    control.socket.sendall(b"x" * (70 << 10))
    assert "line-too-long" in control.lines.readline()
    assert control.lines.readline() == ""
    control.close()


def test_strangers_get_no_session(card_house):
    lease = create(card_house, "one")
    for wrong in ({"token": "f" * 64}, {"token": ""}, {"token": lease["token"][:-1]},
                  {"token": lease["token"], "version": 99}, {"token": lease["token"], "magic": 1}):
        with Session(card_house, **wrong) as session:
            assert session.status < 0 and session.text and not session.fds
    assert card_house.card("card.show", card="one")["sessions_total"] == 0


def test_silent_clients_do_not_keep_others_out(card_house):
    lease = create(card_house, "one")
    silent = []
    for _ in range(100):
        silent.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        silent[-1].connect(os.path.join(card_house.run_dir, "card", "card.sock"))
        silent[-1].sendall(b"x")
    with Session(card_house, lease["token"]) as session:
        assert session.status == 0
    for one in silent:
        one.close()


def send_lingering(server, to, data, count):
    """Send `count` times `data` with as many TCP sockets, which have unsent bytes and wait for the server when they are closed."""
    sent = []
    for _ in range(count):
        waits = socket.create_connection(server.getsockname())
        waits.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                waits.send(bytes(65536))
        waits.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
        sent.append(waits)
        socket.send_fds(to, [data], [waits.fileno()] * count)
    return sent  # for the caller to hold


def in_a_process(work, *args):
    """A process does not wait for what it closes by its end."""
    child = os.fork()
    if child == 0:
        try:
            held = work(*args)  # noqa: F841: nothing is closed before
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def test_what_strangers_send_holds_nobody_up(card_house):
    lease = create(card_house, "one")
    wrong = HELLO.pack(MAGIC, VERSION, 0, 0, b"f" * 64, 0, b"")

    def knock(server, data):  # one descriptor is taken with each message, the others are dropped or never read
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stranger.connect(os.path.join(card_house.run_dir, "card", "card.sock"))
        return stranger, send_lingering(server, stranger, data, 3)

    def enter(server):  # what is sent there the keeper has, too
        session = Session(card_house, lease["token"])
        executors(card_house.daemon.pid, 1)
        return session, send_lingering(server, session.socket, b"x", 3)

    with socket.create_server(("127.0.0.1", 0), backlog=20) as server:
        in_a_process(knock, server, b"x")
        in_a_process(knock, server, wrong)
        assert card_house.card("hello")
        in_a_process(enter, server)
        eventually("the session's end", lambda: card_house.card("card.show", card="one")["sessions"] == 0)
        assert card_house.card("card.remove", card="one")["sessions_total"] == 1


def test_refusals_do_not_fill_the_log(card_house):
    card_house.card("hello")

    def left_out():
        for _ in range(20):
            with Session(card_house, "f" * 64) as session:
                assert session.status < 0
        return re.search(r"session.refused code=bad-token .* untold=[1-9]", card_house.log())
    eventually("refusals that are not logged one by one", left_out)


def test_client_cannot_write_the_ledger_nor_shrink_a_page(card_house):
    lease = create(card_house, "one")
    with Session(card_house, lease["token"]) as session:
        memory, ledger, claims = session.fds
        with pytest.raises(PermissionError):
            os.pwrite(ledger, b"\xff" * 8, 8)
        again = os.open(f"/proc/self/fd/{ledger}", os.O_RDWR)  # as the same user may
        with pytest.raises(PermissionError):
            os.pwrite(again, b"\xff" * 8, 8)
        os.close(again)
        for fd in (memory, ledger, claims):
            with pytest.raises(PermissionError):
                os.ftruncate(fd, 0)
            with pytest.raises(PermissionError):  # nor keep others from writing
                fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)


def test_bound_card_goes_with_its_client(card_house):
    marker = f"marker-{os.getpid()}"
    program = subprocess.Popen([houses.built("leat"), "card", "exec", "-m", "64MiB", "-s", "10%", "--", "sleep", "1000"],
                               env=dict(card_house.environment, MARKER=marker), stderr=subprocess.DEVNULL)
    eventually("the card", lambda: card_house.card("card.list")["cards"])
    program.kill()
    program.wait()
    eventually("the card's end", lambda: not card_house.card("card.list")["cards"])
    eventually("the program's end", lambda: not houses.processes_naming(marker))


def say(program, words):
    """One line to a holder, and its answer."""
    program.stdin.write(words + "\n")
    program.stdin.flush()
    return program.stdout.readline()


def holder(house, lease, memory_bytes):
    program = house.on_card(lease, houses.built("holder"), stdin=subprocess.PIPE)
    assert say(program, f"+{memory_bytes}") == "ok\n", program.communicate()[1]
    return program


def test_killed_executor_ends_its_session_only(card_house):
    lease = create(card_house, "one")
    control = card_house.control()
    control("subscribe")
    first = holder(card_house, lease, MIB)
    victim, = executors(card_house.daemon.pid, 1)
    second = holder(card_house, lease, 2 * MIB)
    os.kill(victim, signal.SIGKILL)
    assert ended_session(control)["status"] == 128 + signal.SIGKILL
    shown = control("card.show", card="one")
    assert (shown["sessions"], shown["sessions_total"], shown["memory_used_bytes"]) == (1, 2, 2 * MIB)
    assert say(first, "!") == "-2\n" and say(second, "=") == "ok\n"
    with Session(card_house, lease["token"]) as third:
        assert third.slot == 0
    for program in (first, second):
        program.communicate(timeout=60)
    control.close()


def test_executor_killed_before_its_first_record_is_replaced(card_house):
    lease = create(card_house, "one")
    control = card_house.control()
    control("subscribe")
    with Session(card_house, lease["token"]) as session:
        victims = []
        for _ in range(3):
            victims += eventually("another executor", lambda: [pid for pid in executors(card_house.daemon.pid, 1)
                                                               if pid not in victims])
            os.kill(victims[-1], signal.SIGKILL)
        last, = eventually("the last executor", lambda: [pid for pid in executors(card_house.daemon.pid, 1)
                                                         if pid not in victims])
        assert control("card.show", card="one")["sessions_total"] == 1
        session.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            session.socket.recv(1)  # its end would be the session's
        session.socket.settimeout(30)
        os.kill(last, signal.SIGKILL)
        assert session.socket.recv(1) == b""
    assert ended_session(control)["status"] == 128 + signal.SIGKILL
    control.close()


def test_the_driver_is_started_for_the_first_record(card_house):
    lease = create(card_house, "one")
    spare, = eventually("the spare", lambda: [pid for pid in children_of(card_house.daemon.pid)
                                              if name_of(pid).startswith("leat-spare")])
    with Session(card_house, lease["token"]):
        assert executors(card_house.daemon.pid, 1) == [spare]
        os.kill(spare, signal.SIGKILL)  # the one in its place is forked for the client
        executor, = eventually("another executor", lambda: [pid for pid in executors(card_house.daemon.pid, 1)
                                                            if pid != spare])
        eventually("the thread that watches its client", lambda: len(os.listdir(f"/proc/{executor}/task")) > 1)
        with open(f"/proc/{executor}/maps", encoding="utf-8") as maps:
            assert "libpocl-devices" not in maps.read()  # PoCL maps its devices' part when it is asked for them


def test_a_card_can_be_removed_before_its_executor_runs(card_house):
    for _ in range(20):
        lease = create(card_house, "one")
        with Session(card_house, lease["token"]) as session:
            assert card_house.card("card.remove", card="one")["sessions_total"] == 1
            assert session.socket.recv(1) == b""
    eventually("the executors' end", lambda: not card_house.executors())


def test_removing_a_card_ends_its_sessions(card_house):
    lease = create(card_house, "one")
    with Session(card_house, lease["token"]) as session:
        assert card_house.card("card.remove", card="one")["sessions_total"] == 1
        assert session.socket.recv(1) == b""
        assert card_house.executors() == []
    with Session(card_house, lease["token"]) as late:
        assert late.status < 0


def test_sessions_leak_nothing(card_house):
    lease = create(card_house, "one")
    control = card_house.control()
    control("subscribe")

    def serve_one():
        with Session(card_house, lease["token"]) as session:
            assert session.status == 0
        assert ended_session(control)["status"] == 0

    def files_at_rest():
        """Once nothing runs but the spare executor for the next client, and that is ready."""
        children = [child for child in children_of(card_house.daemon.pid) if child not in pids]
        return len(children) == 1 and name_of(children[0]).startswith("leat-spare") and \
            houses.holds_pidfd(pids[1], children[0]) and [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]

    serve_one()
    pids = (card_house.daemon.pid, control("hello")["pid"])
    before = eventually("the next spare", files_at_rest)
    for _ in range(100):
        serve_one()
    eventually("as few descriptors as before", lambda: files_at_rest() == before)
    for pid in pids:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            assert not any("leat-session" in line for line in maps)
    assert control("card.show", card="one")["sessions_total"] == 101
    control.close()


def open_files(pid):
    names = []
    for fd in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            names.append(os.readlink(fd))
        except FileNotFoundError:
            continue  # closed meanwhile: the executor is just beginning
    return names


def test_executor_holds_nothing_of_others(card_house):
    one, other = create(card_house, "one"), create(card_house, "other")
    with Session(card_house, other["token"]), Session(card_house, one["token"]):
        for pid in executors(card_house.daemon.pid, 2):
            eventually("an executor with nothing of others", lambda: not any(
                part in name for name in open_files(pid) for part in ("leat-ledger", "cardd.lock")))
            with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
                assert sum("leat-ledger" in line for line in maps) == 1


def writable_memory(pid):
    """What a process has to itself, piece by piece."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            places, access = line.split()[:2]
            start, end = (int(place, 16) for place in places.split("-"))
            if access.startswith("rw") and access.endswith("p"):
                memory.seek(start)
                yield memory.read(end - start)


def test_executor_knows_no_token(card_house):
    given = "0123456789abcdef" * 4
    one, other = create(card_house, "one"), create(card_house, "other")
    create(card_house, "given", token=given)
    with Session(card_house, other["token"]), Session(card_house, one["token"]):
        pids = executors(card_house.daemon.pid, 2)
        seen = [[token for token in (one["token"], other["token"], given)
                 if any(token.encode() in piece for piece in writable_memory(pid))] for pid in pids]
    assert seen == [[], []]


def test_order_to_leave_leaves_nothing(card_house):
    lease = create(card_house, "one")
    instance = card_house.card("hello")["instance"]
    with Session(card_house, lease["token"]):
        children = executors(card_house.daemon.pid, 1)
        assert len(children) == 1
        card_house.daemon.terminate()
        assert card_house.daemon.wait(20) == 0
    assert not any(map(process_alive, children))
    assert groups(instance) == []
    assert not os.path.exists(os.path.join(card_house.run_dir, "cardd.sock"))
    assert os.listdir(os.path.join(card_house.run_dir, "card")) == []
    card_house.start()


def test_killed_daemon_leaves_nothing_after_the_next_start(card_house):
    lease = create(card_house, "one")
    instance = card_house.card("hello")["instance"]
    with Session(card_house, lease["token"]):
        there = [card_house.cardd_pid(), *executors(card_house.daemon.pid, 1)]
        card_house.kill()  # their keeper
        eventually("their end", lambda: not any(map(process_alive, there)))
    card_house.start()
    assert card_house.card("hello")["instance"] != instance
    assert card_house.card("card.list")["cards"] == []
    assert groups(instance) == []


def group_files(instance, card, name):
    """The files `name` of a card's control groups."""
    return [os.path.join(path, name) for path in groups(instance)
            if path.endswith(f"/card-{card}") and os.path.exists(os.path.join(path, name))]


def memory_limit_file(house, card):
    instance = house.card("hello")["instance"]
    for name in ("memory.limit_in_bytes", "memory.max"):
        for path in group_files(instance, card, name):
            return path
    pytest.skip("control groups that limit memory cannot be made here")


def test_executors_are_confined(card_house):
    lease = create(card_house, "one", 64 * MIB, 250)
    limit = memory_limit_file(card_house, "one")

    def limit_mib():
        with open(limit, encoding="utf-8") as file:
            return int(file.read()) // MIB

    assert limit_mib() == 64 + 1024
    with Session(card_house, lease["token"]), Session(card_house, lease["token"]):
        executors(card_house.daemon.pid, 2)

        def all_are_in():  # a spare executor, too
            with open(os.path.join(os.path.dirname(limit), "cgroup.procs"), encoding="utf-8") as procs:
                return sorted(map(int, procs)) == sorted(card_house.executors())
        eventually("all of the card's processes in its group", all_are_in)
        eventually("the larger limit", lambda: limit_mib() == 64 + 1024 + 256)
    card_house.card("card.remove", card="one")
    eventually("the groups' end", lambda: not os.path.exists(limit))


def test_executor_beyond_its_group_is_told_as_such(card_house):
    lease = create(card_house, "one")
    control = card_house.control()
    control("subscribe")
    Session(card_house, lease["token"]).close()  # later the limit is set again only for more sessions at once
    assert ended_session(control)["oom"] is False
    with open(memory_limit_file(card_house, "one"), "w", encoding="utf-8") as limit:
        limit.write(str(2 * MIB))
    program = card_house.on_card(lease, houses.built("digits"), "--steps", "1")
    program.communicate(timeout=120)
    assert program.returncode != 0
    ended = ended_session(control)
    assert ended["oom"] is True and ended["status"] == 128 + signal.SIGKILL
    control.close()


def test_one_instance_a_run_folder(card_house):
    second = subprocess.run([houses.built("leat-cardd"), "--run-dir", card_house.run_dir], capture_output=True, text=True,
                            timeout=60, check=False)
    assert second.returncode == 75 and "already-running" in second.stderr
    assert card_house.keeper_pid() == card_house.daemon.pid


def test_many_starts_at_once_make_one_daemon(tmp_path):
    run_dir = str(tmp_path / "run")
    environment = dict(os.environ, LEAT_RUN_DIR=run_dir)
    programs = [subprocess.Popen([houses.built("leat"), "card", "exec", "-m", "16MiB", "-s", "5%", "--", "true"],
                                 env=environment, stderr=subprocess.PIPE) for _ in range(8)]
    for program in programs:
        _, said = program.communicate(timeout=120)
        assert program.returncode == 0, said
    with open(os.path.join(run_dir, "cardd.log"), encoding="utf-8") as log:
        assert log.read().count("cardd.ready") == 1
    eventually("the daemon's leaving", lambda: not houses.processes_naming(f"--run-dir\0{run_dir}\0--linger"))
    assert not os.path.exists(os.path.join(run_dir, "cardd.sock"))


@pytest.mark.parametrize("words, status", [
    (("true",), 0), (("sh", "-c", "exit 7"), 7), (("sh", "-c", "kill -TERM $$"), 143), (("nonesuch",), 127),
    (("/etc/passwd",), 126)])
def test_exec_exits_as_the_program(card_house, words, status):
    assert card_house.card_exec(*words, memory="16MiB", check=False).returncode == status


def test_exec_passes_signals_on(card_house):
    words = [houses.built("leat"), "card", "exec", "-m", "16MiB", "-s", "5%", "--", "sh", "-c",
             "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done"]
    with subprocess.Popen(words, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGUSR1)
        assert program.wait(30) == 42


def test_exec_refuses_clearly(card_house):
    done = card_house.card_exec("true", memory="100TiB", check=False)
    assert done.returncode == 125 and "100 TiB" in done.stderr and "cpu-0" in done.stderr
    assert card_house.leat("card", "exec", "--", "true", check=False).returncode == 2


def test_job_waits_for_the_card_of_somebody_else(house):
    control = house.control()
    control("card.create", card="else", memory_bytes=64 * MIB, share_permille=700, bound=True)
    job = house.submit(library="opencl-c", type="training", image="host", program=houses.built("hello"), memory="64MiB",
                       share="50%", network="none")["id"]
    refused = eventually("a decision", lambda: house.job(job)["code"] not in ("submitted", "accepted", "placed") and
                         house.job(job))
    assert refused["state"] in ("queued", "starting"), refused
    control.close()
    assert house.wait(job)["state"] == "succeeded"
