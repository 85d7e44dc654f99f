"""Functions of whole ``IrrepsArray``s: building, joining, reducing."""

import functools
import math
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.arrays import slicing
from equipot.e3.arrays.irreps import Irreps, IrrepsLike
from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.e3.functions import radial
from equipot.e3.keywords import also_named
from equipot.typing import Array, Bool, Key


def from_chunks(
    irreps: IrrepsLike,
    chunks: Sequence[ArrayLike | None],
    leading_shape: Sequence[int],
    dtype: DTypeLike | None = None,
) -> IrrepsArray:
    """Joins one array ``[*leading_shape, mul, 2l+1]`` for each entry; None stands for zeros."""
    return IrrepsArray.from_chunks(irreps, chunks, leading_shape, dtype)


@also_named(array="x")
def as_irreps_array(x: "IrrepsArray | ArrayLike") -> IrrepsArray:
    """The array itself, or plain numbers as even scalars along the last axis.

    Raises:
      ValueError: The numbers have no axis.
    """
    if isinstance(x, IrrepsArray):
        return x
    array = jnp.asarray(x)
    if array.ndim == 0:
        raise ValueError("expected an array whose last axis holds scalars, received one number")
    return IrrepsArray([(array.shape[-1], "0e")], array)


def zeros(
    irreps: IrrepsLike, leading_shape: Sequence[int] = (), dtype: DTypeLike | None = None
) -> IrrepsArray:
    """Zeros, flagged as such."""
    irreps = Irreps(irreps)
    return IrrepsArray.from_chunks(irreps, [None] * len(irreps), leading_shape, dtype)


def ones(
    irreps: IrrepsLike, leading_shape: Sequence[int] = (), dtype: DTypeLike | None = None
) -> IrrepsArray:
    """Every component one."""
    irreps = Irreps(irreps)
    return IrrepsArray(irreps, jnp.ones((*leading_shape, irreps.dim), dtype))


@also_named(irreps_array="x")
def zeros_like(x: IrrepsArray) -> IrrepsArray:
    """Zeros of the same irreps, shape and data type."""
    return zeros(x.irreps, x.shape[:-1], x.dtype)


@also_named(irreps_array="x")
def ones_like(x: IrrepsArray) -> IrrepsArray:
    """Ones of the same irreps, shape and data type."""
    return ones(x.irreps, x.shape[:-1], x.dtype)


def normal(
    irreps: IrrepsLike,
    key: Key[Array, ""] | Array | None = None,
    leading_shape: Sequence[int] = (),
    *,
    normalize: bool = False,
    normalization: str | None = None,
    dtype: DTypeLike | None = None,
) -> IrrepsArray:
    """Random data whose distribution is the same from every direction.

    Args:
      irreps: Irreps of the result.
      key: Key of the random numbers; without one, always the same numbers for the same irreps.
      leading_shape: Shape of the batch axes.
      normalize: Whether every irrep is scaled to length 1.
      normalization: Of what is not: ``component`` (the default) mean square 1 of each component,
        ``norm`` mean squared length 1 of each irrep.
      dtype: Data type of the result.
    """
    normalization = "component" if normalization is None else normalization
    if normalization not in ("component", "norm"):
        raise ValueError(f"expected a normalisation component or norm, received {normalization!r}")
    irreps = Irreps(irreps)
    dtype = jnp.result_type(float) if dtype is None else dtype
    key = jax.random.key(hash(irreps) % 2**31) if key is None else key
    x = IrrepsArray(irreps, jax.random.normal(key, (*leading_shape, irreps.dim), dtype))
    chunks = []
    for (_, ir), chunk in zip(irreps, x.chunks, strict=True):
        if chunk is None:  # no component: nothing was drawn
            pass
        elif normalize:
            chunk = radial.safe_normalize(chunk)
        elif normalization == "norm":
            chunk = chunk * (1.0 / math.sqrt(ir.dim))
        chunks.append(chunk)
    return IrrepsArray.from_chunks(irreps, chunks, leading_shape, dtype)


def concatenate(arrays: Sequence[IrrepsArray], axis: int = -1) -> IrrepsArray:
    """Joins along the irreps axis (the irreps are joined too) or along a batch axis.

    Raises:
      ValueError: There is nothing to join, or irreps differ along a batch axis.
    """
    arrays = list(arrays)
    if not arrays:
        raise ValueError("expected at least one IrrepsArray to concatenate, received none")
    ndim = arrays[0].ndim
    if axis % ndim == ndim - 1:
        irreps = functools.reduce(operator.add, (x.irreps for x in arrays))
        flags = [flag for x in arrays for flag in x.zero_flags]
    else:
        irreps, flags = _same_irreps(arrays), _common_flags(arrays)
    return IrrepsArray(irreps, jnp.concatenate([x.array for x in arrays], axis=axis), flags)


def stack(arrays: Sequence[IrrepsArray], axis: int = 0) -> IrrepsArray:
    """Joins along a new batch axis.

    Raises:
      ValueError: There is nothing to join, irreps differ, or the new axis would be the last.
    """
    arrays = list(arrays)
    if not arrays:
        raise ValueError("expected at least one IrrepsArray to stack, received none")
    if axis % (arrays[0].ndim + 1) == arrays[0].ndim:
        raise ValueError("expected a batch axis to stack along, received the last: it holds irreps")
    irreps, flags = _same_irreps(arrays), _common_flags(arrays)
    return IrrepsArray(irreps, jnp.stack([x.array for x in arrays], axis=axis), flags)


@also_named(array="x")
def sum(
    x: IrrepsArray, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> IrrepsArray:
    """Sums over batch axes, and over the copies within each entry if the last axis is among them.

    Different entries are never added: regroup first to merge equal irreps.
    """
    return _reduce(x, jnp.sum, axis, keepdims)


@also_named(array="x")
def mean(
    x: IrrepsArray, axis: int | Sequence[int] | None = None, keepdims: bool = False
) -> IrrepsArray:
    """Means over batch axes, and over the copies within each entry for the last axis."""
    return _reduce(x, jnp.mean, axis, keepdims)


@also_named(array="x")
def norm(x: IrrepsArray, *, squared: bool = False, per_irrep: bool = True) -> IrrepsArray:
    """Lengths, as even scalars, with finite derivatives at zero.

    Args:
      x: Any irreps.
      squared: Whether to return squared lengths.
      per_irrep: One length for each copy, or one for the whole of the irreps axis.
    """
    x = x.floating()
    if squared:
        return dot(x, x, per_irrep=per_irrep)
    if not per_irrep:
        return IrrepsArray("0e", radial.safe_norm(x.array, keepdims=True))
    chunks = [None if c is None else radial.safe_norm(c, keepdims=True) for c in x.chunks]
    irreps = [(mul, "0e") for mul, _ in x.irreps]
    return IrrepsArray.from_chunks(irreps, chunks, x.shape[:-1], x.dtype)


@also_named(a="x", b="y")
def dot(x: IrrepsArray, y: IrrepsArray, per_irrep: bool = False) -> IrrepsArray:
    """Scalar products Σ x* y, over the whole irreps axis or for each copy.

    Raises:
      ValueError: The irreps differ.
    """
    irreps = _same_irreps([x, y])
    if not per_irrep:
        return IrrepsArray("0e", jnp.sum(x.array.conj() * y.array, axis=-1, keepdims=True))
    chunks = [
        None if a is None or b is None else jnp.sum(a.conj() * b, axis=-1, keepdims=True)
        for a, b in zip(x.chunks, y.chunks, strict=True)
    ]
    lead = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    return IrrepsArray.from_chunks([(mul, "0e") for mul, _ in irreps], chunks, lead, x.dtype)


@also_named(a="x", b="y")
def cross(x: IrrepsArray, y: IrrepsArray) -> IrrepsArray:
    """Cross products x × y of vector n in x with vector n in y; that of 1o with 1o is 1e.

    Raises:
      ValueError: There are irreps other than 1o and 1e, or the numbers of vectors differ.
    """
    for z in (x, y):
        if any(l != 1 for l in z.irreps.ls):
            raise ValueError(f"expected vectors 1o or 1e to cross, received {z.irreps}")
    if x.irreps.num_irreps != y.irreps.num_irreps:
        raise ValueError(
            f"expected equal numbers of vectors to cross, received {x.irreps} and {y.irreps}"
        )
    lead = jnp.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    entries, chunks = [], []
    for mine, theirs in slicing.align(x.irreps, y.irreps):
        (a,), (b,) = x.take([mine]).chunks, y.take([theirs]).chunks
        parity = x.irreps[mine.position].ir.p * y.irreps[theirs.position].ir.p
        entries.append((mine.last - mine.first, (1, parity)))
        if a is None or b is None:
            chunks.append(None)
        else:
            a, b = (jnp.broadcast_to(chunk, (*lead, *chunk.shape[-2:])) for chunk in (a, b))
            chunks.append(jnp.cross(a, b))
    return IrrepsArray.from_chunks(entries, chunks, lead, x.dtype)


def where(
    mask: Bool[Array | np.ndarray, "*batch factors"], x: IrrepsArray, y: IrrepsArray
) -> IrrepsArray:
    """Takes from x where the mask is true, from y elsewhere, whole irreps at a time.

    Args:
      mask: Its last axis has length 1, or one truth value for each irrep, copies counted.
      x: Any irreps.
      y: The same irreps.

    Raises:
      ValueError: The irreps differ, or the mask would cut irreps.
    """
    irreps = _same_irreps([x, y])
    mask = jnp.asarray(mask)
    if mask.ndim == 0 or mask.shape[-1] not in (1, irreps.num_irreps):
        raise ValueError(
            f"expected a mask whose last axis has length 1 or {irreps.num_irreps}, the number of "
            f"irreps in {irreps}, received shape {mask.shape}"
        )
    if mask.shape[-1] != 1:
        mask = jnp.repeat(mask, np.array([ir.dim for mul, ir in irreps for _ in range(mul)]), -1)
    shape = jnp.broadcast_shapes(mask.shape[:-1], x.shape[:-1], y.shape[:-1])
    mask, a, b = (jnp.broadcast_to(z, (*shape, irreps.dim)) for z in (mask, x.array, y.array))
    return IrrepsArray(irreps, jnp.where(mask, a, b), _common_flags([x, y]))


def _reduce(
    x: IrrepsArray,
    function: Callable[..., Array],
    axis: int | Sequence[int] | None,
    keepdims: bool,
) -> IrrepsArray:
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis).tolist()
    axes = {_axis_from_front(i, x.ndim) for i in axes}
    batch_axes = tuple(sorted(axes - {x.ndim - 1}))
    if batch_axes:
        reduced = function(x.array, axis=batch_axes, keepdims=keepdims)
        x = IrrepsArray(x.irreps, reduced, x.zero_flags)
    if len(batch_axes) == len(axes):
        return x
    x = x.filter(keep=lambda item: item.mul > 0)
    chunks = [None if c is None else function(c, axis=-2, keepdims=True) for c in x.chunks]
    return IrrepsArray.from_chunks(x.irreps.set_mul(1), chunks, x.shape[:-1], x.dtype)


def _axis_from_front(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"expected an axis of an array with {ndim} axes, received {axis}")
    return axis % ndim


def _same_irreps(arrays: Sequence[IrrepsArray]) -> Irreps:
    irreps = arrays[0].irreps
    if any(x.irreps != irreps for x in arrays):
        raise ValueError(f"expected equal irreps, received {[x.irreps for x in arrays]}")
    return irreps


def _common_flags(arrays: Sequence[IrrepsArray]) -> list[bool]:
    return [all(flags) for flags in zip(*(x.zero_flags for x in arrays), strict=True)]
