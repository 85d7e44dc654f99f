"""Muon: momenta of matrices are made orthogonal, so that all of their directions advance alike.

Reference: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
"""

from collections.abc import Hashable

import jax
import jax.numpy as jnp
import optax

from equipot.training import matrices
from equipot.typing import Array, Float, PyTree

_MOMENTUM = 0.95
_SIZE = 0.4  # of the entries of an update, root mean square: Adam's have it with noisy gradients
_STEPS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)


def scale_by_muon(b1: float, b2: float) -> optax.GradientTransformation:
    """Returns Muon for matrices, and Adam for vectors and what is hardly wider than one.

    The momentum M ← G + β M of a matrix, looked ahead (G + β M), becomes 0.4 √max(m, n) U Vᵀ,
    where U S Vᵀ is its singular value decomposition: entries of the size that Adam's have, so that
    both share a learning rate. The last two axes of a leaf are its matrix, axes before them number
    matrices. A matrix whose gradient is zero stays where it is: that of an element that the batch
    lacks would otherwise go on at full speed along what is left of its momentum.

    Args:
      b1: Decay of Adam's mean.
      b2: Decay of Adam's mean square.
    """
    momentum = optax.chain(
        optax.trace(_MOMENTUM, nesterov=True), optax.stateless(lambda u, _: orthogonal(u))
    )

    def update(
        updates: PyTree, state: optax.OptState, params: PyTree | None = None
    ) -> tuple[PyTree, optax.OptState]:
        steps, state = momentum.update(updates, state, params)
        return jax.tree.map(_where_seen, steps, updates), state

    parts: dict[Hashable, optax.GradientTransformation] = {
        "matrix": optax.GradientTransformation(momentum.init, update),
        "other": optax.scale_by_adam(b1, b2),
    }
    return optax.partition(parts, matrices.kinds)


def _where_seen(
    update: Float[Array, "*matrices m n"], gradient: Float[Array, "*matrices m n"]
) -> Float[Array, "*matrices m n"]:
    """Zero for each matrix that has no gradient."""
    return jnp.where(jnp.any(gradient != 0, axis=(-2, -1), keepdims=True), update, 0)


def orthogonal(momenta: PyTree) -> PyTree:
    """Replaces every matrix by 0.4 √max(m, n) times its orthogonal factor U Vᵀ, nearly.

    Matrices of one shape are computed together.
    """
    leaves, structure = jax.tree.flatten(momenta)
    factors = {
        shape: _SIZE * max(shape) ** 0.5 * _orthogonal_factor(group)
        for shape, group in matrices.stacked(leaves).items()
    }
    return jax.tree.unflatten(structure, matrices.unstacked(factors, leaves))


def _orthogonal_factor(x: Float[Array, "matrices m n"]) -> Float[Array, "matrices m n"]:
    """U Vᵀ with singular values between 0.7 and 1.2 instead of one; zero for a zero matrix.

    X ← a X + (b A + c A²) X with A = X Xᵀ, from X of unit Frobenius norm: a polynomial in the
    singular values that drives them near to one from anywhere between zero and one.
    """
    if x.shape[1] > x.shape[2]:
        return jnp.swapaxes(_orthogonal_factor(jnp.swapaxes(x, 1, 2)), 1, 2)
    a, b, c = _QUINTIC
    largest = jnp.max(jnp.abs(x), axis=(1, 2), keepdims=True)
    x = x / jnp.where(largest == 0, 1, largest)  # squares of tiny entries would vanish
    size = jnp.sqrt(jnp.sum(x * x, axis=(1, 2), keepdims=True))
    x = x / jnp.where(size == 0, 1, size)
    for _ in range(_STEPS):
        square = x @ jnp.swapaxes(x, 1, 2)
        x = a * x + (b * square + c * (square @ square)) @ x
    return x
