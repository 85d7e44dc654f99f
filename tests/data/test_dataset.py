import ase
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

from equipot import errors
from equipot.data import dataset
from equipot.data.config import DataConfig


def _energies(part):
    return [round(s.energy, 6) for s in part]


def test_one_file_is_divided_into_three_splits(write, labelled_water):
    made = dataset.read_dataset(DataConfig(train=write("a.extxyz", labelled_water(20))))
    assert [len(part) for part in made.splits.values()] == [16, 2, 2]
    assert made.elements == (1, 8)
    assert "2 validation and 2 test frames were set aside at random (seed 0)" in made.found[-1]


def test_files_of_their_own_are_used_whole_and_in_order(write, labelled_water):
    config = DataConfig(
        train=(write("a.extxyz", labelled_water(3)), write("b.traj", labelled_water(2, 3))),
        valid=write("v.extxyz", labelled_water(2, 10)),
        test=write("t.extxyz", labelled_water(3, 20)),
    )
    made = dataset.read_dataset(config)
    assert _energies(made.train) == [-10.0, -10.01, -10.02, -10.03, -10.04]
    assert _energies(made.valid) == [-10.1, -10.11]
    assert _energies(made.test) == [-10.2, -10.21, -10.22]
    assert made.train[4].source == "b.traj, frame 1"
    assert len(made.found) == 4


def test_one_file_may_have_weights_and_the_others_none(write, labelled_water):
    light = labelled_water(2, 3)
    for atoms in light:
        atoms.info["weight"] = 0.25
    files = write("a.extxyz", labelled_water(3)), write("b.extxyz", light)
    made = dataset.read_dataset(DataConfig(train=files, weight_key="weight"))
    weights = {s.source: s.energy_weight for part in made.splits.values() for s in part}
    assert sorted(weights.values()) == [0.25, 0.25, 1.0, 1.0, 1.0]
    assert any("3 frames have no 'weight' and weigh 1" in line for line in made.found)
    with pytest.raises(errors.DataError, match=r"no frame of any file has the key 'wieght' .*Did"):
        dataset.read_dataset(DataConfig(train=files, weight_key="wieght"))


def test_counts_cut_each_split(write, labelled_water):
    config = DataConfig(
        train=write("a.extxyz", labelled_water(20)),
        test=write("t.extxyz", labelled_water(9, 20)),
        num_train=12,
        num_valid=5,
        num_test=4,
        split="sequential",
    )
    made = dataset.read_dataset(config)
    assert [len(part) for part in made.splits.values()] == [12, 5, 4]
    assert made.valid[0].source == "a.extxyz, frame 12"


def test_reading_twice_gives_the_same_fingerprint(write, labelled_water):
    path = write("a.extxyz", labelled_water(20))
    first = dataset.read_dataset(DataConfig(train=path)).fingerprint
    assert first == dataset.read_dataset(DataConfig(train=path)).fingerprint
    assert first != dataset.read_dataset(DataConfig(train=path, split_seed=1)).fingerprint


def test_isolated_atoms_of_any_file_are_gathered(write, labelled_water):
    def isolated(symbol, energy):
        atoms = ase.Atoms(symbol, info={"config_type": "IsolatedAtom"})
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        return atoms

    frames = labelled_water(10)
    for atoms in frames:
        atoms.info["T"] = 300
    config = DataConfig(
        train=(
            write("a.extxyz", frames),
            write("iso.extxyz", [isolated("H", -13.6), isolated("O", -432.0)]),
        ),
        group_key="T",
    )
    made = dataset.read_dataset(config)
    assert made.isolated_atoms == {1: -13.6, 8: -432.0}
    assert sum(len(part) for part in made.splits.values()) == 10
    clash = write("b.extxyz", [isolated("H", -13.7), *frames])
    with pytest.raises(errors.DataError, match=r"isolated H has two energies, -13.6 and -13.7 eV"):
        dataset.read_dataset(DataConfig(train=(*config.train, clash)))


def test_a_file_without_labels_stops_and_lists_what_it_holds(write, make_water):
    frames = [make_water(s) for s in range(5)]
    for atoms in frames:
        atoms.info["dft_total"] = -1.0
    message = (
        r"a\.extxyz: no energies, forces or stresses were found\. The file holds dft_total\. .*"
        r"data\.energy_key, data\.forces_key, data\.stress_key"
    )
    with pytest.raises(errors.DataError, match=message):
        dataset.read_dataset(DataConfig(train=write("a.extxyz", frames)))


def test_a_split_of_isolated_atoms_only_is_empty(write, labelled_water):
    atoms = ase.Atoms("H", info={"config_type": "IsolatedAtom"})
    atoms.calc = SinglePointCalculator(atoms, energy=-13.6)
    config = DataConfig(
        train=write("a.extxyz", labelled_water(3)), valid=write("v.extxyz", [atoms])
    )
    with pytest.raises(errors.DataError, match=r"data\.valid: its files hold isolated atoms only"):
        dataset.read_dataset(config)


def test_whether_the_unit_of_length_is_known_is_remembered(write, labelled_water):
    path = write("a.extxyz", labelled_water(5))
    assert not dataset.read_dataset(DataConfig(train=path)).length_unit_given
    assert dataset.read_dataset(DataConfig(train=path, length_unit="Angstrom")).length_unit_given
