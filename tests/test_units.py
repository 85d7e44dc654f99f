import ase.units
import pytest

from equipot import errors, units


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("eV", 1.0),
        ("meV", 1e-3),
        ("kcal/mol", ase.units.kcal / ase.units.mol),
        ("kJ/mol", ase.units.kJ / ase.units.mol),
        ("Hartree", ase.units.Hartree),
        ("Ry", ase.units.Rydberg),
    ],
)
def test_energies_agree_with_ase(name, value):
    assert units.energy_in_ev(name) == pytest.approx(value, rel=1e-7)


def test_lengths_agree_with_ase():
    assert units.length_in_angstrom("Bohr") == pytest.approx(ase.units.Bohr, rel=1e-8)
    assert units.length_in_angstrom("nm") == 10.0
    assert units.length_in_angstrom("Å") == units.length_in_angstrom("Angstrom") == 1.0


def test_a_force_is_an_energy_over_a_length():
    hartree_per_bohr = units.force_in_ev_per_angstrom("Hartree/Bohr")
    assert hartree_per_bohr == pytest.approx(51.42206747, rel=1e-8)
    assert units.force_in_ev_per_angstrom("kcal/mol/Angstrom") == units.KILOCALORIE_PER_MOL


@pytest.mark.parametrize("name", ["eV/Angstrom^3", "eV/A**3", "eV/Å³", "ev/ang3"])
def test_a_stress_is_an_energy_over_a_volume_however_it_is_written(name):
    assert units.stress_in_ev_per_cubic_angstrom(name) == 1.0


def test_pressures_agree_with_ase():
    assert units.stress_in_ev_per_cubic_angstrom("GPa") == pytest.approx(ase.units.GPa, rel=1e-7)
    kbar = units.stress_in_ev_per_cubic_angstrom("kbar")
    assert kbar == pytest.approx(0.1 * units.stress_in_ev_per_cubic_angstrom("GPa"))


def test_names_are_found_in_any_case():
    assert units.energy_in_ev("HARTREE") == units.energy_in_ev("hartree") == units.HARTREE
    assert units.energy_in_ev("KCAL/MOL") == units.KILOCALORIE_PER_MOL


def test_a_misspelt_unit_is_answered_with_a_suggestion():
    with pytest.raises(
        errors.ConfigError, match=r"unit of energy 'Hartre'. Did you mean 'Hartree'"
    ):
        units.energy_in_ev("Hartre")


def test_an_energy_is_no_force_and_no_stress():
    with pytest.raises(errors.ConfigError, match="an energy over a length such as eV/Angstrom"):
        units.force_in_ev_per_angstrom("eV")
    with pytest.raises(errors.ConfigError, match="unknown unit of stress 'eV'"):
        units.stress_in_ev_per_cubic_angstrom("eV")
