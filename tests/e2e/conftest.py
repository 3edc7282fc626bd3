"""Fixtures: see house.py for what a house is."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import house as houses  # noqa: E402

# A record is filled with rubbish before it is written: what a program forgets to set shows.
os.environ.setdefault("LEAT_CARD_POISON", "1")


def needs(*names):
    """Fail with a clear message when the build has not made what a test runs."""
    for name in names:
        if not os.path.exists(houses.built(name)):
            pytest.fail(f"{houses.built(name)} is not built", pytrace=False)


@pytest.fixture
def house():
    """A running centre, ended with all its jobs after the test."""
    needs("leatd", "leat-cardd", "leat")
    with houses.House() as running:
        yield running


@pytest.fixture
def card_house():
    """leat-cardd alone."""
    needs("leat-cardd", "leat")
    with houses.House(cards_only=True) as running:
        yield running


@pytest.fixture(scope="module")
def shared_house():
    """One centre for all tests of a file: for tests that leave it as they found it."""
    needs("leatd", "leat-cardd", "leat")
    with houses.House() as running:
        yield running
