"""Whatever a file holds is read with the numbers that stand in it, or refused with a sentence."""

import gzip
import lzma
import pathlib
import shutil
import zipfile

import ase.io
import numpy as np
import pytest

from equipot import errors, units
from equipot.data import readers
from equipot.data.config import DataConfig

CASES = pathlib.Path(__file__).parent / "cases"
HEADER = 'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 {} pbc="T T T"'
ROWS = "Cu 0 0 0 0 0 0.1\nCu 2 2 0 0 0 -0.1\n"


def _read(path, **settings):
    config = DataConfig(train=str(path), cache=False, **settings)
    return readers.read_file(path, config).structures


def _extxyz(tmp_path, header="energy=-7.0", rows=ROWS, name="a.extxyz", count="2"):
    path = tmp_path / name
    path.write_text(f"{count}\n{HEADER.format(header)}\n{rows}")
    return path


def test_a_blank_line_between_frames_does_not_end_reading():
    assert len(_read(CASES / "blank_line_between_frames.extxyz")) == 15


def test_more_than_one_blank_line_and_spaces_do_not_end_reading_either(tmp_path):
    path = _extxyz(tmp_path)
    path.write_text(path.read_text() + " \n\n\t\n" + path.read_text() + "\n\n")
    assert [item.where for item in _read(path)] == [
        "a.extxyz, frame 0 (Cu2)",
        "a.extxyz, frame 1 (Cu2)",
    ]


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        ("\n" + HEADER + "\n" + ROWS, r"frame 1, line 6: expected the number of atoms.*Lattice"),
        ("Cu 0 0 1 0 0 0\n" + ROWS, r"frame 1, line 5: expected the number of atoms.*Cu 0 0 1"),
        ("2\n" + HEADER + "\nCu 0 0 0 0 0 0\n", r"frame 1: line 5 announces 2 atoms.* after 1 of"),
        ("99999999999\ncomment\n", r"frame 1, line 5: announces 99999999999 atoms, more than"),
        ("9" * 400 + "\n", r"frame 1, line 5: announces 9+ atoms, more than a file of"),
        ("-2\ncomment\n", r"frame 1, line 5: expected the number of atoms of a frame, found '-2'"),
        ("0\nenergy=1\n", r"frame 1: holds no atoms; remove the frame"),
    ],
)
def test_what_follows_a_frame_and_is_none_is_named_with_its_line(tmp_path, tail, message):
    path = _extxyz(tmp_path)
    path.write_text(path.read_text() + tail.replace("{}", "energy=-7.0"))
    with pytest.raises(errors.DataError, match=message):
        _read(path)


def test_a_unit_that_one_frame_states_is_not_applied_to_the_others():
    path = CASES / "one_frame_in_bohr.extxyz"
    with pytest.raises(errors.DataError, match=r"frame 0 states none, frame 5 states bohr; state"):
        _read(path)
    plain = _read(CASES / "blank_line_between_frames.extxyz")
    given = _read(path, length_unit="Angstrom")
    np.testing.assert_array_equal(given[5].positions, plain[5].positions)


def test_a_unit_matters_to_frames_with_numbers_in_it_only(tmp_path, make_water):
    frames = [make_water(0, energy=-1.0), make_water(1, energy=-2.0, forces=np.ones((3, 3)))]
    frames[1].info["forces_unit"] = "Hartree/Bohr"
    path = tmp_path / "a.extxyz"
    ase.io.write(path, frames)
    expected = units.HARTREE / units.BOHR
    np.testing.assert_allclose(_read(path)[1].forces, expected)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("energy", ROWS, r"'energy' is True .*expected numbers"),
        ("energy=F", ROWS, r"'energy' is False .*expected numbers"),
        ("energy=2024-01-01", ROWS, r"'energy' is '2024-01-01' \(text\), expected numbers"),
        ("energy=-1 energy=-2", ROWS, r"has 'energy' twice, once as -1 and once as -2"),
        ("energy energy=-2", ROWS, r"has 'energy' twice, once as True and once as -2"),
        ("temperature= energy=-2", ROWS, r"has 'temperature=' without a value before 'energy='"),
        ("energy=1e300", ROWS, r"energy is 1e\+300 eV, beyond 1e\+07 eV for each atom"),
        ("energy=-1_0", ROWS, r"'energy' is '-1_0' \(text\), expected numbers"),
        ("energy=-1 stress='1 2", ROWS, r"opens ' before '1 2 pbc=.* and never closes it"),
        ("energy=-1", ROWS.replace("0.1", "1e25"), r"forces reaches 1e\+25 eV/Å, beyond"),
        ("energy=-1", ROWS.replace("2 2 0", "2 1e300 0"), r"positions reaches 1e\+300 Å"),
        ("energy=-1", ROWS.replace("0.1", "0.1 7"), r"line 3 has 8 columns, expected 7"),
        ("energy=-1", ROWS.replace(" 0.1", ""), r"line 3 has 6 columns, expected 7"),
        ("energy=-1", ROWS.replace("0.1", "1_0"), r"line 3 has '1_0' in a column"),
        ("energy=-1", ROWS.replace("Cu 2", "Qq 2"), r": 'Qq' is no element"),
        ("stress='1 2 3 4'", ROWS, r"stress='1 2 3 4', expected 9 numbers, or 6"),
    ],
)
def test_what_a_cast_would_make_a_number_of_is_refused(tmp_path, header, rows, message):
    with pytest.raises(errors.DataError, match=rf"a\.extxyz, frame 0.*{message}"):
        _read(_extxyz(tmp_path, header, rows))


@pytest.mark.parametrize(
    ("properties", "row", "message"),
    [
        ("species:S:1:pos:R:3:forces:L:3", "Cu 0 0 0 T F T", r"expected forces:R:3 in Properties"),
        ("species:S:1:pos:R:3:flag:L:1", "Cu 0 0 0 maybe", r"has 'maybe' in a column"),
        ("Z:R:1:pos:R:3", "18.7 0 0 0", r"expected the elements as species:S:1 or as Z:I:1"),
        ("Z:L:1:pos:R:3", "T 0 0 0", r"expected the elements as species:S:1 or as Z:I:1"),
        ("species:S:1:Z:I:1:pos:R:3", "Cu 1 0 0 0", r"expected the elements as species:S:1 or"),
        ("species:S:1:pos:L:3", "Cu T T T", r"expected pos:R:3"),
        ("species:S:1", "Cu", r"expected pos:R:3"),
        ("species:S:1:pos:R:3:pos:R:3", "Cu 0 0 0 1 1 1", r"names 'pos' twice"),
        ("species:S:1:pos:R:3:q", "Cu 0 0 0 1", r"expected Properties such as"),
        ("species:S:1:pos:R:99999999999", "Cu 0 0 0", r"expected Properties such as"),
    ],
)
def test_columns_of_a_wrong_type_are_refused(tmp_path, properties, row, message):
    path = tmp_path / "a.extxyz"
    path.write_text(f"1\nProperties={properties} energy=-1\n{row}\n")
    with pytest.raises(errors.DataError, match=rf"a\.extxyz, frame 0.*{message}"):
        _read(path)


@pytest.mark.parametrize("pbc", ["T T", "0.7 0 0", "nan nan nan", "yes"])
def test_a_periodicity_that_is_none_is_refused(tmp_path, pbc):
    path = tmp_path / "a.extxyz"
    path.write_text(f'1\nLattice="4 0 0 0 4 0 0 0 4" pbc="{pbc}" energy=-1\nCu 0 0 0\n')
    with pytest.raises(errors.DataError, match="frame 0: expected pbc as three of T and F"):
        _read(path)


def test_six_numbers_make_a_stress_as_nine_do(tmp_path):
    (six,) = _read(CASES / "stress_six_numbers.extxyz")
    nine = "0.01 0.003 0.002 0.003 0.02 0.001 0.002 0.001 0.03"
    (full,) = _read(_extxyz(tmp_path, f'energy=-7.0 stress="{nine}"'))
    assert six.stress_weight == 1.0
    np.testing.assert_array_equal(six.stress, full.stress)
    (virial,) = _read(_extxyz(tmp_path, 'energy=-7.0 virial="-0.64 0 0 0 0 0.064"'))
    np.testing.assert_allclose(virial.stress[0], [0.01, -0.001, 0.0], atol=1e-15)


@pytest.mark.parametrize(
    ("stress", "other"),
    [
        ('stress="1 2 3 0.4 0.5 0.6"', 'REF_stress="1 0.6 0.5 0.6 2 0.4 0.5 0.4 3"'),
        ('stress="1 2 3 0.4 0.5 0.6"', 'REF_stress="1 2 3 0.4 0.5 0.6"'),
        ('stress="0.01 0 0 0 0 0"', 'REF_virials="-0.64003 0 0 0 0 0"'),
    ],
)
def test_stresses_in_two_shapes_and_a_stress_with_its_virial_agree(tmp_path, stress, other):
    (item,) = _read(_extxyz(tmp_path, f"energy=-7.0 {stress} {other}"))
    (alone,) = _read(_extxyz(tmp_path, f"energy=-7.0 {stress}"))
    np.testing.assert_array_equal(item.stress, alone.stress)


@pytest.mark.parametrize("name", ["same_stress_two_shapes", "stress_and_its_virial"])
def test_equal_stresses_under_two_keys_are_one_label(name):
    (item,) = _read(CASES / f"{name}.extxyz")
    np.testing.assert_allclose(item.stress, 0.01 * np.eye(3))


@pytest.mark.parametrize(
    ("other", "settings"),
    [
        ('virial="0.64 0 0 0 0 0"', {}),  # of the other sign
        ('virial="-0.65 0 0 0 0 0"', {}),
        ('virial="-0.64 0 0 0 0 0"', {"stress_unit": "GPa"}),  # of the stress alone
        ('REF_stress="0.011 0 0 0 0 0"', {}),
    ],
)
def test_stresses_that_differ_stop_with_a_question(tmp_path, other, settings):
    path = _extxyz(tmp_path, f'energy=-7.0 stress="0.01 0 0 0 0 0" {other}')
    with pytest.raises(errors.DataError, match=r"frame 0: 2 keys may hold the stress.*Set data"):
        _read(path, **settings)


def test_a_virial_of_a_microelectronvolt_with_rounding_noise_is_symmetrised():
    (item,) = _read(CASES / "tiny_virial_asymmetry.extxyz")
    np.testing.assert_array_equal(item.stress, item.stress.T)
    assert item.stress[0, 0] == pytest.approx(-1e-6 / 64)


@pytest.mark.parametrize("name", ["water@300K.extxyz", "a@0:1.traj", "@.extxyz", "..extxyz"])
def test_names_with_signs_that_ase_gives_a_meaning_are_names(tmp_path, labelled_water, name):
    ase.io.write(tmp_path / "plain.traj", labelled_water(3))
    if name.endswith(".traj"):
        shutil.copy(tmp_path / "plain.traj", tmp_path / name)
    else:
        ase.io.write(tmp_path / "plain.extxyz", labelled_water(3))
        shutil.copy(tmp_path / "plain.extxyz", tmp_path / name)
    assert len(_read(tmp_path / name)) == 3


@pytest.mark.parametrize("name", [".", "..", "x" * 300, "~nobody-of-that-name/a", "a\0b", ""])
def test_names_that_are_no_files_are_refused(tmp_path, monkeypatch, name):
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(errors.DataError):
        _read(name)


def _arrays(**changes):
    arrays = {
        "z": np.array([8, 1]),
        "R": np.arange(12.0).reshape(2, 2, 3),
        "E": np.array([-1.0, -2.0]),
        "F": np.ones((2, 2, 3)),
        "e_unit": "eV",
    }
    return arrays | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"z": np.array([18.7, 1.0])}, r"expected whole numbers for .*atomic numbers, found 18\.7"),
        ({"z": np.array([True, True])}, r"atomic numbers is True, .*true or false"),
        ({"z": np.array([np.nan, 1.0])}, r"expected whole numbers .*found nan"),
        ({"z": np.array(["8", "1"])}, r"atomic numbers is 8, .*\(text\)"),
        ({"R": np.ones((2, 2, 3), complex)}, r"positions is .*\(complex numbers\)"),
        ({"R": np.ones((2, 2, 3), "M8[s]")}, r"positions is .*\(dates\)"),
        ({"R": np.ones((2, 2, 3), bool)}, r"positions is .*\(true or false"),
        ({"E": np.array([1j, 2])}, r"frame 0: 'E' is .*\(complex numbers\)"),
        ({"E": np.array(["-1.0", "-2.0"])}, r"frame 0: 'E' is .*\(text\)"),
        ({"E": np.array(["2024-01-01"] * 2, "M8[D]")}, r"frame 0: 'E' is .*\(dates\)"),
        ({"F": np.ones((2, 2, 3), bool)}, r"frame 0: 'F' is .*\(true or false"),
        ({"E": np.array([None, 1.0], object)}, r"'E' holds Python objects, expected numbers"),
        ({"lattice": np.ones((2, 3, 3))}, r"'lattice' has shape \(2, 3, 3\), expected \(3, 3\)"),
        ({"coords": np.ones((2, 2, 3))}, r"positions twice, under 'coords' and 'R'"),
        ({"e_unit": np.array([1.0])}, r"'e_unit' is .*expected the name of a unit"),
    ],
)
def test_npz_arrays_are_never_cast(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **_arrays(**changes))
    with pytest.raises(errors.DataError, match=rf"a\.npz.*{message}"):
        _read(tmp_path / "a.npz")


def test_whole_numbers_may_be_stored_as_reals(tmp_path):
    np.savez(tmp_path / "a.npz", **_arrays(z=np.array([8.0, 1.0])))
    np.testing.assert_array_equal(_read(tmp_path / "a.npz")[0].atomic_numbers, [8, 1])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_stands_twice_in_an_npz_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **_arrays())
    np.save(tmp_path / "E.npy", np.zeros(2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "E.npy", "E.npy")
    with pytest.raises(errors.DataError, match=r"a\.npz: 'E\.npy' stands there twice"):
        _read(path)


def test_an_array_whose_header_promises_more_than_there_is_takes_no_memory(tmp_path):
    np.save(tmp_path / "E.npy", np.zeros(2))
    data = (tmp_path / "E.npy").read_bytes().replace(b"(2,), }" + b" " * 12, b"(2000000000000,), }")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("E.npy", data)
    with pytest.raises(errors.DataError, match=r"'E\.npy': an array of shape \(2000000000000,\)"):
        _read(tmp_path / "a.npz")


def _system(tmp_path):
    folder = tmp_path / "system"
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("0\n1\n")
    (folder / "type_map.raw").write_text("O\nH\n")
    np.save(folder / "set.000" / "coord.npy", np.arange(6.0).reshape(1, 6))
    np.save(folder / "set.000" / "box.npy", 9.0 * np.eye(3).reshape(1, 9))
    np.save(folder / "set.000" / "energy.npy", np.array([-1.0]))
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("type.raw", "0 0.7", r"type\.raw: expected the type of every atom .*found '0\.7'"),
        ("type.raw", "0 -1", r"type\.raw: expected the type of every atom .*found '-1'"),
        ("type.raw", "", r"type\.raw: expected the type of every atom .*an empty file"),
        ("type.raw", None, r"type\.raw: could not be read as text"),
        ("type_map.raw", "O Qq", r"type_map\.raw: 'Qq' is not the symbol of an element"),
        ("type_map.raw", b"\xff\xfe", r"type_map\.raw: could not be read as text"),
        ("type_map.raw", None, r"type_map\.raw: could not be read as text"),
        ("set.001", "", r"set\.001: expected a folder of npy files, found a file"),
        ("set.001", None, r"set\.001: expected coord\.npy; it is not there"),
        ("set.000/coord.npy", None, r"coord\.npy: could not be read"),
        ("set.000/coord.npy", np.float64(1.0), r"coord\.npy: has shape \(\)"),
        ("set.000/energy.npy", np.array([1j]), r"energy\.npy: .*\(complex numbers\)"),
        ("set.000/energy.npy", np.array([True]), r"energy\.npy: .*\(true or false"),
        ("set.000/real_atom_types.npy", np.array([[0.5, 1.0]]), r"expected whole numbers"),
        ("set.000/real_atom_types.npy", np.array([[-2, 1]]), r"type -2, expected 0 and more"),
    ],
)
def test_an_odd_folder_of_deepmd_is_named(tmp_path, name, content, message):
    path = _system(tmp_path) / name
    if content is None:
        path.unlink(missing_ok=True)
        path.mkdir()
    elif isinstance(content, str | bytes):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    else:
        np.save(path, content)
    with pytest.raises(errors.DataError, match=message):
        _read(tmp_path / "system")


@pytest.mark.parametrize("place", [3, 40, 200, -6])
def test_a_packed_file_with_a_flipped_bit_is_refused(tmp_path, labelled_water, place):
    path = tmp_path / "a.extxyz.gz"
    ase.io.write(tmp_path / "a.extxyz", labelled_water(3))
    data = bytearray(gzip.compress((tmp_path / "a.extxyz").read_bytes()))
    data[place] ^= 16
    path.write_bytes(data)
    with pytest.raises(errors.DataError, match=r"a\.extxyz\.gz: could not be unpacked as gz"):
        _read(path)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_packed_files_may_be_joined_but_hold_nothing_else(tmp_path, labelled_water, pack):
    kind = {gzip.compress: "gz", lzma.compress: "xz"}[pack]
    ase.io.write(tmp_path / "a.extxyz", labelled_water(2))
    packed = pack((tmp_path / "a.extxyz").read_bytes())
    path = tmp_path / f"a.extxyz.{kind}"
    path.write_bytes(packed + packed)
    assert len(_read(path)) == 4
    for tail in (b"noise of some length", packed[:-9]):
        path.write_bytes(packed + tail)
        with pytest.raises(errors.DataError, match=rf"could not be unpacked as {kind}"):
            _read(path)
