"""ASE asks for dipoles, charges and moments, and gets what the potential was trained on."""

import io
import pickle

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from equipot import EquipotCalculator, errors
from equipot.calculators import results
from equipot.data.structure import Structure
from equipot.potential import artefact, evaluate
from equipot.quantities import QuantityConfig, declared


@pytest.fixture(scope="module")
def calculator(polar_potential):
    return EquipotCalculator(polar_potential)


@pytest.fixture
def water(calculator):
    positions = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.1], [-0.76, 0.59, 0.0]])
    return Atoms("OH2", positions=positions, calculator=calculator)


def test_dipole_charges_and_others_are_those_of_evaluation(water, polar_potential):
    structure = Structure(positions=water.positions, atomic_numbers=water.numbers)
    expected = evaluate.evaluate(polar_potential, [structure])[0]
    np.testing.assert_allclose(water.get_dipole_moment(), expected.value("dipole"), atol=1e-10)
    np.testing.assert_allclose(water.get_charges(), expected.value("charges"), atol=1e-10)
    np.testing.assert_allclose(water.calc.results["gaps"], expected.value("gaps"), atol=1e-10)
    assert {"dipole", "charges", "gaps"} < set(water.calc.implemented_properties)


def test_another_charge_is_calculated_anew_and_added_up_to(water):
    assert water.get_charges().sum() == pytest.approx(0.0, abs=1e-10)
    before = water.get_charges()
    water.info["charge"] = -1
    assert water.get_charges().sum() == pytest.approx(-1.0, abs=1e-10)
    np.testing.assert_allclose(water.get_charges() - before, np.full(3, -1 / 3), atol=1e-10)
    energy = water.get_potential_energy()
    del water.info["charge"]
    assert water.get_charges().sum() == pytest.approx(0.0, abs=1e-10)
    assert water.get_potential_energy() == pytest.approx(energy, abs=1e-10)


@pytest.mark.parametrize("distance", [40.0, 1e5])
def test_fragments_beyond_the_cutoff_keep_their_places_in_the_dipole(water, distance):
    two = water + water[:1]
    two.info["charge"] = 1.0
    two.positions[3:] += [30.0, 0.0, 0.0]
    two.calc = water.calc
    charge, before = two.get_charges()[3], two.get_dipole_moment()
    assert abs(charge - 0.25) > 0.01  # else, with the middle of four atoms, there is nothing to see
    two.positions[3:] += [distance, 0.0, 0.0]
    moved = two.get_dipole_moment() - before
    # The middle of the positions moves by a quarter, and the whole has the charge 1.
    np.testing.assert_allclose(moved, [(charge - 0.25) * distance, 0.0, 0.0], atol=1e-9 * distance)


@pytest.mark.parametrize("charge", ["one", None, float("nan"), [1.0], True])
def test_a_charge_that_is_no_number_is_refused(water, charge):
    water.info["charge"] = charge
    with pytest.raises(errors.DataError, match=r"atoms\.info\['charge'\]: expected the total"):
        water.get_charges()


def test_after_a_wrong_charge_a_right_one_is_calculated_and_nothing_old_remains(polar_potential):
    calculator = EquipotCalculator(polar_potential)
    water = Atoms("OH2", positions=[[0, 0, 0], [0.76, 0.59, 0.1], [-0.76, 0.59, 0]])
    water.calc = calculator
    water.info["charge"] = "+1"
    for _ in range(2):
        with pytest.raises(errors.DataError, match=r"received '\+1'"):
            water.get_charges()
    water.info["charge"] = 1
    assert water.get_charges().sum() == pytest.approx(1.0, abs=1e-10)
    water.info["charge"] = [1, 2]
    with pytest.raises(errors.DataError, match=r"received \[1, 2\]"):
        water.get_potential_energy()
    assert calculator.results == {}


@pytest.mark.wide
def test_what_has_a_name_of_ase_and_another_shape_does_not_refuse_all(make_potential):
    """ASE's magnetic moments are numbers, ours vectors; i-PI's own driver asks in this way."""
    moments = declared({"magnetic_moment": QuantityConfig(per="atom", irreps="1e")})
    atoms = Atoms("OH", positions=[[0, 0, 0], [1, 0, 0]])
    potential = make_potential(quantities=tuple(moments.values()), parity=True, num_layers=2)
    atoms.calc = EquipotCalculator(potential)
    found = atoms.get_properties(["energy", "forces"])
    assert found["forces"].shape == (2, 3) and "magmoms" not in found
    assert atoms.calc.results["magmoms"].shape == (2, 3)


def test_a_charge_does_not_matter_to_a_potential_without_charges(make_potential):
    atoms = Atoms("OH", positions=[[0, 0, 0], [1, 0, 0]], info={"charge": "unknown"})
    atoms.calc = EquipotCalculator(make_potential())
    assert np.isfinite(atoms.get_potential_energy())
    with pytest.raises(PropertyNotImplementedError, match=r"which the potential does not give"):
        atoms.get_dipole_moment()


def test_properties_at_once_and_files_of_ase_hold_the_dipole(water):
    found = water.get_properties(["energy", "dipole"])
    np.testing.assert_array_equal(found["dipole"], water.get_dipole_moment())
    buffer = io.StringIO()
    ase.io.write(buffer, water, format="extxyz")
    buffer.seek(0)
    back = ase.io.read(buffer, format="extxyz")
    np.testing.assert_allclose(back.get_dipole_moment(), water.get_dipole_moment(), atol=1e-7)


def test_a_file_is_checked_by_its_probe_and_a_calculator_can_be_pickled(
    polar_potential, water, tmp_path
):
    path = artefact.save(tmp_path / "polar.equipot", polar_potential)
    expected = water.get_dipole_moment()
    water.calc = pickle.loads(pickle.dumps(EquipotCalculator(path)))
    np.testing.assert_allclose(water.get_dipole_moment(), expected, atol=1e-10)


def test_names_of_ase_are_kept_for_what_ase_means():
    table = declared(
        {
            "magnetic_moment": QuantityConfig(per="atom", irreps="1e"),
            "dipole": QuantityConfig(per="atom", irreps="1o"),
            "polarizability": QuantityConfig(irreps="0e+2e"),
        }
    )
    assert results.names(tuple(table.values())) == {
        "magnetic_moment": "magmoms",
        "dipole": "own_dipole",
        "polarizability": "polarizability",
    }
