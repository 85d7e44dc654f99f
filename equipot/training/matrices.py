"""Which parameters are matrices to an optimizer, and those of one shape put together.

The last two axes of a leaf are its matrix, axes before them number matrices.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from equipot.typing import Array, Float, PyTree

_LEAST_WIDTH = 4
_EMBEDDINGS = (
    "embedding",
    "centre",
    "neighbor",
    "of_species",
    "source",
    "target",
)  # parameters of models, [species, channels]

Shape: TypeAlias = tuple[int, ...]
Kind: TypeAlias = Literal["matrix", "other"]


def kinds(params: PyTree) -> PyTree:
    """Says of each leaf whether it is a "matrix" or "other".

    Tables beside the model, [heads, species], are no matrices. Readouts to one number count as
    vectors, and so do the rows of embeddings, one per species: treated as one matrix, rows of
    species that a batch lacks would move with those of the others.
    """
    others = jax.tree.map(lambda _: "other", params)
    return {**others, "model": jax.tree_util.tree_map_with_path(_kind, params["model"])}


def wide_kinds(params: PyTree) -> PyTree:
    """As ``kinds``, but all of the model's leaves of two axes and more are matrices."""
    others = jax.tree.map(lambda _: "other", params)
    model = jax.tree.map(lambda leaf: "matrix" if leaf.ndim >= 2 else "other", params["model"])
    return {**others, "model": model}


def _kind(path: tuple[Any, ...], leaf: Array) -> Kind:
    matrix = leaf.ndim >= 2 and min(leaf.shape[-2:]) >= _LEAST_WIDTH
    return "matrix" if matrix and path[-1].key not in _EMBEDDINGS else "other"


def stacked(leaves: Sequence[Array]) -> dict[Shape, Float[Array, "matrices m n"]]:
    """All matrices of each shape, one leaf after another: there are many, and they are small."""
    shapes = dict.fromkeys(leaf.shape[-2:] for leaf in leaves)
    return {
        shape: jnp.concatenate(
            [leaf.reshape(-1, *shape) for leaf in leaves if leaf.shape[-2:] == shape]
        )
        for shape in shapes
    }


def unstacked(
    groups: dict[Shape, Float[Array, "matrices m n"]], leaves: Sequence[Array]
) -> list[Array]:
    """The inverse of ``stacked``, with leaves of the shapes of ``leaves``."""
    begun, results = dict.fromkeys(groups, 0), []
    for leaf in leaves:
        shape = leaf.shape[-2:]
        count = leaf.size // (shape[0] * shape[1])
        part = groups[shape][begun[shape] : begun[shape] + count]
        results.append(part.reshape(leaf.shape))
        begun[shape] += count
    return results
