"""Tensor products of dense features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense
from equipot.e3.dense import coupling, so3

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def shape_of_kernel(layer, *inputs):
    return jax.eval_shape(layer.init, KEY, *inputs)["params"]["kernel"].shape


def direct(x, y, kernel, cartesian_order=True):
    """The product by its definition, one dense sum, with parities where they are forbidden too."""
    _, n1, _, n2, _, n3, _ = kernel.shape
    table = so3.clebsch_gordan(n1 - 1, n2 - 1, n3 - 1, cartesian_order)
    weights = np.asarray(kernel) * coupling.path_mask(kernel.shape[:-1])[..., None]
    for axis, n in ((1, n1), (3, n2), (5, n3)):
        weights = np.repeat(weights, 2 * np.arange(n) + 1, axis=axis)
    return np.einsum("...alf,...bmf,albmcnf,lmn->...cnf", x, y, weights, table, optimize=True)


def test_kernels_have_the_printed_shapes():
    one, two = jnp.zeros((1, 4, 8)), jnp.zeros((2, 4, 8))
    assert shape_of_kernel(dense.Tensor(), two, two) == (2, 2, 2, 2, 2, 2, 8)
    assert shape_of_kernel(dense.Tensor(), one, one) == (1, 2, 1, 2, 2, 2, 8)
    proper = dense.Tensor(include_pseudotensors=False)
    assert shape_of_kernel(proper, one, one) == (1, 2, 1, 2, 1, 2, 8)
    assert shape_of_kernel(dense.Tensor(max_degree=0), one, one) == (1, 2, 1, 2, 1, 1, 8)
    assert shape_of_kernel(dense.Tensor(), one, one[:, :1]) == (1, 2, 1, 1, 1, 2, 8)
    assert shape_of_kernel(dense.Tensor(), two, one[:, :1]) == (2, 2, 1, 1, 2, 2, 8)


def test_two_vectors_give_their_dot_and_cross_product_and_a_traceless_tensor():
    with jax.enable_x64(True):
        u, v = np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 2.0])
        x, y = (jnp.zeros((1, 4, 1)).at[0, 1:, 0].set(w) for w in (u, v))
        variables = {"params": {"kernel": jnp.ones((1, 2, 1, 2, 2, 3, 1))}}
        z = dense.Tensor(max_degree=2).apply(variables, x, y)[..., 0]
        np.testing.assert_allclose(z[0, 0], u @ v / np.sqrt(3))
        # Even parity: the cross product is a pseudovector.
        np.testing.assert_allclose(z[0, 1:4], np.cross(u, v) / np.sqrt(2))
        np.testing.assert_allclose(z[0, 4:], [-1.4142, -1.0607, -0.7071, 3.8891, 4.899], atol=6e-5)
        np.testing.assert_array_equal(z[1], np.zeros(9))


@pytest.mark.parametrize("parities", [(1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 2, 1), (2, 2, 2)])
@pytest.mark.parametrize("written_out", [0, 10**6])
def test_both_forms_are_the_sum_over_all_allowed_paths(parities, written_out, monkeypatch):
    monkeypatch.setattr(coupling, "_WRITTEN_OUT", written_out)
    p1, p2, p3 = parities
    with jax.enable_x64(True):
        x, y = normal(2, p1, 9, 2), normal(1, p2, 4, 2, seed=1)
        kernel = normal(p1, 3, p2, 2, p3, 3, 2, seed=2)
        z = jax.jit(lambda *args: coupling.couple(*args, True))(x, y, kernel)
        np.testing.assert_allclose(z, direct(x, y, kernel), atol=1e-13)


@pytest.mark.parametrize("parities", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("layer", ["Tensor", "FusedTensor"])
def test_products_commute_with_rotations_and_reflection(parities, layer):
    with jax.enable_x64(True):
        x, y = normal(2, parities[0], 16, 2), normal(2, parities[1], 4, 2, seed=1)
        module = getattr(dense, layer)(max_degree=3)
        variables = jax.jit(module.init)(KEY, x, y)
        big = jax.jit(lambda: dense.wigner_d(dense.rotation(np.array([1.0, -2.0, 0.5]), 0.7), 3))()
        turn = jax.jit(lambda x, d: dense.reflect(dense.rotate(x, d)))
        both, others = (np.stack([x, turn(x, big)]), np.stack([y, turn(y, big[:4, :4])]))
        z, of_turned = jax.jit(module.apply)(variables, both, others)
        assert z.shape == (2, 2, 16, 2) and np.abs(z).max() > 0.1
        np.testing.assert_allclose(of_turned, turn(z, big), atol=1e-12)


@pytest.mark.parametrize("layer", ["Tensor", "FusedTensor"])
def test_without_pseudotensors_the_proper_tensors_stay_the_same(layer):
    with jax.enable_x64(True):
        x, y = normal(2, 1, 9, 2), normal(2, 1, 9, 2, seed=1)
        wide, narrow = (getattr(dense, layer)(include_pseudotensors=p) for p in (True, False))
        params = jax.jit(wide.init)(KEY, x, y)["params"]
        z = jax.jit(wide.apply)({"params": params}, x, y)
        if layer == "Tensor":
            kernel = params["kernel"]
            natural = [np.asarray(kernel)[..., l % 2, l, :] for l in range(3)]
            params = {"kernel": np.stack(natural, axis=-2)[..., None, :, :]}
        proper = jax.jit(narrow.apply)({"params": params}, x, y)
        expected = dense.change_max_degree_or_type(z, include_pseudotensors=False)
        np.testing.assert_allclose(proper, expected, atol=1e-14)


@pytest.mark.parametrize("layer", ["Tensor", "FusedTensor"])
def test_products_of_random_features_have_unit_variance(layer):
    x, y = normal(4, 2, 9, 4000), normal(4, 2, 9, 4000, seed=1)
    module = getattr(dense, layer)()
    z = jax.jit(lambda x, y: module.init_with_output(KEY, x, y)[0])(x, y)
    np.testing.assert_allclose(np.mean(np.square(z)), 1.0, atol=0.05)


def test_tensor_dense_is_a_product_of_two_linear_maps():
    with jax.enable_x64(True):
        x = normal(3, 2, 4, 4)
        layer = dense.TensorDense(features=2, max_degree=2)
        variables = jax.jit(layer.init)(KEY, x)
        params = variables["params"]
        assert params["dense"]["0+"]["bias"].shape == (4,)
        assert params["tensor"]["kernel"].shape == (2, 2, 2, 2, 2, 3, 2)
        halves = np.asarray(jax.jit(dense.Dense(4).apply)({"params": params["dense"]}, x))
        a, b = halves[..., :2], halves[..., 2:]
        expected = direct(a, b, params["tensor"]["kernel"])
        y = jax.jit(layer.apply)(variables, x)
        np.testing.assert_allclose(y, expected, atol=1e-13)
    fused = dense.TensorDense(use_fused_tensor=True, include_pseudotensors=False)
    shape = jax.eval_shape(fused.init, KEY, jnp.zeros((1, 9, 8)))["params"]["fused_tensor"]
    assert set(shape) == {f"kernel_{n}" for n in "e1 o1 e2 o2 eee eoo oeo ooe".split()}


def test_second_derivatives_are_exact_and_finite_at_zero():
    with jax.enable_x64(True):
        x, kernel = normal(1, 4, 1), normal(1, 2, 1, 2, 2, 3, 1, seed=2)
        energy = lambda x: jnp.sum(coupling.couple(x, x, kernel, True) ** 2)  # noqa: E731
        slope = jax.jit(jax.grad(energy))
        curvature = jax.jit(lambda x: jax.jvp(slope, (x,), (jnp.ones_like(x),))[1])(x)
        step = 1e-5
        difference = (slope(x + step) - slope(x - step)) / (2 * step)
        np.testing.assert_allclose(curvature, difference, rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(slope(jnp.zeros_like(x)), np.zeros(x.shape))


@pytest.mark.parametrize("layer", [dense.Tensor, dense.FusedTensor])
def test_results_have_the_precision_of_inputs_and_parameters(layer):
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            x = jnp.ones((2, 4, 1), dtype)
            z, variables = jax.eval_shape(lambda x: layer().init_with_output(KEY, x, x), x)
            assert {leaf.dtype for leaf in jax.tree.leaves((z, variables))} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("layer", [dense.Tensor, dense.FusedTensor])
def test_impossible_products_are_refused(layer):
    x = jnp.zeros((1, 4, 2))
    with pytest.raises(ValueError, match=r"max_degree from 0 to 2 .* 1 and 1, received 3"):
        layer(max_degree=3).init(KEY, x, x)
    with pytest.raises(ValueError, match="equal numbers of channels to couple, received shapes"):
        layer().init(KEY, x, jnp.zeros((1, 4, 3)))
    with pytest.raises(ValueError, match="expected the second input with 1 or 2 parities"):
        layer().init(KEY, x, jnp.zeros((3, 4, 2)))
