"""Traceless symmetric tensors and irreps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense


def test_the_tensor_of_harmonics_is_the_traceless_product_of_unit_vectors():
    r = np.array([2.0, -1.0, 2.0]) / 3.0
    with jax.enable_x64(True):
        y = dense.spherical_harmonics(r, 3)
        np.testing.assert_allclose(dense.irreps_to_tensor(y[:1], 0), [1.0])
        np.testing.assert_allclose(dense.irreps_to_tensor(y[1:4], 1), r)
        second = dense.irreps_to_tensor(y[4:9], 2)
        np.testing.assert_allclose(second, np.outer(r, r) - np.eye(3) / 3, atol=1e-14)
        third = dense.irreps_to_tensor(y[9:], 3)
        np.testing.assert_allclose(third[2, 2, 2], r[2] ** 3 - 3 * r[2] / 5)


@pytest.mark.parametrize("degree", range(5))
@pytest.mark.parametrize("cartesian_order", [True, False])
def test_there_and_back_is_nothing(degree, cartesian_order):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2 * degree + 1)))
        for normalization in ("racah", "4pi", "orthonormal"):
            arguments = (degree, cartesian_order, normalization)
            tensor = dense.irreps_to_tensor(x, *arguments)
            assert dense.is_traceless_symmetric(tensor, degree)
            np.testing.assert_allclose(dense.tensor_to_irreps(tensor, *arguments), x, atol=1e-13)


def test_traces_and_antisymmetry_are_seen():
    assert dense.is_traceless_symmetric(np.diag([1.0, 2.0, -3.0]), 2)
    assert not dense.is_traceless_symmetric(np.eye(3), 2)
    assert not dense.is_traceless_symmetric(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 0]]), 2)


def test_whole_numbers_count_as_real_ones():
    """Coefficients in their precision would be cut to whole numbers too."""
    for f, x in ((dense.irreps_to_tensor, [1, 2, 3, 4, 5]), (dense.tensor_to_irreps, np.eye(3))):
        whole, real = np.asarray(x, np.int32), np.asarray(x, np.float32)
        np.testing.assert_array_equal(f(whole, 2), f(real, 2))


def test_tensors_of_the_wrong_rank_are_refused():
    with pytest.raises(ValueError, match=r"rank 2: \(..., 3, 3\), received shape \(3,\)"):
        dense.tensor_to_irreps(jnp.zeros(3), 2)
    with pytest.raises(ValueError, match=r"rank 0: \(..., 1\), received shape \(3,\)"):
        dense.is_traceless_symmetric(np.zeros(3), 0)
    with pytest.raises(ValueError, match=r"degree 2 of shape \(..., 5\), received \(3,\)"):
        dense.irreps_to_tensor(jnp.zeros(3), 2)
    with pytest.raises(ValueError, match="degree of at least 0, received -1"):
        dense.irreps_to_tensor(jnp.zeros(3), -1)
    with pytest.raises(ValueError, match=r"normalisation of .* received 'norm'"):
        dense.tensor_to_irreps(jnp.zeros(3), 1, normalization="norm")
