import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.potential import evaluate
from equipot.potential.potential import Potential
from equipot.training import centering, config, preparation
from tests.training.datasets import made_of

CONFIG = {
    "data": {"train": "not read here"},
    "model": {"name": "nequip", "cutoff": 4.5, "num_layers": 1, "lmax": 0, "num_channels": 2},
}


def prepared(structures, **potential):
    run = config.train_config({**CONFIG, "potential": potential})
    parts = preparation.prepare(run, made_of(structures, structures[:2]), 1)
    # A network whose output has a mean of its own.
    shifted = jax.tree.map(lambda leaf: leaf + jnp.float32(1.0), parts.params["model"])
    return dataclasses.replace(parts, params={**parts.params, "model": shifted})


def mean_interaction(parts, structures, number):
    """Mean of what is added to the reference energy of an element's atoms, eV."""
    potential = Potential(spec=parts.spec, params=parts.params)
    reference = dict(zip(parts.spec.species_table, parts.spec.references[0], strict=True))
    predicted = evaluate.evaluate(potential, structures)
    every = [
        p.energies[s.atomic_numbers == number] - reference[number]
        for s, p in zip(structures, predicted, strict=True)
    ]
    return np.concatenate(every).mean()


@pytest.fixture(scope="module")
def few(lennard_jones):
    return lennard_jones[:6]


def test_untrained_atoms_have_the_mean_binding_energy_of_their_element(few):
    begun = prepared(few)
    shift = np.asarray(begun.params["shift"])
    means = [mean_interaction(begun, few, z) for z in begun.spec.species_table]
    assert np.abs(means - shift).max() > 1.0  # else there is nothing to see
    parts = centering.centered(begun)
    means = [mean_interaction(parts, few, z) for z in parts.spec.species_table]
    np.testing.assert_allclose(means, shift, atol=1e-4)
    assert parts.params["scale"] is begun.params["scale"]
    assert parts.notes[-1].startswith("Taken off the shift: ")


def test_a_kind_of_atoms_outside_of_the_sample_gets_the_mean_of_all():
    values, kinds = np.array([3.0, 5.0, 1.0]), np.array([0, 0, 3])
    np.testing.assert_allclose(centering.mean_of_each(values, kinds, 4), [4.0, 3.0, 3.0, 1.0])


def test_an_anchored_potential_is_left_as_it_is(few):
    parts = prepared(few, shift="bonds")
    assert centering.centered(parts) is parts


def test_large_structures_are_sampled_until_their_pairs_are_many(few, monkeypatch):
    parts = prepared(few)
    monkeypatch.setattr(centering, "_PAIRS", 1)
    assert centering._sample(parts.graphs["train"]) == [0]
    monkeypatch.undo()
    assert centering._sample(parts.graphs["train"]) == list(range(len(few)))
