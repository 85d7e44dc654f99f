"""Inputs and weights for tests of layers, from NumPy, and their equivariance by one program."""

import jax
import jax.numpy as jnp
import numpy as np

from equipot import e3
from equipot.testing import equivariance


def random_array(irreps, lead=(), seed=0, dtype="float32"):
    irreps = e3.Irreps(irreps)
    data = np.random.default_rng(seed).normal(size=(*lead, irreps.dim))
    return e3.IrrepsArray(irreps, jnp.asarray(data, dtype))


def random_weights(instructions, lead=(), seed=1, dtype="float32"):
    """One array for each path that has weights."""
    rng = np.random.default_rng(seed)
    weighted = [item for item in instructions if getattr(item, "has_weight", True)]
    return [jnp.asarray(rng.normal(size=(*lead, *item.path_shape)), dtype) for item in weighted]


def random_variables(layer, *inputs, seed=1):
    """Parameters of a flax layer, standard normal all of them, without compiling its ``init``."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), shapes)


def shapes(layer, *inputs):
    """Shapes of the parameters of a flax layer, by name."""
    variables = jax.eval_shape(layer.init, jax.random.key(0), *inputs)
    return jax.tree.map(jnp.shape, variables["params"])


def assert_equivariant(function, *arguments, tolerance=1e-12):
    """Checks f(g x) = g f(x) for a rotation, the inversion and both, and that no output is zero."""

    @jax.jit
    def both(matrix, arguments):
        moved = function(*equivariance.transform(arguments, matrix))
        return moved, equivariance.transform(function(*arguments), matrix)

    dtype = jax.tree.leaves(arguments)[0].dtype
    rotation = equivariance.rotation_matrix(0)
    for matrix in (rotation, -np.eye(3), -rotation):
        sides = map(jax.tree.leaves, both(jnp.asarray(matrix, dtype), arguments))
        for actual, expected in zip(*sides, strict=True):
            assert np.all(np.any(np.reshape(expected, (-1, expected.shape[-1])) != 0, axis=0))
            scale = np.max(np.abs(expected))
            np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)
