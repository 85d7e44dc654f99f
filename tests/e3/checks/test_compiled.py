import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equipot import e3

pytestmark = pytest.mark.usefixtures("optimized")


def exponentials(function, *args):
    return e3.jit_code(function, *args).count(" exponential(")


def test_unused_values_are_not_computed():
    def f(x):
        jnp.exp(x)
        return x + 1

    assert exponentials(f, 1.0) == 0


def test_equal_expressions_are_computed_once():
    assert exponentials(lambda x: jnp.exp(x) + jnp.exp(x), 1.0) == 1

    def f(x):
        x = jnp.stack([x, x])
        return jnp.sum(jnp.array([g(x[0]), h(x[1])]))

    def g(x):
        return jax.grad(jnp.exp)(1.0 * x)  # not (x + 1) - 1: that differs in floats

    def h(x):
        return jnp.exp(jnp.cos(0.0) * x)

    assert exponentials(f, 1.0) == 1


def test_products_with_zero_chunks_cost_nothing():
    def f(x):
        even = jnp.exp(x)[None]
        y = e3.from_chunks("0e + 1o", [None, jnp.ones((1, 3))], ())
        z = e3.tensor_product(e3.from_chunks("0e + 0o", [even[None], None], ()), y)
        return z["0e"].array  # 0e ⊗ 0e, and the second is known to be zero

    assert exponentials(f, 1.0) == 0


def test_irreps_that_are_not_asked_for_cost_nothing():
    def f(x, asked_for):
        scalars = e3.IrrepsArray("2x0e", jnp.exp(x))
        return e3.tensor_product(scalars, e3.ones("1o"), filter_ir_out=asked_for).array

    vectors = np.array([0.5, 1.0], np.float32)
    assert exponentials(lambda x: f(x, "0e"), vectors) == 0
    assert exponentials(lambda x: f(x, "1o"), vectors) >= 1
    both = e3.IrrepsArray("0e + 1o", np.ones(4, np.float32))
    assert exponentials(lambda x: e3.scalar_activation(x, [jnp.exp, None])["1o"].array, both) == 0
