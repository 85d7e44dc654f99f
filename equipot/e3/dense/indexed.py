"""Reductions over the neighbors of each destination, for index lists of either kind.

Lists are those of ``indices``. Destinations without neighbors get 0 from a sum, the largest number
(infinity for floats) from a minimum, the smallest from a maximum; their softmax has no entries.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from equipot.e3.dense import indices
from equipot.typing import Array, Bool, Float


def indexed_sum(inputs: Array, keepdims: bool = False, **index: Any) -> Array:
    """Sums over the neighbors of each destination.

    Args:
      inputs: One value for each entry of the list, ``[..., n, k, …]`` or ``[..., p, …]``.
      keepdims: Whether the result broadcasts against the inputs: a dense list keeps its last axis
        with length one, a sparse list gathers the result again for each entry.
      **index: The list: ``adj_idx`` and ``where``, or ``dst_idx`` and ``num_segments``.

    Returns:
      ``[..., n, …]`` unless ``keepdims``.

    Raises:
      ValueError: The list is incomplete, or does not fit the inputs, or these are no numbers.
    """
    neighbors = _checked(inputs, index)
    return _reduce(inputs, jnp.sum, jax.ops.segment_sum, 0, keepdims, neighbors)


def indexed_min(inputs: Array, keepdims: bool = False, **index: Any) -> Array:
    """Smallest value over the neighbors of each destination; arguments as ``indexed_sum``.

    Raises:
      ValueError: The list is incomplete, or does not fit the inputs, or these are no numbers.
    """
    neighbors = _checked(inputs, index)
    largest = jnp.iinfo(inputs.dtype).max if _is_integer(inputs) else jnp.inf
    return _reduce(inputs, jnp.min, jax.ops.segment_min, largest, keepdims, neighbors)


def indexed_max(inputs: Array, keepdims: bool = False, **index: Any) -> Array:
    """Largest value over the neighbors of each destination; arguments as ``indexed_sum``.

    Raises:
      ValueError: The list is incomplete, or does not fit the inputs, or these are no numbers.
    """
    neighbors = _checked(inputs, index)
    smallest = jnp.iinfo(inputs.dtype).min if _is_integer(inputs) else -jnp.inf
    return _reduce(inputs, jnp.max, jax.ops.segment_max, smallest, keepdims, neighbors)


def indexed_softmax(
    inputs: Float[Array, "..."],
    multiplicative_mask: Float[Array, "..."] | None = None,
    **index: Any,
) -> Float[Array, "..."]:
    """Softmax over the neighbors of each destination: aⱼ = wⱼ exp(xⱼ) / Σₖ wₖ exp(xₖ).

    With a smooth cutoff as mask w a neighbor leaves smoothly; not so the last one of a
    destination, because what is left sums to one: let each be its own neighbor.

    Args:
      inputs: x, one value for each entry of the list, and of further axes.
      multiplicative_mask: w ≥ 0, of the shape of the inputs or of the list; 1 if None.
      **index: The list, as for ``indexed_sum``.

    Returns:
      Of the shape of the inputs; 0 at padding and where w is 0.

    Raises:
      ValueError: The list is incomplete, or does not fit the inputs or the mask, or the inputs are
        no floating-point numbers.
    """
    if not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"expected floating-point inputs, received {inputs.dtype}")
    valid = _valid_entries(inputs, _checked(inputs, index))
    if multiplicative_mask is not None:
        indices.check_leading(inputs, multiplicative_mask.shape, "multiplicative_mask")
        mask = _append_axes(multiplicative_mask, inputs)
        valid = valid & (mask > 0)
        # A summand log w of the exponent: near the cutoff no quotient of tiny numbers remains.
        inputs = inputs + jnp.log(jnp.where(mask > 0, mask, 1.0))
    exponents = jnp.where(valid, inputs, -jnp.inf)
    largest = jax.lax.stop_gradient(indexed_max(exponents, keepdims=True, **index))
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    weights = jnp.where(valid, jnp.exp(jnp.where(valid, inputs - largest, 0.0)), 0.0)
    total = indexed_sum(weights, keepdims=True, **index)
    return weights / jnp.where(total > 0, total, 1.0)


def _reduce(
    inputs: Array,
    over_axis: Callable[..., Array],
    over_segments: Callable[..., Array],
    empty: int | float,
    keepdims: bool,
    neighbors: indices.Neighbors,
) -> Array:
    """Reduces the entries of each destination; ``empty`` is the result of none."""
    if neighbors.adj_idx is not None:
        entries = jnp.where(_valid_entries(inputs, neighbors), inputs, empty)
        axis = neighbors.adj_idx.ndim - 1
        return over_axis(entries, axis=axis, keepdims=keepdims, initial=empty)
    dst_idx = indices.required(neighbors.dst_idx, "dst_idx")
    num_segments = indices.required(neighbors.num_segments, "num_segments")

    def reduce(values: Array, segments: Array) -> Array:
        return over_segments(
            values, segments, num_segments, indices_are_sorted=neighbors.indices_are_sorted
        )

    for _ in range(dst_idx.ndim - 1):
        reduce = jax.vmap(reduce)
    result = reduce(inputs, dst_idx)
    return indices.take(result, dst_idx, dst_idx.ndim - 1) if keepdims else result


def _checked(inputs: Array, index: dict[str, Any]) -> indices.Neighbors:
    """The list, complete and of the shape of the inputs."""
    neighbors = indices.Neighbors(**index).checked()
    if inputs.dtype == bool:
        raise ValueError("expected integers or floating-point numbers, received bool")
    if neighbors.adj_idx is None:
        indices.required(neighbors.num_segments, "num_segments")
        dst_idx = indices.required(neighbors.dst_idx, "dst_idx")
        indices.check_leading(inputs, dst_idx.shape, "dst_idx")
        return neighbors
    where = indices.required(neighbors.where, "where")
    indices.check_leading(inputs, neighbors.adj_idx.shape, "adj_idx")
    indices.check_leading(inputs, where.shape, "where")
    return neighbors


def _valid_entries(inputs: Array, neighbors: indices.Neighbors) -> Bool[Array, "..."]:
    """True where an entry counts, with as many axes as the inputs."""
    if neighbors.where is not None and neighbors.adj_idx is not None:
        return _append_axes(neighbors.where, inputs)
    dst_idx = indices.required(neighbors.dst_idx, "dst_idx")
    num_segments = indices.required(neighbors.num_segments, "num_segments")
    return _append_axes((dst_idx >= 0) & (dst_idx < num_segments), inputs)


def _append_axes(x: Array, inputs: Array) -> Array:
    """As many axes as the inputs have, the last ones of length one."""
    return x.reshape(*x.shape, *(1 for _ in range(inputs.ndim - x.ndim)))


def _is_integer(inputs: Array) -> bool:
    return jnp.issubdtype(inputs.dtype, jnp.integer)
