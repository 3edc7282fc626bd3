"""Cards of another host over a network of its own: delays, lost packets, a line that is down. With LEAT_LONG=1 all delays."""
import json
import os
import subprocess
import time

import house as houses
import pytest
from link import Link, impossible
from relay import Lender
from test_relay import NOT_AVAILABLE, TRIPS, assert_nothing_left, words_on

READS, LAUNCHES = 40, 1000
LONG = bool(os.environ.get("LEAT_LONG"))
SILENCE_S = 10  # as docs/cards.md says; a sender's side takes as long again at most to notice


@pytest.fixture(autouse=True)
def needs_namespaces():
    reason = impossible()
    if reason:
        pytest.skip(f"no network namespaces with a wire between them here: {reason}")


def lend(house, link):
    return Lender(house, f"{link.address}:7000", within=link.far.within)


def on_host(house, link, lender, *program):
    words = link.within(houses.built("leat"), *words_on(lender, *program))
    done = subprocess.run(words, env=house.environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr + house.log()
    return done.stdout


@pytest.mark.parametrize("loss", [0, 0.01], ids=["whole", "lossy"])
@pytest.mark.parametrize("round_trip_ms", [0.3, 5, 30, 150] if LONG else [5])
def test_results_are_the_same(card_house, round_trip_ms, loss):
    words = [houses.built("sgemm")] if os.path.exists(houses.built("sgemm")) else [houses.built("images")]
    here = card_house.card_exec(*words, memory="512MiB").stdout
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        assert on_host(card_house, link, lender, *words) == here
        assert (link.lost > 0) == (loss > 0) or link.carried < 200
        assert_nothing_left(card_house)


def trips(house, link, lender, reads, launches):
    before = link.turns
    figures = json.loads(on_host(house, link, lender, "/usr/bin/python3", TRIPS, str(reads), str(launches)))
    assert figures["right"]
    return figures, link.turns - before


@pytest.mark.parametrize("round_trip_ms", [0.3, 5, 30, 150] if LONG else [5])
def test_a_waiting_call_takes_one_round_trip_and_no_other_any(card_house, round_trip_ms):
    with Link(round_trip_ms) as link, lend(card_house, link) as lender:
        trips(card_house, link, lender, 1, 1)  # the first build
        few = trips(card_house, link, lender, 1, 1)[1]
        figures, many = trips(card_house, link, lender, 1 + READS, 1)
        assert abs(many - few - READS) < READS / 2  # large copies and signs of life make a few more, or fewer
        assert figures["reads_s"] >= READS * round_trip_ms / 1000
        posted = trips(card_house, link, lender, 1, LAUNCHES)[1]
        assert posted - few < LAUNCHES / 4


def survivor(house, link, lender):
    words = link.within(houses.built("leat"), *words_on(lender, houses.built("survive"), "orphan"))
    return subprocess.Popen(words, env=house.environment, stdout=subprocess.PIPE, text=True)


def test_a_short_break_is_waited_for(card_house):
    """What was on the wire is sent again: the program notices nothing but time."""
    words = [houses.built("digits"), "--steps", "40", "--report", "10"]
    here = [line.split()[:4] for line in card_house.card_exec(*words, memory="512MiB").stdout.splitlines()]
    with Link(0.3) as link, lend(card_house, link) as lender:
        command = link.within(houses.built("leat"), *words_on(lender, *words))
        with subprocess.Popen(command, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
            lines = [program.stdout.readline()]
            link.up = False
            lost = link.lost
            houses.eventually("a packet that is lost", lambda: link.lost > lost)
            link.up = True
            lines += program.stdout.readlines()
            assert program.wait(60) == 0
        assert [line.split()[:4] for line in lines] == here


@pytest.mark.skipif(not LONG, reason="takes 10 s and more; set LEAT_LONG=1")
def test_a_lost_line_is_told_within_its_bound(card_house):
    with Link(5) as link, lend(card_house, link) as lender:
        with survivor(card_house, link, lender) as program:
            assert program.stdout.readline() == "working\n"
            start = time.monotonic()
            link.up = False
            assert [program.stdout.readline().strip() for _ in NOT_AVAILABLE] == NOT_AVAILABLE
            assert time.monotonic() - start < 2 * SILENCE_S
        assert_nothing_left(card_house)
