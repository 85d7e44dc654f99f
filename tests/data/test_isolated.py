import ase
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors
from equipot.data import audit, dataset, isolated
from equipot.data.config import DataConfig
from equipot.quantities import QuantityConfig


def _atom(symbol, energy=None, **info):
    atoms = ase.Atoms(symbol, info=info)
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def _read(path, **settings):
    return isolated.read_isolated_atoms(path, DataConfig(train="a.xyz", **settings))


@pytest.mark.parametrize("mark", [{}, {"config_type": "isolated_atom"}])
def test_atoms_in_a_file_of_their_own_need_no_mark(write, mark):
    path = write(
        "iso.xyz", [_atom("O", -432.0, **mark), _atom("H", -13.6, **mark)], format="extxyz"
    )
    energies, found = _read(path)
    assert energies == {"": {1: -13.6, 8: -432.0}}
    assert found == "iso.xyz: isolated atoms: H, O"


def test_units_apply_and_a_key_that_the_file_lacks_is_looked_for(write):
    path = write("iso.extxyz", [_atom("H", -0.5)])
    energies, _ = _read(path, energy_unit="Hartree", energy_key="TotEnergy", weight_key="w")
    assert energies[""][1] == pytest.approx(-13.605693)
    other = write("other.extxyz", [_atom("H", -0.5, TotEnergy=-13.0)])
    assert _read(other, energy_key="TotEnergy")[0] == {"": {1: -13.0}}


def test_settings_of_the_training_frames_do_not_matter(write):
    path = write("iso.extxyz", [_atom("H", -13.6)])
    groups = {"split": "stratified", "group_key": "config_type"}
    weights = {"quantities": {"dipole": QuantityConfig()}, "weight_keys": {"dipole": "w"}}
    assert _read(path, **groups, **weights)[0] == {"": {1: -13.6}}


def test_atoms_of_several_levels_of_theory_are_kept_apart(write):
    path = write("iso.extxyz", [_atom("H", -13.6, level="dft"), _atom("H", -13.0, level="xtb")])
    assert _read(path, head_key="level")[0] == {"dft": {1: -13.6}, "xtb": {1: -13.0}}


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([_atom("H", -13.6), _atom("H2", -30.0)], r"iso\.extxyz, frame 1 .H2.: .*has 2 atoms"),
        ([_atom("H", -13.6), _atom("H", -13.5)], r"iso\.extxyz, frame 1.*has two energies, -13\.6"),
        ([_atom("H", -13.6), _atom("O")], r"iso\.extxyz, frame 1 .O.: .*needs an energy"),
    ],
)
def test_a_frame_that_is_no_isolated_atom_is_named(write, frames, message):
    with pytest.raises(errors.DataError, match=message):
        _read(write("iso.extxyz", frames))


def test_the_dataset_takes_them_and_leaves_out_elements_that_training_lacks(write, labelled_water):
    train = write("a.extxyz", [_atom("H", -13.6, config_type="IsolatedAtom"), *labelled_water(20)])
    path = write("iso.extxyz", [_atom("O", -432.0), _atom("N", -54.0), _atom("H", -13.6002)])
    made = dataset.read_dataset(DataConfig(train=train, isolated_atoms=path))
    assert made.isolated_atoms == {1: -13.6002, 8: -432.0}
    report = str(audit.audit(made, {"energy": 1.0}))
    assert "iso.extxyz: isolated atoms: H, N, O" in report
    assert "isolated atoms left out, since no training frame has their element: N" in report


def test_a_file_that_contradicts_marked_frames_stops_with_both_energies(write, labelled_water):
    train = write("a.extxyz", [_atom("H", -13.6, config_type="IsolatedAtom"), *labelled_water(20)])
    path = write("iso.extxyz", [_atom("H", -13.5)])
    with pytest.raises(errors.DataError, match=r"iso\.extxyz: isolated H has -13\.5 .*-13\.6 eV"):
        dataset.read_dataset(DataConfig(train=train, isolated_atoms=path))


def test_a_changed_file_changes_the_fingerprint_of_the_dataset(write, labelled_water):
    config = DataConfig(
        train=write("a.extxyz", labelled_water(20)),
        isolated_atoms=write("iso.extxyz", [_atom("O", -432.0), _atom("H", -13.6)]),
    )
    first = dataset.read_dataset(config)
    write("iso.extxyz", [_atom("O", -432.0), _atom("H", -13.5)])
    second = dataset.read_dataset(config)
    assert second.isolated_atoms == {1: -13.5, 8: -432.0}
    assert first.fingerprint != second.fingerprint


def test_the_file_is_not_read_where_energies_are_ignored(write, labelled_water):
    train = write("a.extxyz", labelled_water(20))
    made = dataset.read_dataset(
        DataConfig(train=train, isolated_atoms="absent.xyz", energy_key="none")
    )
    assert made.isolated_atoms == {}
    assert "absent.xyz: not read, since energies are ignored" in made.found
