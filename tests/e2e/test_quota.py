"""The memory quota is exact: refused with the API's own error, never one byte over, also when programs are killed.
LEAT_LONG=1 is the long form, a million allocations and releases."""
import os
import random
import signal
import threading
import time

import house as houses
from conftest import needs

CL_MEM_OBJECT_ALLOCATION_FAILURE = -4
CL_OUT_OF_RESOURCES = -5
MIB = 1 << 20
OPERATIONS = 1_000_000 if os.environ.get("LEAT_LONG") == "1" else 100_000


def figures(text):
    """{name: number} of lines `name<TAB>number`."""
    return {name: float(value) for name, value in (line.split("\t")[:2] for line in text.splitlines() if "\t" in line)}


class Observer:
    """Reads a card's usage as fast as it can, from another process than those that allocate."""

    def __init__(self, house, card):
        self.house, self.card = house, card
        self.looks = self.most_used = self.most_peak = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.control = self.house.control()
        self.thread.start()
        return self

    def __exit__(self, *reason):
        self.stopping.set()
        self.thread.join()
        self.control.close()

    def enough(self, count, least):
        """Whether it has seen enough; on a busy machine one storm may be over before. Also when it will never."""
        return count > least or not self.thread.is_alive()

    def watch(self):
        while not self.stopping.is_set():
            shown = self.control("card.show", card=self.card)
            self.most_used = max(self.most_used, shown["memory_used_bytes"])
            self.most_peak = max(self.most_peak, shown["memory_peak_bytes"])
            self.looks += 1
            time.sleep(0.001)  # leave the processor to the programs


class Resizer(Observer):
    """Changes the card's quota all the time, between three quarters of `quota` and all of it."""

    def __init__(self, house, card, quota):
        super().__init__(house, card)
        self.quota, self.chance, self.resized, self.refused, self.over = quota, random.Random(3), 0, 0, 0

    def watch(self):
        while not self.stopping.is_set():
            asked = self.chance.randrange(self.quota * 3 // 4, self.quota + 1)
            try:
                self.control("card.resize", card=self.card, memory_bytes=asked)
                self.resized += 1
            except houses.CardError as refused:
                assert refused.code == "memory-in-use"
                self.refused += 1
                continue
            self.over = max(self.over, self.control("card.show", card=self.card)["memory_used_bytes"] - asked)
            time.sleep(0.005)  # leave the processor to the programs


def test_allocation_past_the_quota_is_refused(card_house):
    needs("quota_probe")
    found = figures(card_house.card_exec(houses.built("quota_probe"), str(MIB), str(64 * MIB), memory="16MiB").stdout)
    assert found["device_bytes"] == 16 * MIB
    assert found["fitted_bytes"] == 16 * MIB
    assert found["refusal"] in (CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES)
    assert found["again"] == 0


def test_last_byte_of_the_quota_can_be_used(card_house):
    needs("quota_probe")
    quota = 16 * MIB + 4096
    found = figures(card_house.card_exec(houses.built("quota_probe"), "4096", str(64 * MIB), memory=str(quota)).stdout)
    assert found["fitted_bytes"] == quota or found["fitted_bytes"] == 4096 * 4096  # the probe's own limit


def test_storm_never_sees_one_byte_over(card_house):
    needs("quota_storm")
    quota = 48 * MIB
    lease = card_house.card("card.create", card="storm", device=card_house.card("device.list")["devices"][0]["id"],
                            memory_bytes=quota, share_permille=1000)
    with Observer(card_house, "storm") as observer, Resizer(card_house, "storm", quota) as resizer:
        seed = int(os.environ.get("LEAT_SEED", "1"))
        while not (observer.enough(observer.looks, 50) and resizer.enough(resizer.resized, 10)):
            program = card_house.on_card(lease, houses.built("quota_storm"), str(quota), str(OPERATIONS), "4", str(seed))
            out, errors = program.communicate(timeout=3600)
            assert program.returncode == 0, out + errors
            found = figures(out)
            assert found["operations"] >= OPERATIONS
            assert found["kills"] >= 20
            assert found["refusals"] > 0
            assert found["overshoot_bytes"] == 0
            assert found["seen_peak_bytes"] > quota / 2  # the storm did press against the quota
            seed += 1
    assert resizer.resized > 10 and resizer.over <= 0
    assert observer.looks > 50
    assert observer.most_used <= quota
    assert observer.most_peak <= quota
    # What killed programs held is free again, to the last byte.
    houses.eventually("all memory is free", lambda: card_house.card("card.show", card="storm")["memory_used_bytes"] == 0)
    card_house.card("card.remove", card="storm")


def test_killed_program_gives_everything_back(card_house):
    needs("quota_probe")
    lease = card_house.card("card.create", card="killed", device=card_house.card("device.list")["devices"][0]["id"],
                            memory_bytes=64 * MIB, share_permille=500)
    program = card_house.on_card(lease, "/usr/bin/python3", "-c", HOLDS_MEMORY)
    assert program.stdout.readline() == "holding\n", program.stderr.read()
    assert card_house.card("card.show", card="killed")["memory_used_bytes"] == 32 * MIB
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()
    houses.eventually("its memory is free", lambda: card_house.card("card.show", card="killed")["memory_used_bytes"] == 0)
    assert card_house.card("card.show", card="killed")["sessions"] == 0
    card_house.card("card.remove", card="killed")


HOLDS_MEMORY = """
import signal, numpy, pyopencl as cl
context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
queue = cl.CommandQueue(context)
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, 32 << 20)
cl.enqueue_copy(queue, buffer, numpy.zeros(8 << 20, numpy.float32))
print("holding", flush=True)
signal.pause()
"""
