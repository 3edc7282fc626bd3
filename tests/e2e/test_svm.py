"""Shared virtual memory of a device that shares no memory with the program: one with memory of its own, one of another host."""
import contextlib
import os
import subprocess

import pytest

import house as houses
from house import CardError
from relay import Lender
from test_checkpoint import replace_executor
from test_depart import Talker
from test_depart import directly as talked_directly
from test_suspend import create, finish, under_way

DRIVERS_FIRST = 0x300000000000  # of apart_icd


@pytest.fixture(name="vendors")
def vendors_fixture(tmp_path):
    (tmp_path / "apart.icd").write_text(houses.built("apart_icd") + "\n")
    return {"LEAT_DEVICE_ICD_VENDORS": str(tmp_path)}


@pytest.fixture(name="apart")
def apart_fixture(vendors):
    with houses.House(cards_only=True, environment=vendors) as running:
        yield running


@pytest.fixture(name="run", params=["apart", "relay", "arena"])
def run_fixture(request):
    """Runs a program on a card of `memory`."""
    house = request.getfixturevalue("apart" if request.param == "apart" else "card_house")
    if request.param != "relay":
        yield house.card_exec
        return
    with Lender(house, f"127.0.0.1:{20000 + os.getpid() % 10000}", secure=False) as lender:
        yield lambda *words, memory: house.leat("card", "exec", *lender.options(), "--memory", memory, "--share", "100%",
                                                "--", *words)


def directly(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("words", [[], ["rounds", "50"]], ids=["all", "rounds"])
def test_as_directly(run, words):
    program = [houses.built("svm"), *words]
    assert run(*program, memory="64MiB").stdout == directly(*program)


def test_quota(run):
    """Charged to the byte, and what is freed can be had again."""
    assert run(houses.built("svm"), "fill", memory="8MiB").stdout == "8 MiB\n" * 2


def test_addresses_of_the_program(apart):
    """Where the program has something else already nothing is shared, and the next address is as good."""
    told = apart.card_exec(houses.built("svm"), "taken", hex(DRIVERS_FIRST), memory="64MiB").stdout
    assert told == "apart 1, mine 7\n"


def disturbed(house, lease, rounds):
    program = house.on_card(lease, houses.built("svm"), "rounds", str(rounds))
    for _ in range(5):
        under_way(house, more=30, program=program)
        assert house.card("card.suspend", card="one")["memory_used_bytes"] == 0
        house.card("card.resume", card="one")
    return finish(program)


def test_comes_back(apart):
    """After a suspension every piece is at its address, and pointers within lead where they led."""
    assert disturbed(apart, create(apart), 1500) == directly(houses.built("svm"), "rounds", "1500")


def test_comes_back_on_another_host(card_house):
    with Lender(card_house, f"127.0.0.1:{20000 + os.getpid() % 10000}", secure=False) as lender:
        program = subprocess.Popen([houses.built("leat"), "card", "exec", *lender.options(), "--memory", "64MiB", "--share",
                                    "100%", "--", houses.built("svm"), "rounds", "600"],
                                   env=card_house.environment, stdout=subprocess.PIPE, text=True)
        cards = houses.eventually("the card", lambda: card_house.card("card.list")["cards"])
        for _ in range(3):
            under_way(card_house, cards[0]["card"], more=20, program=program)
            assert card_house.card("card.suspend", card=cards[0]["card"])["memory_used_bytes"] == 0
            card_house.card("card.resume", card=cards[0]["card"])
        assert program.communicate(timeout=240)[0] == directly(houses.built("svm"), "rounds", "600")


def test_comes_back_in_another_executor(apart, tmp_path):
    """Of a driver that has given nothing yet, and whose kernels have to be told again what they reach."""
    talker = Talker(apart.on_card(create(apart), houses.built("svm"), "across", stdin=subprocess.PIPE))
    for _ in range(3):
        talker.ready()
        replace_executor(apart, str(tmp_path / "checkpoint"), "cpu-0")
        talker.go_on()
    assert talker.rest() == talked_directly(["svm", "across"], 3)


@contextlib.contextmanager
def beside(environment):
    """Another host's cards."""
    with houses.House(cards_only=True, environment=environment) as there:
        with Lender(there, f"127.0.0.1:{20000 + os.getpid() % 10000}", secure=False) as lender:
            yield there, lender


@pytest.mark.parametrize("goes_at, comes_at", [(0, None), (2, None), (0, 0), (0, 1)])
def test_comes_to_another_host_and_home(apart, vendors, goes_at, comes_at):
    with beside(vendors) as (_, lender):
        talker = Talker(apart.on_card(create(apart), houses.built("svm"), "across", stdin=subprocess.PIPE))
        for stage in range(3):
            talker.ready()
            if stage == goes_at:
                apart.leat("card", "move", "one", *lender.options())
            if stage == comes_at:
                apart.leat("card", "move", "--home", "one")
            talker.go_on()
        told = talker.rest()
    assert told == talked_directly(["svm", "across"], 3)


def test_an_address_that_is_not_there_at_home(vendors):
    """What cannot come home goes on where it is."""
    with houses.House(cards_only=True, environment=dict(vendors, APART_NEVER_AGAIN="1")) as here, beside(vendors) as (there, lender):
        talker = Talker(here.on_card(create(here), houses.built("svm"), "across", stdin=subprocess.PIPE))
        talker.ready()
        here.leat("card", "move", "one", *lender.options())
        for _ in range(2):
            refused = here.leat("card", "move", "--home", "one", check=False)
            assert refused.returncode == 1 and "address" in refused.stderr
            card = here.card("card.show", card="one")
            assert (card["state"], card["host"]) == ("moved", lender.address)
            assert here.card("device.list")["devices"][0]["granted_bytes"] == 0
            talker.go_on()
            talker.ready()
        talker.go_on()
        assert talker.rest() == talked_directly(["svm", "across"], 3)
        assert len(there.card("card.list")["cards"]) == 1


def test_an_address_that_does_not_come_back(vendors):
    """A driver that gives no address twice: the card stays suspended, and says why."""
    with houses.House(cards_only=True, environment=dict(vendors, APART_NEVER_AGAIN="1")) as house:
        lease = create(house)
        program = house.on_card(lease, houses.built("svm"), "rounds", "1000000")
        under_way(house, more=30, program=program)
        house.card("card.suspend", card="one")
        with pytest.raises(CardError) as refused:
            house.card("card.resume", card="one")
        assert refused.value.code == "resume-failed" and "address" in str(refused.value)
        assert house.card("card.show", card="one")["state"] == "suspended"
        program.kill()
        program.wait()
