#!/usr/bin/python3
"""What leatd costs and bears: one tab-separated line a figure: name, value, unit, target.

usage: bench_daemon.py      (BUILD names the build folder; BENCH_SECONDS the length of each load, at most 5)

Load comes from bench_daemon.c over keep-alive connections to the Unix socket. The load on leatd itself is measured on
the fake engine, so that containers do not compete for the processors; the way of a job to its running program on real
containers.
"""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402

SECONDS = min(float(os.environ.get("BENCH_SECONDS", "5")), 5.0)
CONNECTIONS = 32
STARTS = 15


def figure(name, value, unit, target=""):
    print(name, f"{value:.1f}".removesuffix(".0"), unit, target, sep="\t", flush=True)


def say(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def load(house, connections, method, path, body=None, seconds=SECONDS, requests=()):
    """Figures of one kind of request, sent again and again; `requests` may hold how often."""
    text = f"{method} {path} HTTP/1.1\r\nHost: leat\r\n"
    if body is not None:
        data = json.dumps(body)
        text += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n{data}"
    else:
        text += "\r\n"
    with tempfile.NamedTemporaryFile("w", dir=house.folder) as request:
        request.write(text)
        request.flush()
        done = subprocess.run([houses.built("bench_daemon"), os.path.join(house.run_dir, "leatd.sock"), str(connections),
                               str(seconds), request.name, *map(str, requests)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr + house.log())
    return {name: float(value) for name, value in (line.split("\t") for line in done.stdout.splitlines())}


def resident_mib(house):
    with open(f"/proc/{house.daemon.pid}/status", encoding="utf-8") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) / 1024


def bench_load():
    """Requests and submits per second, and what leatd holds in memory."""
    waits = {"command": ["/bin/true"], "memory": "16MiB", "share": "100%"}  # one runs, the others queue
    with houses.House(arguments=["--engine", "fake"]) as house:
        say(f"requests, {CONNECTIONS} connections, {SECONDS:g} s each")
        job = house.submit(**waits)["id"]
        found = load(house, CONNECTIONS, "GET", f"/v1/jobs/{job}")
        figure("daemon.api_requests_per_s", found["requests_per_s"], "1/s", ">= 10000")
        figure("daemon.api_request_p99_us", found["latency_p99_us"], "us")
        figure("daemon.api_request_alone_p50_us", load(house, 1, "GET", f"/v1/jobs/{job}")["latency_p50_us"], "us")
        figure("daemon.rss_mib", resident_mib(house), "MiB", "<= 20")
        found = load(house, CONNECTIONS, "POST", "/v1/jobs", waits)
        figure("daemon.submits_per_s", found["requests_per_s"], "1/s", ">= 1000")
        figure("daemon.submit_p99_ms", found["latency_p99_us"] / 1000, "ms")
        queued = float(re.search(r'^leat_jobs\{state="queued"\} (\S+)', house.get("/metrics"), re.M)[1])
        figure("daemon.rss_with_queue_mib", resident_mib(house), "MiB")
        figure("daemon.queued_jobs", queued, "")
        house.kill()  # thousands of jobs that nobody waits for


def milliseconds(text):
    hours, minutes, seconds = re.match(r".*T(\d+):(\d+):([\d.]+)Z", text).groups()
    return (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * 1000


def start_ms(house, **more):
    """From the taken request to the running program, of one job."""
    job = house.submit(command=["/bin/true"], image="host", memory="64MiB", share="10%", **more)
    job = house.wait(job["id"])
    if job["state"] != "succeeded":
        raise SystemExit(f"{job}\n{house.log()}")
    return (milliseconds(job["started"]) - milliseconds(job["created"])) % (24 * 3600 * 1000)


def bench_start():
    """A program in a container of the image `host`."""
    say(f"{STARTS} jobs, one after the other")
    with houses.House() as house:
        start_ms(house)  # the first one finds cold caches
        figure("daemon.submit_to_running_ms", statistics.median(start_ms(house) for _ in range(STARTS)), "ms", "<= 150")
        figure("daemon.submit_to_running_offline_ms",
               statistics.median(start_ms(house, network="none") for _ in range(STARTS)), "ms")


def main():
    bench_load()
    bench_start()


if __name__ == "__main__":
    main()
