"""Cards of another host over a network of its own: delays, lost packets, a line that is down. With LEAT_LONG=1 all delays."""
import json
import os
import subprocess
import threading
import time

import house as houses
import pytest
from link import Link, NarrowLoop, impossible, rate_impossible
from relay import Lender
from test_relay import NOT_AVAILABLE, POSTED, TRIPS, assert_nothing_left, words_on

READS, LAUNCHES = 40, 1000
LONG = bool(os.environ.get("LEAT_LONG"))
LINES = [(0.3, 0), (0.3, 0.01), (5, 0), (5, 0.01), (30, 0), (30, 0.01), (150, 0), (150, 0.01)] if LONG else [(5, 0)]
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


@pytest.mark.parametrize("round_trip_ms, loss", LINES if LONG else [(5, 0), (5, 0.01)])
def test_results_are_the_same(card_house, round_trip_ms, loss):
    words = [houses.built("sgemm")] if os.path.exists(houses.built("sgemm")) else [houses.built("images")]
    here = card_house.card_exec(*words, memory="512MiB").stdout
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        assert on_host(card_house, link, lender, *words) == here
        assert (link.lost > 0) == (loss > 0) or link.carried < 200
        assert_nothing_left(card_house)


# Text for about as long as it takes to know the line's rate, then more.
COPIES = """import numpy, pyopencl
context = pyopencl.create_some_context(False)
queue = pyopencl.CommandQueue(context)
text = numpy.frombuffer((b"a line of text, like many others " * 40000)[:1 << 20], numpy.uint8)
back = numpy.zeros_like(text)
target = pyopencl.Buffer(context, pyopencl.mem_flags.READ_WRITE, text.nbytes)
for _ in range(4):
    pyopencl.enqueue_copy(queue, target, text, is_blocking=True)
    pyopencl.enqueue_copy(queue, back, target, is_blocking=True)
print((back == text).all())
"""


def test_what_went_packed_is_told(card_house):
    """Of text that was carried over a narrow line less than half went over it, both ways."""
    reason = rate_impossible()
    if reason:
        pytest.skip(f"no rate can be set here: {reason}")
    with NarrowLoop("100mbit") as line, Lender(card_house, f"{line.address}:7000", within=line.far.within) as lender:
        words = words_on(lender, "/usr/bin/python3", "-c", COPIES)
        words[2:2] = ["--stats"]
        done = subprocess.run([*line.near.within, houses.built("leat"), "--json", *words], env=card_house.environment,
                              capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 and done.stdout == "True\n", done.stderr
        figures = json.loads(done.stderr.splitlines()[-1])
        for way in ("to", "from"):
            carried, on_line = figures[f"carried_{way}_device_bytes"], figures[f"line_{way}_device_bytes"]
            assert carried >= figures[f"bytes_{way}_device"] >= 4 << 20
            assert 0 < on_line < carried / 2


def trips(house, link, lender, reads):
    """Round trips of a program with that many waiting calls, beside those of its start and end."""
    before = link.turns
    figures = json.loads(on_host(house, link, lender, "/usr/bin/python3", TRIPS, str(reads), "1"))
    assert figures["right"]
    return figures, link.turns - before


@pytest.mark.parametrize("round_trip_ms, loss", LINES)
def test_a_waiting_call_takes_one_round_trip(card_house, round_trip_ms, loss):
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        trips(card_house, link, lender, 1)  # the first build
        few = trips(card_house, link, lender, 1)[1]
        lost = link.lost
        figures, many = trips(card_house, link, lender, 1 + READS)
        # What was lost is sent again, and once in a while a side says that it lives.
        assert abs(many - few - READS) <= READS / 8 + link.lost - lost
        assert figures["reads_s"] >= READS * round_trip_ms / 1000


@pytest.mark.parametrize("round_trip_ms, loss", LINES)
def test_what_is_posted_waits_for_nothing(card_house, round_trip_ms, loss):
    """It returns while the line carries nothing, and arrives when it does again."""
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        words = link.within(houses.built("leat"), *words_on(lender, "/usr/bin/python3", POSTED, str(LAUNCHES)))
        with subprocess.Popen(words, env=card_house.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as program:
            assert program.stdout.readline() == "ready\n"
            link.moves = False
            release = threading.Timer(60, lambda: setattr(link, "moves", True))  # who waits is told so then
            release.start()
            program.stdin.write("on\n")
            program.stdin.flush()
            assert program.stdout.readline() == "posted\n" and not link.moves
            release.cancel()
            link.moves = True
            assert program.communicate(timeout=120)[0] == "right\n"


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
@pytest.mark.parametrize("round_trip_ms, loss", LINES)
def test_a_lost_line_is_told_within_its_bound(card_house, round_trip_ms, loss):
    """Every call says so from then on, nothing hangs; when the line is back the host's cards can be had as before."""
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        with survivor(card_house, link, lender) as program:
            assert program.stdout.readline() == "working\n"
            start = time.monotonic()
            link.up = False
            assert [program.stdout.readline().strip() for _ in NOT_AVAILABLE] == NOT_AVAILABLE
            assert time.monotonic() - start < 2 * SILENCE_S
        assert_nothing_left(card_house)
        link.up = True
        assert trips(card_house, link, lender, 1)[0]["right"]


@pytest.mark.skipif(not LONG, reason="a minute for each line; set LEAT_LONG=1")
@pytest.mark.parametrize("round_trip_ms, loss", LINES)
def test_breaks_that_are_short_are_waited_for(card_house, round_trip_ms, loss):
    """Again and again the line is down for some packets while a program learns: its results stay the same."""
    words = [houses.built("digits"), "--steps", "60", "--report", "10"]
    here = [line.split()[:4] for line in card_house.card_exec(*words, memory="512MiB").stdout.splitlines()]
    with Link(round_trip_ms, loss) as link, lend(card_house, link) as lender:
        command = link.within(houses.built("leat"), *words_on(lender, *words))
        with subprocess.Popen(command, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
            lines = []
            for line in program.stdout:
                lines.append(line)
                if len(lines) % 2 and len(lines) < len(here) - 1:
                    link.up = False
                    lost = link.lost
                    houses.eventually("a packet that is lost", lambda: link.lost > lost)
                    link.up = True
            assert program.wait(60) == 0
        assert [line.split()[:4] for line in lines] == here
