"""Traces of cards: valid for Chrome's viewer, bounded, only on request."""
import json

import pytest

import house as houses
from house import CardError, eventually

MIB = 1 << 20


def trainer(house, lease, tmp_path, steps):
    return house.on_card(lease, houses.built("digits"), "--steps", str(steps), "--checkpoint", str(tmp_path / "net"))


def commands(house):
    return house.card("card.show", card="one")["commands"]


def check(trace):
    """What the trace format asks of every event; gives the commands."""
    assert set(trace) == {"traceEvents", "displayTimeUnit", "otherData"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    ran = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    for event in ran:
        assert isinstance(event["name"], str) and event["name"]
        assert event["dur"] >= 0 and event["pid"] >= 0 and event["tid"] >= 0
        assert event["args"]["queued_us"] <= event["args"]["submitted_us"] <= event["ts"]
    named = [event for event in trace["traceEvents"] if event["ph"] == "M"]
    assert len(ran) + len(named) == len(trace["traceEvents"])
    return ran


def test_a_trace_holds_what_ran_between_start_and_stop(card_house, tmp_path):
    house = card_house
    lease = house.card("card.create", card="one", memory_bytes=64 * MIB, share_permille=1000)
    program = trainer(house, lease, tmp_path, 100000)
    eventually("commands", lambda: commands(house) > 100)
    with pytest.raises(CardError) as refused:
        house.card("card.trace", card="one", on=False)
    assert refused.value.code == "not-tracing"
    assert house.card("card.trace", card="one", on=True) == {"tracing": True}
    before = commands(house)
    eventually("more commands", lambda: commands(house) > before + 1500)  # many of them in line when it ends
    trace = house.card("card.trace", card="one", on=False)
    ran = check(trace)
    assert len(ran) >= 150 and len({event["name"] for event in ran}) >= 3
    assert trace["otherData"]["lost"] == 0
    by_queue = {}
    for event in sorted(ran, key=lambda event: event["ts"]):
        key = event["pid"], event["tid"]
        assert by_queue.get(key, 0) <= event["ts"] + 1, "two commands of an in-order queue at once"
        by_queue[key] = event["ts"] + event["dur"]
    done = house.leat("card", "trace", "--for", "200ms", "--output", str(tmp_path / "trace.json"), "one")
    assert done.stdout == ""
    with open(tmp_path / "trace.json", encoding="utf-8") as file:
        assert check(json.load(file))
    # A long one keeps the newest and says how many it lost.
    house.card("card.trace", card="one", on=True)
    before = commands(house)
    eventually("very many commands", lambda: commands(house) > before + 9000, 120)
    trace = house.card("card.trace", card="one", on=False)
    assert 8000 <= len(check(trace)) <= 8192 and trace["otherData"]["lost"] > 0
    program.kill()
    program.communicate()


def test_a_jobs_card_is_traced_through_leatd(house, tmp_path):
    job = house.submit(library="opencl-c", type="training", image="host", program=houses.built("digits"), memory="64MiB",
                       share="50%", network="none", workdir=str(tmp_path),
                       args=["--steps", "100000", "--checkpoint", "/work/net"])["id"]
    eventually("commands", lambda: house.job(job)["usage"]["commands"] > 20)
    done = house.leat("card", "trace", "--for", "300ms", str(job))
    assert check(json.loads(done.stdout))
    text = house.get("/metrics")
    for line in ("leat_card_memory_quota_bytes", "leat_card_share_granted_ratio", "leat_card_share_used_ratio"):
        assert f'{line}{{job="{job}",device="' in text
    assert f'leat_card_memory_quota_bytes{{job="{job}",device="cpu-0"}} {64 * MIB}' in text
    assert f'leat_card_share_granted_ratio{{job="{job}",device="cpu-0"}} 0.5' in text
