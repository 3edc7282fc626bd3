"""A leat-cardd that is killed is followed by another, and no program notices. LEAT_LONG=1: more kills."""
import os
import random
import signal
import subprocess
import threading

import pytest

import house as houses
from house import CardError, children_of, eventually, process_alive
from test_cardd import MIB, Session, create, groups, name_of, say
from test_suspend import device, finish, losses, trainer, two_devices_fixture, under_way  # noqa: F401 (a fixture)

LONG = os.environ.get("LEAT_LONG") == "1"
KILLS = 200 if LONG else 10
STEPS = 20000 if LONG else 1000


def kill(house):
    """Kill leat-cardd, at whatever it is; the next one answers who asks."""
    victim = house.cardd_pid()
    os.kill(victim, signal.SIGKILL)
    assert house.card("hello")["pid"] != victim


def asked(house, op, **members):
    """What is asked while leat-cardd may be killed: again, until it is answered or refused."""
    while True:
        try:
            return house.card(op, **members)
        except (ConnectionError, BrokenPipeError):
            continue
        except CardError as refused:
            return refused.code


def books_agree(house):
    """The devices have granted what their cards have."""
    cards = house.card("card.list")["cards"]
    for one in house.card("device.list")["devices"]:
        own = [card for card in cards if card["device"] == one["id"] and card["state"] in ("active", "suspending", "resuming")]
        assert one["granted_bytes"] == sum(card["memory_quota_bytes"] for card in own)
        assert one["granted_permille"] == sum(card["share_permille"] for card in own)
        assert one["cards"] == len(own)


def test_programs_go_on(card_house):
    lease = create(card_house, "one", share_permille=500)
    create(card_house, "other", 32 * MIB)
    program = card_house.on_card(lease, houses.built("holder"), stdin=subprocess.PIPE)
    assert say(program, "+7340032") == "ok\n"
    card_house.card("card.set_share", card="other", share_permille=0)
    before = {name: card_house.card("card.show", card=name) for name in ("one", "other")}
    instance = card_house.card("hello")["instance"]
    executors = [pid for pid in card_house.executors() if name_of(pid).startswith("leat-exec")]
    for _ in range(3):
        kill(card_house)
    assert card_house.card("hello")["instance"] == instance
    for name, then in before.items():
        now = card_house.card("card.show", card=name)
        for figure in ("sessions", "sessions_total", "memory_used_bytes", "memory_quota_bytes", "share_permille",
                       "share_asked_permille", "commands", "builds", "state", "memory_peak_bytes"):
            assert now[figure] == then[figure], figure
    books_agree(card_house)
    assert set(executors) <= set(card_house.executors())
    assert say(program, "=") == "ok\n"
    with Session(card_house, lease["token"]) as session:
        assert session.status == 0 and session.slot == 1  # the first is taken
    program.communicate()
    eventually("the session's end", lambda: card_house.card("card.show", card="one")["sessions"] == 0)
    assert card_house.card("card.show", card="one")["memory_used_bytes"] == 0
    card_house.card("card.remove", card="one")
    card_house.card("card.remove", card="other")
    books_agree(card_house)


def test_a_suspended_card_stays_so_and_comes_back(card_house, tmp_path):
    lease = create(card_house, "one", share_permille=1000)
    finish(trainer(card_house, lease, tmp_path / "calm", 400))
    program = trainer(card_house, lease, tmp_path / "disturbed", 400)
    under_way(card_house)
    away = card_house.card("card.suspend", card="one")["suspended_bytes"]
    kill(card_house)
    shown = card_house.card("card.show", card="one")
    assert (shown["state"], shown["suspended_bytes"], shown["memory_used_bytes"]) == ("suspended", away, 0)
    books_agree(card_house)
    card_house.card("card.resume", card="one")
    kill(card_house)
    finish(program)
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "disturbed").read_bytes()
    assert losses(tmp_path / "calm") == losses(tmp_path / "disturbed")


class Storm:
    """Kills at random moments, until it is left."""

    def __init__(self, house, least):
        self.house, self.least, self.kills, self.chance = house, least, 0, random.Random(5)
        self.enough, self.stopping = threading.Event(), threading.Event()
        self.failure = None
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *reason):
        self.stopping.set()
        self.thread.join()
        assert self.failure is None, self.failure

    def run(self):
        try:
            while not self.stopping.wait(self.chance.random() ** 2 * 0.1):
                kill(self.house)
                self.kills += 1
                if self.kills >= self.least:
                    self.enough.set()
        except (AssertionError, CardError, OSError) as failure:
            if not isinstance(failure, ConnectionError) and not self.stopping.is_set():
                self.failure = failure
            self.enough.set()


def test_what_is_under_way_is_done_or_undone(two_devices, tmp_path):
    house, chance = two_devices, random.Random(11)
    whole = 256 * MIB
    lease = create(house, "one", whole, 1000)
    finish(trainer(house, lease, tmp_path / "calm", STEPS))
    program = trainer(house, lease, tmp_path / "disturbed", STEPS)
    under_way(house)
    file = str(tmp_path / "checkpoint")
    with Storm(house, KILLS) as storm:
        while not storm.enough.is_set():
            asked(house, "card.suspend", card="one")
            saved = asked(house, "card.save", card="one", file=file)
            if isinstance(saved, dict):
                asked(house, "card.load", card="one", file=file)
            asked(house, "card.resume", card="one", device=chance.choice(["cpu-0", "cpu-1"]))
            asked(house, "card.move", card="one", device=chance.choice(["cpu-0", "cpu-1"]))
            asked(house, "card.resize", card="one", memory_bytes=chance.randrange(whole // 2, whole))
            asked(house, "card.set_share", card="one", share_permille=chance.choice([300, 1000]))
            made = asked(house, "card.create", card="two", memory_bytes=16 * MIB, share_permille=1)
            assert isinstance(made, dict) or made in ("card-exists", "share-exceeds-device")
            asked(house, "card.remove", card="two")
            assert program.poll() is None or program.returncode == 0
    eventually("a settled card", lambda: house.card("card.show", card="one")["state"] in ("active", "suspended"))
    books_agree(house)
    assert [card["card"] for card in house.card("card.list")["cards"]] == ["one"]
    if house.card("card.show", card="one")["state"] == "suspended":
        house.card("card.resume", card="one")
    house.card("card.set_share", card="one", share_permille=1000)
    finish(program)
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "disturbed").read_bytes()
    assert losses(tmp_path / "calm") == losses(tmp_path / "disturbed")
    eventually("the session's end", lambda: house.card("card.show", card="one")["sessions"] == 0)
    assert house.card("card.show", card="one")["memory_used_bytes"] == 0


def at_rest(house):
    """Descriptors of keeper and leat-cardd once nothing runs but a spare, and nobody is connected but this."""
    control = house.control()
    pids = (house.daemon.pid, control("hello")["pid"])

    def counts():
        children = [pid for pid in children_of(house.daemon.pid) if pid not in pids]
        with open("/proc/net/unix", encoding="utf-8") as lines:
            sockets = sum(" 03 " in line and f"{house.run_dir}/cardd.sock" in line for line in lines)
        return len(children) == 1 and name_of(children[0]).startswith("leat-spare") and sockets == 1 and \
            houses.holds_pidfd(pids[1], children[0]) and [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
    found = eventually("rest", counts)
    control.close()
    return found


def test_programs_start_while_it_is_killed_and_nothing_leaks(card_house):
    lease = create(card_house, "one", share_permille=1000)

    def run_one():
        program = card_house.on_card(lease, houses.built("hello"))
        out, errors = program.communicate(timeout=120)
        assert program.returncode == 0, out + errors + card_house.log()

    run_one()
    kill(card_house)
    before = at_rest(card_house)
    runs = 1
    with Storm(card_house, KILLS) as storm:
        while not storm.enough.is_set():
            run_one()
            runs += 1
    eventually("the sessions' end", lambda: card_house.card("card.show", card="one")["sessions"] == 0)
    assert card_house.card("card.show", card="one")["sessions_total"] == runs
    assert card_house.card("card.show", card="one")["memory_used_bytes"] == 0
    eventually("as few descriptors as before", lambda: at_rest(card_house) == before)


def test_a_bound_card_goes_with_its_program_alone(card_house):
    program = subprocess.Popen([houses.built("leat"), "card", "exec", "-m", "64MiB", "-s", "100%", "--", houses.built("holder")],
                               env=card_house.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert say(program, "+7340032") == "ok\n"
    with Storm(card_house, 5) as storm:
        assert storm.enough.wait(60)
    card, = card_house.card("card.list")["cards"]
    assert card["memory_used_bytes"] == 7340032 and card["sessions"] == 1
    assert say(program, "=") == "ok\n"
    program.communicate(timeout=60)
    assert program.returncode == 0
    eventually("the card's end", lambda: not card_house.card("card.list")["cards"])
    books_agree(card_house)


@pytest.mark.parametrize("how", ["killed", "told"])
def test_everything_ends_with_the_keeper(card_house, how):
    lease = create(card_house, "one")
    instance = card_house.card("hello")["instance"]
    with Session(card_house, lease["token"]):
        kill(card_house)
        pids = card_house.executors() + [card_house.cardd_pid()]
        card_house.daemon.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
        status = card_house.daemon.wait(20)
        assert status == (-signal.SIGKILL if how == "killed" else 0)
        eventually("the end of all", lambda: not any(map(process_alive, pids)))
    if how == "told":
        assert groups(instance) == []
    card_house.start()
    assert card_house.card("card.list")["cards"] == [] and groups(instance) == []
