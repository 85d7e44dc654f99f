"""Frames that are read without ASE are what ASE makes of them, in every value and its order."""

import numpy as np
import pytest

from equipot.data import readers
from equipot.data.config import DataConfig
from equipot.data.formats import ase_files, extxyz, xyz_frame

ROWS = "O 0.0 0.1 -1e-3 1 2 3.5\nh 1.0 0 0 -1 .5 +0.25\nH 0 1.0 0 nan 0 0\n"
LATTICE = 'Lattice="4 0 0 1 5 0 0 0 6.5"'
COLUMNS = "Properties=species:S:1:pos:R:3:forces:R:3"
HEADERS = [
    COLUMNS,
    f"{COLUMNS} energy=-3",
    f'{COLUMNS} energy=-3.25 free_energy=1e3 pbc="F F F" config_type=bulk uid=007',
    f"{LATTICE} {COLUMNS} energy=-3.25 temperature=300",
    f'pbc="T F T" {LATTICE} {COLUMNS} note="two words" other=T flags="T F" a.b-c=1,2,3',
    f'{LATTICE} stress="1 2 3 4 5 6 7 8 9" {COLUMNS} energy=1.0',
    f'{LATTICE} stress="1 2 3 4 5 6" virial="1 2 3 4 5 6 7 8 9" {COLUMNS}',
    f"{LATTICE} energy=word {COLUMNS} forces_unit=eV/A energy_unit=eV",
    'Properties=species:S:1:forces:R:3:pos:R:3 name="a=b" energy=2',
    "Properties=species:S:1:pos:R:3:x:R:1:momenta:R:1:y:R:1 energy=2",
]
ODD_HEADERS = [
    f'{COLUMNS} dipole="1 2 3"',
    f"{COLUMNS} pbc=T",
    "Properties=species:S:1:pos:R:3:forces:R:3:initial_charges:R:1",
    "Properties=species:S:1:pos:R:3:x:I:1:y:S:1:z:R:1",
    f"{COLUMNS} key_value_pairs=3",
]


def file_of(tmp_path, header, rows=ROWS):
    path = tmp_path / "some.extxyz"
    path.write_text(f"{len(rows.splitlines())}\n{header}\n{rows}")
    return path


def assert_same(one, other):
    assert list(one.values) == list(other.values)
    assert (one.where, one.stated_units) == (other.where, other.stated_units)
    pairs = [(one.values[key], other.values[key]) for key in one.values]
    pairs += [
        (getattr(one, name), getattr(other, name))
        for name in ("atomic_numbers", "positions", "cell", "pbc")
    ]
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)
        assert np.asarray(a).dtype == np.asarray(b).dtype and np.shape(a) == np.shape(b)


@pytest.mark.parametrize("header", HEADERS)
def test_an_ordinary_frame_is_read_without_ase_and_just_so(tmp_path, header, monkeypatch):
    path = file_of(tmp_path, header)
    (found,) = extxyz.read_parsed(path, path.name)
    assert isinstance(found, xyz_frame.Parsed)
    quick = ase_files.read(path).frames[0]
    monkeypatch.setattr(xyz_frame, "parse", lambda *_: None)
    assert_same(quick, ase_files.read(path).frames[0])


@pytest.mark.parametrize("header", ODD_HEADERS)
def test_a_frame_with_anything_of_ases_own_is_left_to_ase(tmp_path, header):
    width = sum(int(n) for n in header.split()[0].split(":")[2::3])
    path = file_of(tmp_path, header, "O " + "1 " * (width - 1) + "\n")
    (found,) = extxyz.read_parsed(path, path.name)
    assert not isinstance(found, xyz_frame.Parsed)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("O 0 0 0 1 1\n", "line 3 has 6 columns, expected 7"),
        ("Q 0 0 0 1 1 1\n", "'Q' is no element"),
        ("O 0 0 x 1 1 1\n", "could not convert string to float: 'x'"),
        ("O 0 0 1_0 1 1 1\n", "line 3 has '1_0' in a column of other type"),
    ],
)
def test_what_is_wrong_is_said_as_before(tmp_path, rows, message):
    with pytest.raises(ValueError, match=f"some.extxyz, frame 0: {message}"):
        readers.read_file(file_of(tmp_path, COLUMNS, rows), DataConfig(train="some", cache=False))
