"""Units and means of quantities are found in their labels."""

import numpy as np
import pytest

from equipot.data.structure import Structure
from equipot.potential.scales import quantity_scales
from equipot.quantities import Label, QuantityConfig, declared

TABLE = declared(
    {
        "charges": QuantityConfig(per="atom"),
        "dipole": QuantityConfig(irreps="1o"),
        "polarizability": QuantityConfig(irreps="0e+2e"),
    }
)


def structure(numbers, weight=1.0, **labels):
    return Structure(
        positions=np.arange(3.0 * len(numbers)).reshape(-1, 3),
        atomic_numbers=np.array(numbers),
        others={name: Label(np.asarray(value), weight) for name, value in labels.items()},
    )


def scales(chosen, name):
    return quantity_scales(chosen, [TABLE[name]], (1, 8))[name]


def test_values_of_atoms_are_taken_from_the_mean_of_their_element():
    chosen = [
        structure([8, 1, 1], charges=[-0.6, 0.2, 0.4]),
        structure([1, 8], charges=[0.3, -0.8]),
    ]
    scale, shift = scales(chosen, "charges")
    np.testing.assert_allclose(shift, [[0.3], [-0.7]])
    rest = [0.1, -0.1, 0.1, 0.0, -0.1]
    assert scale == pytest.approx(np.sqrt(np.mean(np.square(rest))))


def test_vectors_have_no_mean_and_share_their_size_among_the_atoms():
    chosen = [structure([8, 1, 1], dipole=[3.0, 0.0, 0.0]), structure([1], dipole=[0.0, 1.0, 1.0])]
    scale, shift = scales(chosen, "dipole")
    assert shift.shape == (2, 0)
    assert scale == pytest.approx(np.sqrt((9 / 3 + 2) / 6))


def test_the_trace_of_a_matrix_is_shared_among_the_elements():
    chosen = [
        structure([1, 1], polarizability=2.0 * np.eye(3)),
        structure([8, 1], polarizability=4.0 * np.eye(3)),
    ]
    scale, shift = scales(chosen, "polarizability")
    np.testing.assert_allclose(shift, 3**0.5 * np.array([[1.0], [3.0]]))
    assert scale == pytest.approx(0.0, abs=1e-12) or scale == 1.0


@pytest.mark.parametrize("chosen", [[], [structure([1])], [structure([1], 0.0, charges=[5.0])]])
def test_without_labels_nothing_is_scaled_or_shifted(chosen):
    scale, shift = scales(chosen, "charges")
    assert scale == 1.0 and np.all(shift == 0)
