"""Potentials for fewer, more and other elements."""

import dataclasses

import numpy as np
import pytest

from equipot import testing
from equipot.models import registry
from equipot.potential import evaluate, species
from equipot.potential.potential import Potential, PotentialSpec
from tests.graph_fixtures import make_molecule


def random_potential(name, settings):
    """Of H and O, tiny."""
    mapping = {"name": name, "cutoff": 4.0, "num_channels": 4, **settings}
    _, config = registry.config_from_mapping(mapping)
    spec = PotentialSpec(
        model_name=name,
        model_config=config,
        species_table=(1, 8),
        atomic_energies=(-13.6, -430.0),
        avg_num_neighbors=3.0,
        dtype="float64",
    )
    return Potential(spec=spec, params=testing.random_params(spec))


@pytest.mark.wide
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nequip", {}),
        ("mace", {"interaction": "agnostic"}),
        ("allegro", {}),
        ("allegro", {"radial_basis": "spline"}),
        ("allegro", {"pair_cutoffs": ((3.0, 3.5), (3.5, 4.0))}),
    ],
)
def test_known_elements_keep_their_energies_and_new_ones_begin_as_the_most_similar(name, settings):
    water = make_molecule("H2O")
    known = random_potential(name, settings)
    (before,) = evaluate.evaluate(known, [water])
    more, new = species.with_species(known, (1, 8, 16))
    assert new == {16: 8}
    (after,) = evaluate.evaluate(more, [water])
    np.testing.assert_allclose(after.energy, before.energy, rtol=1e-12)
    np.testing.assert_allclose(after.forces, before.forces, rtol=1e-9, atol=1e-12)
    other, _ = species.with_species(known, (1, 16))
    numbers = np.where(water.atomic_numbers == 8, 16, 1)
    sulfur = dataclasses.replace(water, atomic_numbers=numbers)
    (copied,) = evaluate.evaluate(other, [sulfur])
    np.testing.assert_allclose(copied.forces, before.forces, rtol=1e-9, atol=1e-12)
