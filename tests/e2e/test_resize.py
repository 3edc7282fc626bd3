"""Cards that change their size while their programs run: the quota is exact before, during and after."""
import contextlib
import subprocess

import pytest

import house as houses
from house import CardError, eventually

MIB = 1 << 20
REFUSED = str(-4)  # CL_MEM_OBJECT_ALLOCATION_FAILURE


class Holder:
    """A program that holds the buffers it is told to (programs/holder.c)."""

    def __init__(self, house, lease):
        self.program = house.on_card(lease, houses.built("holder"), stdin=subprocess.PIPE)

    def __call__(self, line):
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()
        return self.program.stdout.readline().strip()


@contextlib.contextmanager
def holding(house, lease):
    holder = Holder(house, lease)
    yield holder
    output, errors = holder.program.communicate(timeout=60)
    assert holder.program.returncode == 0, output + errors


def create(house, name="one", memory_bytes=64 * MIB, share_permille=500, **members):
    return house.card("card.create", card=name, memory_bytes=memory_bytes, share_permille=share_permille, **members)


def books(house):
    device = house.card("device.list")["devices"][0]
    return device["granted_bytes"], device["granted_permille"], device["cards"]


def refusal(call, *args, **members):
    with pytest.raises(CardError) as caught:
        call(*args, **members)
    return caught.value


def test_a_card_grows_and_shrinks_under_its_program(card_house):
    house = card_house
    with holding(house, create(house)) as holder:
        assert holder(f"+{48 * MIB}") == "ok"
        assert holder(f"+{48 * MIB}") == REFUSED
        grown = house.card("card.resize", card="one", memory_bytes=160 * MIB, share_permille=750)
        assert (grown["memory_quota_bytes"], grown["share_permille"], grown["share_asked_permille"]) == \
            (160 * MIB, 750, 750)
        assert books(house) == (160 * MIB, 750, 1)
        assert [holder(f"+{48 * MIB}") for _ in range(3)] == ["ok", "ok", REFUSED]
        too_small = refusal(house.card, "card.resize", card="one", memory_bytes=144 * MIB - 1, share_permille=100)
        assert too_small.code == "memory-in-use" and "144" in str(too_small)
        assert books(house) == (160 * MIB, 750, 1)
        assert house.card("card.resize", card="one", memory_bytes=144 * MIB)["memory_used_bytes"] == 144 * MIB
        assert holder("+1") == REFUSED
        assert holder("-") == "ok"
        eventually("the buffer's end",
                   lambda: house.card("card.show", card="one")["memory_used_bytes"] == 96 * MIB)
        assert house.card("card.resize", card="one", memory_bytes=96 * MIB)["memory_quota_bytes"] == 96 * MIB
        assert (holder("+1"), holder("=")) == (REFUSED, "ok")
        assert house.card("card.show", card="one")["memory_peak_bytes"] == 144 * MIB


def test_growth_ends_at_what_the_device_has(card_house):
    house = card_house
    whole = house.card("device.list")["devices"][0]["memory_bytes"]
    create(house, "two")
    create(house)
    assert refusal(house.card, "card.resize", card="one", memory_bytes=whole).code == "memory-exceeds-device"
    assert refusal(house.card, "card.resize", card="one", share_permille=501).code == "share-exceeds-device"
    assert refusal(house.card, "card.resize", card="one").code == "missing-field"
    assert books(house) == (128 * MIB, 1000, 2)
    house.card("card.remove", card="two")
    assert house.card("card.resize", card="one", memory_bytes=whole, share_permille=1000)["share_permille"] == 1000
    assert books(house) == (whole, 1000, 1)


def test_a_card_that_holds_too_much_is_suspended_when_asked(card_house):
    house = card_house
    with holding(house, create(house)) as holder:
        assert holder(f"+{48 * MIB}") == "ok"
        away = house.card("card.resize", card="one", memory_bytes=16 * MIB, suspend=True)
        assert (away["state"], away["memory_quota_bytes"], away["suspended_bytes"]) == ("suspended", 64 * MIB, 48 * MIB)
        assert books(house) == (0, 0, 0)
        assert refusal(house.card, "card.resize", card="one", memory_bytes=47 * MIB).code == "memory-in-use"
        house.card("card.resize", card="one", memory_bytes=80 * MIB, share_permille=250)
        assert books(house) == (0, 0, 0)
        house.card("card.resume", card="one")
        assert books(house) == (80 * MIB, 250, 1)
        assert (holder("="), holder(f"+{32 * MIB}"), holder("+1")) == ("ok", "ok", REFUSED)


def test_a_released_share_comes_back_as_it_was_resized(card_house):
    create(card_house)
    card_house.card("card.set_share", card="one", share_permille=0)
    shown = card_house.card("card.resize", card="one", share_permille=800)
    assert (shown["share_permille"], shown["share_asked_permille"]) == (0, 800)
    assert books(card_house) == (64 * MIB, 0, 1)


def test_the_command_line_resizes_without_leatd(card_house):
    create(card_house)
    assert "of 96 MiB and 25 % is active" in card_house.leat("card", "resize", "-m", "96MiB", "-s", "25%", "one").stderr
    wrong = card_house.leat("card", "resize", "one", check=False)
    assert wrong.returncode == 2 and "--memory" in wrong.stderr


def test_a_jobs_card_is_resized_through_leatd(house, tmp_path):
    house.leat("tenant", "set", "vision", "--reserved", "60%", "--limit", "60%")
    job = house.submit(library="opencl-c", type="training", image="host", program=houses.built("digits"), tenant="vision",
                       memory="64MiB", share="50%", network="none", workdir=str(tmp_path), idle_after="1h",
                       args=["--steps", "100000", "--checkpoint", "/work/net"])["id"]
    eventually("commands", lambda: house.job(job)["usage"]["commands"] > 20)
    assert house.request("POST", f"/v1/cards/{job}/resize", {"memory": "96MiB", "share": "60%"})["share_permille"] == 600
    shown = house.job(job)
    assert (shown["memory_bytes"], shown["share_permille"]) == (96 * MIB, 600)
    assert house.get("/v1/tenants/vision")["used_milli"] == 600
    with pytest.raises(houses.Problem) as refused:
        house.request("POST", f"/v1/cards/{job}/resize", {"share": "61%"})
    assert (refused.value.status, refused.value.code) == (409, "quota-reached")
    resized = eventually("the journal's event",
                         lambda: [event for event in house.events() if event["kind"] == "job.resized"])
    assert [(str(event["job"]), event["data"]["share_permille"]) for event in resized] == [(str(job), 600)]
    assert "25 %" in house.leat("card", "resize", "--share", "25%", str(job)).stderr
    assert house.get("/v1/tenants/vision")["used_milli"] == 250
