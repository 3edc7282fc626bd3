"""The OpenCL library on a card, against the device itself: codes of wrong calls, exports, and life without a card."""
import os
import re
import signal
import subprocess
import sys

import pytest

import house as houses
import random_calls
from test_cardd import name_of


def deviations():
    """The table in docs/conformance.md: (pattern of a case, pattern of PoCL's outcome, outcome on a card)."""
    with open(os.path.join(houses.ROOT, "docs", "conformance.md"), encoding="utf-8") as page:
        for line in page:
            cells = re.findall(r"`([^`]*)`", line) if line.startswith("| `cl") else []
            if len(cells) >= 3:
                yield tuple(cells[:3])


def matches(pattern, text):
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def outcomes(text):
    return dict(line.rsplit(": ", 1) for line in text.splitlines())


def test_every_function(card_house):
    """Each core function called rightly and wrongly: the device's own codes, but for what the table explains."""
    words = [houses.built("every_call")]
    direct = outcomes(subprocess.run([*words, "driver"], capture_output=True, text=True, timeout=600, check=True).stdout)
    carded = outcomes(card_house.card_exec(*words, memory="512MiB", timeout=600).stdout)
    assert list(direct) == list(carded) and len(direct) > 1800
    rows, used, unexplained = list(deviations()), set(), []
    for case, outcome in direct.items():
        if carded[case] == outcome:
            continue
        row = next((row for row in rows if matches(row[0], case) and matches(row[1], outcome)
                    and row[2] == carded[case]), None)
        used.add(row)
        if row is None:
            unexplained.append(f"{case}: {outcome} directly, {carded[case]} on a card")
    assert not unexplained
    assert set(rows) == used


def test_no_card(tmp_path):
    """Without a card there is no platform, and nothing is said unless one was promised."""
    (tmp_path / "leat.icd").write_text(houses.built("libleat-opencl.so") + "\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LEAT_CARD_")}
    environment["OCL_ICD_VENDORS"] = str(tmp_path)

    def clinfo(**more):
        return subprocess.run(["clinfo", "-l"], env={**environment, **more}, capture_output=True, text=True, timeout=60,
                              check=False)

    silent = clinfo()
    assert "Leat" not in silent.stdout and "leat" not in silent.stderr
    refused = clinfo(LEAT_CARD_SOCKET=str(tmp_path / "nobody.sock"), LEAT_CARD_TOKEN="0" * 64)
    assert "Leat" not in refused.stdout
    assert [line for line in refused.stderr.splitlines() if line.startswith("leat: ")] == [
        f"leat: no card here: {tmp_path}/nobody.sock: No such file or directory"]


def test_exports():
    listed = subprocess.run(["nm", "-D", "--defined-only", houses.built("libleat-opencl.so")], capture_output=True,
                            text=True, check=True).stdout
    assert {line.split()[-1] for line in listed.splitlines()} == {
        "clGetExtensionFunctionAddress", "clIcdGetPlatformIDsKHR", "clGetPlatformInfo"}


def test_semantics(card_house):
    words = [houses.built("semantics")]
    direct = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout
    assert card_house.card_exec(*words, memory="512MiB").stdout == direct
    refused = "damaged: program 0, -42, -42\n"  # CL_INVALID_BINARY
    assert refused in direct
    damaged = card_house.card_exec(*words, "damaged", memory="64MiB").stdout
    assert damaged.count("\n") > 64 and damaged.replace(refused, "") == ""


def test_random_calls(card_house):
    """Sequences of right and wrong calls on objects of every kind, some of several threads: each line as directly. Many more
    of them: make random-calls."""
    run = random_calls.on_card(card_house, card_house.card("card.create", card="one", memory_bytes=512 << 20,
                                                           share_permille=1000))
    for seed, threads in ((1, 1), (2, 1), (7, 2)):
        words = random_calls.command(seed, threads)
        _, carded, difference = random_calls.compared(run, words)
        assert len(carded[0]) >= 152 and difference is None


NEEDS_COMMAND_BUFFER = pytest.mark.skipif(not os.path.exists(houses.built("command_buffer")),
                                          reason="the OpenCL headers are of another version of cl_khr_command_buffer")


# Programs that print on a card what they print directly: a line that shows that the direct run did its work, and the card's memory.
@pytest.mark.parametrize("program, line, memory", [
    ("promises", "farewells early 0", "64MiB"),  # callbacks, maps, memory of its own, objects handed from thread to thread
    ("twice_wrong", "missing copy over itself -57", "64MiB"),  # which of two wrong things a call tells
    ("told", "range 0", "64MiB"),  # what objects tell of themselves; sizes of arguments, ranges, patterns
    ("limits", "too many numbers: launch 0 status 0", "256MiB"),  # as much as the device says it can, and one more
    ("builds", "no platform 0", "64MiB"),  # callbacks, many threads, options, parts and headers, binaries
    ("subdevices", "equally 1: 0 ", "64MiB"),  # what parts of the device tell; contexts, queues and programs of them
    ("content", "copied ", "64MiB"),  # copies of a buffer of which a part is of use
    ("compiling", "link: foreign 0", "64MiB"),  # headers by name and from files, compiled objects and libraries
    # Recorded once, enqueued many times; wrong calls; states.
    pytest.param("command_buffer", "event 12a8 1 1", "64MiB", marks=NEEDS_COMMAND_BUFFER),
    ("svm", "coarse grain 1", "64MiB"),  # pointers that mean the same to the program and to kernels
])
def test_as_directly(card_house, program, line, memory):
    words = [houses.built(program)]
    direct = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
    assert f"\n{line}" in "\n" + direct
    assert card_house.card_exec(*words, memory=memory).stdout == direct


COMMAND_BUFFERS_ALONE = 2 * """\
a: 10 11 .. 265
b: 15 16 .. 270
c: 22 23 .. 277
""" + 2 * """\
points 1 2
points 3 4
points 5 6
points 7 8
failed -14
status 1, state 1
c: 0 1 .. 255
c: 42 43 .. 297
""" + """\
queues 0
properties 0
queue 1, properties 1293 1 0, 24
no room -30
kernel null -48
kernel unset -52
no dimensions -53
four dimensions -53
uneven groups -54
points of none -1139
rect null -38
from image null -38
right one 0
point 1
"""


@NEEDS_COMMAND_BUFFER
def test_command_buffers_alone(card_house):
    """What PoCL 3.1 crashes at, or does otherwise than cl_khr_command_buffer says: what was recorded stays as it was."""
    told = card_house.card_exec(houses.built("command_buffer"), "alone", memory="64MiB").stdout
    assert re.sub(r"  [0-9a-f]{16}$", "", told, flags=re.M) == COMMAND_BUFFERS_ALONE


def test_every_kind_of_command(card_house):
    """Held back by events of the user: what their events tell at each stage, which callbacks come in which order, their times
    and what they did. PoCL calls a task a launch."""
    words = [houses.built("commands")]
    direct = subprocess.run(words, capture_output=True, text=True, timeout=300, check=True).stdout
    assert direct.count("  called src\n") == direct.count("  ended 0 4\n") == 3 * 36
    assert card_house.card_exec(*words, memory="64MiB").stdout == direct.replace("task 0\n  queued 3 4\n  type 11f0,",
                                                                                "task 0\n  queued 3 4\n  type 11f1,")


# What a device and its platform tell otherwise on a card: names and versions, what there is of memory, handles, extensions that a
# card has not, and native kernels and fine-grain shared memory.
TOLD_OTHERWISE = {"platform": {0x902, 0x903, 0x920},
                  "device": {0x1010, 0x101F, 0x1029, 0x1030, 0x1031, 0x1053}}


def test_device(card_house):
    """Everything else that platform and device tell, formats of images and functions of extensions: as the device does."""
    words = [houses.built("device")]

    def same(text):
        for line in text.splitlines():
            who, name = line.split(":")[0].split(" ", 1)
            if who not in TOLD_OTHERWISE or int(name, 16) not in TOLD_OTHERWISE[who]:
                yield line

    direct = list(same(subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout))
    assert len(direct) > 150
    assert list(same(card_house.card_exec(*words, memory="64MiB").stdout)) == direct


def test_subdevices_that_stand_for_themselves(tmp_path):
    """The same with a driver of which each part of a device has builds and binaries of its own, and is refused where it was
    not named."""
    (tmp_path / "strict.icd").write_text(houses.built("strict_icd") + "\n")
    words = [houses.built("subdevices")]
    direct = subprocess.run(words, env=dict(os.environ, OCL_ICD_VENDORS=str(tmp_path)), capture_output=True, text=True,
                            timeout=300, check=True).stdout
    assert "2 binaries 2: 0 0 0\n" in direct or "equally 2: -" in direct
    with houses.House(cards_only=True, environment={"LEAT_DEVICE_ICD_VENDORS": str(tmp_path)}) as house:
        assert house.card_exec(*words, memory="64MiB").stdout == direct


def test_several_cards(card_house):
    """Two cards of one process, each a platform with its own quota: they work side by side, know nothing of one another's
    handles, and a child of the process has them anew."""
    words = ("card", "exec", "--device", "cpu-0,cpu-0", "--memory", "64MiB", "--share", "50%", "--")
    once = ["Leat with 64 MiB"] * 2 + ["card 0: 1225 1225", "card 1: 1275 1275", "another's buffer -38", "another's device -33",
                                       "both devices -33"]
    assert card_house.leat(*words, houses.built("cards")).stdout.splitlines() == once
    assert card_house.leat(*words, houses.built("cards"), "fork").stdout.splitlines() == once * 2
    listed = card_house.leat(*words, "clinfo", "-l").stdout
    assert listed.count("Platform #") == 2 and listed.count("Device #") == 2


def test_failures_of_the_user(card_house):
    """An event of the user that fails takes with it what waits for it, and nothing else. (PoCL 3.1 hangs here.)"""
    told = card_house.card_exec(houses.built("promises"), "failures", memory="64MiB").stdout.splitlines()
    assert told[:3] == ["failures x wait -14", "failures user -7, others fail 1 1 1", "failures finish 0"]
    assert told[3].startswith("after failures ")


def test_one_device(card_house):
    """A program on a card sees one platform with one device, whatever else is installed, and always the same."""
    listed = [card_house.card_exec("clinfo", "-l", memory="64MiB").stdout for _ in range(2)]
    assert listed[0] == listed[1]
    assert listed[0].count("Platform #") == 1 and listed[0].count("Device #") == 1


# Where PoCL takes what the specification has it refuse; two of these end in a crash later.
IMAGES_STRICTER_THAN_POCL = {
    "arg: a buffer for an image": "-38",
    "arg: an image for a buffer": "-38",
    "sampler: bad mode": "-30",
    "sampler: bad filter": "-30",
    "formats: bad flags": "-30",
    "image: small pitch": "-65",
    "image: pitch of nothing": "-65",
    "read image: empty": "-30",
    "read image: small pitch": "-30",
    "read buffer: an image": "-38",
    "image info: a buffer": "-38",
}


def test_images(card_house):
    """Images of every type, views, samplers as arguments and the codes of wrong calls: as on the device."""
    words = [houses.built("images")]
    direct = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    expected = [f"{name} {IMAGES_STRICTER_THAN_POCL.get(name, code)}"
                for name, code in (line.rsplit(" ", 1) for line in direct)]
    assert len(direct) > 150
    assert card_house.card_exec(*words, memory="512MiB").stdout.splitlines() == expected


def test_buffers_come_and_go(card_house):
    """Memory is used again only when nothing works on it any more, also close to the quota."""
    direct = subprocess.run([houses.built("churn")], capture_output=True, text=True, timeout=120, check=True).stdout
    for memory in ("64MiB", "16MiB"):
        assert card_house.card_exec(houses.built("churn"), memory=memory).stdout == direct


def test_printing(card_house):
    """What kernels print comes out of the program that launched them, in its place, and never of another."""
    runs = [[houses.built("printing"), "1"], [houses.built("printing"), "2", "binary"]]
    start = [houses.built("leat"), "card", "exec", "--memory", "64MiB", "--share", "50%", "--"]
    programs = [subprocess.Popen(start + run, env=card_house.environment, stdout=subprocess.PIPE, text=True)
                for run in runs]
    for run, program in zip(runs, programs):
        direct = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True).stdout
        assert program.communicate(timeout=120)[0] == direct
        assert program.returncode == 0 and direct.count("\n") == 40 * 5 + 3001


def test_binary_of_another_run(card_house, tmp_path):
    """What a program kept of a run without a card it can use on a card, and what is none is refused as by the device."""
    def words(way, path):
        return ["/usr/bin/python3", os.path.join(houses.ROOT, "tests/e2e/programs/kept.py"), way, str(tmp_path / path)]
    subprocess.run(words("keep", "direct"), timeout=120, check=True)
    card_house.card_exec(*words("keep", "card"), memory="64MiB")
    for way in ("use", "spoil"):
        direct = subprocess.run(words(way, "direct"), capture_output=True, text=True, timeout=120, check=True).stdout
        assert direct in ("[ 0  1  4  9 16 25 36 49] True\n", "refused -42\n")
        assert card_house.card_exec(*words(way, "direct"), memory="64MiB").stdout == direct
        assert card_house.card_exec(*words(way, "card"), memory="64MiB").stdout == direct


def test_strict(card_house):
    """Strict mode: every command has ended when its call returns, and what it read is there."""
    words = [houses.built("strict")]
    loose = card_house.card_exec(*words, memory="64MiB").stdout.splitlines()
    assert loose[0] == "launch: under way" and loose[3] == "launch behind a gate: under way"
    card_house.environment["LEAT_CARD_STRICT"] = "1"
    assert card_house.card_exec(*words, memory="64MiB").stdout.splitlines() == [
        "launch: ended", "read: 7", "read: ended", "launch behind a gate: under way", "marker: ended"]


def test_fork(card_house):
    """A child has a session of its own; its parent's handles are none there."""
    assert card_house.card_exec(houses.built("survive"), "fork").stdout.splitlines() == [
        "child: parent's queue -36", "child: parent's memory -38", "child: parent's context -34", "child: counted 1",
        "parent: counted 1, child ended with 0"]


def test_after_main(card_house):
    """What a program does when main has returned, in a function registered before the library was there: as before."""
    assert card_house.card_exec(houses.built("survive"), "late", memory="64MiB").stdout.splitlines() == [
        "main returns", "late: unmap 0", "late: counted 41", "late: finish 0", *["late: release 0"] * 3]


def executors(house):
    return [pid for pid in house.executors() if name_of(pid).startswith("leat-exec")]


@pytest.mark.parametrize("way, end", [
    ("orphan", ["orphan -2", "finish -2", "create -2 0", "release 0", "release 0", "release 0"]), ("told", ["told -2"])])
def test_executor_dies(card_house, way, end):
    """A program whose executor is killed is told so at its next call and through its context, and never hangs."""
    words = [houses.built("leat"), "card", "exec", "--memory", "64MiB", "--share", "100%", "--", houses.built("survive"),
             way]
    with subprocess.Popen(words, env=card_house.environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "working\n"
        # The program has been welcomed before its executor runs.
        for pid in houses.eventually("the executor", lambda: executors(card_house)):
            os.kill(pid, signal.SIGKILL)
        told = program.communicate(timeout=60)[0]
    assert told.splitlines() == end


def test_leat_cardd_dies(card_house):
    """A program whose leat-cardd is killed is told so at its next call, and nothing of it stays."""
    lease = card_house.card("card.create", card="one", memory_bytes=64 << 20, share_permille=1000)
    program = card_house.on_card(lease, houses.built("survive"), "orphan")
    assert program.stdout.readline() == "working\n"
    its_executors = houses.eventually("the executor", lambda: executors(card_house))
    card_house.kill()
    told = program.communicate(timeout=60)[0]
    assert told.splitlines() == ["orphan -2", "finish -2", "create -2 0", "release 0", "release 0", "release 0"]
    houses.eventually("the executors' end", lambda: not any(map(houses.process_alive, its_executors)))
    card_house.start()  # another one begins with nothing granted
    assert card_house.card("card.list")["cards"] == []


def test_coverage_page(tmp_path):
    """docs/opencl-coverage.md is what the table says."""
    gen = os.path.join(houses.ROOT, "src/card/gen")
    subprocess.run([sys.executable, f"{gen}/opencl.py", "coverage", f"{gen}/opencl.table", str(tmp_path / "page")],
                   check=True)
    with open(os.path.join(houses.ROOT, "docs/opencl-coverage.md"), encoding="utf-8") as page:
        assert page.read() == (tmp_path / "page").read_text()
