"""Weights of structures by their group."""

import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.quantities import Label
from equipot.training import group_weights
from tests.training.datasets import made_of


@pytest.fixture
def data(lennard_jones):
    """Structures of two groups, one without stress, one with another label and a weight."""
    bulk, dimer, other = lennard_jones[:3]
    bulk = dataclasses.replace(bulk, group="bulk", stress_weight=0.0)
    charges = Label(np.ones(len(dimer.positions)), 2.0)
    dimer = dataclasses.replace(dimer, group="dimer", energy_weight=3.0, others={"q": charges})
    other = dataclasses.replace(other, group="")
    return made_of([bulk, dimer, other], [dimer], [dimer])


def test_all_labels_of_a_group_weigh_so_many_times_more(data):
    found = group_weights.weighted(data, {"dimer": 10.0, "bulk": 0.5})
    assert [s.energy_weight for s in found.train] == [0.5, 30.0, 1.0]
    assert [s.forces_weight for s in found.train] == [0.5, 10.0, 1.0]
    assert [s.stress_weight for s in found.train] == [0.0, 10.0, 1.0]
    assert found.train[1].others["q"].weight == 20.0
    assert found.valid[0].forces_weight == 10.0
    assert found.test == data.test
    assert found.fingerprint == data.fingerprint
    assert group_weights.weighted(data, {}) is data


def test_a_group_that_nobody_is_of_is_named(data):
    with pytest.raises(errors.DataError, match=r"group 'dimmer'. Did you mean 'dimer'\?"):
        group_weights.weighted(data, {"dimmer": 10.0})
