"""Systems of polynomials are what their terms say, and so are their derivatives of any order."""

import jax
import jax.numpy as jnp
import numpy as np

from equipot import testing
from equipot.e3.kernels import polynomials
from equipot.e3.kernels.polynomials import System, Term, Variable

X, Y, Z = Variable(0, 0, 0), Variable(0, 0, 1), Variable(1, 0, 0)
# (2 x³ − x y z + 1/2, −3 x y) and (z, 0)
SYSTEM = System(
    sizes=((2,), (1,)),
    outputs=(
        ((Term(2.0, (X, X, X)), Term(-1.0, (X, Y, Z)), Term(0.5, ())), (Term(-3.0, (X, Y)),)),
        ((Term(1.0, (Z,)),), ()),
    ),
)


def operands():
    generator = np.random.default_rng(0)
    return (
        (jnp.asarray(generator.standard_normal((4, 2, 3))),),
        (jnp.asarray(generator.standard_normal((4, 1, 3))),),
    )


def by_hand(operands):
    ((xy,), (z,)) = operands
    x, y, z = xy[:, 0], xy[:, 1], z[:, 0]
    first = jnp.stack([2 * x**3 - x * y * z + 0.5, -3 * x * y], axis=1)
    return first, jnp.stack([z, jnp.zeros_like(z)], axis=1)


def test_outputs_are_the_polynomials():
    with jax.enable_x64(True):
        found = polynomials.evaluate(SYSTEM, operands())
        for a, b in zip(found, by_hand(operands()), strict=True):
            testing.assert_close(a, b, testing.F64_EXACT, "value")


def test_derivatives_are_exact_to_the_third_order():
    with jax.enable_x64(True):

        def norm_of_slope(value):
            return lambda point: sum(jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(value)(point)))

        def third(function):
            value = norm_of_slope(lambda point: sum(jnp.sum(out**2) for out in function(point)))
            return jax.jit(jax.grad(norm_of_slope(value)))(operands())

        found = third(lambda point: polynomials.evaluate(SYSTEM, point))
        expected = third(by_hand)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            testing.assert_close(a, b, testing.F64_EXACT, "third derivative")


def test_cotangent_system_holds_the_derivative_of_each_term():
    system = polynomials.cotangent(SYSTEM, 0)
    g, h = Variable(2, 0, 0), Variable(2, 0, 1)
    assert system.sizes == ((2,), (1,), (2, 2))
    ((of_x, of_y),) = system.outputs
    assert of_x == (Term(6.0, (X, X, g)), Term(-1.0, (Y, Z, g)), Term(-3.0, (Y, h)))
    assert of_y == (Term(-1.0, (X, Z, g)), Term(-3.0, (X, h)))


def test_batch_axes_are_mapped_over():
    with jax.enable_x64(True):
        point = operands()
        batched = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), point)
        found = jax.vmap(lambda p: polynomials.evaluate(SYSTEM, p))(batched)
        for a, b in zip(found, by_hand(jax.tree.map(lambda a: 2 * a, point)), strict=True):
            testing.assert_close(a[1], b, testing.F64_EXACT, "second of the batch")
