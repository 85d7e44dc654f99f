import dataclasses

import numpy as np
import pytest

from equipot import errors
from equipot.data import structure


def _water(**changes):
    fields = {
        "positions": np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]),
        "atomic_numbers": np.array([8, 1, 1]),
        "source": "water.xyz, frame 4",
    }
    return structure.Structure(**(fields | changes))


def test_missing_labels_are_zeros_without_weight():
    item = _water()
    assert item.forces.shape == (3, 3) and not item.forces.any()
    assert item.energy_weight == item.forces_weight == item.stress_weight == 0.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"forces": np.zeros((2, 3)), "forces_weight": 1.0},
            "water.xyz, frame 4 (H2O): forces has shape (2, 3), expected (3, 3)",
        ),
        (
            {"stress": np.zeros(6)},
            "water.xyz, frame 4 (H2O): stress has shape (6,), expected (3, 3)",
        ),
        (
            {"forces": np.full((3, 3), np.nan), "forces_weight": 1.0},
            "water.xyz, frame 4 (H2O): forces holds NaN or infinity; mend or remove the frame",
        ),
        ({"energy": np.inf}, "water.xyz, frame 4 (H2O): energy is inf; mend or remove the frame"),
        ({"cell": np.zeros(3)}, "water.xyz, frame 4 (H2O): cell has shape (3,), expected (3, 3)"),
    ],
)
def test_a_wrong_shape_or_number_is_named_with_file_frame_and_formula(changes, message):
    with pytest.raises(errors.DataError) as caught:
        _water(**changes)
    assert str(caught.value) == message


def test_the_volume_is_that_of_the_cell_only_if_all_directions_are_periodic():
    cell = np.diag([2.0, 3.0, -4.0])
    assert _water(cell=cell, pbc=np.ones(3, bool)).volume == pytest.approx(24.0)
    assert _water(cell=cell, pbc=np.array([True, True, False])).volume == 0.0


def test_a_structure_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _water().energy = 1.0


def test_unknown_elements_are_refused():
    with pytest.raises(errors.DataError, match=r"numbers from 1 to 118, received \[0, 1, 8\]"):
        _water(atomic_numbers=np.array([8, 1, 0]))
