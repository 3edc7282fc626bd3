"""Programs that come as SPIR, compiled for no device in particular: on a card all is as directly, also while it leaves its device,
moves to another and to another host. Whether the driver takes what this clang makes is the driver's to say."""
import os
import shutil
import subprocess

import pytest

import house as houses
from test_depart import Talker, depart, hosts_fixture  # noqa: F401  pylint: disable=unused-import
from test_suspend import create, two_devices_fixture  # noqa: F401  pylint: disable=unused-import

SOURCE = os.path.join(houses.ROOT, "tests/e2e/programs/spir.cl")
STAGES = 16  # that `spir` tells


@pytest.fixture(name="words")
def words_fixture(tmp_path):
    """The program and its file."""
    path = str(tmp_path / "spir.bc")
    if not shutil.which("clang") or subprocess.run(
            ["clang", "-target", "spir64", "-cl-std=CL1.2", "-Xclang", "-finclude-default-header", "-emit-llvm", "-c", "-x", "cl",
             SOURCE, "-o", path], capture_output=True, check=False).returncode:
        pytest.skip("no clang that makes SPIR")
    return [houses.built("spir"), path]


def directly(words):
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


def test_as_directly(card_house, words):
    """What platform, program and kernels tell, wrong uses, links; built by the driver, then out of the kept builds."""
    direct = directly(words)
    assert direct.startswith("extension ")
    for _ in range(2):
        assert card_house.card_exec(*words, memory="64MiB").stdout == direct


def test_it_comes_back(two_devices, words):
    """Before and after it is built, with a kernel whose arguments are set, and between parts to link."""
    lease = create(two_devices)
    talker = Talker(two_devices.on_card(lease, *words, "across", stdin=subprocess.PIPE))
    direct = directly(words)
    for stage in range(STAGES if "made 0 0" in direct else 0):
        talker.ready()
        if stage % 2:
            assert two_devices.card("card.suspend", card="one")["memory_used_bytes"] == 0
            two_devices.card("card.resume", card="one")
        else:
            two_devices.card("card.move", card="one", device=f"cpu-{(stage // 2 + 1) % 2}")
        talker.go_on()
    assert talker.rest() == direct


@pytest.mark.parametrize("moves_at", [0, 2, 3])  # not built, a kernel's arguments set, launched once
def test_it_goes_to_another_host(hosts, words, moves_at):
    here, _, lender = hosts
    talker = Talker(here.on_card(create(here), *words, "across", stdin=subprocess.PIPE))
    direct = directly(words)
    for stage in range(STAGES if "made 0 0" in direct else 0):
        talker.ready()
        if stage == moves_at:
            depart(here, lender)
        talker.go_on()
    assert talker.rest() == direct
