"""Dense features from and to an ``IrrepsArray``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3 import dense


def known_rotation():
    """A row-vector rotation matrix."""
    return dense.rotation(np.array([1.0, -2.0, 0.5]), 0.7)


@pytest.mark.parametrize("num_parity", [1, 2])
@pytest.mark.parametrize("cartesian_order", [True, False])
def test_there_and_back_is_nothing_and_commutes_with_rotations_and_inversion(
    num_parity, cartesian_order
):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, num_parity, 16, 2)))
        convert = jax.jit(dense.to_irreps_array, static_argnums=1)
        irreps = convert(x, cartesian_order)
        one, two = "2x0e+2x1o+2x2e+2x3o", "2x0e+2x0o+2x1o+2x1e+2x2e+2x2o+2x3o+2x3e"
        assert irreps.irreps == (one if num_parity == 1 else two)
        back = jax.jit(lambda x: dense.from_irreps_array(x, None, cartesian_order))(irreps)
        np.testing.assert_allclose(back, x, atol=1e-14)
        rot = known_rotation()
        d = jax.jit(dense.wigner_d, static_argnums=(1, 2))(rot, 3, cartesian_order)
        turned = jax.jit(lambda x, d: dense.reflect(dense.rotate(x, d)))(x, d)
        expected = jax.jit(lambda x, rot: x.transform_by_matrix(-rot.T))(irreps, rot)
        ours = convert(turned, cartesian_order)
        np.testing.assert_allclose(ours.array, expected.array, atol=1e-13)


def test_vectors_stay_vectors():
    v = np.array([[1.0, 2.0, 3.0]])
    x = dense.from_irreps_array(e3.IrrepsArray("1o", jnp.asarray(v)))
    np.testing.assert_allclose(x[0, 0, :, 0], [0.0, 1.0, 2.0, 3.0])
    with jax.enable_x64(True):
        harmonics = e3.spherical_harmonics([0, 1, 2, 3], e3.IrrepsArray("1o", v), True, "norm")
        ours = dense.from_irreps_array(harmonics)[0, 0, :, 0]
        np.testing.assert_allclose(ours, dense.spherical_harmonics(v[0], 3), atol=1e-14)


def test_products_on_both_sides_agree():
    with jax.enable_x64(True):
        u, v = np.random.default_rng(0).normal(size=(2, 2, 3))
        irreps = [e3.IrrepsArray("1o", w[0]) for w in (u, v)]
        product = jax.jit(e3.tensor_product)(*irreps)
        x, y = (jax.jit(dense.from_irreps_array, static_argnums=1)(w, True) for w in irreps)
        kernel = np.ones((2, 2, 2, 2, 2, 3, 1))
        z = jax.jit(dense.Tensor(max_degree=2).apply)({"params": {"kernel": kernel}}, x, y)
        np.testing.assert_allclose(
            dense.to_irreps_array(z).filter(keep="0e + 1e + 2e").array, product.array, atol=1e-14
        )


def test_lacking_irreps_are_zero_and_pseudotensors_make_two_parities():
    x = e3.IrrepsArray("2x0e + 2x2o", jnp.arange(12.0))
    features = dense.from_irreps_array(x)
    assert features.shape == (2, 9, 2)
    np.testing.assert_array_equal(features[0, 0], [0.0, 1.0])
    assert np.sum(np.asarray(features[0, 1:]) != 0) == 0
    np.testing.assert_array_equal(features[1, :4], np.zeros((4, 2)))
    proper = dense.from_irreps_array(x["2x0e"])
    assert proper.shape == (1, 1, 2)
    assert dense.from_irreps_array(x["2x0e"], include_pseudotensors=True).shape == (2, 1, 2)


def test_unequal_multiplicities_and_unwanted_pseudotensors_are_refused():
    with pytest.raises(ValueError, match=r"one multiplicity, received 1x0e\+2x1o"):
        dense.from_irreps_array(e3.zeros("0e + 2x1o"))
    with pytest.raises(ValueError, match=r"expected no pseudotensors, received 1e in 1x0e\+1x1e"):
        dense.from_irreps_array(e3.zeros("0e + 1e"), include_pseudotensors=False)
    with pytest.raises(ValueError, match="components on axis -2, received 3"):
        dense.to_irreps_array(jnp.zeros((1, 3, 2)))


def test_irreps_of_whole_numbers_become_real_ones():
    x = e3.IrrepsArray("2x1o+2x2e", jnp.arange(16))
    real = x.astype(jnp.float32)
    np.testing.assert_array_equal(dense.from_irreps_array(x), dense.from_irreps_array(real))
