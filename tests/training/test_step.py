import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.graphs import batching
from equipot.potential import potential as potentials
from equipot.training import optimizer, sharding, state, step
from equipot.training.config import LossConfig, OptimizerConfig

LOSS = LossConfig(stress=10.0)
# Plain gradients in the update, so that a wrong factor cannot hide in Adam's normalisation.
OPTIMIZER = OptimizerConfig(name="adam", clip_norm=0.1, schedule="constant")


@pytest.fixture(scope="module")
def graphs(lennard_jones):
    return [batching.build_graph(s, 4.5, (18, 36), np.zeros(2)) for s in lennard_jones[:6]]


@pytest.fixture(scope="module")
def potential(make_potential):
    small = {"num_layers": 1, "num_channels": 2, "radial_widths": (4,)}
    return make_potential(species_table=(18, 36), cutoff=4.5, **small)


def collated(graphs, bins):
    budget = batching.Budget(nodes=28, edges=400, graphs=8)
    members = [[graphs[i] for i in own] for own in bins]
    return batching.collate_devices(members, budget, 4.5, "float64")


@functools.cache
def compiled_step(spec, settings, num_devices):
    mesh, updates = sharding.make_mesh(num_devices), optimizer.Updates.of(settings)
    train = step.make_train_step(potentials.make_predict(spec), LOSS, updates, mesh)
    return mesh, updates, jax.jit(train)


@functools.cache
def compiled_gradient(spec, num_devices):
    mesh = sharding.make_mesh(num_devices)
    evaluate = step.make_eval_step(potentials.make_predict(spec), LOSS, mesh)

    def loss(params, batch):
        terms, _ = evaluate(params, batch)
        return sum(LOSS.terms[name] * term.mean for name, term in terms.items())

    return mesh, jax.jit(jax.grad(loss))


def run_steps(potential, batch, num_steps=1, settings=OPTIMIZER):
    """The state after some steps on one batch, spread as its leading axis says."""
    with jax.enable_x64(True):
        mesh, updates, train = compiled_step(potential.spec, settings, batch.graph.n_node.shape[0])
        params = jax.tree.map(jnp.asarray, potential.params)
        begun = state.init_state(params, updates.transformation)
        now = sharding.replicate(begun, mesh)
        tally = sharding.replicate(step.empty_tally(LOSS, "float64"), mesh)
        course = sharding.replicate(optimizer.Course.of(settings, 100), mesh)
        for _ in range(num_steps):
            now, tally = train(now, tally, sharding.shard(batch, mesh), course)
        return state.to_host(now), state.to_host(tally)


def gradients(potential, batch):
    with jax.enable_x64(True):
        mesh, gradient = compiled_gradient(potential.spec, batch.graph.n_node.shape[0])
        params = sharding.replicate(jax.tree.map(jnp.asarray, potential.params), mesh)
        return state.to_host(gradient(params, sharding.shard(batch, mesh)))


@pytest.mark.parametrize("bins", [[[0, 1], [2, 3], [4], [5]], [[0, 1, 2, 3, 4], [], [5], []]])
def test_the_gradient_does_not_depend_on_how_a_batch_is_spread(graphs, potential, bins):
    together = gradients(potential, collated(graphs, [[0, 1, 2, 3, 4, 5]]))
    spread = gradients(potential, collated(graphs, bins))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), together, spread
    )
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(together["model"])) > 1e-3


@pytest.mark.slow  # integration/test_devices.py trains on one and on four
def test_five_steps_on_four_devices_are_five_steps_on_one(graphs, potential):
    one, counted = run_steps(potential, collated(graphs, [[0, 1, 2, 3, 4, 5]]), 5)
    four, counted_four = run_steps(potential, collated(graphs, [[0, 1], [2, 3], [4], [5]]), 5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), one, four)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), counted, counted_four)


def test_weights_of_structures_act_on_the_step(graphs, potential):
    batch = collated(graphs, [[0, 1, 2, 3, 4, 5]])
    weights = batch.labels["energy"].weight.copy()
    weights[0, 0] = 100.0
    energy = batch.labels["energy"]._replace(weight=weights)
    heavier = batch._replace(labels=batch.labels | {"energy": energy})
    first, second = gradients(potential, batch), gradients(potential, heavier)
    assert not np.allclose(first["model"]["embedding"], second["model"]["embedding"], rtol=1e-3)


def test_scale_and_untrained_shift_stay_where_they_are(graphs, potential):
    after, _ = run_steps(potential, collated(graphs, [[0, 1]]), 3)
    np.testing.assert_array_equal(after.params["scale"], potential.params["scale"])
    np.testing.assert_array_equal(after.params["shift"], potential.params["shift"])


def test_the_average_starts_at_the_parameters_and_follows(graphs, potential):
    batch = collated(graphs, [[0, 1]])
    after, _ = run_steps(potential, batch, 1)
    keep = 2 / 11  # (1 + t) / (10 + t) after the first step
    expected = jax.tree.map(
        lambda old, new: keep * old + (1 - keep) * new, potential.params, after.params
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), after.ema_params, expected
    )


def test_without_averaging_the_average_is_the_parameters(graphs, potential):
    optimizer = OptimizerConfig(ema_decay=None)
    after, _ = run_steps(potential, collated(graphs, [[0, 1]]), 2, optimizer)
    jax.tree.map(np.testing.assert_array_equal, after.ema_params, after.params)


def test_the_first_step_that_is_not_finite_is_remembered(graphs, potential):
    batch = collated(graphs, [[0, 1]])
    _, tally = run_steps(potential, batch, 2)
    assert tally.bad_step == -1
    assert tally.sums["loss"].weight == 2
    values = batch.labels["forces"].value.copy()
    values[0, 0, 0] = np.nan
    forces = batch.labels["forces"]._replace(value=values)
    broken = batch._replace(labels=batch.labels | {"forces": forces})
    _, tally = run_steps(potential, broken, 3)
    assert tally.bad_step == 0
    assert not np.isfinite(tally.sums["loss_forces"].total)
    # Later steps are not finite in any term; at the first only the broken label was.
    assert not np.isfinite(tally.sums["loss_energy"].total)
    finite = {name: bool(np.isfinite(value)) for name, value in tally.bad_terms.items()}
    assert finite == {"energy": True, "forces": False, "stress": True}
