#!/usr/bin/python3
"""A card of another host over loopback, in the clear and with TLS: what a call that waits takes beyond the link's own round
trip, what a launch takes, and how much of the link's bandwidth copies reach. The link is measured with plain TCP between two
processes in the same run. Lines as run.py prints them.

usage: bench_relay.py      (BUILD names the build folder)
"""
import json
import multiprocessing
import os
import socket
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(TESTS, "e2e"))
import house as houses  # noqa: E402
from relay import Lender  # noqa: E402

READ_BYTES = 4096  # as trips.py reads
BULK_BYTES = 16 << 20  # as trips.py copies
REQUEST_BYTES = 64
READS, LAUNCHES, ROUNDS = 2000, 20000, 3
PORT = 20000 + os.getpid() % 10000


def figure(name, value, unit, target=""):
    print(name, f"{value:.3f}".rstrip("0").rstrip("."), unit, target, sep="\t", flush=True)


def receive(end, length):
    while length:
        length -= len(end.recv(min(length, 1 << 20)))


def echo(listener):
    """The link's other end: small requests are answered with a page, then a large one with a byte."""
    end, _ = listener.accept()
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    page = bytes(READ_BYTES)
    for _ in range(READS):
        receive(end, REQUEST_BYTES)
        end.sendall(page)
    for _ in range(ROUNDS):
        receive(end, BULK_BYTES)
        end.sendall(b"\0")


def measure_link():
    """(seconds of a round trip, bytes a second)."""
    listener = socket.create_server(("127.0.0.1", 0))
    other = multiprocessing.Process(target=echo, args=(listener,))
    other.start()
    times, bulk = [], bytes(BULK_BYTES)
    with socket.create_connection(listener.getsockname()) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = bytes(REQUEST_BYTES)
        start = time.monotonic()
        for _ in range(READS):
            end.sendall(request)
            receive(end, READ_BYTES)
        round_trip_s = (time.monotonic() - start) / READS
        for _ in range(ROUNDS):
            start = time.monotonic()
            end.sendall(bulk)
            receive(end, 1)
            times.append(time.monotonic() - start)
    other.join()
    listener.close()
    return round_trip_s, BULK_BYTES / min(times)


def measure_relay(house, secure):
    words = ["/usr/bin/python3", os.path.join(TESTS, "e2e", "programs", "trips.py"), str(READS), str(LAUNCHES)]
    runs = []
    with Lender(house, f"127.0.0.1:{PORT}", secure=secure) as lender:
        for _ in range(ROUNDS):
            done = house.leat("card", "exec", *lender.options(), "--memory", "512MiB", "--share", "100%", "--", *words)
            runs.append(json.loads(done.stdout))
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main():
    round_trip_s, bytes_per_s = measure_link()
    figure("relay.link_round_trip_us", round_trip_s * 1e6, "us")
    figure("relay.link_gb_per_s", bytes_per_s / 1e9, "GB/s")
    with houses.House(cards_only=True) as house:
        for kind, secure in (("plain", False), ("tls", True)):
            got = measure_relay(house, secure)
            read_us = got["reads_s"] / READS * 1e6
            figure(f"relay.{kind}_read_us", read_us, "us")
            figure(f"relay.{kind}_read_over_link_us", read_us - round_trip_s * 1e6, "us", "<= 15")
            figure(f"relay.{kind}_launch_us", got["launches_s"] / LAUNCHES * 1e6, "us")
            for way in ("write", "read"):
                share = BULK_BYTES / got[f"{way}_16mib_s"] / bytes_per_s
                figure(f"relay.{kind}_{way}_over_link_ratio", share, "", ">= 0.9")


if __name__ == "__main__":
    main()
