"""Transforms of distances and the bases that go with them: values, ranges, derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3.functions import radial_transforms


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def distances(*values):
    return jnp.asarray(values, jnp.float64)


def test_gaussians_are_one_at_their_centers_and_at_the_spacing_fall_to_the_root_of_e():
    found = radial_transforms.gaussian(distances(0.0, 1.0, 4.0), 5, 4.0)
    np.testing.assert_allclose(np.diag(np.asarray(found)[:, [0, 1, 4]]), 1.0)
    np.testing.assert_allclose(found[1, [0, 2]], np.exp(-0.5))


def test_chebyshev_polynomials_are_cosines_of_multiples():
    x = np.linspace(-1.0, 1.0, 7)
    found = radial_transforms.chebyshev(jnp.asarray(x), 6)
    expected = np.cos(np.arange(1, 7) * np.arccos(x)[:, None])
    np.testing.assert_allclose(found, expected, atol=1e-13)
    assert radial_transforms.chebyshev(jnp.asarray(x), 1).shape == (7, 1)


def test_agnesi_falls_from_one_to_zero_by_its_formula():
    r = np.linspace(0.1, 8.0, 50)
    found = np.asarray(radial_transforms.agnesi(jnp.asarray(r), jnp.full(50, 0.7)))
    x = r / 0.7
    expected = 1.0 / (1.0 + 1.0805 * x**0.9183 / (1.0 + x ** (0.9183 - 4.5791)))
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert np.all(np.diff(found) < 0)
    assert radial_transforms.agnesi(distances(0.0), distances(0.7))[0] == 1.0


def test_soft_transform_holds_short_distances_and_keeps_long_ones():
    r, scale = distances(0.05, 6.0), distances(1.2, 1.2)
    found = radial_transforms.soft(r, scale)
    np.testing.assert_allclose(found, [0.9, 6.0], atol=2e-3)
    middle = 0.5 * (0.75 + 4.0 / 3.0) * 1.2
    half = radial_transforms.soft(distances(middle), distances(1.2))
    np.testing.assert_allclose(half, 0.5 * (0.9 + middle))


@pytest.mark.parametrize("name", ["agnesi", "soft"])
def test_three_derivatives_are_finite_at_distance_zero(name):
    def derivative(r):
        return getattr(radial_transforms, name)(r, jnp.ones_like(r))

    for _ in range(3):
        derivative = jax.grad(derivative)
        assert np.isfinite(jax.vmap(derivative)(distances(0.0, 1e-9))).all()


@pytest.mark.parametrize("name", ["agnesi", "soft"])
def test_distances_in_units_of_the_scale_decide(name):
    transform = getattr(radial_transforms, name)
    one = transform(distances(1.0, 2.0), distances(0.8, 0.8))
    doubled = transform(distances(2.0, 4.0), distances(1.6, 1.6))
    factor = 1.0 if name == "agnesi" else 2.0
    np.testing.assert_allclose(doubled, factor * np.asarray(one), rtol=1e-13)
