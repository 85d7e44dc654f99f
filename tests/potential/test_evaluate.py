import dataclasses

import jax
import numpy as np
import pytest

from equipot import compilations, errors
from equipot.data.structure import Structure
from equipot.potential import evaluate
from equipot.store import graph_store, host_graph
from equipot.store.graph_store import GraphStore


def random_structures(count, seed=0):
    """Periodic boxes of four to nine atoms, and molecules in between."""
    rng = np.random.default_rng(seed)
    structures = []
    for i in range(count):
        size = int(rng.integers(4, 10))
        grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[:size] * 1.7
        structures.append(
            Structure(
                positions=grid + rng.uniform(-0.3, 0.3, (size, 3)),
                atomic_numbers=rng.choice([1, 8], size),
                cell=np.eye(3) * 5.1,
                pbc=np.full(3, i % 3 > 0),
                source=f"random {i}",
            )
        )
    return structures


def test_predictions_do_not_depend_on_the_batch_size(make_potential):
    structures = random_structures(7)
    alone = evaluate.evaluate(make_potential(), structures, 1)
    together = evaluate.evaluate(make_potential(), structures, 4)
    for one, other in zip(alone, together, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-10)
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-10)
        np.testing.assert_allclose(one.stress, other.stress, atol=1e-10)
        assert one.has_stress == other.has_stress


def test_the_order_of_structures_is_kept(make_potential):
    structures = random_structures(5)
    forward = evaluate.evaluate(make_potential(), structures, 2)
    backward = evaluate.evaluate(make_potential(), structures[::-1], 2)[::-1]
    for one, other, structure in zip(forward, backward, structures, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-10)
        assert len(one.forces) == len(structure.positions)


def test_only_structures_periodic_in_all_directions_have_stress(make_potential):
    structures = random_structures(4)
    for structure, prediction in zip(
        structures, evaluate.evaluate(make_potential(), structures), strict=True
    ):
        assert prediction.has_stress == structure.pbc.all()
        assert np.any(prediction.stress) == prediction.has_stress


def test_an_isolated_atom_has_its_reference_energy_exactly(make_potential):
    potential = make_potential("float32")
    anchored = dataclasses.replace(potential.spec, anchor_isolated=True)
    potential = dataclasses.replace(potential, spec=anchored)
    atom = Structure(positions=np.zeros((1, 3)), atomic_numbers=np.array([8]))
    prediction = evaluate.evaluate(potential, [atom])[0]
    assert prediction.energy == potential.spec.atomic_energies[1]
    assert np.all(prediction.forces == 0)


def test_atomic_energies_sum_to_the_energy_in_float64(make_potential):
    for prediction in evaluate.evaluate(make_potential("float32"), random_structures(3)):
        assert prediction.energies.dtype == np.float64
        assert prediction.energy == prediction.energies.sum()


def test_one_program_is_compiled_for_a_dataset_of_many_sizes(make_potential):
    structures = random_structures(9)
    potential = make_potential("float32")
    with compilations.Compilations() as counter:
        evaluate.evaluate(potential, structures, 2)
    assert counter.count == 1


def test_float64_works_without_the_global_switch(make_potential):
    assert not jax.config.jax_enable_x64
    single, double = (make_potential(dtype) for dtype in ("float32", "float64"))
    structures = random_structures(3)
    doubled = evaluate.evaluate(evaluate.cast(single, "float64"), structures)
    rounded = evaluate.evaluate(single, structures)
    for one, other in zip(doubled, rounded, strict=True):
        assert one.energy == pytest.approx(other.energy, abs=1e-4)
        assert np.abs(one.forces - other.forces).max() > 0
        np.testing.assert_allclose(one.forces, other.forces, atol=1e-4)
    assert evaluate.evaluate(double, structures)[0].energies.dtype == np.float64
    assert not jax.config.jax_enable_x64


def test_progress_is_told(make_potential):
    told = []
    evaluate.evaluate(make_potential(), random_structures(5), 2, on_progress=told.append)
    assert told == sorted(told) and told[-1] == 5


def test_nothing_is_evaluated_for_no_structures(make_potential):
    assert evaluate.evaluate(make_potential(), []) == []


def test_an_unknown_element_is_named(make_potential):
    gold = Structure(
        positions=np.zeros((1, 3)), atomic_numbers=np.array([79]), source="a.xyz, frame 3"
    )
    with pytest.raises(errors.UnknownElementError, match=r"a\.xyz, frame 3 .*Au .*H, O"):
        evaluate.evaluate(make_potential(), [gold])


def test_a_prediction_that_is_not_finite_is_refused(make_potential):
    broken = evaluate.cast(make_potential(), "float64")
    broken.params["scale"][0] = np.inf
    structures = random_structures(1)
    with pytest.raises(errors.NonFiniteError, match=r"random 0 .* are not finite"):
        evaluate.evaluate(broken, structures)


def test_another_precision_is_refused(make_potential):
    with pytest.raises(errors.ConfigError, match="expected float32 or float64, received 'half'"):
        evaluate.cast(make_potential(), "half")


def test_graphs_that_are_there_are_used_and_give_the_same(make_potential, monkeypatch):
    potential, structures = make_potential(), random_structures(5)
    expected = evaluate.evaluate(potential, structures, 2)
    spec = potential.spec
    settings = graph_store.Settings(
        cutoff=spec.cutoff,
        species_table=spec.species_table,
        atomic_energies=np.zeros(2),  # of labels, which are not looked at
        heads=spec.heads,
    )
    store = GraphStore.build(structures, settings)
    monkeypatch.setattr(host_graph, "build_graphs", None)
    for one, other in zip(expected, evaluate.evaluate(potential, store, 2), strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), value)
    with pytest.raises(ValueError, match=r"graphs of cutoff 3\.0, received those of 3\.5"):
        evaluate.evaluate(make_potential(cutoff=3.0), store)
