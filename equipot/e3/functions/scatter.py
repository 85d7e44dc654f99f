"""Sums, means and maxima of rows over groups, such as messages over the atoms that receive them.

Rows are the leading axes of an array or an ``IrrepsArray``. Their groups are given by an index each
(``dst``), or, where the rows of a group stand together, by the number of rows of each (``nel``). By
default a row whose index lies outside of the groups, below zero too, goes nowhere: that is what
padding needs.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from equipot.e3.arrays.irreps_array import IrrepsArray
from equipot.typing import Array, Int

T = TypeVar("T", Array, np.ndarray, IrrepsArray)
_MODES = ("drop", "promise_in_bounds")


def scatter_sum(
    data: T,
    *,
    dst: Int[Array | np.ndarray, "*rows"] | None = None,
    nel: Int[Array | np.ndarray, " groups"] | None = None,
    output_size: int | None = None,
    map_back: bool = False,
    mode: str = "drop",
) -> T:
    """Sums rows over groups: output[i] = Σ data[j] over the rows j with dst[j] = i.

    Args:
      data: Rows ``[*rows, ...]``; those of an IrrepsArray keep their irreps.
      dst: The group of each row.
      nel: The number of rows of each group, instead of ``dst``; rows beyond their sum go nowhere.
      output_size: Number of groups; needed with ``dst`` unless ``map_back``.
      map_back: Whether each row receives the result of its group (zero if it has none), instead of
        one row for each group.
      mode: ``drop`` leaves rows outside of the groups out. ``promise_in_bounds`` does not check: a
        row outside of the groups then gives wrong numbers.

    Raises:
      ValueError: Neither or both of dst and nel are given, or the groups do not fit the rows.
    """
    return _scatter(data, _Groups(data, dst, nel, output_size, map_back, mode), _sum)


def scatter_mean(
    data: T,
    *,
    dst: Int[Array | np.ndarray, "*rows"] | None = None,
    nel: Int[Array | np.ndarray, " groups"] | None = None,
    output_size: int | None = None,
    map_back: bool = False,
    mode: str = "drop",
) -> T:
    """Means of rows over groups, zero for a group without rows; see ``scatter_sum``."""
    return _scatter(data, _Groups(data, dst, nel, output_size, map_back, mode), _mean)


def scatter_max(
    data: T,
    *,
    dst: Int[Array | np.ndarray, "*rows"] | None = None,
    nel: Int[Array | np.ndarray, " groups"] | None = None,
    initial: int | float = -float("inf"),
    output_size: int | None = None,
    map_back: bool = False,
    mode: str = "drop",
) -> T:
    """Largest of ``initial`` and the rows of each group, component by component.

    See ``scatter_sum`` for the arguments.

    Raises:
      ValueError: The data hold irreps other than 0e, whose largest component means nothing.
    """
    if isinstance(data, IrrepsArray) and not data.irreps.is_scalar():
        raise ValueError(f"expected scalars 0e to take the largest of, received {data.irreps}")
    groups = _Groups(data, dst, nel, output_size, map_back, mode)

    def largest(rows: Array, groups: "_Groups") -> Array:
        empty = jnp.full((groups.number, *rows.shape[1:]), initial, rows.dtype)
        return empty.at[groups.index].max(rows, mode=groups.mode)

    return _scatter(data, groups, largest, keeps_zeros=False)


def index_add(
    indices: Int[Array | np.ndarray, "*rows"] | None = None,
    input: Any = None,
    *,
    n_elements: Int[Array | np.ndarray, " groups"] | None = None,
    out_dim: int | None = None,
    map_back: bool = False,
) -> Any:
    """Older name of ``scatter_sum``."""
    return scatter_sum(input, dst=indices, nel=n_elements, output_size=out_dim, map_back=map_back)


class _Groups:
    """The group of each row, with everything out of range one past the last group."""

    def __init__(
        self,
        data: Any,
        dst: Any,
        nel: Any,
        output_size: int | None,
        map_back: bool,
        mode: str,
    ) -> None:
        if (dst is None) == (nel is None):
            raise ValueError("expected one of dst and nel, received both or neither")
        if mode not in _MODES:
            raise ValueError(f"expected a mode of {list(_MODES)}, received {mode!r}")
        if nel is not None:
            if output_size not in (None, len(nel)):
                raise ValueError(
                    f"expected an output_size of {len(nel)}, the length of nel, received "
                    f"{output_size}"
                )
            output_size, dst = len(nel), _repeated(jnp.asarray(nel), data.shape[0])
        dst = jnp.asarray(dst)
        rows_ndim = data.ndim - 1 if isinstance(data, IrrepsArray) else data.ndim
        if dst.ndim > rows_ndim or dst.shape != tuple(data.shape[: dst.ndim]):
            raise ValueError(
                f"expected a dst of the shape of the leading axes of {data.shape}, received "
                f"{dst.shape}"
            )
        if output_size is None and not map_back:
            raise ValueError("expected an output_size with dst unless map_back, received none")
        self.rows, self.map_back, self.mode = dst.shape, map_back, mode
        index = wide(dst.reshape(-1))
        if output_size is None:  # at most as many groups as rows, whatever their names
            _, index = jnp.unique(index, return_inverse=True, size=index.size)
            output_size = index.size
        elif mode == "drop":
            index = jnp.where((index < 0) | (index >= output_size), output_size, index)
        self.index, self.number = index, output_size


def _scatter(
    data: Any,
    groups: _Groups,
    reduce: Callable[[Array, _Groups], Array],
    keeps_zeros: bool = True,
) -> Any:
    """Reduces the rows of an array, or of the array under an IrrepsArray."""
    array = data.array if isinstance(data, IrrepsArray) else jnp.asarray(data)
    trailing = array.shape[len(groups.rows) :]
    result = reduce(array.reshape(groups.index.size, *trailing), groups)
    if groups.map_back:
        mode = "fill" if groups.mode == "drop" else groups.mode
        result = jnp.take(result, groups.index, axis=0, mode=mode, fill_value=0)
        result = result.reshape(*groups.rows, *trailing)
    if not isinstance(data, IrrepsArray):
        return result
    return IrrepsArray(data.irreps, result, data.zero_flags if keeps_zeros else None)


def _sum(rows: Array, groups: _Groups) -> Array:
    empty = jnp.zeros((groups.number, *rows.shape[1:]), rows.dtype)
    return empty.at[groups.index].add(rows, mode=groups.mode)


def _mean(rows: Array, groups: _Groups) -> Array:
    """Sums use at least 32 bits: in half precision, counting stops at 256 or 2048."""
    is_float = jnp.issubdtype(rows.dtype, jnp.inexact)
    dtype = rows.dtype if is_float else jnp.result_type(float)
    exact = summing_dtype(dtype)
    count = jnp.maximum(_sum(jnp.ones(groups.index.size, jnp.int32), groups), 1)
    count = count.reshape(-1, *(1,) * (rows.ndim - 1)).astype(exact)
    return (_sum(rows.astype(exact), groups) / count).astype(dtype)


def summing_dtype(dtype: Any) -> Any:
    """What numbers of a floating kind are added up in: 32 bits at least."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


def _repeated(nel: Array, number: int) -> Array:
    """The group of each of ``number`` rows, ``len(nel)`` for rows beyond the last group."""
    nel = wide(nel)
    return jnp.searchsorted(jnp.cumsum(nel), jnp.arange(number, dtype=nel.dtype), side="right")


def wide(index: Int[Array, "..."]) -> Int[Array, "..."]:
    """Indices or counts of rows in 32 bits at least: with room for the number of rows."""
    return index.astype(jnp.int32) if index.dtype.itemsize < 4 else index
