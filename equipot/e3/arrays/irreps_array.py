"""Arrays that know how they transform: ``IrrepsArray("2x0e + 1o", x)``.

The last axis of the array holds the irreps, every other axis is a batch axis. What would not
commute with rotations and inversion is refused: arithmetic raises ValueError, indexing IndexError.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import core
from jax.typing import ArrayLike, DTypeLike

from equipot.e3.arrays import chunked, slicing
from equipot.e3.arrays.irreps import Irrep, Irreps, IrrepsLike, MulIrrep
from equipot.e3.so3 import rotations, wigner
from equipot.typing import Array

_NAMES = (str, Irrep, MulIrrep, Irreps)
Index: TypeAlias = Any


class IrrepsArray(chunked.ChunkedArray):
    """An array, the irreps of its last axis, and the operations that respect them.

    A pytree with one leaf, the array. The zero flags do not survive jit, vmap and grad.

    Examples:
      >>> x = IrrepsArray("2x0e + 1o", jnp.ones(5))
      >>> 2.0 * x[..., "1o"]
      1x1o [2. 2. 2.]
    """

    __slots__ = ()
    __array_ufunc__ = None  # a NumPy array on the left leaves the operation to this class

    def transform_by_matrix(self, matrix: ArrayLike) -> "IrrepsArray":
        """Applies an orthogonal 3x3 matrix; determinant -1 means an inversion too."""
        return self.transform_by_rotation(*rotations.split_inversion(matrix))

    def transform_by_angles(
        self, alpha: ArrayLike, beta: ArrayLike, gamma: ArrayLike, k: ArrayLike = 0
    ) -> "IrrepsArray":
        """Applies R_y(alpha) R_x(beta) R_y(gamma), and k inversions."""
        return self.transform_by_rotation(rotations.angles_to_matrix(alpha, beta, gamma), k)

    def transform_by_quaternion(self, quaternion: ArrayLike, k: ArrayLike = 0) -> "IrrepsArray":
        """Applies the rotation of a quaternion (w, x, y, z), and k inversions."""
        return self.transform_by_rotation(rotations.quaternion_to_matrix(quaternion), k)

    def transform_by_axis_angle(
        self, axis: ArrayLike, angle: ArrayLike, k: ArrayLike = 0
    ) -> "IrrepsArray":
        """Applies a rotation by an angle about an axis, and k inversions."""
        return self.transform_by_rotation(rotations.axis_angle_to_matrix(axis, angle), k)

    def transform_by_log_coordinates(
        self, log_coordinates: ArrayLike, k: ArrayLike = 0
    ) -> "IrrepsArray":
        """Applies the rotation by |v| about v, and k inversions."""
        return self.transform_by_rotation(rotations.log_coordinates_to_matrix(log_coordinates), k)

    def transform_by_rotation(self, matrix: Array, k: ArrayLike = 0) -> "IrrepsArray":
        """Applies a proper rotation, which is not checked, and k inversions."""
        self = self.floating()
        matrix, chunks = matrix.astype(self.dtype), []
        lead = jnp.broadcast_shapes(self.shape[:-1], matrix.shape[:-2], jnp.shape(k))
        matrices = wigner.wigner_matrices(max(self.irreps.ls, default=0), matrix)
        for (_, ir), chunk in zip(self.irreps, self.chunks, strict=True):
            if chunk is not None and chunk.size:
                d = wigner.with_inversions(matrices[ir.l], ir.p, k)
                chunk = jnp.einsum("...ij,...uj->...ui", d, chunk, precision="highest")
                chunk = jnp.broadcast_to(chunk, (*lead, *chunk.shape[-2:]))
            chunks.append(chunk)
        return self.from_chunks(self.irreps, chunks, lead, self.dtype)

    @classmethod
    def from_contiguous(cls, irreps: IrrepsLike, array: ArrayLike) -> "IrrepsArray":
        """Older name of the constructor."""
        return cls(irreps, array)

    @classmethod
    def from_list(
        cls,
        irreps: IrrepsLike,
        chunks: Sequence[ArrayLike | None],
        leading_shape: Sequence[int],
        dtype: DTypeLike | None = None,
    ) -> "IrrepsArray":
        """Older name of ``from_chunks``."""
        return cls.from_chunks(irreps, chunks, leading_shape, dtype)

    @property
    def contiguous(self) -> Array:
        """Older name of ``array``."""
        return self.array

    @property
    def list(self) -> "Sequence[Array | None]":
        """Older name of ``chunks``."""
        return self.chunks

    @property
    def at(self) -> "Updates":
        """``x.at[index].set(y)`` and ``.add(y)``: updates along the batch axes."""
        return Updates(self)

    def __repr__(self) -> str:
        text = str(self.array)
        return f"{self.irreps}\n{text}" if "\n" in text else f"{self.irreps} {text}"

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator["IrrepsArray"]:
        if self.ndim < 2:
            raise ValueError(f"expected a batch axis to iterate over, received shape {self.shape}")
        return (self[i] for i in range(len(self)))

    def __neg__(self) -> "IrrepsArray":
        return self._with(-self.array)

    def __add__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":
        """Adds an array of the same irreps, zero, or a number to even scalars."""
        return self._plus(other, "+", 1)

    __radd__ = __add__

    def __sub__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":
        return self._plus(other, "-", -1)

    def __rsub__(self, other: ArrayLike) -> "IrrepsArray":
        return (-self)._plus(other, "+", 1)

    def __mul__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":
        """Multiplies by numbers (at most one for each irrep), or irrep by irrep by scalars."""
        if isinstance(other, IrrepsArray):
            return self._times(other)
        return self._scaled(other, "*")

    __rmul__ = __mul__

    def __truediv__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":
        """Divides by numbers, or irrep by irrep by scalars."""
        if isinstance(other, IrrepsArray):
            if self.irreps.num_irreps != other.irreps.num_irreps or not other._divides():
                hint = " The divisor is known to be zero." if any(other.zero_flags) else ""
                raise self._refusal("/", f"IrrepsArray({other.irreps})", hint)
            return self._times(1.0 / other)
        return self._scaled(other, "/")

    def __rtruediv__(self, other: ArrayLike) -> "IrrepsArray":
        if not self._divides():
            raise self._refusal("under", f"scalar(shape={jnp.shape(other)})")
        return IrrepsArray(self.irreps, _match(other, self.array) / self.array)

    def __pow__(self, exponent: int | float) -> "IrrepsArray":
        """Powers of scalars: any of 0e, whole ones of 0o (even powers of 0o are 0e)."""
        if not self.irreps.is_scalar() and (any(self.irreps.ls) or exponent % 1 != 0):
            raise self._refusal("**", f"scalar({exponent})")
        irreps = [(mul, (0, 1 if exponent % 2 == 0 else ir.p)) for mul, ir in self.irreps]
        return IrrepsArray(irreps, self.array**exponent)

    def __eq__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":  # ty: ignore
        """Whether each irrep is equal, all its components: an array of 0e truth values."""
        if isinstance(other, IrrepsArray):
            if self.irreps != other.irreps:
                raise self._refusal("==", f"IrrepsArray({other.irreps})")
            equal = self.array == other.array
        elif self.irreps.is_scalar():
            equal = self.array == _match(other, self.array)
        else:
            raise self._refusal("==", f"scalar(shape={jnp.shape(other)})")
        chunks = [
            jnp.all(equal[..., where].reshape(*equal.shape[:-1], mul, ir.dim), -1, keepdims=True)
            for (mul, ir), where in zip(self.irreps, self.irreps.slices(), strict=True)
        ]
        return self.from_chunks([(mul, "0e") for mul, _ in self.irreps], chunks, equal.shape[:-1])

    def __ne__(self, other: "IrrepsArray | ArrayLike") -> "IrrepsArray":  # ty: ignore
        """Whether any component of each irrep differs."""
        return IrrepsArray((equal := self == other).irreps, ~equal.array)

    def __bool__(self) -> bool:
        """The truth of a single number; of more it is ambiguous, which raises ValueError."""
        return bool(self.array)

    def __getitem__(self, index: Index) -> "IrrepsArray":
        """Indexes the batch axes as usual; the irreps axis by irreps or by a slice between irreps.

        ``x[0]``, ``x[1, "1o"]``, ``x[..., "2x0e + 1o"]``, ``x[..., 2:]``. Irreps name a run of
        entries that appears exactly once.

        Raises:
          IndexError: The irreps axis is indexed in another way, or the choice is not unique.
        """
        lead, last = _split_index(index, self.ndim)
        if last is None:
            return self._with(self.array[lead])
        try:
            if isinstance(last, slice):
                chosen = slicing.pieces(self.irreps, last, "dim")
            else:
                chosen = slicing.find_run(self.irreps, Irreps(last))
        except (ValueError, NotImplementedError) as error:
            raise IndexError(str(error)) from error
        return self._with(self.array[lead]).take(chosen)

    def _plus(self, other: "IrrepsArray | ArrayLike", symbol: str, sign: int) -> "IrrepsArray":
        if isinstance(other, IrrepsArray):
            if self.irreps != other.irreps:
                raise self._refusal(symbol, f"IrrepsArray({other.irreps})")
            flags = [a and b for a, b in zip(self.zero_flags, other.zero_flags, strict=True)]
            array = self.array + other.array if sign > 0 else self.array - other.array
            return IrrepsArray(self.irreps, array, flags)
        if isinstance(other, int | float) and other == 0:
            return self
        if not self.irreps.is_scalar():
            raise self._refusal(symbol, "scalar")
        other = _match(other, self.array)
        return IrrepsArray(self.irreps, self.array + other if sign > 0 else self.array - other)

    def _scaled(self, other: ArrayLike, symbol: str) -> "IrrepsArray":
        """Times or divided by numbers: one for all, or one for each irrep."""
        shape = jnp.shape(other)
        if shape and shape[-1] not in (1, self.irreps.num_irreps):
            raise self._refusal(symbol, f"scalar(shape={shape})")
        if shape and shape[-1] != 1:
            dims = [ir.dim for mul, ir in self.irreps for _ in range(mul)]
            other = jnp.asarray(other)[..., np.repeat(np.arange(len(dims)), dims)]
        other, array = _match(other, self.array), _match(self.array, other)
        return self._with(array * other if symbol == "*" else array / other)

    def _times(self, other: "IrrepsArray") -> "IrrepsArray":
        """Multiplies copy by copy; of each pair one must be of degree 0."""
        refusal = self._refusal(
            "*", f"IrrepsArray({other.irreps})", " Use tensor_product for all products."
        )
        if self.irreps.num_irreps != other.irreps.num_irreps:
            raise refusal
        entries, chunks = [], []
        for mine, theirs in slicing.align(self.irreps, other.irreps):
            (ir, *rest) = self.irreps[mine.position].ir * other.irreps[theirs.position].ir
            if rest:
                raise refusal
            a, b = self.take([mine]), other.take([theirs])
            zero = a.zero_flags[0] or b.zero_flags[0]
            entries.append((mine.last - mine.first, ir))
            chunks.append(None if zero else _chunk(a) * _chunk(b))
        lead = jnp.broadcast_shapes(self.shape[:-1], other.shape[:-1])
        return self.from_chunks(entries, chunks, lead, self.dtype)

    def _divides(self) -> bool:
        """Whether this may stand below a fraction bar: scalars, none of them known to be zero."""
        return not any(self.irreps.ls) and not any(self.zero_flags)

    def _refusal(self, symbol: str, other: str, hint: str = "") -> ValueError:
        left, right = f"IrrepsArray({self.irreps}, shape={self.shape})", other
        if symbol == "under":
            left, right, symbol = right, left, "/"
        return ValueError(f"{left} {symbol} {right} is not equivariant.{hint}")


class Updates:
    """What ``x.at`` returns: takes an index of the batch axes."""

    def __init__(self, target: IrrepsArray) -> None:
        self._target = target

    def __getitem__(self, index: Index) -> "Update":
        lead, last = _split_index(index, self._target.ndim)
        if last is not None:
            raise IndexError(f"expected an index of the batch axes, received {last!r} as the last")
        return Update(self._target, lead)


class Update(NamedTuple):
    """Sets or adds to the part of an array that an index chooses; the original is unchanged."""

    target: IrrepsArray
    index: Index

    def set(self, values: "IrrepsArray | ArrayLike") -> IrrepsArray:
        """Replaces by an array of the same irreps, or by 0."""
        return self._apply("set", values)

    def add(self, values: "IrrepsArray | ArrayLike") -> IrrepsArray:
        """Adds an array of the same irreps, or 0."""
        return self._apply("add", values)

    def _apply(self, method: str, values: "IrrepsArray | ArrayLike") -> IrrepsArray:
        """The result is known to be zero where the target was and the values are."""
        target, chosen = self.target, self.target.array.at[self.index]
        if isinstance(values, IrrepsArray):
            if values.irreps.simplify() != target.irreps.simplify():
                raise ValueError(f"expected values of {target.irreps}, received {values.irreps}")
            zero = values.rechunk(target.irreps).zero_flags
            flags = [a and b for a, b in zip(target.zero_flags, zero, strict=True)]
            return IrrepsArray(target.irreps, getattr(chosen, method)(values.array), flags)
        if jnp.ndim(values) or isinstance(values, core.Tracer) or values != 0:
            raise ValueError(
                f"expected an IrrepsArray of {target.irreps} or 0, received {values!r}"
            )
        return IrrepsArray(target.irreps, getattr(chosen, method)(0), target.zero_flags)


def _split_index(index: Index, ndim: int) -> tuple[tuple[Any, ...], Any]:
    """Splits an index into that of the batch axes and that of the irreps axis (None: all of it).

    The first part leaves the irreps axis whole: a whole slice holds its place where it must.
    """
    parts: tuple[Any, ...] = (
        index if isinstance(index, tuple) and not isinstance(index, Irreps) else (index,)
    )
    used = sum(_axes_used(part) for part in parts if part is not Ellipsis)
    if used > ndim:
        raise IndexError(f"expected at most {ndim} indices, received {used}: {index}")
    if used == ndim and parts[-1] is Ellipsis:
        parts = parts[:-1]
    reaches = used == ndim or any(part is Ellipsis for part in parts)
    if isinstance(parts[-1] if parts else None, _NAMES):
        if not reaches:
            raise IndexError(f"expected irreps as the last index: try x[..., {str(parts[-1])!r}]")
        return (*parts[:-1], slice(None)), parts[-1]
    if any(isinstance(part, _NAMES) for part in parts):
        raise IndexError("expected irreps in the last place of the index only")
    if not reaches or not parts or parts[-1] is Ellipsis:
        return parts, None
    last = parts[-1]
    if isinstance(last, slice):
        return (*parts[:-1], slice(None)), None if last == slice(None) else last
    kind = "a new axis" if last is None else "an integer or an array"
    raise IndexError(
        f"expected irreps or a slice for the irreps axis, received {kind}: try x[..., 0:1] for a "
        "part of it, x[..., None, :] for a new axis before it"
    )


def _axes_used(part: Any) -> int:
    """How many axes of an array an index consumes."""
    if part is None:
        return 0
    if isinstance(part, bool | np.bool_):
        return 0
    is_mask = hasattr(part, "dtype") and part.dtype == np.bool_
    return part.ndim if is_mask else 1


def _chunk(x: IrrepsArray) -> Array:
    """The data of an array with a single entry: [..., mul, 2l+1]."""
    ((mul, ir),) = x.irreps
    return x.array.reshape(*x.shape[:-1], mul, ir.dim)


def _match(x: Any, like: Any) -> Any:
    """Adds leading axes of length one, so that arrays of different ranks may meet."""
    ndim = jnp.ndim(like)
    if isinstance(x, int | float) or jnp.ndim(x) == 0 or jnp.ndim(x) >= ndim:
        return x
    return jnp.asarray(x).reshape((1,) * (ndim - jnp.ndim(x)) + jnp.shape(x))


def _flatten(x: IrrepsArray) -> tuple[tuple[Any], Irreps]:
    return (x.array,), x.irreps


def _flatten_with_keys(x: IrrepsArray) -> tuple[tuple[Any], Irreps]:
    return ((jax.tree_util.GetAttrKey("array"), x.array),), x.irreps


def _unflatten(irreps: Irreps, leaves: Any) -> IrrepsArray:
    return chunked.restored(IrrepsArray, irreps, leaves[0], (False,) * len(irreps))


jax.tree_util.register_pytree_with_keys(IrrepsArray, _flatten_with_keys, _unflatten, _flatten)
