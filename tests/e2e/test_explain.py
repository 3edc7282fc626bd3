"""Why jobs wait: every kind of waiting on the real daemon with real cards, told by its code, its holders and its end."""
import concurrent.futures
import os

import pytest

import house as houses

RUNS = ("running",)


@pytest.fixture(scope="module")
def house():
    with houses.House(arguments=("--engine", "fake", "--loan-minimum", "10m", "--loan-notice", "10m")) as there:
        yield there


@pytest.fixture(autouse=True)
def nobody_left(house):
    """Each test has the centre for itself."""
    yield
    house.end_jobs()
    for device in devices(house):
        house.request("PUT", f"/v1/devices/{device}", {})
    for tenant in house.get("/v1/tenants")["tenants"]:
        house.request("DELETE", f"/v1/tenants/{tenant['name']}")


def devices(house):
    return [device["id"] for device in house.get("/v1/devices")["devices"]]


def submit(house, share="10%", memory="64MiB", **more):
    return house.submit(**{"command": ["/bin/true"], "image": "host", "ram": "16MiB", "cpus": "0.1", "memory": memory,
                           "share": share, "idle_after": 0, **more})["id"]


def runs(house, **request):
    job = submit(house, **request)
    house.wait_state(job, RUNS)
    return job


def explained(house, job, code):
    def there():
        answer = house.get(f"/v1/jobs/{job}/explain")
        return answer if answer["code"] == code else None
    found = houses.eventually(f"job {job} says {code}, not {house.get(f'/v1/jobs/{job}/explain')}", there)
    assert house.job(job)["state"] == "queued" and house.job(job)["code"] == code
    assert found["text"] and found["unblocks"]
    assert code in house.leat("explain", str(job), "--json").stdout
    return found


def holders(answer):
    return [holder["job"] for holder in answer["holders"]]


def memory_bytes(house):
    return house.get("/v1/devices")["devices"][0]["memory_bytes"]


def test_memory(house):
    half = memory_bytes(house) // 2 + (1 << 20)
    holder = runs(house, memory=half, expect="1h")
    answer = explained(house, submit(house, memory=half), "memory-busy")
    assert answer["resource"] == "memory" and holders(answer) == [holder]
    assert answer["asked"]["memory_bytes"] == half > answer["available"]["memory_bytes"]
    assert answer["start_estimate"] == answer["holders"][0]["ends_estimate"] is not None
    assert "Held by: job" in house.leat("explain", answer["job"]).stdout


def test_compute(house):
    big, small = runs(house, share="50%"), runs(house, share="20%")
    answer = explained(house, submit(house, share="60%"), "share-busy")
    assert answer["resource"] == "compute" and holders(answer) == [big, small]
    assert answer["start_estimate"] is None  # nobody knows how long those run


def test_cpu(house):
    cpus = os.cpu_count()
    held = [runs(house, cpus=str(cpus), share="1%") for _ in range(8)]  # limits may be promised eight times over
    answer = explained(house, submit(house, cpus="1", share="1%"), "cpus-busy")
    assert answer["resource"] == "cpus" and set(holders(answer)) == set(held)


def test_vendor(house):
    assert explained(house, submit(house, vendor="nobody|nothing"), "unknown-vendor")["holders"] == []
    vendor = house.get("/v1/devices")["devices"][0]["vendor"]
    runs(house, vendor=f"nobody|{vendor}")
    runs(house, vendor=f"nobody,{vendor}")


def test_device_model(house):
    explained(house, submit(house, device_model="no such device"), "unknown-device-model")
    name = house.get("/v1/devices")["devices"][0]["name"]
    runs(house, device_model=f"nothing,{name.split(',')[0]}")
    house.leat("device", "set", devices(house)[0], "--weight", "7")
    assert house.get("/v1/devices")["devices"][0]["weight"] == 7
    assert "7" in house.leat("device").stdout


def test_pool(house):
    for device in devices(house):
        house.request("PUT", f"/v1/devices/{device}", {"pool": "inference"})
    waiting = submit(house, type="training")
    explained(house, waiting, "wrong-scenario")
    runs(house, type="inference")
    house.request("PUT", f"/v1/devices/{devices(house)[0]}", {"pool": "training"})
    house.wait_state(waiting, RUNS)


def test_quota(house):
    house.request("PUT", "/v1/tenants/small", {"limit_milli": 300})
    holder = runs(house, share="30%", tenant="small")
    assert holders(explained(house, submit(house, share="10%", tenant="small"), "quota-reached")) == [holder]


def test_loan_notice(house):
    house.request("PUT", "/v1/tenants/owner", {"reserved_milli": 600})
    house.request("PUT", "/v1/tenants/borrower", {"reserved_milli": 400})
    borrower = runs(house, share="90%", tenant="borrower")
    answer = explained(house, submit(house, share="50%", tenant="owner"), "loan-called")
    assert holders(answer) == [borrower]
    due = house.get("/v1/loans")["loans"][0]["due"]
    assert answer["start_estimate"] == answer["holders"][0]["ends_estimate"] == due


def test_gang(house):
    holder = runs(house, share="50%")
    first = submit(house, share="40%", gang="g", gang_size=2)
    explained(house, first, "gang-waits-for-members")
    second = submit(house, share="40%", gang="g", gang_size=2)
    answer = explained(house, first, "gang-incomplete")
    assert answer["behind"] == second
    assert explained(house, second, "gang-incomplete")["behind"] == second
    house.request("POST", f"/v1/jobs/{holder}/stop", {"grace": 0})
    for job in (first, second):
        house.wait_state(job, RUNS)


def test_priority(house):
    runs(house, share="50%", expect="1h", priority=900)  # which gives way to nobody here
    urgent = submit(house, share="60%", priority=900)
    answer = explained(house, submit(house, share="50%", expect="2h"), "behind-priority")
    assert answer["behind"] == urgent
    late = explained(house, submit(house, share="50%", expect="2h", priority=900), "held-for-earlier")
    assert late["behind"] == urgent
    short = runs(house, share="50%", expect="30m")  # ends before the urgent one can begin
    assert house.get(f"/v1/jobs/{short}/explain")["placement"]["step"] == "backfill"


def test_preemption(house):
    low, equal = runs(house, share="70%", priority=100), runs(house, share="20%", priority=900)
    urgent = submit(house, share="60%", priority=900)
    answer = explained(house, urgent, "preempting")
    assert holders(answer) == [low]
    notice = house.get(f"/v1/jobs/{low}/explain")
    assert notice["code"] == "preemption-called" and notice["behind"] == urgent and f"job {urgent} " in notice["text"]
    row = house.get("/v1/loans")["loans"][0]
    assert (row["loan"], row["job"], row["for"]) == (None, low, urgent)
    assert answer["start_estimate"] == answer["holders"][0]["ends_estimate"] == row["due"]
    assert urgent in house.leat("loan").stdout
    house.request("POST", f"/v1/jobs/{urgent}/stop", {"grace": 0})  # the notice is withdrawn
    houses.eventually("it runs as before", lambda: house.job(low)["code"] == "running")
    assert house.get("/v1/loans") == {"loans": []}
    assert house.job(equal)["state"] == "running"


def test_image(house):
    house.request("POST", "/v1/images/base/build")
    houses.eventually("the image is built", lambda: house.get("/v1/images/base")["state"] == "ready")
    holder = runs(house, share="100%")
    waiting = submit(house, image="base")
    house.request("DELETE", "/v1/images/base")
    house.request("POST", f"/v1/jobs/{holder}/stop", {"grace": 0})
    explained(house, waiting, "image-not-ready")
    house.request("POST", "/v1/images/base/build")
    house.wait_state(waiting, RUNS)


def test_device_unhealthy(house):
    runs(house)
    for device in devices(house):
        house.request("PUT", f"/v1/devices/{device}", {"healthy": False})
    waiting = submit(house)
    explained(house, waiting, "device-unhealthy")
    assert not house.get("/v1/devices")["devices"][0]["healthy"]
    house.leat("device", "set", devices(house)[0])
    house.wait_state(waiting, RUNS)


def test_centre_full(house):
    holders_there = [runs(house, share="100%", device=device) for device in devices(house)]
    answer = explained(house, submit(house), "centre-full")
    assert holders(answer)[0] in holders_there
    queue = house.get("/v1/queue")["queue"]
    assert queue[0]["code"] == "centre-full" and queue[0]["unblocks"] == answer["unblocks"]


def test_one_far_down_the_queue(house):
    """Decisions look at the head of the queue only; the others are explained when somebody asks."""
    for device in devices(house):
        runs(house, share="100%", device=device)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        last = list(pool.map(lambda _: submit(house, share="100%"), range(260)))[-1]
    explained(house, last, "centre-full")


def test_a_running_job_says_why_it_sits_where_it_sits(house):
    job = runs(house)
    placement = house.get(f"/v1/jobs/{job}/explain")["placement"]
    assert placement["rule"] == "leat" and placement["step"] == "score"
    assert "Placed by the rule leat" in house.leat("explain", str(job)).stdout


def test_a_card_moves_so_that_a_waiting_job_finds_room(monkeypatch):
    """Two devices, each with a small job: neither has room for a whole one, until one of them moves."""
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread")
    sleep = {"command": ["/bin/sleep", "1000"]}
    with houses.House(arguments=("--moves-per-hour", "1")) as two:
        whole = runs(two, share="100%", device="cpu-1", **sleep)
        first = runs(two, share="30%", **sleep)  # on cpu-0: there is no other room
        two.request("POST", f"/v1/jobs/{whole}/stop", {"grace": 0})
        two.wait(whole)
        runs(two, share="30%", device="cpu-1", **sleep)
        waiting = submit(two, share="100%")
        assert two.wait(waiting)["state"] == "succeeded"
        moving = [event for event in two.events() if event["kind"] == "job.moving"]
        assert [(str(event["job"]), event["data"]) for event in moving] == [(first, {"device": "cpu-1", "for": waiting})]
        assert two.job(first)["device"] == "cpu-1"
