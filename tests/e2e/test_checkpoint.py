"""Checkpoints of cards: what a program holds on the device goes to a file and comes back, damage is refused."""
import os
import signal
import subprocess

import pytest

import house as houses
from house import CardError, eventually, process_alive
from test_cardd import name_of
from test_depart import ACROSS, Talker, directly, runnable
from test_resize import MIB, create, holding
from test_suspend import finish, losses, trainer, under_way


@pytest.fixture(name="two_devices")
def two_devices_fixture(monkeypatch):
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread")
    with houses.House(cards_only=True) as running:
        yield running


def refusal(house, op, **members):
    with pytest.raises(CardError) as caught:
        house.card(op, card="one", **members)
    return caught.value.code


def test_contents_go_to_a_file_and_come_back_on_another_device(two_devices, tmp_path):
    house, file = two_devices, str(tmp_path / "card.ckpt")
    with holding(house, create(house, memory_bytes=8 * MIB)) as holder:
        assert holder("+1") == "ok"
        # The session's arena has room for a card of 8 MiB: what comes later lies in the driver's own memory.
        house.card("card.resize", card="one", memory_bytes=64 * MIB)
        assert [holder(f"+{size}") for size in (7 * MIB + 5, 7 * MIB, 7 * MIB, 6 * MIB)] == ["ok"] * 4
        house.leat("card", "checkpoint", "one", file)
        assert os.stat(file).st_mode & 0o777 == 0o600 and os.path.getsize(file) > 27 * MIB
        assert os.listdir(tmp_path) == ["card.ckpt"]
        assert (holder("="), holder("!"), holder("="), holder("+3000")) == ("ok", "ok", "differs", "ok")
        house.leat("card", "restore", "--device", "cpu-1", "one", file)
        shown = house.card("card.show", card="one")
        assert (shown["state"], shown["device"]) == ("active", "cpu-1")
        assert (holder("="), holder("-"), holder("-"), holder("=")) == ("ok", "ok", "ok", "ok")
        house.leat("card", "restore", "one", file)  # of what is still there
        assert holder("=") == "ok"


def spill_files(house):
    """Paths under /proc of the files without a name that executors have open, with something in them."""
    found = []
    for pid in house.executors():
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{fd}"
            if "leat-test-cache" in os.readlink(path) and os.readlink(path).endswith(" (deleted)"):
                found += [path] if os.stat(path).st_size else []
    return found


def test_contents_beyond_the_limit_go_to_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LEAT_SUSPENDED_MEMORY", "8MiB")
    with houses.House(cards_only=True) as house, holding(house, create(house, memory_bytes=8 * MIB)) as holder:
        assert holder("+1") == "ok"
        house.card("card.resize", card="one", memory_bytes=64 * MIB)  # beyond the arena: see above
        assert [holder(f"+{size}") for size in (7 * MIB + 5, 7 * MIB, 7 * MIB, 6 * MIB)] == ["ok"] * 4
        house.card("card.suspend", card="one")
        spilled = spill_files(house)
        assert len(spilled) == 1 and os.path.getsize(spilled[0]) >= 6 * MIB
        house.card("card.save", card="one", file=str(tmp_path / "card.ckpt"))
        house.card("card.resume", card="one")
        assert (holder("="), spill_files(house)) == ("ok", [])
        house.leat("card", "restore", "one", str(tmp_path / "card.ckpt"))
        assert holder("=") == "ok"
        # Other bytes than those that were written are noticed.
        house.card("card.suspend", card="one")
        with open(spill_files(house)[0], "r+b") as file:
            file.write(b"something else")
        house.card("card.resume", card="one")
        assert holder("=") == "differs"


def test_a_damaged_file_changes_nothing(card_house, tmp_path):
    house, file = card_house, str(tmp_path / "card.ckpt")
    with holding(house, create(house)) as holder:
        assert holder(f"+{5 * MIB}") == "ok"
        assert refusal(house, "card.save", file=file) == "card-active"
        house.card("card.suspend", card="one")
        assert refusal(house, "card.save", file="relative") == "bad-path"
        assert refusal(house, "card.save", file=str(tmp_path / "absent" / "file")) == "checkpoint-failed"
        assert refusal(house, "card.load", file=str(tmp_path / "absent")) == "checkpoint-failed"
        house.card("card.save", card="one", file=file)
        with open(file, "rb") as whole:
            data = whole.read()
        damages = {"not-a-checkpoint": b"x" + data[1:], "checkpoint-version": data[:8] + b"\7" + data[9:],
                   "checkpoint-truncated": data[:len(data) // 2],
                   "checkpoint-corrupt": data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]}
        house.card("card.resume", card="one")
        assert holder("!") == "ok"
        house.card("card.suspend", card="one")
        for code, damaged in damages.items():
            with open(file, "wb") as out:
                out.write(damaged)
            assert refusal(house, "card.load", file=file) == code
        house.card("card.resume", card="one")
        assert holder("=") == "differs"
        wrong = house.leat("card", "restore", "one", file, check=False)
        assert wrong.returncode == 1 and "damaged" in wrong.stderr
        assert house.card("card.show", card="one")["state"] == "active"
        with open(file, "wb") as out:
            out.write(data)
        house.leat("card", "restore", "one", file)
        assert holder("=") == "ok"


def test_a_checkpoint_is_of_its_programs_alone(card_house, tmp_path):
    house, file = card_house, str(tmp_path / "card.ckpt")
    lease = create(house)
    with holding(house, lease) as holder:
        assert holder(f"+{MIB}") == "ok"
        house.leat("card", "checkpoint", "one", file)
    eventually("its end", lambda: house.card("card.show", card="one")["sessions"] == 0)
    with holding(house, lease) as holder:
        assert (holder(f"+{MIB}"), holder("!")) == ("ok", "ok")
        wrong = house.leat("card", "restore", "one", file, check=False)
        assert wrong.returncode == 1 and "holds nothing of the programs" in wrong.stderr
        assert holder("=") == "differs"


def test_a_training_goes_on_from_its_checkpoint_on_another_device(two_devices, tmp_path):
    house, file = two_devices, str(tmp_path / "card.ckpt")
    words = [houses.built("digits"), "--steps", "600", "--checkpoint"]
    lease = create(house, share_permille=1000)
    assert house.on_card(lease, *words, str(tmp_path / "calm")).wait(120) == 0
    program = house.on_card(lease, *words, str(tmp_path / "carried"))
    before = house.card("card.show", card="one")["commands"]
    eventually("commands", lambda: house.card("card.show", card="one")["commands"] > before + 100)
    house.card("card.suspend", card="one")
    house.card("card.save", card="one", file=file)
    house.card("card.load", card="one", file=file)
    house.card("card.resume", card="one", device="cpu-1")
    assert program.wait(120) == 0, program.communicate()
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "carried").read_bytes()


def kill_executor(house):
    """The one that serves; its successor, when it does."""
    victim, = [pid for pid in house.executors() if name_of(pid).startswith("leat-exec")]
    os.kill(victim, signal.SIGKILL)
    eventually("its end", lambda: not process_alive(victim))


def replace_executor(house, file, where):
    """Between two records, with all that the first one had in a checkpoint."""
    times = house.log().count("session.rebuilt")
    house.card("card.suspend", card="one")
    house.card("card.save", card="one", file=file)
    kill_executor(house)
    eventually("another executor", lambda: house.log().count("session.rebuilt") == times + 1)
    assert house.card("card.show", card="one")["memory_used_bytes"] == 0
    house.card("card.load", card="one", file=file)
    house.card("card.resume", card="one", device=where)


@pytest.mark.parametrize("words", ACROSS, ids=lambda words: words[0])
def test_all_that_a_session_has_is_there_in_the_next_executor(card_house, tmp_path, words):
    """Maps that are open, events that are not set, parts of the card, memory that kernels find by its address, and what
    they printed that nobody has fetched."""
    name, *arguments = runnable(card_house, words)
    talker = Talker(card_house.on_card(create(card_house), houses.built(name), *arguments, stdin=subprocess.PIPE))
    for _ in range(3):
        talker.ready()
        replace_executor(card_house, str(tmp_path / "checkpoint"), "cpu-0")
        talker.go_on()
    assert talker.rest() == directly(words, 3)


def test_a_killed_executor_goes_on_from_the_checkpoint(two_devices, tmp_path):
    house, file = two_devices, str(tmp_path / "checkpoint")
    lease = create(house)
    finish(trainer(house, lease, tmp_path / "calm", 400))
    program = trainer(house, lease, tmp_path / "disturbed", 400)
    under_way(house)
    for where in ("cpu-1", "cpu-0"):
        replace_executor(house, file, where)
    finish(program)
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "disturbed").read_bytes()
    assert losses(tmp_path / "calm") == losses(tmp_path / "disturbed")
    eventually("the session's end", lambda: house.card("card.show", card="one")["sessions"] == 0)
    assert house.card("card.show", card="one")["memory_used_bytes"] == 0


def test_a_killed_executor_goes_on_when_nothing_was_carried_out_since(card_house, tmp_path):
    file = str(tmp_path / "checkpoint")
    lease = create(card_house, memory_bytes=8 * MIB)
    with holding(card_house, lease) as holder:
        assert holder("+5000001") == "ok"
        card_house.card("card.resize", card="one", memory_bytes=64 * MIB)
        assert [holder(f"+{size}") for size in (7 * MIB + 5, 7 * MIB, 6 * MIB)] == ["ok"] * 3  # beyond the arena
        held = card_house.card("card.show", card="one")["memory_used_bytes"]
        card_house.leat("card", "checkpoint", "one", file)
        assert card_house.card("card.show", card="one")["state"] == "active"
        kill_executor(card_house)
        eventually("the memory", lambda: card_house.card("card.show", card="one")["memory_used_bytes"] == held)
        assert holder("=") == "ok"
        assert (holder("-"), holder("+5"), holder("=")) == ("ok", "ok", "ok")
        shown = card_house.card("card.show", card="one")
        assert (shown["sessions"], shown["sessions_total"]) == (1, 1)
        kill_executor(card_house)  # of which the checkpoint is not any more
        eventually("the session's end", lambda: card_house.card("card.show", card="one")["sessions"] == 0)
        assert holder("!") == "-2"
    assert card_house.card("card.show", card="one")["memory_used_bytes"] == 0
