import copy
import multiprocessing
import pickle
from concurrent import futures

import ase.db
import jax
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError, all_changes
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.mep import neb

from equipot import EquipotCalculator, errors
from equipot.data.structure import Structure
from equipot.potential import archive, arrays, artefact, evaluate, isolated


def test_the_calculator_says_what_batched_evaluation_says(make_potential, make_crystal):
    atoms = make_crystal()
    structure = Structure(
        positions=atoms.positions,
        atomic_numbers=atoms.numbers,
        cell=np.asarray(atoms.cell),
        pbc=atoms.pbc,
    )
    expected = evaluate.evaluate(make_potential(), [structure])[0]
    atoms.calc = EquipotCalculator(make_potential())
    assert atoms.get_potential_energy() == pytest.approx(expected.energy, abs=1e-9)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    np.testing.assert_allclose(atoms.get_potential_energies(), expected.energies, atol=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), expected.forces, atol=1e-9)
    np.testing.assert_allclose(atoms.get_stress(voigt=False), expected.stress, atol=1e-9)


def test_forces_and_stress_are_derivatives_of_the_energy(make_potential, make_crystal):
    atoms = make_crystal(cells=2)
    atoms.calc = EquipotCalculator(make_potential())
    forces = calculate_numerical_forces(atoms, eps=1e-4, iatoms=[0, 3])
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(atoms.get_forces()[[0, 3]], forces, atol=1e-6)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-6)


def test_a_file_and_a_potential_in_memory_agree(saved, make_potential, make_crystal):
    one, other = make_crystal(), make_crystal()
    one.calc, other.calc = EquipotCalculator(saved), EquipotCalculator(make_potential("float32"))
    assert one.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(one.get_forces(), other.get_forces(), atol=1e-5)


def test_a_calculator_runs_on_the_device_asked_for(make_potential, make_crystal):
    here, there = make_crystal(), make_crystal()
    here.calc = EquipotCalculator(make_potential())
    there.calc = EquipotCalculator(make_potential(), device="cpu:3")
    used = []
    predict = there.calc._engine._bound.predict
    there.calc._engine._bound.predict = lambda *args: used.append(predict(*args)) or used[-1]
    np.testing.assert_array_equal(there.get_forces(), here.get_forces())
    assert there.get_potential_energy() == here.get_potential_energy()
    assert used[0].forces.devices() == {jax.devices("cpu")[3]}


def test_moving_atoms_compiles_once_and_searches_rarely(saved, make_crystal, no_programs):
    rng = np.random.default_rng(0)
    atoms = make_crystal()
    atoms.calc = calculator = EquipotCalculator(str(saved))
    for _ in range(30):
        atoms.positions += 0.03 * rng.normal(size=(len(atoms), 3))
        atoms.get_forces()
    assert calculator.n_compilations == 1
    assert 1 < calculator.n_neighbor_searches < 15


def test_compilations_of_others_are_not_counted(saved, make_crystal, no_programs):
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(saved)
    atoms.get_forces()
    jax.jit(lambda x: x * 3.25)(np.ones(3, np.float32))
    assert atoms.calc.n_compilations == 1


def test_nothing_is_computed_twice_for_the_same_atoms(saved, make_crystal):
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(saved)
    atoms.get_potential_energy()
    forces = atoms.calc.results["forces"]
    atoms.get_stress()
    assert atoms.calc.results["forces"] is forces


def test_changing_an_element_changes_the_energy(saved, make_crystal):
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(saved)
    before = atoms.get_potential_energy()
    atoms.numbers[0] = 8
    fresh = atoms.copy()
    fresh.calc = EquipotCalculator(saved)
    assert atoms.get_potential_energy() == pytest.approx(fresh.get_potential_energy(), abs=1e-3)
    assert abs(atoms.get_potential_energy() - before) > 100


def test_precision_is_chosen_without_the_global_switch(saved, make_crystal):
    single, double = make_crystal(), make_crystal()
    single.calc = EquipotCalculator(saved)
    double.calc = EquipotCalculator(saved, dtype="float64")
    difference = np.abs(single.get_forces() - double.get_forces()).max()
    assert 0 < difference < 1e-5
    net = [np.abs(atoms.get_forces().sum(axis=0)).max() for atoms in (single, double)]
    assert net[1] < 1e-12 < net[0]
    assert double.calc.potential.spec.dtype == "float64"
    assert not jax.config.jax_enable_x64


def test_moving_everything_far_away_changes_nothing_in_single_precision(saved, make_crystal):
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(saved)
    before = atoms.get_forces()
    atoms.positions += 3e4
    np.testing.assert_allclose(atoms.get_forces(), before, atol=1e-5)


def test_molecules_have_energy_and_forces_but_no_stress(saved):
    water = Atoms("OH2", positions=[[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    water.calc = EquipotCalculator(saved)
    assert np.isfinite(water.get_potential_energy()) and np.abs(water.get_forces()).max() > 0
    with pytest.raises(PropertyNotImplementedError, match="only where all three directions"):
        water.get_stress()
    water.set_cell([5, 5, 5])
    water.pbc = [True, True, False]
    with pytest.raises(PropertyNotImplementedError, match=r"pbc = .True, True, False."):
        water.get_stress()


def test_an_isolated_atom_has_the_energy_that_is_stated(saved):
    atom = Atoms("O")
    atom.calc = EquipotCalculator(saved)
    stated = isolated.isolated_energies(atom.calc.potential)[0, 1]
    assert atom.get_potential_energy() == pytest.approx(stated, abs=1e-5)


def test_an_unknown_element_is_named(saved):
    atoms = Atoms("OAu", positions=[[0, 0, 0], [2, 0, 0]], calculator=EquipotCalculator(saved))
    with pytest.raises(errors.UnknownElementError, match=r"Au .*H, O"):
        atoms.get_potential_energy()


def test_two_atoms_at_the_same_place_are_refused(saved):
    atoms = Atoms("OH", positions=[[1, 1, 1], [1, 1, 1]], calculator=EquipotCalculator(saved))
    with pytest.raises(errors.DataError, match=r"atoms . and . are 0 Å apart"):
        atoms.get_potential_energy()


def test_positions_that_are_not_finite_are_refused(saved):
    atoms = Atoms("OH", positions=[[1, 1, 1], [1, np.nan, 2]], calculator=EquipotCalculator(saved))
    with pytest.raises(errors.DataError, match="position of atom 1 is"):
        atoms.get_potential_energy()


def test_no_atoms_are_refused(saved):
    atoms = Atoms(calculator=EquipotCalculator(saved))
    with pytest.raises(errors.DataError, match="expected at least one atom"):
        atoms.get_potential_energy()


def test_an_unknown_precision_is_refused(saved):
    with pytest.raises(errors.ConfigError, match="expected float32 or float64"):
        EquipotCalculator(saved, dtype="double")


def test_the_stored_probe_is_checked_at_the_first_calculation(saved, make_crystal, tmp_path):
    version, parts = archive.read_archive(saved, artefact.KIND, artefact.FORMAT_VERSION)
    parts["probe/forces.npy"] = arrays.to_bytes(arrays.from_bytes(parts["probe/forces.npy"]) + 0.01)
    archive.write_archive(tmp_path / "other.equipot", artefact.KIND, version, parts)
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(tmp_path / "other.equipot")
    with pytest.raises(errors.ArtefactError, match=r"forces of the stored probe differ by 0\.01"):
        atoms.get_forces()


def _water(angle=0.6):
    return Atoms("OH2", positions=[[0, 0, 0], [0.76, angle, 0], [-0.76, angle, 0]])


@pytest.mark.parametrize(
    "wrong",
    [Atoms("OAu", [[0, 0, 0], [2, 0, 0]]), Atoms("OH", np.zeros((2, 3))), Atoms()],
    ids=["unknown element", "same place", "no atoms"],
)
def test_a_failed_calculation_leaves_no_results_of_the_structure_before(saved, wrong):
    calculator = EquipotCalculator(saved)
    calculator.calculate(_water())
    with pytest.raises(errors.DataError):
        calculator.calculate(wrong)
    assert calculator.results == {}
    assert np.isfinite(calculator.get_property("energy", _water()))
    with pytest.raises(errors.DataError):
        calculator.get_property("forces", wrong)
    assert calculator.results == {}


def test_stress_refused_for_a_molecule_leaves_its_energy_at_hand(saved):
    water = _water()
    water.calc = calculator = EquipotCalculator(saved)
    energy = water.get_potential_energy()
    with pytest.raises(PropertyNotImplementedError):
        water.get_stress()
    assert calculator.results["energy"] == energy
    assert not calculator.calculation_required(water, ["energy", "forces"])


def test_a_property_that_a_potential_does_not_give_is_refused_by_name(saved):
    water = _water()
    water.calc = EquipotCalculator(saved)
    with pytest.raises(PropertyNotImplementedError, match=r"energies, forces, stress, received 'd"):
        water.get_dipole_moment()
    with pytest.raises(PropertyNotImplementedError, match="Did you mean 'stress'"):
        water.get_stresses()


def test_a_calculator_without_a_structure_says_so(saved):
    calculator = EquipotCalculator(saved)
    with pytest.raises(errors.DataError, match="expected atoms, received none"):
        calculator.get_potential_energy()
    with pytest.raises(errors.DataError, match="expected atoms, received none"):
        calculator.calculate()


def test_threads_that_share_a_calculator_each_get_their_own_numbers(saved):
    structures = [_water(0.5 + 0.02 * i) for i in range(8)]
    structures += [Atoms("OH", [[0, 0, 0], [0.9 + 0.02 * i, 0, 0]]) for i in range(8)]
    calculator = EquipotCalculator(saved)
    expected = [calculator.get_property("energy", atoms) for atoms in structures]
    for atoms in structures:
        atoms.calc = calculator

    def ask(i):
        atoms = structures[i]
        return (
            atoms.get_potential_energy(),
            atoms.get_forces().shape,
            atoms.get_properties(["energy"])["energy"],
        )

    with futures.ThreadPoolExecutor(8) as pool:
        asked = [i % len(structures) for i in range(96)]
        found = list(pool.map(ask, asked))
    for i, (energy, shape, again) in zip(asked, found, strict=True):
        assert [energy, again] == pytest.approx([expected[i]] * 2, abs=1e-4)
        assert shape == (len(structures[i]), 3)


def test_a_database_of_ase_says_which_potential_it_was(
    tmp_path, make_potential, make_crystal, saved
):
    atoms = make_crystal()
    atoms.calc = EquipotCalculator(make_potential())
    energy = atoms.get_potential_energy()
    with ase.db.connect(tmp_path / "rows.json") as rows:
        rows.write(atoms)
    (row,) = ase.db.connect(tmp_path / "rows.json").select()
    assert row.calculator_parameters == {"potential": "in memory", "dtype": "float64"}
    assert row.energy == pytest.approx(energy)
    of_file = EquipotCalculator(saved, dtype="float64").todict()
    assert of_file == {"potential": str(saved), "dtype": "float64"}


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_of_a_calculator_say_the_same_and_keep_their_own_results(saved, duplicate):
    calculator = EquipotCalculator(saved, skin=0.3)
    calculator.calculate(_water())
    other = duplicate(calculator)
    assert other.results["energy"] == calculator.results["energy"]
    other.calculate(_water(0.5))
    assert other.results["energy"] != calculator.results["energy"]
    other.calculate(_water())
    assert other.results["energy"] == pytest.approx(calculator.results["energy"], abs=1e-4)


def test_settings_of_a_calculator_travel_with_it(make_potential):
    potential = make_potential("float32")
    on_device = jax.tree.map(jax.numpy.asarray, potential.params)
    potential = type(potential)(spec=potential.spec, params=on_device)
    sent = pickle.dumps(EquipotCalculator(potential, dtype="float64", skin=0.25))
    assert len(sent) < 200_000
    other = pickle.loads(sent)
    assert other.potential.spec.dtype == "float64"
    np.testing.assert_array_equal(other.potential.params["scale"], potential.params["scale"])


def test_calculators_of_one_file_and_their_copies_share_a_program(saved, no_programs):
    first, second = EquipotCalculator(saved), EquipotCalculator(saved)
    calculators = [first, second, pickle.loads(pickle.dumps(first))]
    for calculator in calculators:
        calculator.calculate(_water())
    assert len({calculator.results["energy"] for calculator in calculators}) == 1
    assert [calculator.n_compilations for calculator in calculators] == [1, 0, 0]


def test_calculators_of_another_precision_have_a_program_of_their_own(saved, no_programs):
    for dtype in ("float32", "float64"):
        calculator = EquipotCalculator(saved, dtype=dtype)
        calculator.calculate(_water())
        assert calculator.n_compilations == 1


def test_processes_of_a_pool_calculate_with_a_calculator_sent_to_them(saved):
    structures = [_water(), _water(0.5)]
    calculator = EquipotCalculator(saved)
    for atoms in structures:
        atoms.calc = calculator
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(Atoms.get_forces, structures)
    for forces, atoms in zip(found, structures, strict=True):
        np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-5)


def test_images_of_a_band_that_share_a_calculator_are_searched_for_once(saved, make_crystal):
    first = make_crystal()
    last = first.copy()
    last.positions[0] += [0.9, 0.4, 0.0]
    images = [first, *(first.copy() for _ in range(3)), last]
    band = neb.NEB(images, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate()
    shared = EquipotCalculator(saved)
    for image in images:
        image.calc = shared
    for _ in range(4):
        forces = band.get_forces()
        band.set_positions(band.get_positions() + 1e-3 * forces / np.abs(forces).max())
    assert shared.n_neighbor_searches <= len(images)
    alone = images[2].copy()
    alone.calc = EquipotCalculator(saved)
    np.testing.assert_allclose(images[2].get_forces(), alone.get_forces(), atol=1e-5)


@pytest.mark.parametrize("name", ["positions", "numbers", "cell", "pbc", "initial_charges"])
def test_any_change_of_a_structure_is_seen(saved, name):
    water = _water()
    calculator = EquipotCalculator(saved)
    assert calculator.check_state(water) == list(all_changes)
    calculator.atoms = water.copy()
    assert calculator.check_state(water) == []
    if name == "positions":
        water.positions[2, 1] = np.nextafter(water.positions[2, 1], 1)
    elif name == "numbers":
        water.numbers[0] = 1
    elif name == "cell":
        water.cell[2, 2] = 1e-9
    elif name == "pbc":
        water.pbc[1] = True
    else:
        water.set_initial_charges([0, 0, 0])
    assert calculator.check_state(water) == [name]
    assert calculator.calculation_required(water, ["energy"])
