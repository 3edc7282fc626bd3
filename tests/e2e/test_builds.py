"""What is built once is not built again: not by a second process, not on another card, and never across tenants."""
import json
import os

import house as houses

PROGRAM = [houses.built("digits"), "--steps", "1"]


def exec_builds(house):
    """How often the driver built and how often a kept build served, in one run of a program on a card of its own."""
    done = house.leat("--json", "card", "exec", "--memory", "64MiB", "--share", "100%", "--stats", "--", *PROGRAM)
    figures = json.loads(done.stderr.splitlines()[-1])
    return figures["builds"], figures["build_hits"]


def test_second_start(tmp_path):
    with houses.House(cards_only=True, environment={"LEAT_CACHE_DIR": str(tmp_path)}) as house:
        built, kept = exec_builds(house)
        assert built > 0 and kept == 0
        assert exec_builds(house) == (0, built)
        house.stop()
        house.start()  # a restart of leat-cardd forgets nothing
        assert exec_builds(house) == (0, built)


def test_tenants_apart(tmp_path):
    with houses.House(cards_only=True, environment={"LEAT_CACHE_DIR": str(tmp_path)}) as house:

        def card_builds(name, tenant):
            lease = house.card("card.create", card=name, tenant=tenant, memory_bytes=64 << 20, share_permille=1000)
            program = house.on_card(lease, *PROGRAM)
            assert program.wait(120) == 0, program.stdout.read()
            program.stdout.close()
            figures = house.card("card.remove", card=name)
            return figures["builds"], figures["build_hits"]

        built, kept = card_builds("a1", "blue")
        assert built > 0 and kept == 0
        assert card_builds("b1", "red/../tenant-blue") == (built, 0)
        assert card_builds("a2", "blue") == (0, built)
        folders = sorted(os.listdir(tmp_path))
        assert folders == ["tenant-blue", "tenant-red\x01..\x01tenant-blue"]
        assert all(os.stat(tmp_path / folder).st_mode & 0o077 == 0 for folder in folders)
