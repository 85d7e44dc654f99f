import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3
from equipot.e3.functions import activations
from equipot.testing import rotation_matrix


@pytest.mark.parametrize(
    ("function", "constant"),
    [
        (jax.nn.silu, 1.676532),
        (jnp.tanh, 1.592537),
        (jax.nn.sigmoid, 1.846229),
        (e3.shifted_softplus, 1.875596),
        (functools.partial(jax.nn.gelu, approximate=False), 1.533530),
        (e3.soft_odd, 1.191369),
        (jax.nn.relu, 2**0.5),
    ],
)
def test_frozen_moment_constants(function, constant):
    moment = activations.second_moment(function)
    np.testing.assert_allclose(moment**-0.5, constant, atol=1e-6)
    x = np.array([0.7, -1.2], np.float32)
    normalized, plain = jax.jit(lambda x: (e3.normalize_function(function)(x), function(x)))(x)
    np.testing.assert_allclose(normalized, constant * np.asarray(plain), rtol=1e-5)


def test_normalised_functions_are_cached_and_made_while_tracing():
    assert e3.normalize_function(jnp.sin) is e3.normalize_function(jnp.sin)
    value = jax.jit(lambda x: e3.normalize_function(lambda z: z**3)(x))(2.0)
    np.testing.assert_allclose(value, 8 / 15**0.5, rtol=1e-6)


def test_functions_without_a_second_moment_are_refused():
    with pytest.raises(ValueError, match="second moment"):
        e3.normalize_function(lambda x: 0.0 * x)


@pytest.mark.parametrize(
    ("function", "parity"), [(jnp.cos, 1), (jnp.tanh, -1), (e3.soft_odd, -1), (jax.nn.silu, 0)]
)
def test_parity_of_functions_is_recognised(function, parity):
    assert activations.parity_of(function) == parity


def test_frozen_gate():
    x = e3.IrrepsArray("2x0e + 0o + 0e + 1o", jnp.array([0.5, -0.5, 0.3, 0.7, 1.0, 2.0, 3.0]))
    y = jax.jit(e3.gate)(x)
    assert y.irreps == "2x0e+0o+1o"
    expected = [0.5302, -0.2366, 0.0308, 1.2336, 2.4673, 3.7009]
    np.testing.assert_allclose(y.array, expected, atol=1e-4)


def test_odd_gates_turn_the_parity_of_what_they_multiply():
    x = e3.ones("2x0e + 0o + 1o")
    assert jax.eval_shape(e3.gate, x).irreps == "2x0e+1e"
    assert jax.eval_shape(e3.gate, e3.ones("3x0e")).irreps == "3x0e"
    with pytest.raises(ValueError, match="at least one scalar"):
        e3.gate(e3.ones("0e + 2x1o"))


def test_gates_commute_with_rotations_and_inversion():
    rng = np.random.default_rng(0)
    irreps = e3.Irreps("3x0e + 2x0o + 1o + 2e + 1e")
    x = e3.IrrepsArray(irreps, jnp.asarray(rng.normal(size=(3, irreps.dim)), jnp.float32))

    @jax.jit
    def both_sides(element):
        return e3.gate(x.transform_by_matrix(element)), e3.gate(x).transform_by_matrix(element)

    for element in (rotation_matrix(0), -rotation_matrix(1)):
        moved, expected = both_sides(element)
        np.testing.assert_allclose(moved.array, expected.array, atol=1e-5)


def test_gates_without_normalisation_are_plain():
    x = e3.IrrepsArray("2x0e + 1o", jnp.array([0.5, 0.7, 1.0, 2.0, 3.0]))
    y = jax.jit(lambda x: e3.gate(x, even_act=jax.nn.silu, normalize_act=False))(x)
    expected = [0.5 / (1 + np.exp(-0.5)), *(np.arange(1.0, 4.0) / (1 + np.exp(-0.7)))]
    np.testing.assert_allclose(y.array, expected, rtol=1e-6)


def test_scalar_activations_follow_parity():
    x = e3.IrrepsArray("2x0e + 0o + 1o", jnp.array([0.5, -0.5, 0.3, 1.0, 2.0, 3.0]))
    y = jax.jit(lambda x: e3.scalar_activation(x, [jnp.cos, jnp.sin, None]))(x)
    assert y.irreps == "2x0e+0o+1o"
    expected = [1.164772, 1.164772, 0.449447, 1, 2, 3]
    np.testing.assert_allclose(y.array, expected, atol=1e-5)
    turned = jax.eval_shape(lambda x: e3.scalar_activation(x, [None, jnp.cos, None]), x)
    assert turned.irreps == "2x0e+0e+1o"
    with pytest.raises(ValueError, match="neither"):
        e3.scalar_activation(x, [None, jnp.exp, None])
    with pytest.raises(ValueError, match="gate them"):
        e3.scalar_activation(x, [None, None, jnp.tanh])
    with pytest.raises(ValueError, match="3 functions"):
        e3.scalar_activation(x, [None])


def test_known_zeros_stay_zero_where_the_function_keeps_them():
    x = e3.zeros("0e + 0o", (2,))
    assert e3.scalar_activation(x).zero_flags == (True, True)
    shifted = e3.scalar_activation(x, [jnp.cos, None], normalize_act=False)
    assert shifted.zero_flags == (False, True)
    np.testing.assert_array_equal(shifted.array, [[1, 0], [1, 0]])


def test_norm_activations_scale_by_a_function_of_the_length():
    x = e3.IrrepsArray("1o + 0e", jnp.array([0.0, 1.0, 2.0, 3.0]))

    @jax.jit
    def both(x, zero):
        gradient = jax.grad(lambda x: jnp.sum(e3.norm_activation(x, [jnp.tanh]).array))
        return e3.norm_activation(x, [jnp.tanh, None]), gradient(zero)

    y, slope = both(x, e3.zeros("1o"))
    np.testing.assert_allclose(y.array, [0, 0.859387, 1.718774, 3], atol=1e-5)
    assert np.all(np.isfinite(slope.array))
    with pytest.raises(ValueError, match="2 functions"):
        e3.norm_activation(x, [None])


def test_norm_activations_may_use_the_length_itself():
    x = e3.IrrepsArray("1o", jnp.array([1.0, 1.0, 2.0]))
    y = jax.jit(lambda x: e3.norm_activation(x, [jnp.tanh], normalization="norm"))(x)
    np.testing.assert_allclose(y.array, np.tanh(6**0.5) * np.array([1.0, 1.0, 2.0]), rtol=1e-6)
    with pytest.raises(ValueError, match="component or norm"):
        e3.norm_activation(x, [None], normalization="path")


def test_soft_normalisation_bounds_lengths_and_leaves_short_ones():
    short, zero = np.array([0.1, 0.0, 0.1, 1e-3], np.float32), np.zeros(6, np.float32)

    @jax.jit
    def functions():
        def jacobian(a):
            return e3.soft_normalization(e3.IrrepsArray("0e + 2e", a), 1.0).array

        inputs = [e3.IrrepsArray("0e + 1o", a) for a in (jnp.array([3.0, 0.0, 5.0, 1e-3]), short)]
        inputs.append(1e4 * e3.ones("1o + 2e"))
        outputs = [e3.soft_normalization(x, 2.0).array for x in inputs]
        return *outputs, jax.jacrev(jacobian)(zero)

    y, kept, long, slope = functions()
    np.testing.assert_allclose(y, [1.6948, 0, 2.9037, 0.0006], atol=5e-5)
    np.testing.assert_allclose(kept, short, rtol=1e-6)
    np.testing.assert_allclose(long, 2.0, rtol=1e-4)
    np.testing.assert_allclose(slope, np.eye(6), atol=1e-6)
    with pytest.raises(ValueError, match="positive max_component"):
        e3.soft_normalization(e3.zeros("0e"), 0.0)


def test_precision_of_the_input_is_kept():
    with jax.enable_x64(True):
        x = e3.ones("2x0e + 0o + 1o", (2,), jnp.float32)
        assert jax.eval_shape(e3.gate, x).dtype == jnp.float32


@pytest.mark.parametrize("function", activations.VANISHING_AT_ZERO.values())
def test_functions_said_to_vanish_at_zero_do(function):
    assert function(jnp.zeros(())) == 0


def test_irreps_alone_give_the_irreps_of_the_result():
    assert e3.gate("3x0e + 0o + 2x1o") == "2x0e + 1o + 1e"
    assert e3.gate(e3.Irreps("4x0e + 2x1o"), even_act=jnp.tanh) == "2x0e + 2x1o"
    assert e3.scalar_activation("2x0e + 0o + 1o", [jnp.tanh, jnp.cos, None]) == "2x0e + 0e + 1o"
    with pytest.raises(ValueError, match="at least one scalar for each irrep"):
        e3.gate("0e + 2x1o")
