"""Rounded constants are restored, chosen ones are kept."""

import numpy as np

from equipot.convert import mace_constants
from tests.convert.imitations import Tensor, fake


def buffers(**values):
    """What is restored of the buffers of a model of float32 with a cutoff of 3.7 Å."""
    tensors = {"r_max": Tensor(3.7, "float32")} | {
        f"radial.{name}": Tensor(value, "float32") for name, value in values.items()
    }
    model = fake(
        "MACE", products=[], r_max=tensors["r_max"], named_buffers=lambda _: tensors.items()
    )
    return mace_constants.exact_buffers(model)


def test_frequencies_and_centers_are_what_they_were_before_rounding():
    frequencies, centers = np.pi / 3.7 * np.arange(1, 5), np.linspace(0, 3.7, 5)
    found = buffers(
        bessel_weights=frequencies, gaussian_weights=centers, prefactor=(2 / 3.7) ** 0.5
    )
    np.testing.assert_array_equal(found["radial.bessel_weights"], frequencies)
    np.testing.assert_array_equal(found["radial.gaussian_weights"], centers)
    assert found["radial.prefactor"] == (2 / 3.7) ** 0.5 and found["r_max"] == 3.7


def test_constants_that_were_chosen_are_not_replaced_by_the_usual_ones():
    """They are left for the reader, who refuses them."""
    chosen = {
        "bessel_weights": np.pi / 3.7 * np.array([1.0, 2.0, 3.001]),
        "gaussian_weights": np.linspace(0, 3.6, 5),
        "prefactor": 1.0,
    }
    assert set(buffers(**chosen)) == {"r_max"}
