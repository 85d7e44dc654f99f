"""The data under an ``IrrepsArray``: an array whose last axis is a list of chunks; its layouts.

Nothing here knows arithmetic. An entry known to be zero may be flagged as such: operations then
skip it. The flags are a note beside the data, so JAX drops them wherever it takes the array apart
(jit, vmap, grad).
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.arrays import slicing
from equipot.e3.arrays.irreps import Irreps, IrrepsLike, MulIrrep
from equipot.typing import Array

S = TypeVar("S", bound="ChunkedArray")


class ChunkedArray(slicing.Sliceable):
    """An array and the irreps of its last axis, entry by entry as (multiplicity, component).

    Attributes:
      irreps: Irreps of the last axis.
      array: The data, ``[..., irreps.dim]``.
      zero_flags: For each entry of the irreps, whether it is known to be zero.
    """

    __slots__ = ("array", "irreps", "zero_flags")
    irreps: Irreps
    array: Any
    zero_flags: tuple[bool, ...]

    def __init__(
        self, irreps: IrrepsLike, array: ArrayLike, zero_flags: Sequence[bool] | None = None
    ) -> None:
        """Checks that the last axis has the length that the irreps need.

        Raises:
          ValueError: It has not, or the flags are not one for each entry.
        """
        irreps, array = Irreps(irreps), jnp.asarray(array)
        flags = (False,) * len(irreps) if zero_flags is None else tuple(map(bool, zero_flags))
        if array.ndim == 0 or array.shape[-1] != irreps.dim:
            raise ValueError(
                f"IrrepsArray: expected a last axis of length {irreps.dim} for irreps {irreps}, "
                f"received an array of shape {array.shape}"
            )
        if len(flags) != len(irreps):
            raise ValueError(
                f"IrrepsArray: expected {len(irreps)} zero_flags for {irreps}, received {flags}"
            )
        self._fill(irreps, array, flags)

    @classmethod
    def from_chunks(
        cls: type[S],
        irreps: IrrepsLike,
        chunks: Sequence[ArrayLike | None],
        leading_shape: Sequence[int],
        dtype: DTypeLike | None = None,
    ) -> S:
        """Joins one array ``[*leading_shape, mul, 2l+1]`` for each entry; None stands for zeros.

        Args:
          irreps: Irreps of the result.
          chunks: One array or None for each entry.
          leading_shape: Shape of the batch axes.
          dtype: Data type where every chunk is None; that of the chunks otherwise.

        Raises:
          ValueError: A chunk is missing or has the wrong shape.
        """
        irreps, lead = Irreps(irreps), tuple(leading_shape)
        if len(chunks) != len(irreps):
            raise ValueError(f"expected {len(irreps)} chunks for {irreps}, received {len(chunks)}")
        arrays = [None if chunk is None else jnp.asarray(chunk) for chunk in chunks]
        for item, array in zip(irreps, arrays, strict=True):
            if array is not None and array.shape != (*lead, item.mul, item.ir.dim):
                raise ValueError(
                    f"expected a chunk of shape {(*lead, item.mul, item.ir.dim)} for {item} in "
                    f"{irreps}, received {array.shape}"
                )
        dtype = next((array.dtype for array in arrays if array is not None), dtype)
        dtype = jnp.result_type(float) if dtype is None else dtype
        parts = [
            jnp.zeros((*lead, item.dim), dtype) if array is None else array.reshape(*lead, item.dim)
            for item, array in zip(irreps, arrays, strict=True)
        ]
        joined = jnp.concatenate(parts, axis=-1) if parts else jnp.zeros((*lead, 0), dtype)
        return cls(irreps, joined, [array is None for array in arrays])

    @classmethod
    def from_table(cls: type[S], irreps: IrrepsLike, table: np.ndarray) -> S:
        """Constants that stay in NumPy and in their precision: those that JAX makes need not."""
        irreps = Irreps(irreps)
        return restored(cls, irreps, table, (False,) * len(irreps))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, the irreps axis included."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """Number of axes, the irreps axis included."""
        return len(self.array.shape)

    @property
    def dtype(self) -> Any:
        """Data type of the array."""
        return self.array.dtype

    @property
    def chunks(self) -> list[Any]:
        """One array ``[..., mul, 2l+1]`` for each entry, or None where it is known to be zero."""
        entries = zip(self.irreps, self.irreps.slices(), self.zero_flags, strict=True)
        return [
            None
            if zero
            else self.array[..., where].reshape(*self.shape[:-1], item.mul, item.ir.dim)
            for item, where, zero in entries
        ]

    def reshape(self: S, shape: Sequence[int]) -> S:
        """Changes the batch axes; the last length must be -1 or stay.

        Raises:
          ValueError: The last axis would change.
        """
        return self._with(self.array.reshape(self._full_shape(shape)))

    def broadcast_to(self: S, shape: Sequence[int]) -> S:
        """Repeats along new batch axes; the last length must be -1 or stay.

        Raises:
          ValueError: The last axis would change.
        """
        return self._with(jnp.broadcast_to(self.array, self._full_shape(shape)))

    def astype(self: S, dtype: DTypeLike) -> S:
        """The same values in another data type."""
        return self._with(self.array.astype(dtype))

    def floating(self: S) -> S:
        """The same values; whole numbers and truth values become floating point numbers."""
        inexact = jnp.issubdtype(self.dtype, jnp.inexact)
        return self if inexact else self.astype(jnp.result_type(float))

    def rechunk(self: S, irreps: IrrepsLike) -> S:
        """The same data under irreps that differ only in how equal neighbors are grouped.

        Raises:
          ValueError: The irreps differ otherwise.
        """
        irreps = Irreps(irreps)
        if irreps.simplify() != self.irreps.simplify():
            raise ValueError(f"expected irreps that simplify like {self.irreps}, received {irreps}")
        zero = np.repeat(self.zero_flags, [item.mul for item in self.irreps])
        ends = np.cumsum([0, *(item.mul for item in irreps)])
        flags = [bool(zero[a:b].all()) for a, b in itertools.pairwise(ends)]
        return type(self)(irreps, self.array, flags)

    def simplify(self: S) -> S:
        """Merges equal neighbors and drops empty entries; the data stay where they are."""
        return self.rechunk(self.irreps.simplify())

    def unify(self: S) -> S:
        """Merges equal neighbors, and keeps empty entries."""
        return self.rechunk(self.irreps.unify())

    def sort(self: S) -> S:
        """Sorts the entries by irrep, equal ones in their present order."""
        irreps, _, inv = self.irreps.sort()
        return self if irreps == self.irreps else self._select(inv)

    def regroup(self: S) -> S:
        """Sorts, then merges equal irreps: the canonical form."""
        return self.sort().simplify()

    def filter(
        self: S,
        keep: IrrepsLike | Callable[[MulIrrep], bool] | None = None,
        *,
        drop: IrrepsLike | Callable[[MulIrrep], bool] | None = None,
        lmax: int | None = None,
    ) -> S:
        """Keeps the entries that one of ``keep``, ``drop`` and ``lmax`` chooses."""
        return self._select(self.irreps.positions(keep, drop=drop, lmax=lmax))

    def remove_zero_chunks(self: S) -> S:
        """Drops the entries that are known to be zero, and empty ones."""
        entries = enumerate(zip(self.irreps, self.zero_flags, strict=True))
        return self._select([i for i, (item, zero) in entries if item.mul and not zero])

    def extend_with_zeros(self: S, irreps: IrrepsLike) -> S:
        """Adds zeros for the entries of ``irreps`` that are missing here, in their order.

        Raises:
          ValueError: The entries here do not appear, in order, among ``irreps``.
        """
        irreps, chunks, used, have = Irreps(irreps), [], 0, self.chunks
        for item in irreps:
            found = used < len(self.irreps) and self.irreps[used] == item
            chunks.append(have[used] if found else None)
            used += found
        if used < len(self.irreps):
            raise ValueError(f"expected irreps that contain {self.irreps}, received {irreps}")
        return self.from_chunks(irreps, chunks, self.shape[:-1], self.dtype)

    def _entries(self) -> Irreps:
        return self.irreps

    def take(self: S, pieces: Sequence[slicing.Piece]) -> S:
        """The data of adjoining pieces of the entries."""
        irreps, start = self.irreps.take(pieces), 0
        if pieces:
            position, first, _ = pieces[0]
            start = self.irreps.slices()[position].start + first * self.irreps[position].ir.dim
        flags = [self.zero_flags[piece.position] for piece in pieces]
        return type(self)(irreps, self.array[..., start : start + irreps.dim], flags)

    def axis_to_irreps(self: S, axis: int = -2) -> S:
        """Lays a batch axis out in the irreps axis: the irreps repeated, slice by slice."""
        array = jnp.moveaxis(self.array, self._batch_axis(axis), -2)
        *lead, repeats, dim = array.shape
        flags = self.zero_flags * repeats
        return type(self)(self.irreps.repeat(repeats), array.reshape(*lead, repeats * dim), flags)

    def axis_to_mul(self: S, axis: int = -2) -> S:
        """Turns a batch axis into multiplicity: the copies of each slice, slice after slice."""
        array = jnp.moveaxis(self.array, self._batch_axis(axis), -2)
        moved = type(self)(self.irreps, array, self.zero_flags)
        *lead, factor, _ = array.shape
        chunks = [
            None if chunk is None else chunk.reshape(*lead, -1, item.ir.dim)
            for item, chunk in zip(self.irreps, moved.chunks, strict=True)
        ]
        return self.from_chunks(self.irreps * factor, chunks, lead, self.dtype)

    def mul_to_axis(self: S, factor: int | None = None, axis: int = -2) -> S:
        """Turns a factor of every multiplicity into a batch axis, the inverse of ``axis_to_mul``.

        Args:
          factor: Length of the new axis, a divisor of every multiplicity; by default the greatest.
          axis: Where the new axis stands in the result.

        Raises:
          ValueError: The factor does not divide every multiplicity.
        """
        factor = self.irreps.mul_gcd if factor is None else factor
        if factor < 1 or any(item.mul % factor for item in self.irreps):
            raise ValueError(
                f"expected a common divisor of the multiplicities of {self.irreps}, "
                f"received {factor}"
            )
        lead = self.shape[:-1]
        chunks = [
            None if chunk is None else chunk.reshape(*lead, factor, item.mul // factor, item.ir.dim)
            for item, chunk in zip(self.irreps, self.chunks, strict=True)
        ]
        split = self.from_chunks(self.irreps // factor, chunks, (*lead, factor), self.dtype)
        position = split._batch_axis(axis)
        return split._with(jnp.moveaxis(split.array, -2, position))

    def _fill(self, irreps: Irreps, array: Any, zero_flags: tuple[bool, ...]) -> None:
        """Sets the attributes, once."""
        object.__setattr__(self, "irreps", irreps)
        object.__setattr__(self, "array", array)
        object.__setattr__(self, "zero_flags", zero_flags)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What copies and pickles are made from."""
        return restored, (type(self), self.irreps, self.array, self.zero_flags)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"IrrepsArray is immutable: cannot set {name}, build a new one")

    def _with(self: S, array: Array) -> S:
        """Other data under the same irreps."""
        return type(self)(self.irreps, array, self.zero_flags)

    def _select(self: S, positions: Sequence[int]) -> S:
        """Some entries, in the order given."""
        chunks = self.chunks
        irreps = Irreps([self.irreps[i] for i in positions])
        return self.from_chunks(irreps, [chunks[i] for i in positions], self.shape[:-1], self.dtype)

    def _full_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """A target shape with the length of the irreps axis filled in."""
        if not len(shape) or shape[-1] not in (-1, self.irreps.dim):
            raise ValueError(
                f"expected a shape that ends in -1 or {self.irreps.dim}, the dimension of "
                f"{self.irreps}, received {tuple(shape)}"
            )
        return (*shape[:-1], self.irreps.dim)

    def _batch_axis(self, axis: int) -> int:
        """A batch axis counted from the front."""
        position = axis + self.ndim if axis < 0 else axis
        if not 0 <= position < self.ndim - 1:
            raise ValueError(
                f"expected a batch axis of an array of shape {self.shape}, received {axis}: the "
                "last axis holds the irreps"
            )
        return position


def restored(kind: type[S], irreps: Irreps, array: Any, zero_flags: tuple[bool, ...]) -> S:
    """An array as it was, without the checks that tables and mapped arrays would not pass."""
    x = object.__new__(kind)
    x._fill(irreps, array, zero_flags)
    return x
