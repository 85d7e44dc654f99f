import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from equipot import EquipotCalculator, errors
from equipot.potential import artefact, summands
from equipot.store import neighbors
from tests.inference.pair_terms import Coordinated, LennardJones

LONG = LennardJones()
BOX = np.array([[3.8, 0.0, 0.0], [0.4, 3.8, 0.0], [0.0, -0.2, 3.8]])
TERMS = (LONG, Coordinated())


@pytest.fixture
def crystal():
    """Eight atoms in a box that the summands' cutoffs reach far beyond."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
    positions = 1.9 * grid + 0.1 * rng.uniform(-1, 1, grid.shape)
    return Atoms("HO" * 4, positions=positions, cell=BOX, pbc=True)


@pytest.fixture(scope="module")
def double(make_potential):
    return make_potential()


def _lennard_jones(atoms):
    """Half of the sum over directed edges up to the long cutoff, in NumPy."""
    edges = neighbors.neighbor_list(atoms.positions, np.array(atoms.cell), atoms.pbc, LONG.cutoff)
    vectors = atoms.positions[edges[1]] - atoms.positions[edges[0]] + edges[2] @ atoms.cell.array
    x = np.linalg.norm(vectors, axis=1) / LONG.cutoff
    sixth = (LONG.sigma / LONG.cutoff / x) ** 6
    envelope = 1 - 28 * x**6 + 48 * x**7 - 21 * x**8
    return float((2 * LONG.epsilon * (sixth**2 - sixth) * envelope).sum())


def test_a_summand_gets_all_pairs_up_to_its_own_cutoff_and_the_model_none_of_them(double, crystal):
    energies = []
    for plus in ((), (LONG,)):
        crystal.calc = EquipotCalculator(double, plus=plus)
        energies.append(crystal.get_potential_energy())
    assert LONG.cutoff > double.spec.cutoff
    assert abs(_lennard_jones(crystal)) > 0.1
    assert energies[1] - energies[0] == pytest.approx(_lennard_jones(crystal), abs=1e-9)


def test_forces_and_stress_of_a_sum_are_derivatives_of_its_energy(double, crystal):
    crystal.calc = EquipotCalculator(double, plus=TERMS)
    forces = calculate_numerical_forces(crystal, eps=1e-4, iatoms=[0, 3])
    stress = calculate_numerical_stress(crystal, eps=1e-5)
    np.testing.assert_allclose(crystal.get_forces()[[0, 3]], forces, atol=1e-6)
    np.testing.assert_allclose(crystal.get_stress(), stress, atol=1e-6)
    crystal.calc = EquipotCalculator(double)
    assert np.abs(crystal.get_forces()[[0, 3]] - forces).max() > 1e-3


def test_a_sum_is_one_program_and_one_search(double, crystal, no_programs):
    crystal.calc = calculator = EquipotCalculator(double, plus=TERMS)
    for _ in range(3):
        crystal.positions[0] += 0.02
        crystal.get_forces()
    assert (calculator.n_compilations, calculator.n_neighbor_searches) == (1, 1)


def test_a_file_with_summands_is_checked_by_its_own_probe_and_travels(double, crystal, tmp_path):
    path = artefact.save(tmp_path / "oh.equipot", double)
    calculator = EquipotCalculator(path, plus=[LONG])
    other = pickle.loads(pickle.dumps(calculator))
    energies = []
    for own in (calculator, other):
        crystal.calc = own
        energies.append(crystal.get_potential_energy())
    assert energies[0] == energies[1]


class Mutable:
    """Equal to one with the same cutoff, and therefore not hashable."""

    cutoff = 5.0

    def make_energy(self, species_table, *, directed=False):
        return LONG.make_energy(species_table, directed=directed)

    def __eq__(self, other):
        return isinstance(other, Mutable) and self.cutoff == other.cutoff


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("d3", "plus: expected summands, objects with a cutoff .* received 'd3'"),
        (LennardJones, "plus: expected summands, .* received <class"),
        (LennardJones(cutoff=-1.0), "plus: expected a cutoff in Å, positive, received -1.0"),
        (LennardJones(cutoff="5"), "plus: expected a cutoff in Å, positive, received '5'"),
        (Mutable(), "plus: expected summands that can be hashed, .* frozen dataclass"),
    ],
)
def test_what_cannot_be_added_is_refused(wrong, sentence):
    with pytest.raises(errors.ConfigError, match=sentence):
        summands.check([wrong])
