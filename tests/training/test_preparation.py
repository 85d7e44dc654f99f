import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from equipot import errors
from equipot.potential import evaluate
from equipot.store.graph_store import GraphStore
from equipot.training import config, finishing, optimizer, preparation
from tests.training.datasets import made_of

CONFIG = config.train_config(
    {
        "data": {"train": "not read here"},
        "model": {"name": "nequip", "cutoff": 4.5, "num_layers": 1, "lmax": 1, "num_channels": 2},
        "trainer": {"num_epochs": 100, "batch_size": 5, "eval_batch_size": 3},
    }
)


@pytest.fixture(scope="module")
def parts(lennard_jones):
    return preparation.prepare(CONFIG, made_of(lennard_jones[:20], lennard_jones[20:]), 2)


def test_statistics_come_from_the_training_split_alone(parts, lennard_jones):
    again = preparation.prepare(CONFIG, made_of(lennard_jones[:20], lennard_jones[30:31]), 2)
    assert again.spec == parts.spec
    np.testing.assert_array_equal(again.params["scale"], parts.params["scale"])


def test_scale_is_that_of_the_length_of_the_forces(parts, lennard_jones):
    forces = np.concatenate([s.forces for s in lennard_jones[:20]])
    scale = np.linalg.norm(forces, axis=1).mean() * np.sqrt(np.pi / 8)
    np.testing.assert_allclose(parts.params["scale"], [scale, scale], rtol=1e-6)


def test_every_structure_is_in_an_epoch_once_on_every_device_count(parts):
    for own, expected in ((parts.train, range(20)), (parts.valid, range(20))):
        dealt = [i for step in own.steps(0) for device in step for i in device]
        assert sorted(dealt) == list(expected)
    assert parts.train.num_devices == 2


def test_validation_keeps_its_order_and_has_its_own_batch_size(parts):
    assert not parts.valid.shuffle
    assert parts.valid.budget.nodes < parts.train.budget.nodes


def test_graphs_are_built_once_for_all(parts, lennard_jones, make_potential, monkeypatch):
    assert parts.train.graphs is parts.graphs["train"]
    assert parts.valid.sizes is parts.graphs["valid"].sizes
    built = []

    def predictions(potential, graphs, batch_size):
        return [
            evaluate.HostPrediction(
                energy=float(own.labels["energy"].value),
                energies=np.zeros(own.num_nodes),
                forces=own.labels["forces"].value,
                stress=own.labels["stress"].value,
                has_stress=True,
            )
            for own in graphs
        ]

    build = GraphStore.build
    monkeypatch.setattr(GraphStore, "build", lambda s, t: built.append(len(s)) or build(s, t))
    monkeypatch.setattr(evaluate, "evaluate", predictions)
    data = made_of(lennard_jones[:20], lennard_jones[20:], lennard_jones[:3])
    found = finishing._evaluate(make_potential(), parts.graphs, data, 4)
    assert built == [3]  # the test split alone
    assert [len(content) for _, content in found.values()] == [20, 20, 3]
    assert found["valid"][1][0].forces is parts.graphs["valid"][0].labels["forces"].value


def test_the_run_has_the_length_that_is_asked_for(parts):
    assert parts.num_steps == 100 * parts.train.num_batches(0)
    course = optimizer.Course.of(CONFIG.optimizer, parts.num_steps)
    rate = parts.updates.schedule(jnp.full((), parts.num_steps // 10 - 1, jnp.int32), course)
    assert float(rate) == pytest.approx(CONFIG.optimizer.learning_rate, rel=1e-6)


def test_what_was_computed_is_put_down(parts):
    assert parts.facts["species_table"] == [18, 36]
    assert parts.facts["structures"] == {"train": 20, "valid": 20, "test": 0}
    assert any("parameters in float32" in note for note in parts.notes)


def test_no_validation_frames_is_refused(lennard_jones):
    with pytest.raises(errors.DataError, match="expected validation frames"):
        preparation.prepare(CONFIG, made_of(lennard_jones), 1)


def test_parameters_depend_on_the_seed(parts, lennard_jones):
    other = config.train_config({**config_mapping(), "seed": 1})
    drawn = preparation.prepare(other, made_of(lennard_jones[:20], lennard_jones[20:]), 2)
    assert not np.allclose(drawn.params["model"]["embedding"], parts.params["model"]["embedding"])


def config_mapping():
    return {"data": {"train": "x"}, "model": dict(CONFIG.model)}


def two_levels(structures):
    """The structures, and the same at another level: 5 eV per atom lower, forces twice."""
    other = [
        dataclasses.replace(
            s, energy=s.energy - 5.0 * len(s.positions), forces=2.0 * s.forces, head="low"
        )
        for s in structures
    ]
    return [*(dataclasses.replace(s, head="high") for s in structures), *other]


def test_each_level_of_theory_has_a_head_with_references_of_its_own(lennard_jones):
    model = {"name": "mace", "cutoff": 4.5, "num_layers": 1, "lmax": 0, "num_channels": 2}
    model |= {"message_lmax": 0, "correlation": 1, "radial_widths": (4,)}
    train, valid = two_levels(lennard_jones[:8]), two_levels(lennard_jones[8:10])
    own = preparation.prepare(dataclasses.replace(CONFIG, model=model), made_of(train, valid), 1)
    assert own.spec.heads == ("high", "low")
    high, low = own.spec.references
    np.testing.assert_allclose(low, high - 5.0, rtol=1e-9)
    np.testing.assert_allclose(own.params["scale"][1], 2.0 * own.params["scale"][0], rtol=1e-6)
    assert [graph.head for graph in own.valid.graphs] == [0, 0, 1, 1]
    labels = [graph.labels["energy"].value for graph in own.valid.graphs]
    np.testing.assert_allclose(labels[:2], labels[2:], atol=1e-9)


def test_levels_of_theory_need_a_model_with_several_heads(lennard_jones):
    train, model = two_levels(lennard_jones[:2]), {"name": "painn"}
    with pytest.raises(errors.ConfigError, match="painn has one head, but the data have 2 levels"):
        preparation.prepare(dataclasses.replace(CONFIG, model=model), made_of(train, train), 1)
