"""Cards of another host: the same results as on this one, its right to refuse, and what is left when it is over."""
import json
import os
import subprocess
import threading
import time

import house as houses
import pytest
from relay import DelayLine, Lender
from test_opencl import NEEDS_COMMAND_BUFFER

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
TRIPS, POSTED = os.path.join(PROGRAMS, "trips.py"), os.path.join(PROGRAMS, "posted.py")
READS, LAUNCHES = 40, 2000
PING_S, SILENCE_S = 2, 10  # CONN_PING_MS, CONN_SILENCE_MS

NOT_AVAILABLE = ["orphan -2", "finish -2", "create -2 0", "release 0", "release 0", "release 0"]


@pytest.fixture(params=["plain", "tls"])
def lender(card_house, request):
    port = 20000 + os.getpid() % 10000
    with Lender(card_house, f"127.0.0.1:{port}", secure=request.param == "tls") as running:
        yield running


def words_on(lender, *program, memory="512MiB", **options):
    return ["card", "exec", *lender.options(**options), "--memory", memory, "--share", "100%", "--", *program]


def assert_nothing_left(house):
    houses.eventually("the last card's end", lambda: house.card("card.list")["cards"] == [])
    houses.eventually("the last socket's end", lambda: not any(name.startswith("on-") for name in os.listdir(house.run_dir)))


@pytest.mark.parametrize("program", [["hello"], ["compiling"], ["images"], pytest.param(["command_buffer"], marks=NEEDS_COMMAND_BUFFER), ["sgemm"], ["digits", "--steps", "60"]],
                         ids=lambda words: words[0])
def test_same_as_here(card_house, lender, program):
    words = [houses.built(program[0]), *program[1:]]
    there = card_house.leat(*words_on(lender, *words)).stdout
    here = card_house.card_exec(*words, memory="512MiB").stdout
    if program[0] == "digits":  # its lines say how fast it was
        there, here = ([line.split()[:4] for line in text.splitlines()] for text in (there, here))
    assert there == here
    assert_nothing_left(card_house)


def test_quota(card_house, lender):
    """The quota is the same to the byte, and what was freed can be had again."""
    words = [houses.built("quota_probe")]
    here = card_house.card_exec(*words, memory="64MiB", check=False)
    there = card_house.leat(*words_on(lender, *words, memory="64MiB"), check=False)
    assert (there.returncode, there.stdout) == (here.returncode, here.stdout)


def test_refusals(card_house, lender, tmp_path):
    wrong = tmp_path / "token"
    wrong.write_text("another-token-than-that\n")
    refused = card_house.leat(*words_on(lender, "true", token=str(wrong)), check=False)
    assert refused.returncode == 125 and "the host's token is another one" in refused.stderr
    if lender.fingerprint:
        refused = card_house.leat(*words_on(lender, "true", fingerprint="0" * 64), check=False)
        assert refused.returncode == 125 and "not sha256:000" in refused.stderr
    refused = card_house.leat(*words_on(lender, "true", address="127.0.0.1:1"), check=False)
    assert refused.returncode == 125 and "cannot reach '127.0.0.1:1'" in refused.stderr
    assert_nothing_left(card_house)


LOOSE = """add 0
  wait 0
  event 0
finish 0
refused 0
  wait -14
  event -5
finish -5
told -5
""".splitlines()
STRICT = """add 0
  wait 0
  event 0
finish 0
refused -5
finish 0
told -5
add 0
""".splitlines()


@pytest.mark.parametrize("strict, begins", [("0", LOOSE), ("1", STRICT)], ids=["posted", "strict"])
def test_the_driver_refuses_what_was_posted(strict, begins):
    """Told by the event, by the queue's next clFinish and to the context, as on this host; in strict mode by the call, once."""
    driver = {"LEAT_DEVICE_ICD_VENDORS": houses.built("refusing_driver")}
    with houses.House(cards_only=True, environment=driver) as house:
        house.environment["LEAT_CARD_STRICT"] = strict
        here = house.card_exec(houses.built("refusing"), memory="64MiB").stdout
        assert here.splitlines()[:len(begins)] == begins
        with Lender(house, f"127.0.0.1:{20000 + os.getpid() % 10000}", secure=False) as lender:
            assert house.leat(*words_on(lender, houses.built("refusing"), memory="64MiB")).stdout == here


def test_needs_tls(card_house):
    """Nobody lends or borrows in the clear but on one host."""
    lender = Lender(card_house, "0.0.0.0:1", secure=False)
    done = subprocess.run(lender.words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "tls-cert" in done.stderr
    lender.address = "192.0.2.1:1"
    done = card_house.leat(*words_on(lender, "true"), check=False)
    assert done.returncode == 125 and "fingerprint" in done.stderr


def test_host_dies(card_house, lender):
    """A program whose host is gone is told so at its next call, and never hangs."""
    words = [houses.built("leat"), *words_on(lender, houses.built("survive"), "orphan")]
    with subprocess.Popen(words, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "working\n"
        lender.process.kill()
        told = program.communicate(timeout=60)[0]
    assert told.splitlines() == NOT_AVAILABLE
    assert_nothing_left(card_house)


def test_program_dies(card_house, lender):
    """Of a killed command nothing is left on either host."""
    words = [houses.built("leat"), *words_on(lender, houses.built("survive"), "orphan")]
    with subprocess.Popen(words, env=card_house.environment, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout.readline() == "working\n"
        command.kill()
    assert_nothing_left(card_house)
    houses.eventually("the end of all relays of sessions", lambda: not [
        words for words in houses.processes_naming(lender.token).values() if " --to " in words])


def trips(house, lender, line, reads, launches, *more):
    words = words_on(lender, "/usr/bin/python3", TRIPS, str(reads), str(launches), *more, address=line.address)
    before = line.turns
    figures = json.loads(house.leat(*words).stdout)
    assert figures["right"]
    return figures, line.turns - before


@pytest.mark.parametrize("one_way_ms", [0.15, 2.5, 15])
def test_slow_line(card_house, lender, one_way_ms):
    """A read takes one round trip."""
    with DelayLine(lender.address, one_way_ms / 1000) as line:
        trips(card_house, lender, line, 1, 1, "copies")  # the first build
        start = time.monotonic()
        few = trips(card_house, lender, line, 1, 1)[1]
        figures, many = trips(card_house, lender, line, 1 + READS, 1)
        signs_of_life = 2 * (time.monotonic() - start) / PING_S  # of two connections: they make a few more, or fewer
        assert abs(many - few - READS) <= min(READS / 8 + signs_of_life, READS / 2)
        assert figures["reads_s"] >= READS * 2 * one_way_ms / 1000


def test_what_is_posted_waits_for_nothing(card_house, lender):
    """Launches, writes, copies, fills, markers, creations and user events return while the line carries nothing."""
    with DelayLine(lender.address, 0) as line:
        words = [houses.built("leat"), *words_on(lender, "/usr/bin/python3", POSTED, str(LAUNCHES // 2), address=line.address)]
        with subprocess.Popen(words, env=card_house.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as program:
            assert program.stdout.readline() == "ready\n"
            for _ in range(2):
                release = threading.Timer(60, line.moves.set)  # who waits for the line is told so then
                release.start()
                line.moves.clear()
                program.stdin.write("on\n")
                program.stdin.flush()
                assert program.stdout.readline() == "posted\n" and not line.moves.is_set()
                release.cancel()
                line.moves.set()
            assert program.communicate(timeout=60)[0] == "right\n"
    assert_nothing_left(card_house)


@pytest.mark.parametrize("way", ["cut", "swallow"])
def test_line_breaks(card_house, lender, way):
    """A broken line is told at once, a silent one within its bound, and the card goes."""
    with DelayLine(lender.address, 0.001) as line:
        words = [houses.built("leat"), *words_on(lender, houses.built("survive"), "orphan", address=line.address)]
        with subprocess.Popen(words, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdout.readline() == "working\n"
            start = time.monotonic()
            getattr(line, way)()
            assert [program.stdout.readline().strip() for _ in NOT_AVAILABLE] == NOT_AVAILABLE
            assert time.monotonic() - start < (SILENCE_S if way == "cut" else 2 * SILENCE_S)
            line.cut()  # the line itself still acknowledges what it swallows, so TCP sees the card control as alive
        assert_nothing_left(card_house)
