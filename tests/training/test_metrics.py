import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import quantities
from equipot.graphs import batching
from equipot.potential import potential as potentials
from equipot.quantities import Label, QuantityConfig
from equipot.training import metrics


def predicted(batch, energy, forces, stress):
    """A prediction that is off by given amounts, beside the labels of a padded batch."""
    nodes = batch.graph.nodes.species.shape[0]
    return potentials.Prediction(
        node_energy=jnp.zeros(nodes),
        energy=batch.labels["energy"].value + energy,
        forces=batch.labels["forces"].value + forces,
        stress=batch.labels["stress"].value + stress,
    )


@pytest.fixture
def batch(lennard_jones):
    graphs = [batching.build_graph(s, 4.5, (18, 36), np.zeros(2)) for s in lennard_jones[:3]]
    budget = batching.Budget(nodes=20, edges=200, graphs=6)
    return jax.tree.map(jnp.asarray, batching.collate_labelled(graphs, budget, 4.5))


def test_errors_are_per_atom_and_per_component(batch):
    sums = metrics.error_sums(metrics.residuals(predicted(batch, 0.4, 0.1, 0.01), batch))
    np.testing.assert_allclose(sums["energy_absolute"].mean, 0.1, rtol=1e-5)  # four atoms each
    np.testing.assert_allclose(sums["forces_squared"].mean, 0.01, rtol=1e-5)
    np.testing.assert_allclose(sums["stress_absolute"].mean, 0.01, rtol=1e-5)
    assert sums["energy_squared"].weight == 3
    assert sums["forces_squared"].weight == 3 * 12
    assert sums["stress_squared"].weight == 3 * 9


def test_a_missing_label_counts_nothing_even_beside_nan(batch):
    weights = jnp.asarray([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    energy = batch.labels["energy"]._replace(weight=weights)
    missing = batch._replace(labels=batch.labels | {"energy": energy})
    wrong = jnp.asarray([0.4, jnp.nan, 0.4, jnp.nan, jnp.nan, jnp.nan])
    prediction = predicted(missing, wrong, 0.0, 0.0)
    sums = metrics.error_sums(metrics.residuals(prediction, missing))
    np.testing.assert_allclose(sums["energy_absolute"].mean, 0.1, rtol=1e-5)


def test_the_mean_of_nothing_is_zero():
    assert metrics.Sum(total=jnp.zeros(()), weight=jnp.zeros(())).mean == 0


OTHERS = quantities.every(
    quantities.declared(
        {
            "moment": QuantityConfig(per="atom", irreps="1e"),
            "alpha": QuantityConfig(irreps="0e+2e"),
            "count": QuantityConfig(),
        }
    )
)


def test_declared_quantities_are_compared_in_their_own_unit(lennard_jones):
    values = {"moment": np.ones((4, 3)), "alpha": np.eye(3), "count": np.array(2.0)}
    labels = {name: Label(value, 2.0) for name, value in values.items()}
    first = dataclasses.replace(lennard_jones[0], others=labels)
    graphs = [
        batching.build_graph(s, 4.5, (18, 36), np.zeros(2), quantities=OTHERS)
        for s in (first, lennard_jones[1])
    ]
    budget = batching.Budget(nodes=10, edges=200, graphs=4)
    batch = batching.collate_labelled(graphs, budget, 4.5, quantities=OTHERS)
    batch = jax.tree.map(jnp.asarray, batch)
    off = {"moment": 0.1, "alpha": 0.2, "count": 0.4}
    prediction = predicted(batch, 0.0, 0.0, 0.0).replace(
        others={n: batch.labels[n].value + d for n, d in off.items()}
    )
    found = metrics.residuals(prediction, batch, OTHERS)
    np.testing.assert_array_equal(found["moment"].weight[:5], [2.0, 2.0, 2.0, 2.0, 0.0])
    sums = metrics.error_sums(found)
    for name, counted in (("moment", 12), ("alpha", 9), ("count", 1)):
        assert sums[f"{name}_absolute"].weight == counted
        np.testing.assert_allclose(sums[f"{name}_absolute"].mean, off[name], rtol=1e-5)
    measured = metrics.errors(sums, OTHERS)
    assert measured["alpha_rmse"] == pytest.approx(0.2) and "count_mae" in measured
