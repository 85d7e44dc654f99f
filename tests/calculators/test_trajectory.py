import lzma

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from equipot import errors
from equipot.calculators import trajectory


def labelled():
    atoms = Atoms("OH2", positions=np.arange(9.0).reshape(3, 3), cell=[5, 6, 7], pbc=True)
    atoms.set_momenta(np.ones((3, 3)))
    atoms.info["REF_energy"] = -1.0
    atoms.arrays["REF_forces"] = np.ones((3, 3))
    atoms.calc = SinglePointCalculator(atoms, energy=-2.0, forces=np.zeros((3, 3)))
    return atoms


def test_a_start_keeps_the_atoms_and_drops_the_labels(tmp_path):
    atoms = labelled()
    atoms.set_constraint(FixAtoms([0]))
    ase.io.write(tmp_path / "a.traj", atoms)
    found = trajectory.read_atoms(tmp_path / "a.traj")
    np.testing.assert_array_equal(found.positions, atoms.positions)
    np.testing.assert_array_equal(found.get_momenta(), atoms.get_momenta())
    np.testing.assert_array_equal(found.cell, atoms.cell)
    assert found.pbc.all() and len(found.constraints) == 1
    assert found.calc is None and found.info == {} and "REF_forces" not in found.arrays


def test_a_frame_of_a_compressed_file_is_read(tmp_path):
    frames = [labelled(), labelled()]
    frames[0].positions += 1
    ase.io.write(tmp_path / "a.extxyz", frames)
    with lzma.open(tmp_path / "a.extxyz.xz", "wb") as file:
        file.write((tmp_path / "a.extxyz").read_bytes())
    last, first = (trajectory.read_atoms(tmp_path / "a.extxyz.xz", index=i) for i in (-1, 0))
    np.testing.assert_allclose(first.positions, last.positions + 1)


def test_a_missing_file_or_frame_is_named(tmp_path):
    with pytest.raises(errors.DataError, match=r"b\.xyz: expected a file with a structure"):
        trajectory.read_atoms(tmp_path / "b.xyz")
    ase.io.write(tmp_path / "a.extxyz", labelled())
    with pytest.raises(errors.DataError, match="cannot read frame 7"):
        trajectory.read_atoms(tmp_path / "a.extxyz", index=7)
    with pytest.raises(errors.DataError, match="expected a file with a structure, found a folder"):
        trajectory.read_atoms(tmp_path)
    (tmp_path / "c.xyz").write_text("no structure\n")
    with pytest.raises(errors.DataError, match=r"c\.xyz"):
        trajectory.read_atoms(tmp_path / "c.xyz")


def test_a_start_is_read_as_in_training(tmp_path):
    path = tmp_path / "a@1.extxyz"
    ase.io.write(tmp_path / "a.extxyz", [labelled(), labelled()])
    text = (tmp_path / "a.extxyz").read_text()
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:5], "\n", *lines[5:]]))
    np.testing.assert_allclose(trajectory.read_atoms(path, 1).positions, labelled().positions)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(errors.DataError, match=r"a@1\.extxyz"):
        trajectory.read_atoms(path, 0)
