"""Logs of real containers through the REST interface: every byte, in order, at the reader's own pace."""
import hashlib
import os
import re
import threading

import pytest

import house as houses

JOB = {"memory": "16MiB", "share": "10%", "cpus": "0.5", "ram": "128MiB", "network": "none"}
# Every byte value, in pieces of all sizes, and in the end a last line without an end.
TALKS = r'''
import os, sys
data = bytes(range(256)) * 4096
for i in range(8):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view[:7777 + i]):]
os.write(1, b"the end")
'''
SAID = bytes(range(256)) * 4096 * 8 + b"the end"


def submit(house, *command, **more):
    return house.submit(command=list(command), **{**JOB, **more})["id"]


class Follower:
    """A log stream that reads only when it is told to."""

    def __init__(self, house, job, query="follow=true"):
        self.connection = houses.Connection(os.path.join(house.run_dir, "leatd.sock"), 60)
        self.connection.request("GET", f"/v1/jobs/{job}/logs?{query}")
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200

    def read(self, size=None):
        return self.answer.read(size)

    def close(self):
        self.connection.close()


def read_log(house, job, query=""):
    follower = Follower(house, job, query)
    text = follower.read()
    follower.close()
    return text


def resident(house):
    return float(re.search(r"^process_resident_memory_bytes (\S+)", house.get("/metrics"), re.M)[1])


def test_every_byte_in_order(shared_house):
    job = submit(shared_house, "/usr/bin/python3", "-c", TALKS)
    follower = Follower(shared_house, job)
    followed = follower.read()
    follower.close()
    assert shared_house.wait(job)["state"] == "succeeded"
    assert hashlib.sha256(followed).digest() == hashlib.sha256(SAID).digest()
    assert read_log(shared_house, job) == SAID
    assert read_log(shared_house, job, f"offset={len(SAID) - 7}") == b"the end"
    assert read_log(shared_house, job, f"offset={len(SAID)}&follow=true") == b""
    assert read_log(shared_house, job, f"offset={1 << 60}") == b""


def test_both_outputs(shared_house):
    """They are two pipes: each keeps its order, between them only time tells."""
    job = submit(shared_house, "/bin/sh", "-c", "echo out; echo error >&2; echo again")
    assert shared_house.wait(job)["state"] == "succeeded"
    text = read_log(shared_house, job)
    assert sorted(text.split()) == [b"again", b"error", b"out"] and text.index(b"out") < text.index(b"again")


def test_a_slow_reader_holds_up_nobody(shared_house):
    """Followers that do not read: the job ends all the same, leatd does not grow, and what was said is still read."""
    before = resident(shared_house)
    job = submit(shared_house, "/usr/bin/python3", "-c", TALKS)
    slow = [Follower(shared_house, job) for _ in range(20)]
    assert shared_house.wait(job)["state"] == "succeeded"
    assert resident(shared_house) < before + (8 << 20)
    for follower in slow[1:]:
        follower.close()
    text, piece = b"", b"x"
    while piece:
        piece = slow[0].read(100_001)
        text += piece
    slow[0].close()
    assert text == SAID


def test_followers_see_lines_as_they_come(shared_house):
    """Each line is read before the program says the next one: it waits for a file that the reader makes."""
    job = submit(shared_house, "/bin/sh", "-c",
                 "for i in 1 2 3; do echo line $i; while [ ! -e go$i ]; do sleep 0.01; done; done")
    work = os.path.join(shared_house.job(job)["directory"], "work")
    followers = [Follower(shared_house, job) for _ in range(3)]
    for i in (1, 2, 3):
        for follower in followers:
            assert follower.read(7) == f"line {i}\n".encode()
        with open(os.path.join(work, f"go{i}"), "w", encoding="utf-8"):
            pass
    for follower in followers:
        assert follower.read() == b""
        follower.close()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_follower_goes_on_after_a_restart(end):
    """leatd is killed or stopped under a follower; with the number of bytes it has, it misses nothing."""
    with houses.House() as house:
        job = submit(house, "/bin/sh", "-c", "echo one; while [ ! -e go ]; do sleep 0.01; done; echo two")
        work = os.path.join(house.job(job)["directory"], "work")
        follower = Follower(house, job)
        text = follower.read(4)
        getattr(house, end)()
        follower.close()
        with open(os.path.join(work, "go"), "w", encoding="utf-8"):
            pass  # it speaks and ends while nobody listens
        house.start()
        text += read_log(house, job, f"follow=true&offset={len(text)}")
        assert text == b"one\ntwo\n"
        ended = house.wait(job)
        assert (ended["state"], ended["exit_status"]) == ("succeeded", 0)


def test_waiters_and_followers_of_many_jobs(shared_house):
    """Ten jobs at once, each with a waiter and a follower of its own."""
    found = {}

    def follow(number):
        job = submit(shared_house, "/bin/sh", "-c", f"echo {number}; exit {number}", share="5%")
        waiter = {}
        thread = threading.Thread(target=lambda: waiter.update(shared_house.wait(job)))
        thread.start()
        text = read_log(shared_house, job, "follow=true")
        thread.join()
        found[number] = (text, waiter["exit_status"])

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: (f"{number}\n".encode(), number) for number in range(10)}
