"""Several cards as the devices of one platform: a program finds what it finds without cards, each card is charged with what is
its own, and they leave and come back together."""
import os
import signal
import subprocess

import pytest

import house as houses
from house import eventually
from test_cardd import MIB, Session, create, refusal
from test_suspend import finish, two_devices_fixture, under_way  # noqa: F401 (a fixture)

BOTH = ("--device", "cpu-0+cpu-1")


def directly(*words):
    return subprocess.run([houses.built("together"), *words], env=dict(os.environ, POCL_DEVICES="pthread pthread"),
                          capture_output=True, text=True, timeout=300, check=True).stdout


def pair(house, memory=(64 * MIB, 64 * MIB), **members):
    """Two cards, and what a program has for a token to have them as one platform."""
    leases = [create(house, name, memory[i], device=f"cpu-{i}", **members) for i, name in enumerate(("one", "two"))]
    return dict(leases[0], token="+".join(lease["token"] for lease in leases))


def shown(house, *members):
    cards = [house.card("card.show", card=name) for name in ("one", "two")]
    return [tuple(card[member] for member in members) for card in cards]


def test_as_without_cards(two_devices):
    """One platform with both, a context of both, buffers that go from one to the other: every line as directly."""
    done = two_devices.leat("card", "exec", *BOTH, "--memory", "64MiB", "--share", "100%", "--", houses.built("together"))
    assert done.stdout == directly()
    listed = two_devices.leat("card", "exec", *BOTH, "--memory", "64MiB", "--share", "100%", "--", "clinfo", "-l").stdout
    assert listed.count("Platform #") == 1 and listed.count("Device #") == 2


def test_each_card_is_charged(two_devices):
    """Commands count on the card of their queue, memory on each card of its context."""
    lease = pair(two_devices)
    finish(two_devices.on_card(lease, houses.built("together"), "41"))
    eventually("the session's end on both", lambda: shown(two_devices, "sessions") == [(0,), (0,)])
    one, two = shown(two_devices, "commands", "device_time_ns", "memory_used_bytes", "memory_peak_bytes")
    assert one[0] >= 21 and two[0] >= 20 and one[1] > 0 and two[1] > 0
    assert one[2:] == two[2:] == (0, 2 * 16384)
    finish(two_devices.on_card(lease, houses.built("together")))
    (first,), (second,) = shown(two_devices, "memory_peak_bytes")
    assert second > first  # what a context of the second alone has


def test_they_go_and_come_together(two_devices):
    lease = pair(two_devices)
    program = two_devices.on_card(lease, houses.built("together"), "20000")
    under_way(two_devices, "two", program=program)
    two_devices.card("card.suspend", card="one")
    assert shown(two_devices, "state", "memory_used_bytes", "suspended_bytes") == [("suspended", 0, 2 * 16384),
                                                                                  ("active", 0, 2 * 16384)]
    two_devices.card("card.suspend", card="two")
    two_devices.card("card.resume", card="one")
    assert shown(two_devices, "state", "memory_used_bytes") == [("active", 0), ("suspended", 0)]
    assert refusal(two_devices.card, "card.resume", card="two", device="cpu-0") == "same-device"
    assert refusal(two_devices.card, "card.move", card="one", device="cpu-1") == "same-device"
    two_devices.card("card.resume", card="two")
    under_way(two_devices, "one", program=program)
    for name in ("two", "one", "two"):
        two_devices.card("card.suspend", card=name)
        two_devices.card("card.resume", card=name)
    assert finish(program) == directly("20000")


def test_a_killed_daemon_is_followed_by_one_that_knows_them(two_devices):
    lease = pair(two_devices)
    program = two_devices.on_card(lease, houses.built("together"), "20000")
    under_way(two_devices, "two", program=program)
    os.kill(two_devices.cardd_pid(), signal.SIGKILL)
    assert shown(two_devices, "sessions") == [(1,), (1,)]
    two_devices.card("card.suspend", card="two")
    os.kill(two_devices.cardd_pid(), signal.SIGKILL)
    assert shown(two_devices, "state", "sessions") == [("active", 1), ("suspended", 1)]
    two_devices.card("card.resume", card="two")
    assert finish(program) == directly("20000")
    eventually("the end of the session", lambda: shown(two_devices, "sessions") == [(0,), (0,)])


def test_their_session_ends_with_any_of_them(two_devices):
    lease = pair(two_devices)
    with Session(two_devices, lease["token"]) as session:
        assert session.status == 0 and len(session.fds) == 5
        assert shown(two_devices, "sessions") == [(1,), (1,)]
        two_devices.card("card.remove", card="two")
        eventually("the end of the session", lambda: two_devices.card("card.show", card="one")["sessions"] == 0)


@pytest.mark.parametrize("second, says", [({"device": "cpu-0"}, "both of cpu-0"),
                                          ({"device": "cpu-1", "tenant": "else"}, "not of one tenant")])
def test_what_does_not_go_together(two_devices, second, says):
    first = create(two_devices, "one", device="cpu-0")
    second = create(two_devices, "two", **second)
    with Session(two_devices, f"{first['token']}+{second['token']}") as session:
        assert session.status < 0 and says in session.text
    with Session(two_devices, f"{first['token']}+{'0' * 64}") as session:
        assert session.status < 0 and "no card has this token" in session.text
