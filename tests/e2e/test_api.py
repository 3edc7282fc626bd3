"""The REST interface of a real leatd on the fake engine: every route and every refusal against docs/openapi.yaml, TCP with
its token, hostile input, and what must hold across `kill -9`."""
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading

import pytest

import house as houses
import openapi

JOB = {"command": ["/bin/true"], "memory": "16MiB", "share": "1%", "cpus": "0.1", "ram": "64MiB"}
WAITS = dict(JOB, share="100%")  # two of these never run at once


class FakeHouse(houses.House):
    """A centre whose jobs are pretended; with the raw side of HTTP."""

    def __init__(self, *arguments):
        super().__init__(arguments=["--engine", "fake", *arguments])

    def answers(self):
        """Ready when it answers at all: these tests need no card library."""
        if self.daemon.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.daemon.returncode}:\n{self.log()}")
        try:
            return self.get("/v1/devices")["devices"]
        except (OSError, houses.Problem, http.client.HTTPException):
            return False

    def connection(self, timeout=30):
        return houses.Connection(os.path.join(self.run_dir, "leatd.sock"), timeout)

    def raw(self, method, path, body=None, connection=None, **headers):
        """(status, headers, value) of one request; a body that is text goes as it is."""
        own = connection or self.connection()
        try:
            data = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
            if data is not None:
                headers.setdefault("Content_Type", "application/json")
            own.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = own.getresponse()
            text = answer.read().decode()
        finally:
            if not connection:
                own.close()
        is_json = "json" in (answer.getheader("Content-Type") or "")
        return answer.status, answer.headers, json.loads(text) if is_json else text

    def restart(self):
        self.kill()
        self.start()


@pytest.fixture(scope="module")
def fake():
    with FakeHouse() as running:
        yield running


@pytest.fixture
def own_fake():
    """A centre that the test may kill."""
    with FakeHouse() as running:
        yield running


def described(house, method, path, body=None, **headers):
    """The answer, after a look at it with the eyes of the description."""
    status, fields, value = house.raw(method, path, body, **headers)
    faults = openapi.answer_faults(method, path, status, fields["Content-Type"], value)
    assert not faults, "; ".join(faults)
    return status, fields, value


def ended_job(house):
    job = house.submit(**JOB)["id"]
    house.wait_state(job, ["running"])
    house.request("POST", f"/v1/jobs/{job}/stop", {"grace": "0s"})
    return house.wait(job)["id"]


# Every route.

def test_every_route_answers_as_described(fake):
    job = ended_job(fake)
    running = fake.submit(**JOB)["id"]
    fake.wait_state(running, ["running"])
    device = fake.get("/v1/devices")["devices"][0]["id"]
    asked = [
        ("GET", "/v1/version", None, 200), ("GET", "/v1/health", None, 200), ("GET", "/metrics", None, 200),
        ("GET", "/v1/jobs", None, 200), ("GET", "/v1/jobs?state=running,idle&limit=1", None, 200),
        ("POST", "/v1/jobs", JOB, 202), ("POST", "/v1/jobs?dry_run=true", JOB, 200),
        ("GET", f"/v1/jobs/{job}", None, 200), ("GET", f"/v1/jobs/{job}/logs", None, 200),
        ("GET", f"/v1/jobs/{job}/logs?follow=true&offset=7", None, 200),
        ("GET", f"/v1/jobs/{job}/wait?timeout=1s", None, 200), ("GET", f"/v1/jobs/{running}/wait?timeout=10ms", None, 200),
        ("POST", f"/v1/jobs/{running}/checkpoint", None, 204), ("POST", f"/v1/jobs/{job}/checkpoint", None, 404),
        ("GET", f"/v1/jobs/{job}/explain", None, 200), ("GET", f"/v1/jobs/{running}/explain", None, 200),
        ("GET", "/v1/events?since=1&limit=2", None, 200),
        ("GET", "/v1/devices", None, 200), ("GET", f"/v1/devices/{device}", None, 200),
        ("GET", "/v1/cards", None, 200), ("GET", f"/v1/cards/{running}", None, 200),
        ("GET", "/v1/templates", None, 200), ("GET", "/v1/templates/opencl-c/training", None, 200),
        ("POST", "/v1/estimates", {"params": 1000000, "task": "infer"}, 200),
        ("POST", f"/v1/cards/{running}/suspend", None, 200), ("POST", f"/v1/cards/{running}/resume", None, 200),
        ("POST", f"/v1/cards/{running}/move", {"device": device}, 200),
        ("POST", f"/v1/cards/{running}/resize", {"memory": "65MiB", "share": "11%"}, 200),
        ("POST", f"/v1/cards/{running}/trace", {"on": True}, 200),
        ("POST", f"/v1/cards/{running}/trace", {"on": False}, 200),
        ("PUT", "/v1/models/llama", {"licence": "mit", "run": {"params": 1000000, "weights": "bf16"}}, 200),
        ("GET", "/v1/models", None, 200), ("GET", "/v1/models/llama", None, 200), ("DELETE", "/v1/models/llama", None, 204),
        ("PUT", "/v1/tenants/vision", {"reserved_milli": 500, "weight": 50}, 200), ("GET", "/v1/tenants", None, 200),
        ("PUT", "/v1/devices/cpu-9", {"pool": "training"}, 200),
        ("GET", "/v1/tenants/vision", None, 200), ("GET", "/v1/loans", None, 200), ("GET", "/v1/queue", None, 200),
        ("DELETE", "/v1/tenants/vision", None, 204),
        ("POST", "/v1/knowledge", {"kind": "model", "name": "org/net", "task": "vision", "attributes": {"params": 1e6}}, 200),
        ("POST", "/v1/knowledge/search", {"text": "net", "fits": {"memory": "8GiB", "batch": 4}}, 200),
        ("POST", "/v1/knowledge/similar", {"name": "new", "task": "vision"}, 200),
        ("POST", "/v1/knowledge/suggest", {"task": "vision", "attributes": {"dataset": "x"}, "fits": {"batch": 2}}, 200),
        ("GET", "/v1/knowledge/1", None, 200), ("DELETE", "/v1/knowledge/1", None, 204),
        ("GET", "/v1/images", None, 200), ("GET", "/v1/images/host", None, 200),
        ("POST", "/v1/images", {"name": "mine", "source": "/etc"}, 202), ("DELETE", "/v1/images/mine", None, 204),
        ("POST", "/v1/images/base/build", None, 202),
        ("POST", f"/v1/jobs/{running}/stop", None, 202), ("DELETE", f"/v1/jobs/{job}", None, 204),
    ]
    seen = set()
    for method, path, body, wanted in asked:
        if path == "/v1/images/mine":
            houses.eventually("the import", lambda: fake.get("/v1/images/mine")["state"] == "ready")
        status, _, value = described(fake, method, path, body)
        assert status == wanted, (method, path, value)
        seen.add(openapi.operation(method, path)["operationId"])
    assert seen == {one["operationId"] for methods in openapi.PAGE["paths"].values() for name, one in methods.items()
                    if name != "parameters"}


@pytest.mark.parametrize("method,path,body,status,code", [
    ("GET", "/v1/jobs/999999", None, 404, "unknown-job"),
    ("GET", "/v1/jobs/x", None, 404, "bad-job-id"),
    ("GET", "/v1/jobs/999999/logs", None, 404, None),
    ("GET", "/v1/jobs/999999/wait", None, 404, None),
    ("GET", "/v1/jobs/999999/explain", None, 404, None),
    ("POST", "/v1/jobs/999999/stop", None, 404, None),
    ("DELETE", "/v1/jobs/999999", None, 404, None),
    ("GET", "/v1/jobs?state=asleep", None, 400, None),
    ("GET", "/v1/jobs?limit=0", None, 400, "bad-parameter"),
    ("GET", "/v1/jobs?cursor=%22;drop", None, 400, None),
    ("GET", "/v1/events?since=-1", None, 400, "bad-parameter"),
    ("GET", "/v1/devices/absent", None, 404, None),
    ("GET", "/v1/cards/absent", None, 404, None),
    ("POST", "/v1/cards/absent/suspend", None, 404, "unknown-card"),
    ("POST", "/v1/cards/absent/move", {"place": "cpu-0"}, 400, "bad-request"),
    ("POST", "/v1/cards/absent/resize", {"memory": "1GiB"}, 404, "unknown-card"),
    ("POST", "/v1/cards/absent/resize", {}, 400, "missing-field"),
    ("POST", "/v1/cards/absent/trace", {"on": True}, 404, "unknown-card"),
    ("POST", "/v1/cards/absent/trace", {"on": 1}, 400, "bad-request"),
    ("POST", "/v1/cards/absent/resize", {"memory": "much"}, 400, None),
    ("GET", "/v1/templates/absent/training", None, 404, "unknown-library"),
    ("GET", "/v1/templates/opencl-c/absent", None, 404, "unknown-job-type"),
    ("GET", "/v1/knowledge/999999", None, 404, "unknown-entry"),
    ("GET", "/v1/knowledge/x", None, 404, "unknown-entry"),
    ("DELETE", "/v1/knowledge/999999", None, 404, "unknown-entry"),
    ("POST", "/v1/knowledge", {"kind": "opinion", "name": "x"}, 400, "bad-kind"),
    ("POST", "/v1/knowledge", {"kind": "model", "name": "x", "attributes": {"a": {}}}, 400, "bad-attribute"),
    ("POST", "/v1/knowledge/search", {"where": ["params~3"]}, 400, "bad-condition"),
    ("POST", "/v1/knowledge/search", {"limit": 101}, 400, "bad-parameter"),
    ("POST", "/v1/knowledge/search", {"fits": {"memory": "1GiB", "colour": "red"}}, 400, "unknown-field"),
    ("GET", "/v1/images/absent", None, 404, None),
    ("POST", "/v1/images/absent/build", None, 404, None),
    ("DELETE", "/v1/images/absent", None, 404, None),
    ("DELETE", "/v1/images/host", None, None, None),
    ("POST", "/v1/images", {"name": "../../etc", "source": "/etc"}, 400, None),
    ("POST", "/v1/images", {"name": "x"}, 400, "missing-field"),
    ("POST", "/v1/jobs", {}, 400, None),
    ("POST", "/v1/jobs", {"colour": "red"}, 400, "unknown-field"),
    ("POST", "/v1/jobs", dict(JOB, library="absent"), None, "unknown-library"),
    ("POST", "/v1/jobs", dict(JOB, type="absent"), None, "unknown-job-type"),
    ("POST", "/v1/jobs", dict(JOB, image="absent"), None, None),
    ("POST", "/v1/jobs", dict(JOB, memory="lots"), 400, "bad-bytes"),
    ("POST", "/v1/jobs", dict(JOB, memory="900TiB"), 422, None),
    ("POST", "/v1/jobs", dict(JOB, share="101%"), 400, "bad-share"),
    ("POST", "/v1/jobs", dict(JOB, share=0), 400, "bad-share"),
    ("POST", "/v1/jobs", dict(JOB, device="absent"), None, None),
    ("POST", "/v1/jobs", dict(JOB, network="everything"), 400, None),
    ("POST", "/v1/jobs", dict(JOB, idle_after="soon"), 400, "bad-duration"),
    ("POST", "/v1/jobs", dict(JOB, command="true"), 400, "bad-field"),
    ("POST", "/v1/jobs", dict(JOB, command=[]), 400, None),
    ("POST", "/v1/jobs", dict(JOB, env={"A=B": "x"}), 400, None),
    ("POST", "/v1/jobs", dict(JOB, env={"A": 1}), 400, None),
    ("POST", "/v1/jobs", dict(JOB, priority=-1), 400, None),
    ("POST", "/v1/jobs", dict(JOB, name="x" * 5000), 400, None),
    ("POST", "/v1/jobs", {"program": "/absent/program"}, 400, None),
    ("POST", "/v1/jobs", "{", 400, "bad-json"),
    ("POST", "/v1/jobs", "[]", 400, "bad-json"),
    ("POST", "/v1/jobs", "null", 400, "bad-json"),
    ("POST", "/v1/jobs", '{"name":"a","name":"b"}', 400, "bad-json"),
    ("POST", "/v1/jobs", '{"name":"\\ud800"}', 400, "bad-json"),
    ("POST", "/v1/jobs", "[" * 100000, 400, "bad-json"),
    ("POST", "/v1/jobs", b"\xff\xfe{}", 400, "bad-json"),
    ("POST", "/v1/jobs", b'{"name":"' + b"x" * (1 << 20) + b'"}', 413, "body-too-large"),
])
def test_refusals(fake, method, path, body, status, code):
    before = fake.get("/v1/jobs")["jobs"]
    got, fields, problem = described(fake, method, path, body)
    assert 400 <= got < 500 and (status is None or got == status), problem
    assert fields["Content-Type"] == "application/problem+json"
    assert problem["status"] == got and (code is None or problem["code"] == code), problem
    assert problem["detail"] and problem["type"] == f"urn:leat:problem:{problem['code']}"
    assert [job["id"] for job in fake.get("/v1/jobs")["jobs"]] == [job["id"] for job in before]


def test_wrong_method_names_the_right_ones(fake):
    status, fields, problem = fake.raw("PATCH", "/v1/jobs")
    assert (status, fields["Allow"], problem["code"]) == (405, "GET, POST", "method-not-allowed")


def test_a_living_job_is_not_removed(fake):
    job = fake.submit(**JOB)
    status, _, problem = fake.raw("DELETE", f"/v1/jobs/{job['id']}")
    assert (status, problem["code"]) == (409, "job-not-ended")


# Pages.

def test_pages_hold_every_job_once_newest_first(fake):
    submitted = [fake.submit(**JOB, name=f"page-{i}")["id"] for i in range(25)]
    found, cursor = [], ""
    while cursor is not None:
        page = fake.get(f"/v1/jobs?limit=7{'&cursor=' + cursor if cursor else ''}")
        found += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert found == sorted(found, key=int, reverse=True) and len(found) == len(set(found))
    assert found[:25] == submitted[::-1]
    for job in fake.get("/v1/jobs?state=stopped,failed&limit=500")["jobs"]:
        assert job["state"] in ("stopped", "failed")


# Submitting once.

def test_idempotency_key(own_fake):
    key = {"Idempotency_Key": "made-by-a-client-1"}
    status, fields, first = own_fake.raw("POST", "/v1/jobs", JOB, **key)
    assert status == 202 and fields["Location"] == f"/v1/jobs/{first['id']}"
    for _ in range(2):
        status, fields, again = own_fake.raw("POST", "/v1/jobs", JOB, **key)
        assert status == 202, again
        assert (again["id"], fields["Location"]) == (first["id"], f"/v1/jobs/{first['id']}")
        status, _, problem = own_fake.raw("POST", "/v1/jobs", dict(JOB, name="another"), **key)
        assert status in (409, 422) and problem["code"] == "idempotency-conflict"
        own_fake.restart()
    assert len(own_fake.jobs()) == 1


def test_what_was_answered_is_durable(own_fake):
    """Jobs are submitted from several connections while leatd is killed: whoever got an answer finds the job again."""
    answered, lock = [], threading.Lock()

    def submit(number):
        connection = own_fake.connection()
        try:
            for i in range(1000):
                status, _, job = own_fake.raw("POST", "/v1/jobs", dict(WAITS, name=f"{number}-{i}"), connection)
                assert status == 202
                with lock:
                    answered.append((job["id"], f"{number}-{i}"))
        except (OSError, http.client.HTTPException):
            pass  # it was killed
        finally:
            connection.close()

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    houses.eventually("some answers", lambda: len(answered) > 200)
    own_fake.kill()
    for thread in threads:
        thread.join()
    own_fake.start()
    assert len({job for job, _ in answered}) == len(answered)
    for job, name in answered:
        assert own_fake.job(job)["name"] == name
    for job, _ in answered:
        own_fake.raw("POST", f"/v1/jobs/{job}/stop", {"grace": "0s"})


# Waiting.

def test_wait_ends_with_the_job_or_the_time(fake):
    job = fake.submit(**JOB)["id"]
    fake.wait_state(job, ["running"])
    assert fake.get(f"/v1/jobs/{job}/wait?timeout=50ms")["state"] == "running"
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(fake.get(f"/v1/jobs/{job}/wait")["state"])) for _ in range(20)]
    for thread in threads:
        thread.start()
    fake.request("POST", f"/v1/jobs/{job}/stop", {"grace": "0s"})
    for thread in threads:
        thread.join()
    assert seen == ["stopped"] * 20


def test_log_follow_ends_with_the_job(fake):
    job = fake.submit(**JOB)["id"]
    fake.wait_state(job, ["running"])
    done = []
    thread = threading.Thread(target=lambda: done.append(fake.get(f"/v1/jobs/{job}/logs?follow=true")))
    thread.start()
    fake.request("POST", f"/v1/jobs/{job}/stop", {"grace": "0s"})
    thread.join(30)
    assert len(done) == 1


# Events.

class EventStream:
    """Server-sent events, read one at a time."""

    def __init__(self, house, since):
        self.connection = house.connection(timeout=20)
        self.connection.request("GET", "/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": str(since)})
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200 and self.answer.getheader("Content-Type") == "text/event-stream"

    def __iter__(self):
        fields = {}
        while line := self.answer.readline():
            line = line.decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif not line and fields:
                event = json.loads(fields["data"])
                assert int(fields["id"]) == event["seq"] and fields["event"] == event["kind"]
                yield event
                fields = {}

    def close(self):
        self.connection.close()


def test_event_stream_across_kills(own_fake):
    """A client that resumes with the last number it saw gets every event of the journal once and in order, whatever is
    killed in between."""
    seen = []
    for round_number in range(5):
        stream = EventStream(own_fake, seen[-1]["seq"] if seen else 0)
        submitted = [own_fake.submit(**JOB)["id"] for _ in range(20)]
        wanted = set(submitted)
        for event in stream:
            seen.append(event)
            if event["kind"] == "job.submitted":
                wanted.discard(event["job"])
            if len(wanted) <= round_number:  # leave some of them unread in each round
                break
        if round_number % 2:
            stream.close()
            own_fake.restart()
        else:
            own_fake.kill()
            try:
                seen += list(stream)
            except (OSError, http.client.HTTPException):
                pass  # cut in the middle of an event
            stream.close()
            own_fake.start()
    stream = EventStream(own_fake, seen[-1]["seq"])
    last = own_fake.submit(**JOB)["id"]
    for event in stream:
        seen.append(event)
        if event["job"] == last:
            break
    stream.close()
    journal = own_fake.events()
    assert seen == journal[:len(seen)]
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})
    assert sum(event["kind"] == "job.submitted" for event in seen) == 101


# Hostile and heavy use.

def test_many_requests_on_one_connection(fake):
    """Memory does not grow with them."""
    connection = fake.connection()
    resident = []
    for i in range(5001):
        status, _, _ = fake.raw("GET", "/v1/version" if i % 2 else f"/v1/nowhere/{i}", None, connection)
        assert status == (200 if i % 2 else 404)
        if i in (2500, 5000):
            text = fake.raw("GET", "/metrics", None, connection)[2]
            resident.append(float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)[1]))
    connection.close()
    if "asan" not in houses.BUILD:
        assert resident[1] < resident[0] + (1 << 20)


def test_pipelined_requests_are_answered_in_order(fake):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(os.path.join(fake.run_dir, "leatd.sock"))
        client.sendall(b"".join(b"GET /v1/jobs/%d HTTP/1.1\r\nHost: l\r\n\r\n" % (900000 + i) for i in range(50)))
        text = b""
        while text.count(b"unknown-job\"}") < 50:
            text += client.recv(65536)
    assert [int(n) for n in re.findall(rb"there is no job (\d+)", text)] == list(range(900000, 900050))


@pytest.mark.parametrize("head", [
    b"GET /v1/version HTTP/1.1\r\nHost: l\r\n" + b"X-Many: x\r\n" * 20000 + b"\r\n",
    b"GET /v1/version HTTP/1.1\r\nHost: l\r\nX-Long: " + b"x" * (1 << 20) + b"\r\n\r\n",
    b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: l\r\n\r\n",
    b"GET /v1/jobs?" + b"a=b&" * 5000 + b" HTTP/1.1\r\nHost: l\r\n\r\n",
    b"GET /v1/version HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: l\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/jobs HTTP/1.1\r\nHost: l\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"\0" * 100000, b"\xff" * 100000, b"GET /v1/version HTTP/1.1\r\nHost: l\r\nX\0Y: z\r\n\r\n",
], ids=range(10))
def test_hostile_heads(fake, head):
    """Whatever comes, leatd says no or closes, and serves the next one."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(os.path.join(fake.run_dir, "leatd.sock"))
        text = b""
        try:
            client.sendall(head)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                text += chunk
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            pass  # it had seen enough, or leaves a hopeless connection to the limit of silent ones
    assert not text or text.startswith(b"HTTP/1.1 4") or (text.startswith(b"HTTP/1.1 200") and b"\0" in head)
    assert fake.get("/v1/version")["version"]


def test_half_sent_requests_hold_nobody_up(fake):
    clients = []
    for _ in range(200):
        client = socket.socket(socket.AF_UNIX)
        client.connect(os.path.join(fake.run_dir, "leatd.sock"))
        client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: l\r\nContent-Length: 10\r\n\r\n{")
        clients.append(client)
    assert fake.get("/v1/version")["version"]
    for client in clients:
        client.close()


def test_a_full_house_serves_again(fake):
    """More connections than leatd takes at once: the rest wait, and are served when room is made."""
    clients = []
    for _ in range(700):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(os.path.join(fake.run_dir, "leatd.sock"))
        clients.append(client)
    last = clients.pop()
    last.sendall(b"GET /v1/version HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n")
    for client in clients:
        client.close()
    assert last.recv(65536).startswith(b"HTTP/1.1 200")
    last.close()


# Figures.

LINE = re.compile(r'^([a-z_]+)(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? (-?[0-9.e+-]+)$')


def test_metrics(own_fake):
    job = own_fake.submit(**JOB)["id"]
    own_fake.wait_state(job, ["running"])
    text = own_fake.get("/metrics")
    kinds, values, last = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# "):
            word, name, rest = line[2:].split(" ", 2)
            assert word in ("HELP", "TYPE") and (word == "HELP") == (name not in kinds), line
            kinds[name] = rest
            continue
        name, labels, _, value = LINE.match(line).groups()
        assert name in kinds and kinds[name] in ("counter", "gauge") and (name == last or name not in values), line
        assert (kinds[name] == "counter") == name.endswith("_total"), line
        values.setdefault(name, {})[labels] = float(value)
        last = name
    assert values["leat_jobs"]['{state="running"}'] == 1 and values["leat_submits_total"] == {None: 1}
    assert values["leat_events_total"][None] >= 3
    card = f'{{job="{job}",device="cpu-0"}}'
    assert values["leat_card_memory_used_bytes"][card] == 0 and values["leat_card_commands_total"][card] == 0
    assert values["leat_card_calls_total"][card[:-1] + ',way="posted"}'] == 0
    device = '{device="cpu-0"}'
    assert values["leat_device_memory_bytes"][device] - values["leat_device_memory_free_bytes"][device] == 16 << 20
    assert values["leat_device_share_free_ratio"][device] == 0.99
    assert values["leat_http_requests_total"]['{code="2xx"}'] > 2
    assert 1 << 20 < values["process_resident_memory_bytes"][None] < 1 << 30


# TCP.

def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def tcp_status(port, path="/v1/version", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheader("WWW-Authenticate"), body


def test_tcp_needs_the_token():
    port = free_port()
    with FakeHouse("--listen", f"127.0.0.1:{port}") as running:
        path = os.path.join(running.state_dir, "token")
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
        assert os.stat(path).st_mode & 0o777 == 0o600 and len(token) >= 32
        assert tcp_status(port, Authorization=f"Bearer {token}")[0] == 200
        assert tcp_status(port, Authorization=f"bearer {token}")[0] == 200
        for wrong in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {token}0"},
                      {"Authorization": f"Bearer {token[:-1]}"}, {"Authorization": token},
                      {"Authorization": f"Basic {token}"}):
            for place in ("/v1/version", "/v1/nowhere", "/metrics", "/v1/jobs/1/logs?follow=true"):
                status, asks, body = tcp_status(port, place, **wrong)
                assert status == 401 and asks.startswith("Bearer") and json.loads(body)["code"] == "unauthorized"
                assert token.encode() not in body
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {token}", "Accept": "text/event-stream"})
        answer = connection.getresponse()
        job = running.submit(**JOB)["id"]
        assert answer.readline() == b"id: 1\n" and answer.readline() == b"event: job.submitted\n"
        assert json.loads(answer.readline().removeprefix(b"data: "))["job"] == job
        connection.close()
        running.restart()
        with open(path, encoding="utf-8") as file:
            assert file.read().strip() == token
        assert token not in running.log()


# The daemon.

def run_leatd(*words, **environment):
    return subprocess.run([houses.built("leatd"), *words], capture_output=True, text=True, timeout=60, check=False,
                          env=dict(os.environ, **environment))


def test_only_one_for_a_folder(fake, tmp_path):
    for words in (["--run-dir", fake.run_dir, "--state-dir", str(tmp_path)],
                  ["--run-dir", str(tmp_path), "--state-dir", fake.state_dir]):
        done = run_leatd("--engine", "fake", "--cardd", "none", *words)
        assert done.returncode == 1 and "already uses" in done.stderr and str(fake.daemon.pid) in done.stderr
    assert fake.get("/v1/version")["version"]


def test_lock_of_a_killed_leatd(fake):
    """What leatd was just starting when it was killed may hold its lock for a moment: the next one waits for that."""
    def waits():
        with open("/proc/locks", encoding="utf-8") as locks:
            return any("->" in line and str(fake.daemon.pid) in line.split() for line in locks)
    fake.kill()
    with open(os.path.join(fake.state_dir, "leatd.lock"), encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fake.start(wait=False)
        houses.eventually("leatd at the lock", waits)
    fake.wait_ready()


@pytest.mark.parametrize("words,part", [
    (["--colour"], "colour"),
    (["surplus"], "'surplus'"),
    (["--engine", "steam"], "steam"),
    (["--listen", "nonsense", "--engine", "fake", "--cardd", "none"], "nonsense"),
    (["--listen", "127.0.0.1:99999999", "--engine", "fake", "--cardd", "none"], "127.0.0.1:99999999"),
    (["--data-dir", "/absent"], "/absent"),
    (["--cardd", "/absent"], "/absent"),
    (["--config", "/absent"], "/absent"),
])
def test_bad_start(tmp_path, words, part):
    folders = [] if "--data-dir" in words else ["--data-dir", houses.ROOT]
    done = run_leatd("--run-dir", str(tmp_path / "run"), "--state-dir", str(tmp_path / "state"), *folders, *words)
    assert done.returncode == 1 and part in done.stderr, done.stderr
    assert not os.path.exists(tmp_path / "run" / "leatd.sock")


def test_config_file(tmp_path):
    path = tmp_path / "leatd.yaml"
    path.write_text("engine: fake\ncolour: red\n")
    done = run_leatd("--config", str(path))
    assert done.returncode == 1 and str(path) in done.stderr and "'colour'" in done.stderr
    path.write_text("engine: steam\n")
    done = run_leatd("--config", str(path))
    assert done.returncode == 1 and "steam" in done.stderr
    path.write_text("engine: local\n")
    with FakeHouse("--config", str(path)) as running:  # the command line goes first
        assert running.get("/v1/version")["engine"]["engine"] == "fake"


def test_signals_and_readiness():
    with FakeHouse() as running:
        running.stop()
        notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notices.settimeout(30)
        path = os.path.join(running.folder, "notify")
        notices.bind(path)
        running.environment["NOTIFY_SOCKET"] = path
        running.start(wait=False)
        assert notices.recv(100) == b"READY=1"
        assert running.get("/v1/version")["version"]
        running.daemon.send_signal(signal.SIGHUP)
        houses.eventually("the reload", lambda: "leatd.reload code=done" in running.log())
        job = running.submit(**JOB)["id"]
        stream = iter(EventStream(running, 0))
        assert next(stream)["job"] == job
        running.daemon.send_signal(signal.SIGTERM)
        assert notices.recv(100) == b"STOPPING=1"
        assert {event["job"] for event in stream} <= {job}  # the stream ends, in order
        assert running.daemon.wait(20) == 0
        assert not os.path.exists(os.path.join(running.run_dir, "leatd.sock"))
        notices.close()
        del running.environment["NOTIFY_SOCKET"]
        running.start()
        assert running.job(job)["id"] == job


def test_a_stale_socket_is_replaced(own_fake):
    own_fake.kill()
    assert os.path.exists(os.path.join(own_fake.run_dir, "leatd.sock"))
    own_fake.start()
    assert own_fake.get("/v1/version")["version"]
