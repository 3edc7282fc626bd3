"""Cards that change their device by themselves, on real cards, so that a job that waits finds room."""
import subprocess

import house as houses
from conftest import needs
from test_idle import LONG, WORK, amidst, go_on, mark_of, train

SLEEP = {"command": ["/bin/sleep", "1000"], "image": "host", "ram": "16MiB", "cpus": "0.1", "memory": "64MiB",
         "idle_after": 0}


def runs(house, share, **more):
    job = house.submit(**{**SLEEP, **more}, share=share)["id"]
    house.wait_state(job, ("running",))
    return str(job)


def told(house, kind):
    return {str(event["job"]): event["data"] for event in house.events() if event["kind"] == kind}


def test_two_cards_change_places_and_their_programs_go_on(tmp_path, monkeypatch):
    """60 and 25 % on one device, 50 and 40 % on the other: 15 and 10 % are idle, and one waits for 25. That with 25 and
    that with 40 change places. The one is amidst its work, and its result is right."""
    needs("digits")
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread")
    subprocess.run([houses.built("digits"), *WORK, "--checkpoint", str(tmp_path / "direct")], check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    with houses.House() as house:
        whole = runs(house, "100%", device="cpu-1")  # so that the next two are on cpu-0
        runs(house, "60%")
        works = str(train(house, tmp_path, "works", "--sleep-at", f"200:{LONG}", share="25%", idle_after=0,
                          burst=True, env=mark_of(tmp_path)))
        amidst(house, works)
        house.request("POST", f"/v1/jobs/{whole}/stop", {"grace": 0})
        house.wait(whole)
        runs(house, "50%")
        other = runs(house, "40%")
        waiting = str(house.submit(**{**SLEEP, "command": ["/bin/true"]}, share="25%")["id"])
        assert house.wait(waiting)["state"] == "succeeded"
        assert told(house, "job.moving") == {works: {"device": "cpu-1", "for": waiting},
                                             other: {"device": "cpu-0", "for": waiting}}
        assert {job: data["device"] for job, data in told(house, "job.woken").items()} == {works: "cpu-1", other: "cpu-0"}
        assert [house.job(job)["state"] for job in (works, other)] == ["running"] * 2
        assert [house.card("card.show", card=job)["burst"] for job in (works, other)] == [1, 0]
        go_on(house, works, tmp_path)
        ended = house.wait(works)
        assert ended["state"] == "succeeded" and ended["device"] == "cpu-1", ended
    assert (tmp_path / "works" / "net").read_bytes() == (tmp_path / "direct").read_bytes()
