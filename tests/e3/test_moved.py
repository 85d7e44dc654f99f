import importlib

import pytest

from equipot.e3 import moved

PLACES = [(name, room) for room, names in moved.ROOMS.items() for name in names]


@pytest.mark.parametrize(("name", "room"), PLACES)
def test_modules_are_found_where_they_were_in_earlier_versions(name, room):
    now = importlib.import_module(f"equipot.e3.{room}.{name}")
    assert importlib.import_module(f"equipot.e3.{name}") is now
