"""SOAP: Adam in the eigenbases of Shampoo's preconditioners.

Reference: Vyas et al. 2024, algorithm 3, and their program for what that leaves open.
arXiv:2409.11321
"""

import functools
from collections.abc import Hashable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from equipot.training import matrices
from equipot.training.config import SoapConfig
from equipot.typing import Array, Bool, Float, Int, PyTree

_PRECISION = jax.lax.Precision.HIGHEST  # of bases that are to stay orthogonal on accelerators


class Basis(NamedTuple):
    """One side of the matrices of one shape.

    Attributes:
      moment: Moving average of G Gᵀ, or of Gᵀ G on the right, [matrices, d, d].
      vectors: Its eigenvectors, nearly, as columns, [matrices, d, d].
    """

    moment: Float[Array, "matrices d d"]
    vectors: Float[Array, "matrices d d"]


Side: TypeAlias = Basis | optax.MaskedNode
"""A basis, or none."""


class Group(NamedTuple):
    """State of the matrices of one shape.

    Attributes:
      count: Gradients that each matrix has had, [matrices].
      mean: Moving average of the gradients, [matrices, m, n].
      square: Moving average of their squares in the bases, [matrices, m, n].
      left: Basis of the rows; none where there are too many.
      right: Basis of the columns; none where there are too many.
    """

    count: Int[Array, " matrices"]
    mean: Float[Array, "matrices m n"]
    square: Float[Array, "matrices m n"]
    left: Side
    right: Side


class SoapState(NamedTuple):
    """State of all matrices.

    Attributes:
      step: Updates so far, [].
      groups: By shape, as in "8x16".
    """

    step: Int[Array, ""]
    groups: dict[str, Group]


def scale_by_soap(config: SoapConfig) -> optax.GradientTransformation:
    """Returns SOAP for matrices and Adam, with the same decays, for the rest.

    Gradients G of a matrix and their average M, in the bases of the eigenvectors of the moving
    averages L of G Gᵀ and R of Gᵀ G,

        G' = Qₗᵀ G Qᵣ,   V ← β₂ V + (1 − β₂) G'²,   ΔW = Qₗ (Qₗᵀ M Qᵣ / (√V + ε)) Qᵣᵀ,

    with Adam's corrections of M and V for their start. L and R take the gradient after the update.
    The first gradient of a matrix changes it by nothing: L and R begin with it, and Qₗ and Qᵣ are
    found exactly. Later, after every ``precondition_every`` updates, one step of power iteration
    and a QR decomposition turn them, columns in the order of falling eigenvalues. A side of more
    than ``max_dimension`` has no basis.

    A matrix whose gradient is zero, that of an element that the batch lacks, or not finite stays as
    it is, and so does its state.
    """
    parts: dict[Hashable, optax.GradientTransformation] = {
        "matrix": _for_matrices(config),
        "other": optax.scale_by_adam(*config.betas, eps=config.eps),
    }
    chosen = matrices.kinds if config.acts_on == "matrices" else matrices.wide_kinds
    return optax.partition(parts, chosen)


def _for_matrices(config: SoapConfig) -> optax.GradientTransformation:
    """SOAP, where every leaf is made of matrices."""

    def init(params: PyTree) -> SoapState:
        groups = matrices.stacked(jax.tree.leaves(params))
        begun = {_name(shape): _begin(group, config) for shape, group in groups.items()}
        return SoapState(step=jnp.zeros((), jnp.int32), groups=begun)

    def update(
        updates: PyTree, state: PyTree, params: PyTree | None = None
    ) -> tuple[PyTree, SoapState]:
        leaves, structure = jax.tree.flatten(updates)
        is_time = (state.step > 0) & (state.step % config.precondition_every == 0)
        changes, groups = {}, {}
        for shape, gradients in matrices.stacked(leaves).items():
            name = _name(shape)
            changes[shape], groups[name] = _advance(state.groups[name], gradients, is_time, config)
        changed = jax.tree.unflatten(structure, matrices.unstacked(changes, leaves))
        return changed, SoapState(step=state.step + 1, groups=groups)

    return optax.GradientTransformation(init, update)


def _name(shape: matrices.Shape) -> str:
    return f"{shape[0]}x{shape[1]}"


def _begin(group: Float[Array, "matrices m n"], config: SoapConfig) -> Group:
    """The state before the first gradient."""
    count, m, n = group.shape

    def basis(size: int) -> Side:
        if size > config.max_dimension:
            return optax.MaskedNode()
        moment = jnp.zeros((count, size, size), group.dtype)
        return Basis(moment, moment + jnp.eye(size, dtype=group.dtype)[None])

    return Group(
        count=jnp.zeros(count, jnp.int32),
        mean=jnp.zeros_like(group),
        square=jnp.zeros_like(group),
        left=basis(m),
        right=basis(n),
    )


def _advance(
    state: Group,
    gradients: Float[Array, "matrices m n"],
    is_time: Bool[Array, ""],
    config: SoapConfig,
) -> tuple[Float[Array, "matrices m n"], Group]:
    """One update of the matrices of one shape; ``is_time`` to turn their bases."""
    (b1, b2), g = config.betas, gradients
    seen = jnp.all(jnp.isfinite(g), axis=(1, 2)) & jnp.any(g != 0, axis=(1, 2))
    is_first = seen & (state.count == 0)
    seen_, moves = seen[:, None, None], (seen & ~is_first)[:, None, None]
    g = jnp.where(seen_, g, 0)

    mean = jnp.where(moves, b1 * state.mean + (1 - b1) * g, state.mean)
    rotated = _rotated(state, g)
    square = jnp.where(moves, b2 * state.square + (1 - b2) * rotated**2, state.square)
    count = state.count + seen
    t = jnp.maximum(count - 1, 1).astype(g.dtype)[:, None, None]
    size = jnp.sqrt(square / (1 - b2**t)) + config.eps
    change = _rotated(state, _rotated(state, mean / (1 - b1**t)) / size, back=True)

    left = _averaged(state.left, _product(g, _transposed(g)), seen_, config)
    right = _averaged(state.right, _product(_transposed(g), g), seen_, config)
    left, right, square = jax.lax.cond(is_time, _turned, _same, left, right, square)
    left, right, square = jax.lax.cond(
        jnp.any(is_first), functools.partial(_found, is_first), _same, left, right, square
    )
    return jnp.where(moves, change, 0), Group(count, mean, square, left, right)


def _product(a: Float[Array, "matrices m k"], b: Float[Array, "matrices k n"]) -> Array:
    return jnp.matmul(a, b, precision=_PRECISION)


def _transposed(x: Float[Array, "matrices m n"]) -> Float[Array, "matrices n m"]:
    return jnp.swapaxes(x, 1, 2)


def _rotated(
    state: Group, x: Float[Array, "matrices m n"], back: bool = False
) -> Float[Array, "matrices m n"]:
    """Qₗᵀ X Qᵣ, or Qₗ X Qᵣᵀ ``back``; without a basis there is nothing to do on that side."""
    if isinstance(state.left, Basis):
        q = state.left.vectors
        x = _product(q if back else _transposed(q), x)
    if isinstance(state.right, Basis):
        q = state.right.vectors
        x = _product(x, _transposed(q) if back else q)
    return x


def _averaged(
    basis: Side, moment: Float[Array, "matrices d d"], seen: Array, config: SoapConfig
) -> Side:
    """With the moment of one more gradient, where it is seen."""
    if not isinstance(basis, Basis):
        return basis
    keep = config.shampoo_beta
    new = jnp.where(seen, keep * basis.moment + (1 - keep) * moment, basis.moment)
    return basis._replace(moment=new)


def _same(left: Side, right: Side, square: Array) -> tuple[Side, Side, Array]:
    return left, right, square


def _turned(left: Side, right: Side, square: Array) -> tuple[Side, Side, Array]:
    """After one step of power iteration; squares follow the order of the columns."""
    if isinstance(left, Basis):
        left, order = _iterated(left)
        square = jnp.take_along_axis(square, order[:, :, None], axis=1)
    if isinstance(right, Basis):
        right, order = _iterated(right)
        square = jnp.take_along_axis(square, order[:, None, :], axis=2)
    return left, right, square


def _iterated(basis: Basis) -> tuple[Basis, Int[Array, "matrices d"]]:
    """The basis after a step of power iteration, and which columns its own were before."""
    largest = jnp.max(jnp.abs(basis.moment), axis=(1, 2), keepdims=True)
    moment = basis.moment / jnp.where(largest == 0, 1, largest)
    moved = _product(moment, basis.vectors)
    order = jnp.argsort(jnp.sum(basis.vectors * moved, axis=1), axis=1, descending=True)
    vectors, _ = jnp.linalg.qr(jnp.take_along_axis(moved, order[:, None, :], axis=2))
    return basis._replace(vectors=vectors), order


def _found(
    which: Bool[Array, " matrices"], left: Side, right: Side, square: Array
) -> tuple[Side, Side, Array]:
    """With the eigenvectors of some matrices, largest eigenvalue first."""

    def eigenvectors(basis: Side) -> Side:
        if not isinstance(basis, Basis):
            return basis
        _, vectors = jnp.linalg.eigh(basis.moment)
        new = jnp.where(which[:, None, None], vectors[:, :, ::-1], basis.vectors)
        return basis._replace(vectors=new)

    return eigenvectors(left), eigenvectors(right), square
