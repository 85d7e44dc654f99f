"""The smallest numbers of some structures, found in a list of the smallest of all."""

import numpy as np
import pytest

from equipot.data.stored import extremes
from equipot.data.stored.extremes import Extremes


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    kinds, owners = rng.integers(0, 5, 4000) * 129, np.sort(rng.integers(0, 50, 4000))
    return kinds, np.round(rng.exponential(size=4000), 3), owners, rng.normal(size=4000)


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(extremes, "MOST", 40)
    monkeypatch.setattr(extremes, "EACH", 6)
    monkeypatch.setattr(extremes, "_LOOKED_AT", 160)


def test_what_is_found_among_members_is_the_smallest_of_theirs(numbers, short):
    kinds, values, owners, notes = numbers
    every = Extremes.of(*numbers)
    assert every.cut.tolist() == [0, 129, 258, 387, 516]
    members = np.random.default_rng(1).random(50) < 0.8
    own = every.among(members)
    found, smallest = own.smallest()
    assert own.is_complete() and found.tolist() == every.cut.tolist()
    for kind, value in zip(found, smallest, strict=True):
        mine = members[owners] & (kinds == kind)
        assert value == values[mine].min()
        rows = own.kinds == kind
        first = np.flatnonzero(mine)[np.argsort(values[mine], kind="stable")][0]
        assert own.notes[rows][0] == notes[first]  # of equal ones the first


def test_parts_together_are_the_whole(numbers, short):
    kinds, values, owners, notes = numbers
    parts, starts = [], [0, 20, 35]
    for start, stop in zip(starts, [20, 35, 50], strict=True):
        own = (owners >= start) & (owners < stop)
        parts.append(Extremes.of(kinds[own], values[own], owners[own] - start, notes[own]))
    whole, joined = Extremes.of(*numbers), Extremes.joined(parts, starts)
    for kind in whole.cut:  # up to where either list was cut they are one
        rows = [own.values[own.kinds == kind] for own in (whole, joined)]
        least = min(map(len, rows))
        assert least >= 20
        np.testing.assert_array_equal(rows[0][:20], rows[1][:20])
    assert (joined.cut == whole.cut).all()


def test_a_kind_whose_list_has_no_member_left_is_noticed(numbers, short):
    every = Extremes.of(*numbers)
    outside = np.setdiff1d(np.arange(50), every.owners[every.kinds == 129])
    members = np.zeros(50, bool)
    members[outside] = True
    assert not every.among(members).is_complete()
    few = Extremes.of(*(column[:30] for column in numbers))
    assert not len(few.cut) and few.among(np.zeros(50, bool)).is_complete()


def test_nothing_is_nothing():
    none = np.zeros(0, np.int64)
    every = Extremes.of(none, np.zeros(0), none, None)
    assert not len(every.kinds) and every.is_complete()
