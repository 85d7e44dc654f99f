"""The same numbers on a GPU as on the processor, in both precisions, for every model.

python -m pytest -m gpu tests/gpu
"""

import jax
import numpy as np
import pytest

from equipot import EquipotCalculator, testing
from equipot.data import writers
from equipot.models import registry
from equipot.potential import artefact, evaluate
from equipot.potential import potential as potentials
from equipot.potential.potential import Potential, PotentialSpec
from equipot.testing import structures

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("optimized"),
    pytest.mark.skipif(jax.default_backend() != "gpu", reason="jax sees no GPU"),
]
CUTOFF, SPECIES = 3.5, (1, 6, 8)
BOX = structures.repeated(structures.crystal(2.5, SPECIES), (3, 3, 3))
CLUSTER = structures.cluster(CUTOFF, SPECIES)


def make(name, matmul_precision="highest"):
    settings = {"name": name, "cutoff": CUTOFF, "num_channels": 32}
    model_name, model_config = registry.config_from_mapping(settings)
    spec = PotentialSpec(
        model_name=model_name,
        model_config=model_config,
        species_table=SPECIES,
        atomic_energies=(0.0, 0.0, 0.0),
        avg_num_neighbors=12.0,
        dtype="float64",
        matmul_precision=matmul_precision,
    )
    return Potential(spec=spec, params=testing.random_params(spec))


def on_processor(potential, *found):
    with jax.default_device(jax.devices("cpu")[0]):
        return evaluate.evaluate(potential, list(found), 1)


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("name", registry.available())
def test_gpu_gives_the_numbers_of_the_processor(name):
    potential = make(name)
    expected = on_processor(potential, BOX, CLUSTER)
    found = evaluate.evaluate(potential, [BOX, CLUSTER], 1)
    for a, b in zip(found, expected, strict=True):
        assert relative(a.forces, b.forces) < 1e-10
        assert relative(a.energies, b.energies) < 1e-10
    assert relative(found[0].stress, expected[0].stress) < 1e-10


@pytest.mark.parametrize("name", ["nequip", "mace", "painn"])
def test_single_precision_is_as_good_as_on_the_processor(name):
    exact, single = make(name), evaluate.cast(make(name), "float32")
    expected = on_processor(exact, BOX)[0].forces
    there = relative(on_processor(single, BOX)[0].forces, expected)
    here = relative(evaluate.evaluate(single, [BOX], 1)[0].forces, expected)
    assert here < 3 * there


def test_reduced_precision_of_products_is_what_that_would_find():
    """The check above can fail: products in TF32 are off by more than it allows."""
    exact, single = make("nequip"), evaluate.cast(make("nequip", "default"), "float32")
    expected = on_processor(exact, BOX)[0].forces
    there = relative(on_processor(single, BOX)[0].forces, expected)
    assert relative(evaluate.evaluate(single, [BOX], 1)[0].forces, expected) > 3 * there


def test_two_evaluations_on_a_gpu_agree_to_rounding():
    potential = evaluate.cast(make("nequip"), "float32")
    first, second = (evaluate.evaluate(potential, [BOX], 1)[0] for _ in range(2))
    assert relative(first.forces, second.forces) < 1e-5


def test_gradients_of_a_force_loss_agree():
    potential = make("mace")
    subject = testing.Subject(
        energy=potentials.make_energy(potential.spec),
        directed_energy=potentials.make_energy(potential.spec, directed=True),
        predict=potentials.make_predict(potential.spec),
        params=potential.params,
        cutoff=CUTOFF,
    )
    with jax.default_device(jax.devices("cpu")[0]):
        expected = subject.loss_gradients(CLUSTER)
    found = subject.loss_gradients(CLUSTER)
    leaves = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    assert max(np.abs(a - b).max() for a, b in leaves) < 1e-10 * largest


def test_calculator_runs_on_the_gpu(tmp_path):
    path = artefact.save(tmp_path / "small.equipot", evaluate.cast(make("nequip"), "float32"))
    atoms = writers.to_atoms(BOX)
    atoms.calc = EquipotCalculator(path)
    expected = on_processor(make("nequip"), BOX)[0]
    assert relative(atoms.get_forces(), expected.forces) < 2e-4
