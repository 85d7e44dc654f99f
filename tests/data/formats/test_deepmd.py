import numpy as np
import pytest

from equipot import errors
from equipot.data.formats import deepmd


def _system(folder, num=2, sets=1, periodic=True, **changes):
    folder.mkdir(parents=True)
    (folder / "type.raw").write_text("0 1 1\n")
    (folder / "type_map.raw").write_text("O\nH\n")
    if not periodic:
        (folder / "nopbc").touch()
    for number in range(sets):
        generator = np.random.default_rng(number)
        arrays = {
            "coord": generator.normal(size=(num, 9)),
            "force": generator.normal(size=(num, 9)),
            "energy": generator.normal(size=num),
            "box": np.tile(np.diag([5.0, 6.0, 7.0]).ravel(), (num, 1)) if periodic else None,
        }
        (folder / f"set.{number:03d}").mkdir()
        for key, value in (arrays | changes).items():
            if value is not None:
                np.save(folder / f"set.{number:03d}" / f"{key}.npy", value.astype(np.float32))
    return folder


def test_a_system_is_read_with_elements_box_and_labels(tmp_path):
    folder = _system(tmp_path / "data_0", sets=2, virial=np.arange(18.0).reshape(2, 9))
    frames = deepmd.read(folder).frames
    assert len(frames) == 4
    assert frames[3].where == "data_0/set.001, frame 1"
    np.testing.assert_array_equal(frames[3].atomic_numbers, [8, 1, 1])
    np.testing.assert_array_equal(np.diag(frames[3].cell), [5.0, 6.0, 7.0])
    assert frames[3].pbc.all() and frames[3].positions.dtype == np.float64
    np.testing.assert_array_equal(frames[3].values["virial"], np.arange(9.0, 18.0))
    stored = np.load(folder / "set.001" / "force.npy")[1].reshape(3, 3)
    np.testing.assert_array_equal(frames[3].values["force"], stored)


def test_a_parent_of_systems_stands_for_all_of_them(tmp_path):
    _system(tmp_path / "all" / "a", num=2)
    _system(tmp_path / "all" / "deeper" / "b", num=3)
    assert deepmd.is_system(tmp_path / "all")
    frames = deepmd.read(tmp_path / "all").frames
    assert len(frames) == 5 and frames[-1].where == "b/set.000, frame 2"
    _system(tmp_path / "all" / "other" / "a", num=1)
    places = [frame.where for frame in deepmd.read(tmp_path / "all").frames]
    assert len(set(places)) == 6 and places[-1] == "other/a/set.000, frame 0"


def test_a_system_marked_nopbc_is_not_periodic(tmp_path):
    frame = deepmd.read(_system(tmp_path / "a", periodic=False)).frames[0]
    assert not frame.pbc.any() and not frame.cell.any()


def test_mixed_types_give_each_frame_its_own_elements(tmp_path):
    types = np.array([[1, 1, -1], [0, 1, 1]])
    folder = _system(tmp_path / "a", real_atom_types=types)
    first, second = deepmd.read(folder).frames
    np.testing.assert_array_equal(first.atomic_numbers, [1, 1])
    assert first.positions.shape == first.values["force"].shape == (2, 3)
    np.testing.assert_array_equal(second.atomic_numbers, [8, 1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coord": None}, r"set\.000: expected coord\.npy; it is not there"),
        ({"box": None}, r"set\.000: expected box\.npy, or a file nopbc beside type\.raw"),
        (
            {"force": np.zeros((2, 6))},
            r"force\.npy: has shape \(2, 6\), expected 2 frames of 9 num",
        ),
        ({"energy": np.zeros(3)}, r"energy\.npy: has shape \(3,\), expected 2 frames of 1 numbers"),
    ],
)
def test_a_missing_or_misshapen_array_is_named(tmp_path, changes, message):
    with pytest.raises(errors.DataError, match=message):
        deepmd.read(_system(tmp_path / "a", **changes))


def test_types_must_have_elements(tmp_path):
    folder = _system(tmp_path / "a")
    (folder / "type_map.raw").write_text("O\n")
    with pytest.raises(errors.DataError, match=r"atoms have type 1, but type_map\.raw names 1"):
        deepmd.read(folder)
    (folder / "type_map.raw").write_text("OW HW")
    with pytest.raises(errors.DataError, match=r"'OW' is not the symbol of an element"):
        deepmd.read(folder)
    (folder / "type_map.raw").unlink()
    with pytest.raises(errors.DataError, match=r"expected type_map\.raw with the element"):
        deepmd.read(folder)


def test_a_folder_without_systems_is_refused(tmp_path):
    assert not deepmd.is_system(tmp_path)
    with pytest.raises(errors.DataError, match=r"expected a DeePMD folder, but found no type\.raw"):
        deepmd.read(tmp_path)
