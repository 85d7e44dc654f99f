import numpy as np
import pytest

from equipot import errors
from equipot.data.formats import npz


def _save(path, **changes):
    generator = np.random.default_rng(0)
    arrays = {
        "nuclear_charges": np.array([8, 1, 1], np.uint8),
        "coords": generator.normal(size=(4, 3, 3)),
        "energies": np.arange(4.0),
        "forces": generator.normal(size=(4, 3, 3)),
    }
    arrays = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **arrays)
    return arrays


def test_the_layout_of_rmd17_is_read_frame_by_frame(tmp_path):
    arrays = _save(tmp_path / "a.npz", old_energies=np.arange(4.0) + 1)
    content = npz.read(tmp_path / "a.npz")
    assert content.needs_energy_unit and content.stated_units == {}
    assert len(content.frames) == 4
    frame = content.frames[2]
    np.testing.assert_array_equal(frame.atomic_numbers, [8, 1, 1])
    np.testing.assert_array_equal(frame.positions, arrays["coords"][2])
    np.testing.assert_array_equal(frame.values["forces"], arrays["forces"][2])
    assert frame.values["energies"] == 2.0 and frame.values["old_energies"] == 3.0
    assert not frame.pbc.any()


def test_the_layout_of_sgdml_is_read_with_its_units_and_lattice(tmp_path):
    lattice = np.array([[5.0, 1.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 7.0]])
    arrays = {
        "z": np.array([8, 1, 1]),
        "R": np.zeros((2, 3, 3)),
        "E": np.array([[1.0], [2.0]]),
        "F": np.ones((2, 3, 3)),
        "lattice": lattice,
        "e_unit": np.array("kcal/mol"),
        "r_unit": np.array(b"Ang"),
        "type": np.array("d"),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    content = npz.read(tmp_path / "a.npz")
    assert content.stated_units == {"energy": "kcal/mol", "length": "Ang"}
    np.testing.assert_array_equal(content.frames[0].cell[1], [1.0, 6.0, 0.0])  # the second column
    assert content.frames[0].pbc.all()


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    _save(tmp_path / "a.npz", notes=np.array([{"a": 1}], dtype=object))
    assert "notes" not in npz.read(tmp_path / "a.npz").frames[0].values


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"coords": None},
            "expected positions under 'coords' or 'R'; the file holds nuclear_charg",
        ),
        ({"nuclear_charges": None}, "expected atomic numbers under 'nuclear_charges' or 'z'"),
        (
            {"nuclear_charges": np.array([1, 1])},
            r"positions have shape \(4, 3, 3\) and atomic numb",
        ),
        ({"energies": np.zeros(3)}, r"'energies' has shape \(3,\), expected 4 frames first"),
    ],
)
def test_arrays_that_do_not_fit_are_named(tmp_path, changes, message):
    _save(tmp_path / "a.npz", **changes)
    with pytest.raises(errors.DataError, match=message):
        npz.read(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(errors.DataError, match=r"a\.npz: could not be read as npz"):
        npz.read(tmp_path / "a.npz")
