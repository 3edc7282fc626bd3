#!/usr/bin/python3
"""A card of another host: what a call that waits takes beyond the line's own round trip, what a launch takes, and how much of
the line's rate copies reach. The line is measured with the relays' own connection, the same TLS and no card, in the same run.
Lines as run.py prints them. With names of lines only those: plain, tls (both over loopback), a round trip in ms, or a rate as
100mbit, which two take network namespaces. Over lines with a rate text is copied, too, which can be packed.

usage: bench_relay.py [plain|tls|MS|RATE ...]      (BUILD names the build folder)
"""
import contextlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import house as houses  # noqa: E402
from link import Link, NarrowLoop, impossible, rate_impossible  # noqa: E402
from relay import Lender  # noqa: E402

PORT = 20000 + os.getpid() % 10000
MOST_MIB = {"100mbit": 4, "1gbit": 16}  # 0.3 s of such a line
LARGE_MTU = 65000  # the line is a program, too: with packets of 1500 bytes it would be all that is measured


def figure(name, value, unit, target=""):
    print(name, f"{value:.3f}".rstrip("0").rstrip("."), unit, target, sep="\t", flush=True)


def figures(text):
    return {name: float(value) for name, value in (line.split("\t") for line in text.splitlines())}


class Line:
    """Where the device's host is reached, and the words before a command on either side."""

    def __init__(self, name, link):
        self.address = link.address if link else "127.0.0.1"
        self.secure = name != "plain"
        self.near, self.far = (link.near.within, link.far.within) if link else ([], [])
        self.most = str(MOST_MIB.get(name, 64))


def measure_line(line, lender):
    """The connection alone."""
    address = f"{line.address}:{PORT + 1}"
    files = [lender.words[lender.words.index(name) + 1] for name in ("--tls-cert", "--tls-key")] if line.secure else []
    serve = [*line.far, houses.built("bench_relay"), "serve", address, *files]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        fingerprint = server.stdout.readline().split()
        call = [*line.near, houses.built("bench_relay"), "call", address, line.most, *fingerprint]
        return figures(subprocess.run(call, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure_card(house, line, lender, what):
    words = [houses.built("leat"), "card", "exec", *lender.options(), "--memory", "512MiB", "--share", "100%", "--",
             houses.built("bench_relay"), "card", line.most, what]
    return figures(subprocess.run([*line.near, *words], env=house.environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure(house, name, link, direct):
    line = Line(name, link)
    with Lender(house, f"{line.address}:{PORT}", secure=line.secure, within=line.far) as lender:
        alone = measure_line(line, lender)
        card = measure_card(house, line, lender, "random")
        text = measure_card(house, line, lender, "text") if name in MOST_MIB else {}
    kind = f"{name}ms" if name[-1].isdigit() else name
    figure(f"relay.{kind}_line_round_trip_us", alone["trip_us"], "us")
    figure(f"relay.{kind}_read_us", card["trip_us"], "us")
    figure(f"relay.{kind}_read_over_link_us", card["trip_us"] - alone["trip_us"], "us", "<= 15")
    figure(f"relay.{kind}_read_over_link_and_card_us", card["trip_us"] - alone["trip_us"] - direct["trip_us"], "us")
    figure(f"relay.{kind}_launch_us", card["launch_us"], "us")
    for copy in sorted((key for key in alone if key.endswith("_gb_per_s")), key=lambda key: (key[0] == "b", alone[key])):
        figure(f"relay.{kind}_{copy}", card[copy], "GB/s")
        size = copy.removesuffix("_gb_per_s")
        figure(f"relay.{kind}_{size}_over_link_ratio", card[copy] / alone[copy], "", ">= 0.9")
        if text:
            figure(f"relay.{kind}_{size}_text_over_link_ratio", text[copy] / alone[copy], "")


def line_of(name):
    if name in MOST_MIB:
        return NarrowLoop(name)
    return Link(float(name), mtu=LARGE_MTU) if name[-1].isdigit() else contextlib.nullcontext()


def main():
    names = sys.argv[1:] or ["plain", "tls"]
    if not sys.argv[1:] and not impossible():
        names += ["0.3", "5", "30"] + ([] if rate_impossible() else [*MOST_MIB])
    with houses.House(cards_only=True) as house:
        words = [houses.built("bench_relay"), "card", "1", "random"]
        direct = figures(house.card_exec(*words, memory="512MiB").stdout)
        figure("relay.here_read_us", direct["trip_us"], "us")
        for name in names:
            with line_of(name) as link:
                measure(house, name, link, direct)


if __name__ == "__main__":
    main()
