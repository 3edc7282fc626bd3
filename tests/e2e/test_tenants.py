"""Shares that go to others for a while, on real cards: what was borrowed goes back to its owner, and jobs give way to those
of higher priority. Either way the one that is interrupted goes on later, and its result is right."""
import datetime
import os
import shutil
import subprocess

import pytest

import house as houses
from conftest import needs
from test_idle import LONG, WORK, amidst, go_on, mark_of, train

MINIMUM_S, NOTICE_S, GRACE_S = 2, 1, 5  # the first two are given to leatd, the last is its own
ARGUMENTS = ("--loan-minimum", f"{MINIMUM_S}s", "--loan-notice", f"{NOTICE_S}s")


@pytest.fixture
def tenant_house():
    with houses.House(arguments=ARGUMENTS) as there:
        yield there


def kinds(house, job_id):
    return [event["kind"] for event in house.events() if str(event.get("job")) == str(job_id)]


def moment(house, job_id, kind):
    """When an event of the job came, in seconds."""
    time_text = next(event["time"] for event in house.events()
                     if str(event.get("job")) == str(job_id) and event["kind"] == kind)
    return datetime.datetime.fromisoformat(time_text.replace("Z", "+00:00")).timestamp()


def test_a_borrowed_share_comes_back_and_the_borrower_goes_on(tenant_house, tmp_path):
    needs("digits")
    house = tenant_house
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    house.leat("tenant", "set", "vision", "--reserved", "50%")
    house.leat("tenant", "set", "speech", "--reserved", "0.5")

    borrower = train(house, tmp_path, "borrower", "--sleep-at", f"200:{LONG}", share="90%", tenant="vision", idle_after=0,
                     env=mark_of(tmp_path))
    house.wait_state(borrower, ("running",))
    assert [(loan["lender"], loan["borrower"], loan["job"], loan["milli"]) for loan in house.get("/v1/loans")["loans"]] \
        == [("speech", "vision", str(borrower), 400)]
    since = house.get("/v1/loans")["loans"][0]["since"]
    house.stop()
    house.start()  # a restart does not begin the loan anew
    houses.eventually("the loan", lambda: house.get("/v1/loans")["loans"])
    assert house.get("/v1/loans")["loans"][0]["since"] == since

    owner = train(house, tmp_path, "owner", share="50%", tenant="speech")
    houses.eventually("the owner is told of the notice", lambda: house.job(owner)["code"] == "loan-called")
    assert house.get("/v1/queue")["queue"][0]["code"] == "loan-called"
    assert "speech" in house.leat("loan").stdout
    house.wait_state(owner, ("running", "succeeded"))
    waited = moment(house, owner, "job.starting") - moment(house, owner, "job.submitted")
    assert waited <= house.get("/v1/tenants/speech")["bound_ms"] / 1000, waited
    assert MINIMUM_S + NOTICE_S + GRACE_S == house.get("/v1/tenants/speech")["bound_ms"] / 1000

    assert house.wait(owner)["state"] == "succeeded"
    go_on(house, borrower, tmp_path)
    ended = house.wait(borrower)
    assert ended["state"] == "succeeded", ended
    story = [kind for kind in kinds(house, borrower)
             if kind.startswith("loan.") or kind in ("job.woken", "job.suspended")]
    assert story[:4] == ["loan.made", "loan.called", "loan.reclaimed", "loan.returned"], story
    assert story.index("loan.reclaimed") < story.index("job.suspended") < story.index("job.woken"), story
    assert (tmp_path / "borrower" / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert house.get("/v1/loans") == {"loans": []}


def test_a_job_of_lower_priority_gives_way_and_goes_on(tenant_house, tmp_path):
    needs("digits")
    house = tenant_house
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    low = train(house, tmp_path, "low", "--sleep-at", f"200:{LONG}", share="80%", priority=100, idle_after=0,
                env=mark_of(tmp_path))
    house.wait_state(low, ("running",))
    high = train(house, tmp_path, "high", share="60%", priority=900)
    assert house.wait(high)["state"] == "succeeded"
    waited = moment(house, high, "job.starting") - moment(house, high, "job.submitted")
    assert waited <= MINIMUM_S + NOTICE_S + GRACE_S, waited
    go_on(house, low, tmp_path)
    ended = house.wait(low)
    assert ended["state"] == "succeeded", ended
    story = [kind for kind in kinds(house, low) if kind in ("job.preempting", "job.preempted", "job.woken")]
    assert story == ["job.preempting", "job.preempted", "job.woken"], story
    for name in ("low", "high"):
        assert (tmp_path / name / "net").read_bytes() == (tmp_path / "direct").read_bytes()
    assert house.get("/v1/loans") == {"loans": []}


SAVE = "rm -f /work/net; kill -USR1 1; until [ -e /work/net ]; do sleep 0.05; done; cp /work/net /work/at-notice"


def test_a_job_saves_its_state_before_its_card_is_taken(tmp_path):
    """The notice is much longer than the test: whoever says that it is saved gives way at once."""
    needs("digits")
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    with houses.House(arguments=("--loan-minimum", "1ms", "--loan-notice", "10m")) as house:
        low = train(house, tmp_path, "low", "--sleep-at", f"250:{LONG}", share="80%", priority=100, idle_after=0, signal="USR1@10m",
                    pre_stop=["/bin/sh", "-c", SAVE], env=mark_of(tmp_path))
        house.wait_state(low, ("running",))
        amidst(house, low)
        high = train(house, tmp_path, "high", share="60%", priority=900)
        houses.eventually("it gives way", lambda: house.job(low)["code"] == "preempted")
        notice = house.get(f"/v1/jobs/{low}/explain")["notice"]
        assert notice["pre_stop"] == "succeeded" and notice["checkpointed"] == notice["told"], notice
        assert "succeeded" in house.leat("explain", str(low)).stdout
        assert "succeeded" in house.leat("loan").stdout
        assert house.wait(high)["state"] == "succeeded"
        go_on(house, low, tmp_path)
        assert house.wait(low)["state"] == "succeeded"
        story = [kind for kind in kinds(house, low) if kind.startswith("job.p") or kind in ("job.told", "job.woken")]
        assert story == ["job.preempting", "job.told", "job.pre_stop", "job.preempted", "job.woken"], story
        assert "saved at step 250" in house.logs(low)
    direct = (tmp_path / "direct").read_bytes()
    assert (tmp_path / "low" / "net").read_bytes() == direct
    # What it saved is a state from which the work can be ended elsewhere.
    subprocess.run([houses.built("digits"), *WORK, "--resume", "--checkpoint", str(tmp_path / "low" / "at-notice")],
                   check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert (tmp_path / "low" / "at-notice").read_bytes() == direct


def slow_runtime(folder):
    """The environment in which leatd finds a container runtime that starts no further command before `folder`/go is there."""
    name, real = next((name, path) for name in ("runc", "crun")
                      if (path := shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/bin:/sbin:/bin")))
    (folder / name).write_text('#!/bin/sh\nfor word in "$@"; do if [ "$word" = exec ]; then until [ -e '
                               f'{folder}/go ]; do sleep 0.02; done; fi; done\nexec {real} "$@"\n')
    (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def sleepers(tmp_path):
    return [pid for pid, words in houses.processes_naming(f"MARK={tmp_path}").items() if words == "/bin/sleep 300"]


@pytest.mark.parametrize("late", [False, True], ids=["running", "not yet started"])
def test_a_hook_that_takes_too_long_is_killed(tmp_path, late):
    with houses.House(arguments=ARGUMENTS, environment=slow_runtime(tmp_path)) as house:
        request = {"library": "generic", "type": "batch", "image": "host", "network": "none", "memory": "64MiB"}
        low = house.submit(command=["/bin/sleep", "300"], share="80%", priority=100, idle_after=0,
                           pre_stop=["/bin/sleep", "300"], env=mark_of(tmp_path), **request)["id"]
        house.wait_state(low, ("running",))
        there = houses.eventually("its program", lambda: sleepers(tmp_path))
        if not late:
            (tmp_path / "go").touch()
        high = house.submit(command=["/bin/true"], share="60%", priority=900, **request)["id"]
        assert house.wait(high)["state"] == "succeeded"
        houses.eventually("its end is told", lambda: "job.pre_stop" in kinds(house, low))
        assert house.job(low)["pre_stop_outcome"] == "ended by signal 9 (Killed)"
        assert house.job(low)["checkpointed"] is None
        (tmp_path / "go").touch()
        houses.eventually("the runtime's end", lambda: not [
            words for words in houses.processes_naming(house.folder).values() if " exec --pid-file " in words])
        assert sleepers(tmp_path) == there
