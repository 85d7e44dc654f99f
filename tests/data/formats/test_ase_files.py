import bz2
import gc
import gzip
import lzma
import pathlib
import warnings

import ase.db
import ase.io
import numpy as np
import pytest
from ase.constraints import FixAtoms

from equipot import errors
from equipot.data.formats import ase_files


@pytest.mark.parametrize(
    ("suffix", "opener"), [(".xz", lzma.open), (".gz", gzip.open), (".bz2", bz2.open)]
)
def test_a_compressed_file_gives_the_frames_of_the_plain_one(labelled_water, write, suffix, opener):
    plain = pathlib.Path(write("water.extxyz", labelled_water(3)))
    packed = plain.with_name(plain.name + suffix)
    with opener(packed, "wb") as target:
        target.write(plain.read_bytes())
    expected, found = ase_files.read(plain).frames, ase_files.read(packed).frames
    assert len(found) == 3
    for first, second in zip(expected, found, strict=True):
        np.testing.assert_array_equal(first.positions, second.positions)
        assert first.values["energy"] == second.values["energy"]


@pytest.mark.parametrize("name", ["water.traj", "water.extxyz", "water.json", "water.db"])
def test_forces_of_constrained_atoms_are_not_zeroed(labelled_water, write, name):
    atoms = labelled_water(1)[0]
    raw = atoms.get_forces(apply_constraint=False).copy()
    atoms.set_constraint(FixAtoms([0]))
    assert not atoms.get_forces()[0].any()
    frame = ase_files.read(pathlib.Path(write(name, atoms))).frames[0]
    np.testing.assert_allclose(frame.values["forces"], raw, atol=1e-8)


def test_keys_of_a_database_row_are_found(tmp_path, make_water):
    with ase.db.connect(tmp_path / "water.db") as database:
        database.write(make_water(), dft_energy=-3.5)
    values = ase_files.read(tmp_path / "water.db").frames[0].values
    assert values["dft_energy"] == -3.5


def test_a_database_is_closed_after_reading(labelled_water, write):
    path = pathlib.Path(write("water.db", labelled_water(2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert len(ase_files.read(path).frames) == 2
        gc.collect()  # from Python 3.13 on, an open connection that is collected warns


def test_a_truncated_trajectory_is_named_with_what_it_should_hold(labelled_water, write):
    path = pathlib.Path(write("water.traj", labelled_water(2)))
    path.write_bytes(path.read_bytes()[:-330])
    with pytest.raises(errors.DataError, match=r"water\.traj: says it has 2 frames, but its table"):
        ase_files.read(path)


def test_a_truncated_xz_file_is_named(labelled_water, write):
    plain = pathlib.Path(write("water.extxyz", labelled_water(2)))
    packed = plain.with_name("water.extxyz.xz")
    packed.write_bytes(lzma.compress(plain.read_bytes())[:-40])
    with pytest.raises(errors.DataError, match=r"water\.extxyz\.xz: could not be unpacked as xz"):
        ase_files.read(packed)


def test_a_file_of_no_known_format_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are no structures\n")
    with pytest.raises(errors.DataError, match=r"notes\.txt: neither its name.*data\.format"):
        ase_files.read(path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("bundletrajectory", r"expected a folder for the format bundletrajectory \("),
        ("extxzy", r"data\.format: ASE knows no format 'extxzy'\. Did you mean 'extxyz'"),
        ("cif", r"could not be read as cif \(CIF-file\), asked for"),
    ],
)
def test_a_format_that_is_not_that_of_the_file_is_explained(labelled_water, write, given, message):
    path = pathlib.Path(write("water.extxyz", labelled_water(1)))
    with pytest.raises(errors.DataError, match=message):
        ase_files.read(path, given)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(errors.DataError, match=r"found a folder; .* here is nothing"):
        ase_files.read(tmp_path)


def test_one_key_with_two_values_in_a_frame_is_refused(labelled_water, write):
    atoms = labelled_water(1)[0]
    atoms.info["energy"] = 5.0
    path = write("water.traj", atoms)
    with pytest.raises(errors.DataError, match=r"frame 0: 'energy' stands there twice"):
        ase_files.read(pathlib.Path(path))


def test_units_that_frames_state_are_handed_on(make_water, write):
    frames = [make_water(s) for s in range(2)]
    for atoms in frames:
        atoms.info["forces_unit"] = "meV/A"
    content = ase_files.read(pathlib.Path(write("water.extxyz", frames)))
    assert [f.stated_units for f in content.frames] == [{"forces": "meV/A"}] * 2
    frames[1].info |= {"length_unit": "Bohr", "positions_unit": "nm"}
    with pytest.raises(errors.DataError, match="frame 1: names two units of length, Bohr and nm"):
        ase_files.read(pathlib.Path(write("water.extxyz", frames)))
