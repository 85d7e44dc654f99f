"""Several batches for one step are one batch with all of their structures."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.graphs import batching, loader
from equipot.potential import potential as potentials
from equipot.training import optimizer, sharding, state, step
from equipot.training.config import LossConfig, OptimizerConfig

CUTOFF = 4.5
KINDS = {
    "norm": LossConfig(stress=0.3, energy=2.0),
    "huber": LossConfig(kind="huber", stress=10.0),
}
# Plain gradients in the update, so that a wrong factor cannot hide in Adam's normalization.
OPTIMIZER = OptimizerConfig(name="adam", clip_norm=0.1, schedule="constant")


@pytest.fixture(scope="module")
def graphs(lennard_jones):
    """Six crystals: of one the energy weighs 5, two have no stress."""
    made = [batching.build_graph(s, CUTOFF, (18, 36), np.zeros(2)) for s in lennard_jones[:6]]
    made[0] = weighted(made[0], energy=5.0)
    made[2] = weighted(made[2], stress=0.0)
    made[3] = weighted(made[3], stress=0.0, forces=0.0)
    return made


def weighted(graph, **weights):
    labels = {
        name: label._replace(weight=weights.get(name, label.weight))
        for name, label in graph.labels.items()
    }
    return dataclasses.replace(graph, labels=labels)


@pytest.fixture(scope="module")
def potential(make_potential):
    small = {"num_layers": 1, "num_channels": 2, "radial_widths": (4,)}
    return make_potential(species_table=(18, 36), cutoff=CUTOFF, **small)


def batches_of(graphs, bins, accumulate):
    """``bins[device][batch]``, padded to one shape."""
    budget = batching.Budget(nodes=28, edges=400, graphs=8)
    members = [[graphs[i] for i in own] for device in bins for own in device]
    made = batching.collate_devices(members, budget, CUTOFF, "float64")
    front = (len(bins),) if accumulate == 1 else (len(bins), accumulate)
    return jax.tree.map(lambda leaf: leaf.reshape(*front, *leaf.shape[1:]), made)


@functools.cache
def compiled(spec, kind, devices, accumulate):
    mesh, updates = sharding.make_mesh(devices), optimizer.Updates.of(OPTIMIZER)
    predict = potentials.make_predict(spec)
    train = step.make_train_step(predict, KINDS[kind], updates, mesh, accumulate=accumulate)
    return mesh, updates, jax.jit(train)


def step_on(potential, graphs, bins, kind="norm"):
    """The state and the tally after one step."""
    accumulate = len(bins[0])
    with jax.enable_x64(True):
        mesh, updates, train = compiled(potential.spec, kind, len(bins), accumulate)
        params = jax.tree.map(jnp.asarray, potential.params)
        begun = sharding.replicate(state.init_state(params, updates.transformation), mesh)
        tally = sharding.replicate(step.empty_tally(KINDS[kind], "float64"), mesh)
        batch = sharding.shard(batches_of(graphs, bins, accumulate), mesh)
        course = sharding.replicate(optimizer.Course.of(OPTIMIZER, 100), mesh)
        return state.to_host(train(begun, tally, batch, course))


def assert_equal(found, expected):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13), found, expected
    )


TOGETHER = [[[0, 1, 2, 3, 4, 5]]]
SPLITS = {
    "three": [[[0, 1], [2, 3, 4], [5]]],
    "two devices": [[[0], [2, 3], [4]], [[1], [5], []]],
    "the last one empty": [[[0, 1, 2], [3, 4, 5], []]],
    "one without any label of stress": [[[2, 3], [0, 1], [4, 5]]],
}


@pytest.mark.wide
@pytest.mark.parametrize(
    ("kind", "bins"),
    [
        pytest.param("huber", SPLITS["three"], id="huber", marks=pytest.mark.slow),
        *(
            pytest.param("norm", bins, id=name, marks=[] if name == "three" else [pytest.mark.slow])
            for name, bins in SPLITS.items()
        ),
    ],
)
def test_a_step_of_several_batches_is_that_of_one_with_all_structures(
    graphs, potential, bins, kind
):
    expected, counted = step_on(potential, graphs, TOGETHER, kind)
    found, found_counted = step_on(potential, graphs, bins, kind)
    assert_equal(found, expected)
    assert_equal(found_counted, counted)
    assert counted.sums["loss"].total > 0 and counted.sums["loss"].weight == 1


@pytest.mark.wide
def test_means_of_batches_would_be_another_gradient(graphs, potential):
    """What is tested is not satisfied by averaging over batches of different sizes."""
    expected, _ = step_on(potential, graphs, TOGETHER)
    alone = [step_on(potential, graphs, [[own]])[0] for own in ([0, 1, 2, 3, 4], [5])]
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *(own.opt_state for own in alone))
    gap = jax.tree.map(lambda a, b: np.abs(a - b).max(), mean, expected.opt_state)
    assert max(jax.tree.leaves(gap)) > 1e-4


def test_one_batch_for_a_step_needs_no_loop(graphs, potential):
    with jax.enable_x64(True):
        _, updates, train = compiled(potential.spec, "norm", 1, 1)
        params = jax.tree.map(jnp.asarray, potential.params)
        begun = state.init_state(params, updates.transformation)
        tally = step.empty_tally(KINDS["norm"], "float64")
        course = optimizer.Course.of(OPTIMIZER, 100)
        lowered = train.lower(begun, tally, batches_of(graphs, [[[0, 1]]], 1), course)
    assert "while" not in lowered.as_text()


def make_loader(graphs, **options):
    return loader.Loader(graphs, cutoff=CUTOFF, dtype="float64", seed=3, **options)


def labels_of(batch):
    """Energies of all structures of a batch, in order."""
    label = batch.labels["energy"]
    return np.asarray(label.value)[np.asarray(label.weight) > 0].tolist()


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_edges": 200}])
@pytest.mark.parametrize("devices", [1, 2])
def test_a_loader_yields_the_batches_of_a_step_together(graphs, options, devices):
    own = make_loader(graphs, accumulate=2, num_devices=devices, **options)
    whole = list(own.batches(1))
    assert len(whole) == own.num_steps(1) == -(-own.num_batches(1) // 2)
    assert {leaf.shape[:2] for batch in whole for leaf in jax.tree.leaves(batch)} == {(devices, 2)}
    seen = [energy for batch in whole for energy in labels_of(batch)]
    assert sorted(seen) == sorted(float(g.labels["energy"].value) for g in graphs)
    position = own.after(1, 0)
    rest = list(
        make_loader(graphs, accumulate=2, num_devices=devices, **options).batches(1, position)
    )
    assert [labels_of(b) for b in rest] == [labels_of(b) for b in whole[1:]]
    assert own.after(1, own.num_batches(1) - 1) == own.num_batches(1)
    first = [float(graphs[i].labels["energy"].value) for i in own.members(1, 1)]
    assert sorted(first) == sorted(labels_of(whole[0]))
