"""Cards that leave their device and come back: the program must not notice, and nothing stays behind."""
import os
import random
import signal
import threading

import pytest

import house as houses
import random_calls
from house import CardError, eventually, process_alive

MIB = 1 << 20
LONG = os.environ.get("LEAT_LONG") == "1"
CYCLES = 100 if LONG else 20
ENOUGH = 10**6  # steps: it does not end by itself


@pytest.fixture(name="two_devices")
def two_devices_fixture(monkeypatch):
    """leat-cardd on a machine with two equal devices."""
    monkeypatch.setenv("POCL_DEVICES", "pthread pthread")
    with houses.House(cards_only=True) as running:
        yield running


def create(house, name="one", memory_bytes=256 * MIB, share_permille=1000, **members):
    return house.card("card.create", card=name, memory_bytes=memory_bytes, share_permille=share_permille, **members)


def device(house, name):
    return next(d for d in house.card("device.list")["devices"] if d["id"] == name)


def refusal(call, *args, **members):
    with pytest.raises(CardError) as caught:
        call(*args, **members)
    return caught.value.code


def trainer(house, lease, checkpoint, steps):
    return house.on_card(lease, houses.built("digits"), "--steps", str(steps), "--checkpoint", str(checkpoint),
                         "--metrics", f"{checkpoint}.metrics")


def finish(program):
    output, errors = program.communicate(timeout=300)
    assert program.returncode == 0, output + errors
    return output


def losses(checkpoint):
    """What the trainer noted of loss and accuracy, to the last digit: all but its clock."""
    with open(f"{checkpoint}.metrics", encoding="utf-8") as metrics:
        return [line.rsplit(",", 1)[0] for line in metrics]


def commands(house, card="one"):
    return house.card("card.show", card=card)["commands"]


def under_way(house, card="one", more=20, program=None):
    """Wait for `more` commands; `program` must live to run them."""
    before = commands(house, card)

    def arrived():
        assert program is None or program.poll() is None, "the program ended too early to be disturbed"
        return commands(house, card) >= before + more

    eventually("commands on the device", arrived)


def test_training_disturbed_at_random_ends_with_the_same_bytes(two_devices, tmp_path):
    house, chance = two_devices, random.Random(7)
    lease = create(house)
    program = trainer(house, lease, tmp_path / "disturbed", ENOUGH)
    under_way(house)
    for _ in range(CYCLES):
        under_way(house, more=chance.randrange(1, 40), program=program)
        if chance.random() < 0.5:
            assert house.card("card.suspend", card="one")["memory_used_bytes"] == 0
            house.card("card.resume", card="one", device=chance.choice(["cpu-0", "cpu-1"]))
        else:
            house.card("card.move", card="one", device=chance.choice(["cpu-0", "cpu-1"]))
    program.terminate()
    steps = int(finish(program).rsplit("stopped at step ", 1)[1].split()[0])
    finish(trainer(house, lease, tmp_path / "calm", steps))
    assert losses(tmp_path / "calm") == losses(tmp_path / "disturbed") != []
    assert (tmp_path / "calm").read_bytes() == (tmp_path / "disturbed").read_bytes()


def test_random_calls_on_a_card_that_moves_print_the_same(two_devices):
    """Among them a program that is compiled, and again when its card has come back without its source."""
    lease, over, cycles = create(two_devices), threading.Event(), []
    disturber = threading.Thread(target=random_calls.disturb, args=(two_devices, "one", over, cycles))
    disturber.start()
    _, _, difference = random_calls.compared(random_calls.on_card(two_devices, lease), random_calls.command(5))
    over.set()
    disturber.join()
    assert cycles and difference is None


def test_images_come_back(two_devices):
    """Pixels, samplers and views of buffers on a card that leaves its device and moves between two."""
    house, rounds = two_devices, str(400 * CYCLES)
    lease = create(house)
    calm = finish(house.on_card(lease, houses.built("images"), rounds))
    program = house.on_card(lease, houses.built("images"), rounds)
    for cycle in range(CYCLES // 4):
        under_way(house, more=4, program=program)
        assert house.card("card.suspend", card="one")["memory_used_bytes"] == 0
        house.card("card.resume", card="one", device=f"cpu-{cycle % 2}")
    assert finish(program) == calm


def test_parts_come_back(two_devices):
    """Parts of parts, with queues on them, on a card that leaves its device and moves between two."""
    house, lease, turns = two_devices, create(two_devices), 1000 * CYCLES
    units = device(house, "cpu-0")["compute_units"] // 2
    if units == 0:
        pytest.skip("a device of one compute unit cannot be divided")
    program = house.on_card(lease, houses.built("subdevices"), "turns", str(turns))
    for cycle in range(CYCLES // 4):
        under_way(house, more=4, program=program)
        assert house.card("card.suspend", card="one")["memory_used_bytes"] == 0
        house.card("card.resume", card="one", device=f"cpu-{cycle % 2}")
    assert finish(program) == f"build 0\nsum {sum(i % 3 for i in range(turns))} of {turns}, units {units} {units}\n"


def test_a_suspended_card_leaves_its_memory_and_share_to_others(card_house, tmp_path):
    whole = device(card_house, "cpu-0")["memory_bytes"]
    lease = create(card_house, memory_bytes=whole)
    program = trainer(card_house, lease, tmp_path / "net", 400)
    under_way(card_house)
    assert refusal(create, card_house, "two", whole) == "memory-exceeds-device"
    away = card_house.card("card.suspend", card="one")
    assert (away["state"], away["memory_used_bytes"], away["share_permille"]) == ("suspended", 0, 0)
    assert away["suspended_bytes"] > 0 and away["suspensions"] == 1
    books = device(card_house, "cpu-0")
    assert (books["granted_bytes"], books["granted_permille"], books["cards"]) == (0, 0, 0)
    create(card_house, "two", whole)
    assert refusal(card_house.card, "card.resume", card="one") == "memory-exceeds-device"
    assert refusal(card_house.card, "card.suspend", card="one") == "card-suspended"
    assert refusal(card_house.card, "card.set_share", card="one", share_permille=10) == "card-suspended"
    eventually("the program's wish", lambda: card_house.card("card.show", card="one")["share_wanted"])
    card_house.card("card.remove", card="two")
    back = card_house.card("card.resume", card="one")
    assert (back["state"], back["suspended_bytes"], back["share_permille"]) == ("active", 0, 1000)
    assert back["memory_used_bytes"] >= away["suspended_bytes"]  # the program goes on, and may make more at once
    assert refusal(card_house.card, "card.resume", card="one") == "card-active"
    finish(program)


def test_a_program_that_starts_on_a_suspended_card_waits(card_house, tmp_path):
    lease = create(card_house)
    card_house.card("card.suspend", card="one")
    program = trainer(card_house, lease, tmp_path / "net", 20)
    eventually("the program's wish", lambda: card_house.card("card.show", card="one")["share_wanted"])
    assert card_house.card("card.show", card="one")["memory_used_bytes"] == 0
    card_house.card("card.resume", card="one")
    finish(program)


def test_several_programs_of_a_card_go_and_come_together(two_devices, tmp_path):
    lease = create(two_devices)
    programs = [trainer(two_devices, lease, tmp_path / f"net{i}", 400) for i in range(3)]
    eventually("three sessions", lambda: two_devices.card("card.show", card="one")["sessions"] == 3)
    for target in ("cpu-1", "cpu-0"):
        under_way(two_devices)
        assert two_devices.card("card.move", card="one", device=target)["device"] == target
        assert device(two_devices, target)["cards"] == 1
    for program in programs:
        finish(program)
    nets = [(tmp_path / f"net{i}").read_bytes() for i in range(3)]
    assert nets[0] == nets[1] == nets[2]


def test_a_move_without_room_leaves_the_card_where_it_was(two_devices, tmp_path):
    whole = device(two_devices, "cpu-1")["memory_bytes"]
    create(two_devices, "two", whole, device="cpu-1")
    lease = create(two_devices)
    program = trainer(two_devices, lease, tmp_path / "net", 400)
    under_way(two_devices)
    assert refusal(two_devices.card, "card.move", card="one", device="cpu-1") == "memory-exceeds-device"
    shown = two_devices.card("card.show", card="one")
    assert (shown["state"], shown["device"]) == ("active", "cpu-0")
    assert refusal(two_devices.card, "card.move", card="one", device="gpu-9") == "unknown-device"
    finish(program)


@pytest.mark.parametrize("who", ["executor", "program", "cardd"])
def test_nothing_stays_of_a_suspended_card_whose_process_is_killed(card_house, tmp_path, who):
    lease = create(card_house)
    program = trainer(card_house, lease, tmp_path / "net", 100000)
    under_way(card_house)
    card_house.card("card.suspend", card="one")
    executor, = card_house.executors()
    os.kill({"executor": executor, "program": program.pid, "cardd": card_house.daemon.pid}[who], signal.SIGKILL)
    eventually("the executor's end", lambda: not process_alive(executor))
    if who == "cardd":
        card_house.daemon.wait()
    else:
        eventually("the session's end", lambda: card_house.card("card.show", card="one")["sessions"] == 0)
        assert card_house.card("card.show", card="one")["suspended_bytes"] == 0
        assert card_house.card("card.resume", card="one")["state"] == "active"
    program.kill()
    program.communicate()


def test_the_command_line_carries_a_card_without_leatd(two_devices, tmp_path):
    lease = create(two_devices)
    program = trainer(two_devices, lease, tmp_path / "net", 400)
    under_way(two_devices)
    assert "suspended on cpu-0" in two_devices.leat("card", "suspend", "one").stderr
    assert "active on cpu-1" in two_devices.leat("card", "resume", "--device", "cpu-1", "one").stderr
    assert "active on cpu-0" in two_devices.leat("card", "move", "one", "cpu-0").stderr
    wrong = two_devices.leat("card", "resume", "one", check=False)
    assert wrong.returncode == 1 and "on its device" in wrong.stderr
    finish(program)


def test_a_jobs_card_is_suspended_and_resumed_through_leatd(house, tmp_path):
    job = house.submit(library="opencl-c", type="training", image="host", program=houses.built("digits"),
                       memory="64MiB", share="50%", network="none", workdir=str(tmp_path),
                       args=["--steps", str(ENOUGH), "--checkpoint", "/work/net"])["id"]
    eventually("commands", lambda: house.job(job)["usage"]["commands"] > 20)
    assert house.request("POST", f"/v1/cards/{job}/suspend")["state"] == "suspended"
    with pytest.raises(houses.Problem) as refused:
        house.request("POST", f"/v1/cards/{job}/suspend")
    assert refused.value.status == 409
    assert "suspended" in house.leat("card", "show", str(job)).stdout
    assert "active" in house.leat("card", "resume", str(job)).stderr
    done = house.job(job)["usage"]["commands"]
    eventually("more commands", lambda: house.job(job)["usage"]["commands"] > done + 100)
    house.request("POST", f"/v1/jobs/{job}/stop")
    assert house.wait(job)["state"] == "stopped"
    assert "stopped at step" in house.logs(job)
    kinds = [event["kind"] for event in house.events() if str(event.get("job")) == str(job)]
    assert kinds.index("job.suspended") < kinds.index("job.resumed")
