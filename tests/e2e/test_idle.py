"""The life of an idle job: its compute goes to others, it wakes by itself, its result is right."""
import os
import signal
import subprocess

import house as houses
from conftest import needs

WORK = ["--steps", "400", "--report", "100"]
LONG = "600"  # seconds that a training sleeps, unless it is told to go on


def train(house, tmp_path, name, *args, **request):
    work = tmp_path / name
    work.mkdir()
    return house.submit(library="opencl-c", type="training", image="host", program=houses.built("digits"), name=name,
                        memory="64MiB", network="none", workdir=str(work), args=[*WORK, "--checkpoint", "/work/net",
                                                                                *args], **request)["id"]


def mark_of(tmp_path):
    """An environment by which go_on finds the training of a test."""
    return {"MARK": str(tmp_path)}


def amidst(house, job_id):
    """Wait until the training sleeps."""
    houses.eventually("it is amidst its work", lambda: "leaving the device" in house.logs(job_id), 120)


def go_on(house, job_id, tmp_path):
    """It has slept long enough."""
    amidst(house, job_id)
    for pid, words in houses.processes_naming(f"MARK={tmp_path}").items():
        if "--sleep-at" in words:
            os.kill(pid, signal.SIGCONT)


def states(house, job_id):
    """The states that the journal says a job has been in, in order."""
    return [event["to"] for event in house.events() if str(event.get("job")) == str(job_id) and event.get("to")]


def test_idle_share_goes_to_another_job_and_comes_back(house, tmp_path):
    needs("digits")
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)

    sleeper = train(house, tmp_path, "sleeper", "--sleep-at", f"200:{LONG}", share="70%", idle_after="1s",
                    env=mark_of(tmp_path))
    house.wait_state(sleeper, ("running",))
    # Too much while the first job holds its share: it waits, and explain says for what.
    second = train(house, tmp_path, "second", share="60%")
    house.wait_state(sleeper, ("idle",))
    shown = house.job(sleeper)
    assert shown["usage"]["released_permille"] == 700
    assert shown["usage"]["idle_ms"] >= 1000
    text = house.leat("show", str(sleeper)).stdout
    assert "idle" in text and "70 %" in text
    assert "idle" in house.leat("ps").stdout

    done = house.wait(second)
    assert done["state"] == "succeeded", done
    assert house.job(sleeper)["state"] == "idle"

    go_on(house, sleeper, tmp_path)
    woken = house.wait(sleeper)
    assert woken["state"] == "succeeded", woken
    assert woken["usage"]["share_granted_permille"] in (0, 700)

    journal = states(house, sleeper)
    assert journal.index("idle") < len(journal) - 1 - journal[::-1].index("running"), journal
    order = [(str(event["job"]), event["to"]) for event in house.events() if event.get("to")]
    assert order.index((str(sleeper), "idle")) < order.index((str(second), "running"))

    direct = (tmp_path / "direct").read_bytes()
    assert (tmp_path / "sleeper" / "net").read_bytes() == direct
    assert (tmp_path / "second" / "net").read_bytes() == direct


def test_idle_memory_goes_to_another_job_and_comes_back_on_another_device(tmp_path, monkeypatch):
    needs("digits")
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread")
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    with houses.House() as house:
        whole = house.get("/v1/devices/cpu-0")["memory_bytes"]
        sleeper = train(house, tmp_path, "sleeper", "--sleep-at", f"200:{LONG}", share="50%", idle_after="1s", idle="memory",
                        env=mark_of(tmp_path))
        house.wait_state(sleeper, ("running",))
        other = house.card("card.create", card="other", device="cpu-1", memory_bytes=whole, share_permille=1000)
        house.wait_state(sleeper, ("idle",))
        houses.eventually("its card leaves the device",
                          lambda: house.get(f"/v1/cards/{sleeper}")["state"] == "suspended")
        books = house.get("/v1/devices/cpu-0")
        assert (books["granted_bytes"], books["granted_permille"]) == (0, 0)
        # Now both devices are full: the sleeper wakes and has to wait, and explain says for what.
        house.card("card.create", card="another", device="cpu-0", memory_bytes=whole, share_permille=1000)
        go_on(house, sleeper, tmp_path)
        waking = houses.eventually("it wants its card back", lambda: [
            event for event in house.events() if event["kind"] == "job.waking" and str(event["job"]) == str(sleeper)])
        assert waking[0]["data"]["away"] is True
        why = house.get(f"/v1/jobs/{sleeper}/explain")
        assert why["state"] == "idle" and why["code"] == "memory-busy" and why["unblocks"], why
        house.card("card.remove", card=other["card"])
        ended = house.wait(sleeper)
        assert ended["state"] == "succeeded" and ended["device"] == "cpu-1", ended
        kinds = [event["kind"] for event in house.events() if str(event.get("job")) == str(sleeper)]
        assert kinds.index("job.idle") < kinds.index("job.suspended") < kinds.index("job.woken"), kinds
    assert (tmp_path / "sleeper" / "net").read_bytes() == (tmp_path / "direct").read_bytes()


def test_a_job_that_works_is_never_idle(house, tmp_path):
    needs("digits")
    job = train(house, tmp_path, "busy", "--steps", "1000000", share="20%", idle_after="6s")
    # More than its threshold, at a fifth of the device.
    houses.eventually("it has worked", lambda: house.job(job)["usage"]["device_time_ns"] > 1.5e9, 120)
    house.request("POST", f"/v1/jobs/{job}/stop")
    assert house.wait(job)["state"] == "stopped"
    assert "idle" not in states(house, job)


def test_a_sleeper_alone_wakes_at_once(house, tmp_path):
    needs("digits")
    job = train(house, tmp_path, "alone", "--sleep-at", f"200:{LONG}", share="100%", idle_after="500ms", env=mark_of(tmp_path))
    house.wait_state(job, ("idle",))
    go_on(house, job, tmp_path)
    ended = house.wait(job)
    assert ended["state"] == "succeeded", ended
    assert states(house, job).count("idle") >= 1
