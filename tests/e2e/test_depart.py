"""Cards that go to another host while their programs run: these see time pass and nothing else."""
import contextlib
import os
import signal
import socket
import subprocess

import pytest

import house as houses
from conftest import needs
from house import eventually
from relay import DelayLine, Lender
from test_cardd import name_of
from test_relay import NOT_AVAILABLE
from test_resize import MIB, create
from test_suspend import commands, finish, losses, under_way
from test_takeover import kill

STEPS = 400
TRIPS = 3
SMALL_SHARE = 300


@pytest.fixture(name="hosts", params=["plain"])
def hosts_fixture(request):
    """Two leat-cardd, and a relay that lends the cards of the second."""
    needs("leat-cardd", "leat", "leat-relay")
    port = 20000 + os.getpid() % 10000
    with houses.House(cards_only=True) as here, houses.House(cards_only=True) as there:
        with Lender(there, f"127.0.0.1:{port}", secure=request.param == "tls") as lender:
            yield here, there, lender


def depart(here, lender, *more, card="one", check=True, **options):
    return here.leat("card", "move", card, *more, *lender.options(**options), check=check)


def shown(house, card="one"):
    return house.card("card.show", card=card)


def cards_of(house):
    return house.card("card.list")["cards"]


def granted(house):
    return house.card("device.list")["devices"][0]["granted_bytes"]


class Talker:
    """A program that says "ready" and then waits for a line."""

    def __init__(self, program):
        self.program = program
        self.lines = []

    def ready(self):
        while True:
            line = self.program.stdout.readline()
            assert line, self.program.communicate()
            if line == "ready\n":
                return
            self.lines.append(line)

    def go_on(self):
        self.program.stdin.write("\n")
        self.program.stdin.flush()

    def rest(self):
        output, errors = self.program.communicate(timeout=120)
        assert self.program.returncode == 0, output + errors
        return "".join(self.lines + output.splitlines(keepends=True))


def directly(words, rounds=0):
    name, *arguments = words
    done = subprocess.run([houses.built(name), *arguments], input="\n" * rounds, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.replace("ready\n", "")


@pytest.mark.parametrize("hosts", ["tls"], indirect=True)
def test_training_ends_with_the_same_bytes(hosts, tmp_path):
    needs("digits")
    here, there, lender = hosts
    subprocess.run([houses.built("digits"), "--steps", str(STEPS), "--checkpoint", str(tmp_path / "direct"), "--metrics",
                    str(tmp_path / "direct.metrics")], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    program = here.on_card(create(here, memory_bytes=256 * MIB, burst=True, priority=3), houses.built("digits"), "--steps", str(STEPS),
                           "--checkpoint", str(tmp_path / "net"), "--metrics", str(tmp_path / "net.metrics"),
                           "--sleep-at", f"{STEPS // 2}:600")
    eventually("commands on the device", lambda: commands(here) > 20, 120)  # the first build takes long
    assert f"is now on {lender.address}" in depart(here, lender).stderr
    card = shown(here)
    assert (card["state"], card["host"], card["sessions"]) == ("moved", lender.address, 1)
    assert [cards_of(there)[0][member] for member in ("burst", "priority")] == [1, 3]
    eventually("books that follow those there",
               lambda: shown(here)["memory_used_bytes"] == cards_of(there)[0]["memory_used_bytes"] > 0)
    assert (granted(here), granted(there)) == (0, 256 * MIB)
    eventually("half of the steps", lambda: "leaving the device" in program.stdout.readline())
    eventually("the program's end", lambda: (program.send_signal(signal.SIGCONT), program.poll())[1] is not None, 120)
    finish(program)
    assert (tmp_path / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert losses(tmp_path / "net") == losses(tmp_path / "direct")
    assert cards_of(there)[0]["commands"] > 100
    here.card("card.remove", card="one")
    eventually("the other host's card's end", lambda: cards_of(there) == [])


# Programs that say "ready" three times.
ACROSS = [["moving"], ["subdevices", "across"], ["svm", "across"], ["printing", "1", "across"], ["content", "across"]]


def runnable(house, words):
    if words[0] == "subdevices" and house.card("device.list")["devices"][0]["compute_units"] < 2:
        pytest.skip("a device of one compute unit cannot be divided")
    return words


def run_across(here, words, happens):
    """`happens` is called when the program has said "ready", with how often it had done so before."""
    name, *arguments = runnable(here, words)
    talker = Talker(here.on_card(create(here), houses.built(name), *arguments, stdin=subprocess.PIPE))
    for stage in range(3):
        talker.ready()
        happens(stage)
        talker.go_on()
    assert talker.rest() == directly(words, 3)
    eventually("the session's end", lambda: shown(here)["sessions"] == 0)
    assert shown(here)["memory_used_bytes"] == 0


@pytest.mark.parametrize("moves_at", [0, 1, 2])
@pytest.mark.parametrize("words", ACROSS, ids=lambda words: words[0])
def test_all_that_a_session_has_goes_along(hosts, words, moves_at):
    here, _, lender = hosts
    run_across(here, words, lambda stage: depart(here, lender) if stage == moves_at else None)


def home(here, card="one", check=True):
    return here.leat("card", "move", "--home", card, check=check)


def test_training_comes_home_with_the_same_bytes(hosts, tmp_path):
    """Again and again, amidst its steps. With such a share a command is in hand that waits for its turn, nearly always."""
    needs("digits")
    here, there, lender = hosts
    steps = [houses.built("digits"), "--steps", str(STEPS)]
    subprocess.run([*steps, "--checkpoint", str(tmp_path / "direct"), "--metrics", str(tmp_path / "direct.metrics")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    program = here.on_card(create(here, memory_bytes=256 * MIB, share_permille=SMALL_SHARE), *steps, "--checkpoint", str(tmp_path / "net"),
                           "--metrics", str(tmp_path / "net.metrics"), "--sleep-at", f"{STEPS - 5}:600")
    under_way(here, program=program)  # the first build takes long
    for _ in range(TRIPS):
        depart(here, lender)
        assert (granted(here), granted(there)) == (0, 256 * MIB)
        home(here)
        card = shown(here)
        assert (card["state"], card["host"], granted(here)) == ("active", "", 256 * MIB)
        eventually("the end of the card there", lambda: cards_of(there) == [])
    eventually("the program's end", lambda: (program.send_signal(signal.SIGCONT), program.poll())[1] is not None, 120)
    finish(program)
    assert (tmp_path / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert losses(tmp_path / "net") == losses(tmp_path / "direct")


@pytest.mark.parametrize("comes_at", [0, 1, 2])
@pytest.mark.parametrize("words", ACROSS, ids=lambda words: words[0])
def test_all_that_a_session_has_comes_home(hosts, words, comes_at):
    """What kernels printed before and there, too."""
    here, there, lender = hosts

    def trip(stage):
        if stage == 0:
            depart(here, lender)
        if stage == comes_at:
            home(here)
            eventually("the end of the card there", lambda: cards_of(there) == [])

    run_across(here, words, trip)


@pytest.mark.parametrize("words", [["moving"], ["svm", "across"], ["svm", "between"]], ids=" ".join)
def test_all_that_a_session_has_comes_home_again_and_again(hosts, words):
    here, _, lender = hosts

    def trip(_):
        for _ in range(2):
            depart(here, lender)
            home(here)

    run_across(here, words, trip)


def test_what_lay_in_the_arena_lies_there_again(hosts):
    """A map needs no copy then: it is the buffer's own memory, as at first."""
    here, _, lender = hosts
    talker = Talker(here.on_card(create(here), houses.built("moving"), "places", stdin=subprocess.PIPE))
    for happens in (lambda: depart(here, lender), lambda: home(here), lambda: (depart(here, lender), home(here))):
        talker.ready()
        happens()
        talker.go_on()
    told = talker.rest()
    assert [line for line in told.splitlines() if "place" in line] == ["same place 0", "same place 1", "same place 1"]
    assert told.replace("place 0", "place 1") == directly(["moving", "places"], 3)


def suspend(house, card="one"):
    assert house.card("card.suspend", card=card)["memory_used_bytes"] == 0


@pytest.mark.parametrize("words", [["moving"], ["svm", "across"], ["printing", "1", "across"]], ids=lambda words: words[0])
def test_a_suspended_card_moves_and_comes_home(hosts, words):
    """It needs no room here for that, and runs there."""
    here, there, lender = hosts

    def trip(stage):
        if stage == 0:
            suspend(here)
            create(here, "other", share_permille=1000)
            depart(here, lender)
            assert [card["state"] for card in (shown(here), cards_of(there)[0])] == ["moved", "active"]
            here.card("card.remove", card="other")
        if stage == 1:
            home(here)

    run_across(here, words, trip)


def test_training_moves_while_it_is_suspended(hosts, tmp_path):
    """Amidst its steps, with commands that wait for the card."""
    needs("digits")
    here, there, lender = hosts
    steps = [houses.built("digits"), "--steps", str(STEPS)]
    subprocess.run([*steps, "--checkpoint", str(tmp_path / "direct")], check=True, stdin=subprocess.DEVNULL, capture_output=True,
                   timeout=120)
    program = here.on_card(create(here, memory_bytes=256 * MIB, share_permille=SMALL_SHARE), *steps, "--checkpoint",
                           str(tmp_path / "net"), "--sleep-at", f"{STEPS - 5}:600")
    under_way(here, more=200, program=program)  # all its buffers are made
    for trip in range(2):
        suspend(here)
        if trip == 0:
            eventually("a command that waits", lambda: shown(here)["share_wanted"])
        depart(here, lender)
        assert (granted(here), granted(there)) == (0, 256 * MIB)
        home(here)
    eventually("the program's end", lambda: (program.send_signal(signal.SIGCONT), program.poll())[1] is not None, 120)
    finish(program)
    assert (tmp_path / "net").read_bytes() == (tmp_path / "direct").read_bytes()


def test_a_suspended_card_that_cannot_move_stays_suspended(hosts):
    """There is no room for it there; or its program has a place in this host's memory for what it has begun since."""
    here, there, lender = hosts
    talker = Talker(here.on_card(create(here), houses.built("moving"), "places", stdin=subprocess.PIPE))
    talker.ready()
    suspend(here)
    create(there, "other", share_permille=600)
    refused = depart(here, lender, check=False)
    assert refused.returncode == 1 and "of cpu-0" in refused.stderr
    there.card("card.remove", card="other")
    talker.go_on()
    eventually("a command that waits", lambda: shown(here)["share_wanted"])
    for _ in range(2):
        refused = depart(here, lender, check=False)
        assert refused.returncode == 1 and "resume the card first" in refused.stderr
        assert (shown(here)["state"], granted(here)) == ("suspended", 0)
        eventually("the end of the card there", lambda: cards_of(there) == [])
    here.card("card.resume", card="one")
    for _ in range(2):
        talker.ready()
        talker.go_on()
    assert talker.rest() == directly(["moving", "places"], 3)


def test_a_card_that_was_suspended_there_comes_home(hosts):
    """Its program has waited for all that it has posted."""
    here, there, lender = hosts

    def trip(stage):
        if stage == 0:
            depart(here, lender)
        if stage == 1:
            suspend(there, cards_of(there)[0]["card"])
            home(here)
            assert shown(here)["state"] == "active"

    run_across(here, ["svm", "across"], trip)


def test_a_card_comes_home_and_goes_to_a_third_host(hosts):
    """Of its programs one was there from its first command on."""
    here, there, lender = hosts
    lease = create(here)
    first = moving(here, lease)
    first.ready()
    depart(here, lender)
    second = moving(here, lease)
    second.ready()
    home(here)
    with houses.House(cards_only=True) as third, Lender(third, f"127.0.0.1:{20000 + (os.getpid() + 5000) % 10000}", secure=False) as other:
        first.go_on()
        first.ready()
        depart(here, other)
        assert (shown(here)["sessions"], cards_of(third)[0]["sessions"]) == (2, 2)
        first.go_on()
        first.ready()
        home(here)
        first.go_on()
        assert first.rest() == directly(["moving"], 3)
        the_rest(second)
        eventually("the end of the card there", lambda: cards_of(third) == [])


def test_without_room_at_home_it_goes_on_there(hosts):
    here, there, lender = hosts
    talker = moving(here, create(here, share_permille=600))
    talker.ready()
    depart(here, lender)
    create(here, "other", share_permille=600)
    refused = home(here, check=False)
    assert refused.returncode == 1 and "of cpu-0" in refused.stderr
    assert (shown(here)["state"], len(cards_of(there))) == ("moved", 1)
    here.card("card.remove", card="other")
    talker.go_on()
    talker.ready()
    home(here)
    refused = home(here, check=False)
    assert refused.returncode == 1 and "is on no other host" in refused.stderr
    talker.go_on()
    talker.ready()
    talker.go_on()
    assert talker.rest() == directly(["moving"], 3)


def test_programs_of_a_card_go_together(hosts):
    here, there, lender = hosts
    lease = create(here)
    talkers = [moving(here, lease) for _ in range(3)]
    for talker in talkers:
        talker.ready()
    depart(here, lender)
    assert (shown(here)["sessions"], cards_of(there)[0]["sessions"]) == (3, 3)
    for talker in talkers:
        the_rest(talker)
    eventually("the sessions' end", lambda: shown(here)["sessions"] == cards_of(there)[0]["sessions"] == 0)
    assert shown(here)["memory_used_bytes"] == cards_of(there)[0]["memory_used_bytes"] == 0


def test_a_card_without_programs_moves_and_takes_them_there(hosts):
    """Programs that come later are on the other host from their first command."""
    here, there, lender = hosts
    lease = create(here)
    depart(here, lender, "cpu-0")
    for _ in range(2):
        talker = Talker(here.on_card(lease, houses.built("moving"), stdin=subprocess.PIPE))
        for _ in range(3):
            talker.ready()
            talker.go_on()
        assert talker.rest() == directly(["moving"], 3)
    assert cards_of(there)[0]["sessions_total"] == 2
    with contextlib.closing(here.control()) as control:
        for verb in ("suspend", "resume", "save", "load"):
            with pytest.raises(houses.CardError) as caught:
                control("card." + verb, card="one", **({"file": "/tmp/x"} if verb in ("save", "load") else {}))
            assert caught.value.code == "card-moved"


def moving(house, lease):
    return Talker(house.on_card(lease, houses.built("moving"), stdin=subprocess.PIPE))


def the_rest(talker):
    for _ in range(2):
        talker.go_on()
        talker.ready()
    talker.go_on()
    assert talker.rest() == directly(["moving"], 3)


def test_what_is_refused_stays_here(hosts, tmp_path):
    here, there, lender = hosts
    talker = moving(here, create(here))
    talker.ready()
    wrong = tmp_path / "token"
    wrong.write_text("another-token-than-that\n")
    create(there, "other", share_permille=600)
    for how, told in (({"token": str(wrong)}, "token is another one"),
                      ({"address": "127.0.0.1:1"}, "cannot reach '127.0.0.1:1'"),
                      ({}, "of cpu-0")):
        refused = depart(here, lender, check=False, **how)
        assert refused.returncode == 1 and told in refused.stderr
    refused = depart(here, lender, "cpu-7", check=False)
    assert refused.returncode == 1 and "no device 'cpu-7'" in refused.stderr
    card = shown(here)
    assert (card["state"], card["host"], card["suspensions"]) == ("active", "", 0)
    the_rest(talker)
    assert [card["card"] for card in cards_of(there)] == ["other"]


def test_a_relay_that_takes_no_callers_is_not_waited_for(tmp_path):
    """leat-cardd has one thread."""
    needs("leat-cardd", "leat-relay")
    callers = []
    with houses.House(cards_only=True) as here, socket.socket(socket.AF_UNIX) as deaf, contextlib.closing(here.control()) as control:
        create(here)
        deaf.bind(str(tmp_path / "cardd.sock"))
        deaf.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                callers.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                callers[-1].connect(str(tmp_path / "cardd.sock"))
        with pytest.raises(houses.CardError) as caught:
            control("card.move", card="one", device="cpu-0", relay=str(tmp_path), host="deaf")
        assert caught.value.code == "no-relay"
        assert shown(here)["state"] == "active"
    for caller in callers:
        caller.close()


def relays_of(house):
    """The near relays' processes, those of callers, too."""
    return [pid for pid, words in houses.processes_naming(house.run_dir).items() if " --to " in words]


def kill_relays(house):
    """One that another one's end takes along is gone already."""
    for pid in relays_of(house):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def executors_of(house):
    return (pid for pid in house.executors() if name_of(pid).startswith("leat-exec"))


def executor_of(house):
    return next(executors_of(house))


VICTIMS = {
    "their relay": lambda here, there, lender: lender.process.kill(),
    "their leat-cardd": lambda here, there, lender: there.kill(),
    "our relay": lambda here, there, lender: kill_relays(here),
    "our leat-cardd": lambda here, there, lender: os.kill(here.cardd_pid(), signal.SIGKILL),
}


def in_state(house, *states):
    eventually(f"a card that is {states}", lambda: shown(house)["state"] in states)


@pytest.mark.parametrize("when", ["suspending", "moving"])
@pytest.mark.parametrize("victim", VICTIMS)
def test_who_is_killed_on_the_way_leaves_it_here(hosts, victim, when):
    """First our executor is stopped, then their leat-cardd, so that the card is at a known place of its way."""
    here, there, lender = hosts
    talker = moving(here, create(here))
    talker.ready()
    executor, theirs = executor_of(here), there.cardd_pid()
    os.kill(executor, signal.SIGSTOP)
    words = [houses.built("leat"), "card", "move", "one", *lender.options()]
    with subprocess.Popen(words, env=here.environment, stderr=subprocess.PIPE, text=True) as command:
        in_state(here, "suspending")
        assert len(cards_of(there)) == 1
        if when == "moving":
            os.kill(theirs, signal.SIGSTOP)
            os.kill(executor, signal.SIGCONT)
            in_state(here, "moving")
        VICTIMS[victim](here, there, lender)
        if when == "suspending":
            os.kill(executor, signal.SIGCONT)
        elif victim != "their leat-cardd":
            os.kill(theirs, signal.SIGCONT)
        told = command.communicate(timeout=60)[1]
    assert command.returncode == 1, told
    in_state(here, "active")
    assert granted(here) == 64 * MIB
    the_rest(talker)
    if victim != "their leat-cardd":
        eventually("the end of the card there", lambda: cards_of(there) == [])


@pytest.mark.parametrize("victim", ["their relay", "our leat-cardd"])
def test_who_is_killed_on_the_way_leaves_a_suspended_card_suspended(hosts, victim):
    here, there, lender = hosts
    talker = moving(here, create(here))
    talker.ready()
    suspend(here)
    executor = executor_of(here)
    os.kill(executor, signal.SIGSTOP)
    words = [houses.built("leat"), "card", "move", "one", *lender.options()]
    with subprocess.Popen(words, env=here.environment, stderr=subprocess.PIPE, text=True) as command:
        in_state(here, "suspending")
        VICTIMS[victim](here, there, lender)
        os.kill(executor, signal.SIGCONT)
        told = command.communicate(timeout=60)[1]
    assert command.returncode == 1, told
    in_state(here, "suspended")
    assert granted(here) == 0
    eventually("the end of the card there", lambda: cards_of(there) == [])
    here.leat("card", "resume", "one")
    assert granted(here) == 64 * MIB
    the_rest(talker)


def test_their_executor_is_killed_at_once(hosts):
    """The move fails, and the program is right here; or the session was there already, and it alone is lost."""
    here, there, lender = hosts
    lease = create(here)
    talker = moving(here, lease)
    talker.ready()
    words = [houses.built("leat"), "card", "move", "one", *lender.options()]
    with subprocess.Popen(words, env=here.environment, stderr=subprocess.PIPE, text=True) as command:
        os.kill(eventually("their executor", lambda: next(executors_of(there), None)), signal.SIGKILL)
        told = command.communicate(timeout=60)[1]
    if command.returncode == 0:
        assert shown(here)["state"] == "moved"
        talker.go_on()
        assert talker.program.wait(60) != 0
        talker = moving(here, lease)
        talker.ready()
    else:
        assert (shown(here)["state"], granted(here)) == ("active", 64 * MIB), told
    the_rest(talker)


def test_our_leat_cardd_is_followed_by_another(hosts):
    here, there, lender = hosts
    lease = create(here)
    first = moving(here, lease)
    first.ready()
    depart(here, lender)
    kill(here)
    second = moving(here, lease)
    second.ready()
    kill(here)
    for talker in (first, second):
        the_rest(talker)
    assert cards_of(there)[0]["sessions_total"] == 2


@pytest.mark.parametrize("victim", ["line", "our relay", "their leat-cardd"])
def test_what_is_there_is_lost_with_the_connection(hosts, victim):
    """The program is told, the card is here again without it, and can be used."""
    here, there, lender = hosts
    lease = create(here)
    program = here.on_card(lease, houses.built("survive"), "orphan")
    assert program.stdout.readline() == "working\n"
    with DelayLine(lender.address, 0) as line:
        depart(here, lender, address=line.address)
        if victim == "line":
            line.cut()
        else:
            VICTIMS[victim](here, there, lender)
        assert program.communicate(timeout=60)[0].splitlines() == NOT_AVAILABLE
    eventually("the end of what was there", lambda: shown(here)["state"] == "suspended")
    here.leat("card", "resume", "one")
    talker = moving(here, lease)
    talker.ready()
    the_rest(talker)


@contextlib.contextmanager
def coming_home(here, there):
    """Their executors are stopped meanwhile, so that the card is at a known place of its way."""
    theirs = list(executors_of(there))
    for executor in theirs:
        os.kill(executor, signal.SIGSTOP)
    words = [houses.built("leat"), "card", "move", "--home", "one"]
    with subprocess.Popen(words, env=here.environment, stderr=subprocess.PIPE, text=True) as command:
        in_state(here, "returning")
        yield theirs
        for executor in theirs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(executor, signal.SIGCONT)
        command.communicate(timeout=60)


NOT_MISSED = {
    "our leat-cardd": lambda here, there: os.kill(here.cardd_pid(), signal.SIGKILL),
    "their leat-cardd": lambda here, there: os.kill(there.cardd_pid(), signal.SIGKILL),
}


@pytest.mark.parametrize("victim", NOT_MISSED)
def test_who_is_killed_on_the_way_home_is_not_missed(hosts, victim):
    here, there, lender = hosts
    talker = moving(here, create(here))
    talker.ready()
    depart(here, lender)
    with coming_home(here, there):
        NOT_MISSED[victim](here, there)
    in_state(here, "active")
    assert granted(here) == 64 * MIB
    the_rest(talker)
    eventually("the end of the card there", lambda: cards_of(there) == [])


MISSED = {
    "their relay": lambda here, there, lender, theirs: lender.process.kill(),
    "their host": lambda here, there, lender, theirs: there.kill(),
    "their executor": lambda here, there, lender, theirs: os.kill(theirs[0], signal.SIGKILL),
    "our relay": lambda here, there, lender, theirs: kill_relays(here),
    "our executor": lambda here, there, lender, theirs: os.kill(executor_of(here), signal.SIGKILL),
}


@pytest.mark.parametrize("victim", MISSED)
def test_what_had_not_come_home_is_lost(hosts, victim):
    """The program is told; the card is here, and can be used."""
    here, there, lender = hosts
    lease = create(here)
    program = here.on_card(lease, houses.built("survive"), "orphan")
    assert program.stdout.readline() == "working\n"
    depart(here, lender)
    with coming_home(here, there) as theirs:
        MISSED[victim](here, there, lender, theirs)
        assert program.communicate(timeout=60)[0].splitlines() == NOT_AVAILABLE
    in_state(here, "active")
    assert granted(here) == 64 * MIB
    if victim != "their host":
        eventually("the end of the card there", lambda: cards_of(there) == [])
    talker = moving(here, lease)
    talker.ready()
    the_rest(talker)
