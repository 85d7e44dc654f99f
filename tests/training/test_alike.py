"""Parameters of elements that are alike."""

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from equipot.data import elements
from equipot.data.structure import Structure
from equipot.models import registry
from equipot.potential import potential as potentials
from equipot.training import alike, config, preparation
from tests.training.datasets import made_of

EVERY = tuple(range(1, 119))


def test_rows_of_elements_have_their_similarity_in_common():
    class Tables(nn.Module):
        species_tables: ClassVar[tuple[str, ...]] = ("embedding", "norm")

    drawn = {
        "embedding": jax.random.normal(jax.random.key(0), (118, 20_000)),
        "norm": jnp.ones((118,)),
        "linear": jax.random.normal(jax.random.key(1), (118, 3)),
    }
    made = alike.alike(drawn, Tables, EVERY)
    rows = np.asarray(made["embedding"], np.float64)
    np.testing.assert_allclose(rows @ rows.T / 20_000, elements.similarity(EVERY), atol=0.05)
    np.testing.assert_array_equal(made["norm"], drawn["norm"])
    np.testing.assert_array_equal(made["linear"], drawn["linear"])


@pytest.mark.parametrize(
    "numbers, changed",
    [
        pytest.param((1, 6, 8), False, marks=pytest.mark.slow),
        ((1, 3, 5, 6, 7, 8, 9, 11, 12), True),
    ],
)
def test_a_new_potential_for_many_elements_begins_with_it(numbers, changed):
    """The tables of elements are other than drawn, and nothing else is; few elements stay apart."""
    generator = np.random.default_rng(0)
    structures = [
        Structure(
            positions=generator.uniform(0, 6, (len(numbers), 3)),
            atomic_numbers=np.array(numbers),
            energy=-1.0,
            forces=generator.standard_normal((len(numbers), 3)),
            source=f"frame {i}",
        )
        for i in range(4)
    ]
    settings = config.train_config(
        {
            "data": {"train": "not read here"},
            "model": {"name": "nequip", "num_layers": 1, "lmax": 0, "num_channels": 4},
        }
    )
    parts = preparation.prepare(settings, made_of(structures[:2], structures[2:]), 1)
    scale, shift = parts.params["scale"], parts.params["shift"]
    drawn = potentials.init_params(parts.spec, jax.random.key(settings.seed), scale, shift)
    model = registry.model_class("nequip")
    for path, leaf in jax.tree_util.tree_leaves_with_path(drawn["model"]):
        own = parts.params["model"]
        for part in path:
            own = own[part.key]
        table = registry.is_species_table(model, [part.key for part in path])
        assert np.array_equal(own, leaf) != (changed and table), path
