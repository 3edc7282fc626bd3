"""Jobs that may use what others leave of their device."""
import pytest

import house as houses
from conftest import needs

SHARE = 50  # thousandths
SAVED_NS = 100e6  # more than a card may have saved up, and a command on top


def load(house, name, **request):
    """A job that always has work; its card."""
    needs("bench_load")
    job = house.submit(library="opencl-c", type="batch", image="host", program=houses.built("bench_load"), name=name,
                       args=["even", "600", "2", "2000"], memory="64MiB", network="none", idle_after=0, **request)["id"]
    house.wait_state(job, ("running",))
    return str(job)


def used(house, card):
    return house.card("card.show", card=card)["device_time_ns"]


def passes_its_share(house, card):
    """More device time than its share of the time since now."""
    before = house.card("card.show", card=card)

    def passed():
        now = house.card("card.show", card=card)
        granted_ns = (now["age_ms"] - before["age_ms"]) * 1e6 * SHARE / 1000
        return now["device_time_ns"] - before["device_time_ns"] > granted_ns + SAVED_NS

    houses.eventually("it has more than its share", passed, 120)


def test_a_bursting_job_uses_what_is_left_and_no_more(house):
    alone = load(house, "bursts", share=f"{SHARE}m", burst=True)
    passes_its_share(house, alone)
    assert house.job(alone)["usage"]["share_granted_permille"] in (0, SHARE)
    assert house.card("card.show", card=alone)["throttled_ns"] == 0

    # It is placed by its share: the rest of the device is there for another, and no more than that.
    other = load(house, "keeps", share=f"{1000 - SHARE}m")
    assert house.card("card.show", card=other)["burst"] == 0
    third = house.submit(library="opencl-c", type="batch", image="host", program=houses.built("bench_load"),
                         share="1m", burst=True)["id"]
    assert house.get(f"/v1/jobs/{third}/explain")["code"] == "centre-full"
    house.request("POST", f"/v1/jobs/{third}/stop")

    # What was lent comes back. How much of it on a machine with other load is for tests/bench; in virtual time all of it.
    def comes_back():
        before = used(house, other), used(house, alone)
        houses.eventually("the other works", lambda: used(house, other) - before[0] > 1e8, 120)
        return used(house, alone) - before[1] < 3 * (used(house, other) - before[0])

    houses.eventually("the other has its share", comes_back, 120)

    house.request("POST", f"/v1/jobs/{other}/stop", {"grace": 0})
    house.wait(other)
    passes_its_share(house, alone)


def test_a_bursting_card_that_was_away_bursts_again(house):
    card = load(house, "away", share=f"{SHARE}m", burst=True)
    passes_its_share(house, card)
    house.request("POST", f"/v1/cards/{card}/suspend")
    house.request("POST", f"/v1/cards/{card}/resume")
    shown = house.card("card.show", card=card)
    assert (shown["burst"], shown["share_permille"], shown["suspensions"]) == (1, SHARE, 1)
    passes_its_share(house, card)


def test_burst_is_asked_for_in_words_and_shown(house):
    words = ("run", "--detach", "--memory", "64MiB", "--share", "10%", "--image", "host", "--library", "generic")
    job = house.leat(*words, "--burst", "--", "/bin/sleep", "600").stdout.split()[-1]
    house.wait_state(job, ("running",))
    shown = dict(line.split(":", 1) for line in house.leat("show", job).stdout.splitlines())
    assert shown["Share asked"].strip() == "10 %" and shown["  burst"].strip() == "true"
    assert "may use what others leave" in house.leat("explain", job).stdout
    assert "BURST" in house.leat("ps").stdout
    refused = house.leat(*words, "--burst", "--cuda", "--mps", "--", "/bin/true", check=False)
    assert refused.returncode != 0 and "cuda-mps" in refused.stderr
    with pytest.raises(houses.Problem) as problem:
        house.submit(command=["/bin/true"], burst="sometimes")
    assert problem.value.code == "bad-field" and "burst" in str(problem.value)
