"""Spare executors: made for a card before it has a client, bound to the card, and gone with it."""
import os
import signal

from house import built, eventually, process_alive
from test_cardd import Session, children_of, create, executors, group_files, name_of, open_files, writable_memory


def spares(house, count=None):
    """The spare executors, when there are `count`."""
    def found():
        pids = [pid for pid in children_of(house.daemon.pid) if name_of(pid).startswith("leat-spare")]
        return (pids, ) if count in (None, len(pids)) else None
    return eventually(f"{count} spares", found)[0]


def has_driver(pid):
    """The driver's threads run: it has been started."""
    return len(os.listdir(f"/proc/{pid}/task")) > 1


def test_a_session_gets_the_spare_and_its_driver(card_house):
    lease = create(card_house, "one")
    spare, = spares(card_house, 1)
    eventually("the driver's start", lambda: has_driver(spare))
    with Session(card_house, lease["token"]):
        assert executors(card_house.daemon.pid, 1) == [spare]
        assert not spares(card_house)  # one program is all that has come yet
        with Session(card_house, lease["token"]):
            executors(card_house.daemon.pid, 2)
            spares(card_house, 1)  # others may follow
    eventually("its end", lambda: not process_alive(spare))
    spares(card_house, 1)


def test_a_program_runs_on_a_spare(card_house):
    lease = card_house.card("card.create", card="one", memory_bytes=64 << 20, share_permille=1000)
    spare, = spares(card_house, 1)
    eventually("the driver's start", lambda: has_driver(spare))
    control = card_house.control()
    control("subscribe")
    program = card_house.on_card(lease, built("hello"))
    assert program.wait(60) == 0, program.communicate()[1]
    assert f"executor={spare} " in card_house.log()
    control.close()


def test_a_killed_spare_is_nobodys_executor(card_house):
    lease = card_house.card("card.create", card="one", memory_bytes=64 << 20, share_permille=1000)
    for _ in range(3):
        spare, = spares(card_house, 1)
        os.kill(spare, signal.SIGKILL)
        program = card_house.on_card(lease, built("hello"))
        assert program.wait(60) == 0, program.communicate()[1]


def test_a_spare_holds_nothing_of_others(card_house):
    tokens = {name: create(card_house, name)["token"] for name in ("one", "other")}
    instance = card_house.card("hello")["instance"]
    for pid in spares(card_house, 2):
        eventually("the driver's start", lambda spare=pid: has_driver(spare))
        name = name_of(pid).strip().split(":")[1]
        other, = (token for card, token in tokens.items() if not card.startswith(name))
        assert not any(part in path for path in open_files(pid) for part in ("leat-ledger", "cardd.lock", ".sock"))
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            assert sum("leat-ledger" in line for line in maps) == 1
        assert not any(other.encode() in piece for piece in writable_memory(pid))
        for procs in group_files(instance, "one" if "one".startswith(name) else "other", "cgroup.procs"):
            with open(procs, encoding="utf-8") as members:
                assert str(pid) in members.read().split()


def test_a_suspended_card_has_no_spare(card_house):
    create(card_house, "one")
    spares(card_house, 1)
    card_house.card("card.suspend", card="one")
    spares(card_house, 0)
    card_house.card("card.resume", card="one")
    spares(card_house, 1)
    card_house.card("card.remove", card="one")
    spares(card_house, 0)


def test_spares_are_bounded_and_end_with_the_daemon(card_house):
    for number in range(10):
        create(card_house, f"c{number}", 1 << 20, 10)
    newest = {f"leat-spare:c{number}" for number in range(2, 10)}
    eventually("the oldest to make room", lambda: {name_of(pid).strip() for pid in spares(card_house)} == newest)
    pids = spares(card_house, 8)
    card_house.kill()
    eventually("the spares' end", lambda: not any(map(process_alive, pids)))
    card_house.start()
