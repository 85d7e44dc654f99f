"""``equipot augment`` from files to a file that trains."""

from typing import Any

import ase.build
import ase.io
import numpy as np
import pytest
from ase import units
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from equipot.cli import main
from equipot.data import readers, writers
from equipot.data.config import DataConfig


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    frames = []
    for seed, name in enumerate(("H2O", "CH3CH2OH", "H2O", "CH4")):
        atoms = ase.build.molecule(name)
        atoms.rattle(0.03, seed=seed)
        atoms.calc = EMT()
        atoms.get_forces()
        frames.append(atoms)
    path = tmp_path_factory.mktemp("data") / "molecules.extxyz"
    ase.io.write(path, frames)
    return str(path)


def command(dataset, output, *more):
    sizes = ["--whole", "5", "--molecules", "7", "--group-key", "kind"]
    return ["augment", dataset, "--calculator", "emt", "--output", str(output), *sizes, *more]


def test_frames_say_where_they_come_from_and_carry_labels(dataset, tmp_path, capsys):
    output = tmp_path / "stretched.extxyz.xz"
    main.main(command(dataset, output))
    said = capsys.readouterr().out
    assert "The calculator gives the labels of molecules.extxyz" in said
    assert "12 frames with 12 stretched bonds" in said
    frames: Any = ase.io.read(output, ":")
    assert len(frames) == 12
    for frame in frames:
        assert frame.info["kind"] == "stretched"
        assert frame.info["made_of"].startswith("molecules.extxyz, frame")
        given = frame.get_forces()
        frame.calc = EMT()
        np.testing.assert_allclose(given, frame.get_forces(), atol=1e-5)
    assert len(readers.read_structures(str(output))) == 12


def test_a_file_that_stands_there_is_refused_before_anything(dataset, tmp_path, capsys):
    output = tmp_path / "there.extxyz"
    output.write_text("mine")
    with pytest.raises(SystemExit):
        main.main(command(dataset, output, "--calculator-args", "{never: read"))
    assert "exists; give another name" in capsys.readouterr().err
    assert output.read_text() == "mine"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("{a: [", "expected YAML or JSON"),
        ("[1, 2]", "expected names with values"),
        ("1", "expected names with values"),
    ],
)
def test_wrong_arguments_are_one_sentence(dataset, tmp_path, capsys, given, sentence):
    with pytest.raises(SystemExit):
        main.main(command(dataset, tmp_path / "new.extxyz", "--calculator-args", given))
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new.extxyz").exists()


def test_another_method_is_refused_unless_it_is_wanted(dataset, tmp_path, capsys):
    output = tmp_path / "other.extxyz"
    words = command(dataset, output, "--calculator", "lj")
    with pytest.raises(SystemExit):
        main.main(words)
    assert "differs from the labels of the dataset" in capsys.readouterr().err
    assert not output.exists()
    main.main([*words, "--any-method"])
    assert output.exists()


def test_a_stress_becomes_a_virial_where_the_dataset_has_one(tmp_path):
    frames = []
    for seed in range(3):
        atoms = ase.build.molecule("H2O", cell=[6.0, 6.0, 6.0], pbc=True)
        atoms.rattle(0.03, seed=seed)
        atoms.calc = EMT()
        atoms.info["virial"] = -atoms.get_volume() * atoms.get_stress(voigt=False)
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    path, output = tmp_path / "virial.extxyz", tmp_path / "stretched.extxyz"
    ase.io.write(path, frames)
    main.main(command(str(path), output, "--stress-unit", "eV"))
    found = readers.read_structures(str(output), DataConfig(train=str(output), stress_unit="eV"))
    for made in found:
        if not made.pbc.all():
            continue
        atoms = writers.to_atoms(made)
        atoms.calc = EMT()
        np.testing.assert_allclose(made.stress, atoms.get_stress(voigt=False), atol=1e-6)
    assert any(made.stress_weight > 0 for made in found)


def test_labels_and_levels_stand_under_the_keys_of_the_dataset(tmp_path):
    """So that one configuration reads both files."""
    frames = []
    for seed in range(3):
        atoms = ase.build.molecule("H2O", cell=[6.0, 6.0, 6.0], pbc=True)
        atoms.rattle(0.03, seed=seed)
        atoms.calc = EMT()
        atoms.info |= {"dft_E": atoms.get_potential_energy(), "level": "emt"}
        atoms.info["dft_virial"] = -atoms.get_volume() * atoms.get_stress(voigt=False)
        atoms.arrays["dft_F"] = atoms.get_forces()
        atoms.calc = None
        frames.append(atoms)
    path, output = tmp_path / "named.extxyz", tmp_path / "stretched.extxyz"
    ase.io.write(path, frames)
    keys = {"energy_key": "dft_E", "forces_key": "dft_F", "stress_key": "dft_virial"}
    keys["head_key"] = "level"
    given = [word for k, v in keys.items() for word in (f"--{k.replace('_', '-')}", v)]
    main.main(command(str(path), output, *given))
    found = readers.read_structures(str(output), DataConfig(train=str(output), **keys))
    assert {s.head for s in found} == {"emt"}
    for made in found:
        atoms = writers.to_atoms(made)
        atoms.calc = EMT()
        assert made.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        np.testing.assert_allclose(made.forces, atoms.get_forces(), atol=1e-5)
        if made.pbc.all():
            np.testing.assert_allclose(made.stress, atoms.get_stress(voigt=False), atol=1e-6)


def test_frames_are_read_with_the_units_of_the_dataset(tmp_path):
    frames = []
    for seed in range(3):
        atoms = ase.build.molecule("H2O")
        atoms.rattle(0.03, seed=seed)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy() / units.Hartree, atoms.get_forces()
        atoms.positions /= units.Bohr
        scaled = forces * units.Bohr / units.Hartree
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=scaled)
        frames.append(atoms)
    path, output = tmp_path / "bohr.extxyz", tmp_path / "stretched.extxyz"
    ase.io.write(path, frames)
    given = ("--energy-unit", "Hartree", "--length-unit", "Bohr")
    main.main(command(str(path), output, *given))
    config = DataConfig(train=str(output), energy_unit="Hartree", length_unit="Bohr")
    for read in (config, DataConfig(train=str(output))):  # the frames state their units
        for made in readers.read_structures(str(output), read):
            atoms = writers.to_atoms(made)
            atoms.calc = EMT()
            assert made.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
            np.testing.assert_allclose(made.forces, atoms.get_forces(), atol=1e-5)
