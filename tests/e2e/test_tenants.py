"""Shares that go to others for a while, on real cards: what was borrowed goes back to its owner, and jobs give way to those
of higher priority. Either way the one that is interrupted goes on later, and its result is right."""
import subprocess
import time

import pytest

import house as houses
from conftest import needs
from test_idle import WORK, train

MINIMUM_S, NOTICE_S, GRACE_S = 2, 1, 5  # the first two are given to leatd, the last is its own


@pytest.fixture
def tenant_house():
    with houses.House(arguments=("--loan-minimum", f"{MINIMUM_S}s", "--loan-notice", f"{NOTICE_S}s")) as there:
        yield there


def kinds(house, job_id):
    return [event["kind"] for event in house.events() if str(event.get("job")) == str(job_id)]


def test_a_borrowed_share_comes_back_and_the_borrower_goes_on(tenant_house, tmp_path):
    needs("digits")
    house = tenant_house
    subprocess.run([houses.built("digits"), "--steps", "2500", "--report", "100", "--checkpoint",
                    str(tmp_path / "direct")], check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    house.leat("tenant", "set", "vision", "--reserved", "50%")
    house.leat("tenant", "set", "speech", "--reserved", "0.5")

    borrower = train(house, tmp_path, "borrower", "--steps", "2500", share="90%", tenant="vision", idle_after=0)
    house.wait_state(borrower, ("running",))
    assert [(loan["lender"], loan["borrower"], loan["job"], loan["milli"]) for loan in house.get("/v1/loans")["loans"]] \
        == [("speech", "vision", str(borrower), 400)]
    since = house.get("/v1/loans")["loans"][0]["since"]
    house.stop()
    house.start()  # a restart does not begin the loan anew
    houses.eventually("the loan", lambda: house.get("/v1/loans")["loans"])
    assert house.get("/v1/loans")["loans"][0]["since"] == since

    asked = time.monotonic()
    owner = train(house, tmp_path, "owner", share="50%", tenant="speech")
    houses.eventually("the owner is told of the notice", lambda: house.job(owner)["code"] == "loan-called")
    assert house.get("/v1/queue")["queue"][0]["code"] == "loan-called"
    assert "speech" in house.leat("loan").stdout
    house.wait_state(owner, ("running", "succeeded"))
    waited = time.monotonic() - asked
    assert waited <= house.get("/v1/tenants/speech")["bound_ms"] / 1000, waited
    assert MINIMUM_S + NOTICE_S + GRACE_S == house.get("/v1/tenants/speech")["bound_ms"] / 1000

    assert house.wait(owner)["state"] == "succeeded"
    ended = house.wait(borrower)
    assert ended["state"] == "succeeded", ended
    story = [kind for kind in kinds(house, borrower)
             if kind.startswith("loan.") or kind in ("job.woken", "job.suspended")]
    assert story[:4] == ["loan.made", "loan.called", "loan.reclaimed", "loan.returned"], story
    assert story.index("loan.reclaimed") < story.index("job.suspended") < story.index("job.woken"), story
    assert story.index("loan.reclaimed") < story.index("job.woken"), story
    assert (tmp_path / "borrower" / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert house.get("/v1/loans") == {"loans": []}


def test_a_job_of_lower_priority_gives_way_and_goes_on(tenant_house, tmp_path):
    needs("digits")
    house = tenant_house
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    low = train(house, tmp_path, "low", "--sleep-at", "200:6", share="80%", priority=100, idle_after=0)
    house.wait_state(low, ("running",))
    high = train(house, tmp_path, "high", share="60%", priority=900)
    houses.eventually("the notice", lambda: house.job(low)["code"] in ("preemption-called", "preempted"))
    assert house.wait(high)["state"] == "succeeded"
    ended = house.wait(low)
    assert ended["state"] == "succeeded", ended
    story = [kind for kind in kinds(house, low) if kind in ("job.preempting", "job.preempted", "job.woken")]
    assert story == ["job.preempting", "job.preempted", "job.woken"], story
    for name in ("low", "high"):
        assert (tmp_path / name / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert house.get("/v1/loans") == {"loans": []}
