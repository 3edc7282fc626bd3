"""cl_pocl_content_size on a card that leaves its device: the driver is told again which buffer says how much of one is of use."""
import subprocess

import house as houses
from test_depart import Talker, directly
from test_suspend import create


def test_it_comes_back(card_house):
    """To the same device: on a platform's second one PoCL 3.1 does not find the size, and the program ends."""
    talker = Talker(card_house.on_card(create(card_house), houses.built("content"), "across", stdin=subprocess.PIPE))
    for _ in range(3):
        talker.ready()
        assert card_house.card("card.suspend", card="one")["memory_used_bytes"] == 0
        card_house.card("card.resume", card="one")
        talker.go_on()
    assert talker.rest() == directly(["content"])
