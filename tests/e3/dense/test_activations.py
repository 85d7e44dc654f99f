"""Activations that gate all irreps by the even scalars."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot.e3 import dense
from equipot.e3.functions import activations

ORDINARY = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "relu6": jax.nn.relu6,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "swish": jax.nn.swish,
    "hard_silu": jax.nn.hard_silu,
    "hard_swish": jax.nn.hard_swish,
    "hard_tanh": jax.nn.hard_tanh,
    "mish": jax.nn.mish,
    "serf": lambda x: x * jax.lax.erf(jax.nn.softplus(x)),
    "shifted_softplus": activations.shifted_softplus,
    "soft_sign": jax.nn.soft_sign,
    "bent_identity": lambda x: (jnp.sqrt(x**2 + 1.0) - 1.0) / 2.0 + x,
}
VALUES = np.concatenate([np.linspace(-8.0, 8.0, 65), [0.099, -0.099, 0.2, -0.2, 1e-3, -1e-12]])


@pytest.mark.parametrize("name", ORDINARY)
def test_scalars_alone_pass_through_the_ordinary_function_bit_for_bit(name):
    x = jnp.asarray(VALUES, jnp.float32)[None, None]
    ours, theirs = getattr(dense, name)(x), ORDINARY[name](x)
    if name in ("serf", "bent_identity"):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    else:
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ORDINARY)
def test_all_irreps_are_multiplied_by_what_multiplies_the_even_scalars(name):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.normal(size=(2, 4, len(VALUES)))).at[0, 0].set(VALUES)
        y, x = np.asarray(jax.jit(getattr(dense, name))(x)), np.asarray(x)
        np.testing.assert_allclose(y[0, 0], ORDINARY[name](jnp.asarray(VALUES)), atol=1e-13)
        known = np.abs(VALUES) > 1e-6
        gate = y[0, 0, known] / VALUES[known]
        np.testing.assert_allclose(y[..., known], gate * x[..., known], rtol=1e-9, atol=1e-12)


def test_gates_and_their_derivatives_are_finite_at_zero_and_next_to_it():
    def total(x):
        return sum(jnp.sum(getattr(dense, name)(x) ** 2) for name in ORDINARY)

    with jax.enable_x64(True):
        scalars = jnp.asarray([0.0, 1e-300, -1e-300, 1e-20, -1e-20, 1e-9, -1e-9])
        x = jnp.ones((1, 4, 7)).at[0, 0].set(scalars)
        derivatives = jax.jit(lambda x: jax.jvp(jax.grad(total), (x,), (jnp.ones_like(x),)))
        first, second = derivatives(x)
        assert np.abs(first).max() < 1e3 and np.abs(second).max() < 1e3


def test_relu_opens_only_for_positive_scalars():
    x = jnp.ones((2, 4, 3), jnp.float32).at[0, 0].set(jnp.asarray([-1.0, 0.0, 2.0]))
    np.testing.assert_array_equal(dense.relu(x)[1, 1:], [[0.0, 0.0, 1.0]] * 3)


def test_parameters_of_functions_are_passed_on():
    with jax.enable_x64(True):
        x = jnp.asarray([[[-1.5, 2.0]], [[1.0, 1.0]]])
        for name, settings in (
            ("elu", {"alpha": 0.5}),
            ("celu", {"alpha": 0.5}),
            ("leaky_relu", {"negative_slope": 0.3}),
            ("gelu", {"approximate": False}),
        ):
            y, expected = (
                jax.jit(functools.partial(getattr(dense, name), **settings))(x),
                getattr(jax.nn, name)(x[0], **settings),
            )
            np.testing.assert_allclose(y[0], expected, rtol=1e-13)


def test_activations_commute_with_rotations_and_reflection():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2, 16, 3)))
        d = jax.jit(lambda: dense.wigner_d(dense.rotation(np.array([1.0, -2.0, 0.5]), 0.7), 3))()
        turn = jax.jit(lambda x, d: dense.reflect(dense.rotate(x, d)))
        for act in map(jax.jit, (dense.silu, dense.shifted_softplus)):
            np.testing.assert_allclose(act(turn(x, d)), turn(act(x), d), atol=1e-13)


def test_activations_keep_the_precision():
    with jax.enable_x64(True):
        for name in ORDINARY:
            y = jax.eval_shape(getattr(dense, name), jnp.ones((2, 1, 1), jnp.float32))
            assert y.dtype == jnp.float32
