"""Dipoles, charges, moments and polarizabilities of every model that gives them."""

import dataclasses
import functools

import numpy as np
import pytest

from equipot import testing
from equipot.models import registry
from equipot.testing import symmetry
from tests.contracts import cases, toy

QUANTITIES = {quantity.name: quantity for quantity in toy.QUANTITIES}
GIVEN = {
    "nequip": tuple(QUANTITIES),
    "mace": tuple(QUANTITIES),
    "allegro": ("charges", "dipole", "polarizability"),
    "painn": ("charges", "dipole"),
    "schnet": ("charges",),
}
SETTINGS = {
    "nequip": {"num_layers": 2, "lmax": 2, "parity": True, "num_channels": 2},
    "mace": {
        "num_layers": 2,
        "lmax": 2,
        "message_lmax": 1,
        "parity": True,
        "correlation": 2,
        "num_channels": 2,
    },
    "allegro": {"num_layers": 1, "lmax": 2, "num_channels": 2, "num_scalars": 4},
    "painn": {"num_layers": 2},
    "schnet": {"num_layers": 2},
}
SHARED = ("rotation", "inversion", "translation", "permutation", "supercell", "charge", "batching")
"""These take one program for each model."""


@functools.cache
def subject(model):
    config = cases.shrunk(registry.config_class(model)())
    config = dataclasses.replace(config, **SETTINGS[model])
    quantities = tuple(QUANTITIES[name] for name in GIVEN[model])
    found = testing.subject_of(config, model, quantities=quantities)
    return dataclasses.replace(found, optimize=False)


@pytest.mark.parametrize(
    "model", [pytest.param(m, marks=[] if m == "nequip" else [pytest.mark.wide]) for m in GIVEN]
)
def test_quantities_obey(model):
    for contract in (*SHARED, "order_of_pairs"):
        testing.CONTRACTS[contract](subject(model))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nequip", "allegro", "painn"])
def test_quantities_are_the_same_of_directed_edges(model):
    testing.CONTRACTS["directed_edges"](subject(model))


@pytest.mark.slow
@pytest.mark.parametrize("contract", ["padding", "finite", "parameter_gradients"])
@pytest.mark.parametrize("model", GIVEN)
def test_quantities_obey_the_dear_contracts(model, contract):
    testing.CONTRACTS[contract](subject(model))


@pytest.mark.wide
@pytest.mark.parametrize("model", GIVEN)
def test_quantities_under_test_are_not_zero(model):
    chosen = symmetry.general(subject(model))
    for name in GIVEN[model]:
        values = [found.others[name] for found in subject(model).observe(*chosen)]
        assert all(np.abs(value).max() > 1e-3 for value in values)
