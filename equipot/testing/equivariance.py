"""Equivariance of a function between features, under rotations and inversion."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps import Irrep
from equipot.testing import tolerances
from equipot.typing import Array


def rotation_matrix(seed: int) -> np.ndarray:
    """A random proper rotation in float64, [3, 3]."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)


def transform(tree: Any, matrix: Array | np.ndarray) -> Any:
    """Applies an orthogonal matrix to all features in a tree of tuples, lists and mappings.

    Features are an ``IrrepsArray``, or a mapping from irreps (or from named tuples with a field
    ``out``, such as paths of a convolution) to arrays ``[..., 2l+1, channels]`` or to sequences of
    2l+1 arrays. Other arrays are taken for invariants.

    Args:
      tree: Features and invariants.
      matrix: Orthogonal, of determinant 1 or −1, [3, 3].
    """
    if hasattr(tree, "transform_by_matrix"):
        return tree.transform_by_matrix(jnp.asarray(matrix, tree.array.dtype))
    if isinstance(tree, Mapping):
        return {key: _transform_entry(key, value, matrix) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(transform(item, matrix) for item in tree)
    return tree


def assert_equivariant(
    function: Callable[..., Any], *arguments: Any, tolerance: float = tolerances.F64, seed: int = 0
) -> None:
    """Checks f(g x) = g f(x) for a rotation, for the inversion, and for both.

    Args:
      function: From features and invariants to a tree of the same kinds.
      arguments: Where to check; see ``transform`` for what is understood.
      tolerance: Relative to the largest output.
      seed: Of the rotation.

    Raises:
      AssertionError: If it is not.
    """
    rotation = rotation_matrix(seed)
    elements = {"a rotation": rotation, "the inversion": -np.eye(3), "a reflection": -rotation}
    output = function(*arguments)
    for name, matrix in elements.items():
        expected = jax.tree.leaves(transform(output, matrix))
        actual = jax.tree.leaves(function(*transform(arguments, matrix)))
        for a, b in zip(actual, expected, strict=True):
            tolerances.assert_close(a, b, tolerance, f"the function commutes with {name}")


def _transform_entry(key: Any, value: Any, matrix: Array | np.ndarray) -> Any:
    irrep = getattr(key, "out", key)
    if not isinstance(irrep, Irrep):
        return transform(value, matrix)
    if isinstance(value, list | tuple):
        d = _representation(irrep, matrix, value[0].dtype)
        return list(jnp.einsum("ij,j...->i...", d, jnp.stack(value)))
    d = _representation(irrep, matrix, value.dtype)
    return jnp.einsum("ij,...jc->...ic", d, value)


def _representation(irrep: Irrep, matrix: Array | np.ndarray, dtype: Any) -> Array:
    return jnp.asarray(irrep.D_from_matrix(jnp.asarray(matrix)), dtype)
